// AssemblyScript, not TypeScript: compiled by `npm run gen:wasm` to ../wasm.ts. Explained in ../scanner.ts and ADR 0003.
// One pass over JSON bytes with SIMD string skipping: full RFC 8259 grammar, nesting and key bounds, duplicate keys
// at every level, `__proto__`, the places of named top-level values, and SSE framing around it.

const MAX_NAMED: i32 = 64
const MAX_STACK: i32 = 1024
const MAX_KEYS: i32 = 131072
const BIG_OBJECT: i32 = 24
const TABLE_BITS: i32 = 18
/** More neighbours than this are no accident: the table is at most half full. */
const MAX_PROBES: i32 = 512

const E_NONE: i32 = 0
const E_SYNTAX: i32 = 1
const E_DEPTH: i32 = 2
const E_KEYS: i32 = 3
const E_DUPLICATE: i32 = 4
const E_PROTO: i32 = 5
const E_END: i32 = 6

// Named keys: pointer, length, hash. Slots: start, end, kind (first byte of the value).
const named = memory.data(MAX_NAMED * 12)
const slots = memory.data(MAX_NAMED * 12)
const names = memory.data(4096)
let namesTop: usize = names
let namedCount: i32 = 0
let deepFrom: i32 = MAX_NAMED

// Open containers: 0 = array, otherwise 1 + index of the object's first key on the key stack.
const stack = memory.data(MAX_STACK * 4)
const keys = memory.data(MAX_KEYS * 12)
const table = memory.data((1 << TABLE_BITS) * 8)
const decoded = memory.data(65536)
let decodedTop: usize = decoded
let generation: u32 = 0

let errorAt: usize = 0
let errorKeyStart: usize = 0
let errorKeyEnd: usize = 0
let deepSeen: i32 = 0
let nonAscii: i32 = 0
let rootKind: i32 = 0
let rootEnd: usize = 0
let keyCount: i32 = 0

let eventKind: i32 = 0
let dataStart: usize = 0
let dataEnd: usize = 0
let nameStart: usize = 0
let nameEnd: usize = 0

// What the last call found, as u32s in this order: JavaScript reads them from memory, far cheaper than exported globals.
const out = memory.data(64)
function flush(): void {
  store<u32>(out, <u32>errorAt)
  store<u32>(out, <u32>errorKeyStart, 4)
  store<u32>(out, <u32>errorKeyEnd, 8)
  store<u32>(out, deepSeen, 12)
  store<u32>(out, nonAscii, 16)
  store<u32>(out, rootKind, 20)
  store<u32>(out, <u32>rootEnd, 24)
  store<u32>(out, keyCount, 28)
  store<u32>(out, eventKind, 32)
  store<u32>(out, <u32>dataStart, 36)
  store<u32>(out, <u32>dataEnd, 40)
  store<u32>(out, <u32>nameStart, 44)
  store<u32>(out, <u32>nameEnd, 48)
}

export function outAt(): usize { return out }
export function inputAt(): usize { return (__heap_base + 15) & ~15 }
export function slotsAt(): usize { return slots }
export function namesAt(): usize { return namesTop }

/** Bit n is set when a name has n bytes (modulo 64): most keys are told apart by it alone. */
let lengths: u64 = 0

/** Registers the name that was written at namesAt(); deep names are noticed at any depth, the others at the top. */
export function addName(length: i32, deep: i32): i32 {
  const at = named + <usize>namedCount * 12
  store<u32>(at, <u32>namesTop)
  store<u32>(at, <u32>length, 4)
  store<u32>(at, hash(namesTop, namesTop + <usize>length), 8)
  namesTop += <usize>length
  lengths |= <u64>1 << (<u64>length & 63)
  if (deep && deepFrom == MAX_NAMED) deepFrom = namedCount
  return namedCount++
}

// @ts-ignore: decorator
@inline
function hash(from: usize, to: usize): u32 {
  let h: u32 = 2166136261
  while (from < to) {
    h = (h ^ <u32>load<u8>(from)) * 16777619
    from++
  }
  return h
}

function same(a: usize, b: usize, length: usize): bool {
  while (length >= 8) {
    if (load<u64>(a) != load<u64>(b)) return false
    a += 8
    b += 8
    length -= 8
  }
  while (length > 0) {
    if (load<u8>(a) != load<u8>(b)) return false
    a++
    b++
    length--
  }
  return true
}

// @ts-ignore: decorator
@inline
function hex(c: u32): i32 {
  if (c - 48 < 10) return <i32>(c - 48)
  const l = c | 32
  if (l - 97 < 6) return <i32>(l - 87)
  return -1
}

/** p stands after the opening quote. Returns the place of the closing quote, or 0 with errorAt set. Sets escaped. */
let escaped: bool = false
function skipString(p: usize, end: usize): usize {
  const quote = i8x16.splat(34)
  const back = i8x16.splat(92)
  const ctl = i8x16.splat(32)
  escaped = false
  let high: i32 = 0
  while (true) {
    let c: u32 = 0
    while (true) {
      if (p >= end) { errorAt = end; nonAscii |= high; return 0 }
      const v = v128.load(p)
      const hit = v128.or(v128.or(i8x16.eq(v, quote), i8x16.eq(v, back)), i8x16.lt_u(v, ctl))
      const mask = i8x16.bitmask(hit)
      if (mask == 0) {
        high |= i8x16.bitmask(v)
        p += 16
        continue
      }
      const step = ctz(mask)
      high |= i8x16.bitmask(v) & ((1 << step) - 1)
      p += <usize>step
      if (p >= end) { errorAt = end; nonAscii |= high; return 0 }
      c = load<u8>(p)
      break
    }
    if (c == 34) { nonAscii |= high; return p }
    if (c != 92) { errorAt = p; return 0 }
    escaped = true
    if (p + 1 >= end) { errorAt = end; return 0 }
    const e: u32 = load<u8>(p + 1)
    if (e == 117) {
      if (p + 6 > end) { errorAt = end; return 0 }
      if ((hex(load<u8>(p + 2)) | hex(load<u8>(p + 3)) | hex(load<u8>(p + 4)) | hex(load<u8>(p + 5))) < 0) { errorAt = p; return 0 }
      p += 6
    } else if (e == 34 || e == 92 || e == 47 || e == 98 || e == 102 || e == 110 || e == 114 || e == 116) {
      p += 2
    } else { errorAt = p; return 0 }
  }
}

// @ts-ignore: decorator
@inline
function unit(p: usize): u32 {
  return <u32>((hex(load<u8>(p)) << 12) | (hex(load<u8>(p + 1)) << 8) | (hex(load<u8>(p + 2)) << 4) | hex(load<u8>(p + 3)))
}

/** Decodes an escaped key into the scratch area, so that "m\u006fdel" and "model" are one key. 0 = no room. */
function decode(p: usize, end: usize): usize {
  if (decodedTop + (end - p) + 8 > decoded + 65536) return 0
  let o = decodedTop
  while (p < end) {
    const c: u32 = load<u8>(p)
    if (c != 92) { store<u8>(o++, <u8>c); p++; continue }
    const e: u32 = load<u8>(p + 1)
    p += 2
    if (e == 117) {
      let u = unit(p)
      p += 4
      if ((u & 0xfc00) == 0xd800 && p + 6 <= end && load<u8>(p) == 92 && load<u8>(p + 1) == 117) {
        const low = unit(p + 2)
        if ((low & 0xfc00) == 0xdc00) { u = 0x10000 + ((u & 0x3ff) << 10) + (low & 0x3ff); p += 6 }
      }
      if (u < 0x80) store<u8>(o++, <u8>u)
      else if (u < 0x800) { store<u8>(o++, <u8>(0xc0 | (u >> 6))); store<u8>(o++, <u8>(0x80 | (u & 63))) }
      else if (u < 0x10000) {
        store<u8>(o++, <u8>(0xe0 | (u >> 12))); store<u8>(o++, <u8>(0x80 | ((u >> 6) & 63))); store<u8>(o++, <u8>(0x80 | (u & 63)))
      } else {
        store<u8>(o++, <u8>(0xf0 | (u >> 18))); store<u8>(o++, <u8>(0x80 | ((u >> 12) & 63)))
        store<u8>(o++, <u8>(0x80 | ((u >> 6) & 63))); store<u8>(o++, <u8>(0x80 | (u & 63)))
      }
    } else {
      let x = e
      if (e == 98) x = 8
      else if (e == 102) x = 12
      else if (e == 110) x = 10
      else if (e == 114) x = 13
      else if (e == 116) x = 9
      store<u8>(o++, <u8>x)
    }
  }
  const start = decodedTop
  decodedTop = o
  return start
}

// @ts-ignore: decorator
@inline
function digits(p: usize, end: usize): usize {
  while (p < end && <u32>load<u8>(p) - 48 < 10) p++
  return p
}

function skipNumber(p: usize, end: usize): usize {
  const start = p
  if (load<u8>(p) == 45) p++
  if (p >= end) { errorAt = end; return 0 }
  if (load<u8>(p) == 48) p++
  else {
    const d = digits(p, end)
    if (d == p) { errorAt = start; return 0 }
    p = d
  }
  if (p < end && load<u8>(p) == 46) {
    const d = digits(p + 1, end)
    if (d == p + 1) { errorAt = d; return 0 }
    p = d
  }
  if (p < end && (load<u8>(p) | 32) == 101) {
    p++
    if (p < end && (load<u8>(p) == 43 || load<u8>(p) == 45)) p++
    const d = digits(p, end)
    if (d == p) { errorAt = d; return 0 }
    p = d
  }
  return p
}

// @ts-ignore: decorator
@inline
function home(h: u32): u32 {
  h = (h ^ (h >> 15)) * 0x85ebca6b
  h = (h ^ (h >> 13)) * 0xc2b2ae35
  return h >> (32 - TABLE_BITS)
}

/** Returns an error code when the key stands twice in its object, or when its keys are chosen to collide. */
function addKey(start: usize, end: usize, h: u32, base: i32, top: i32): i32 {
  const length = <u32>(end - start)
  const count = top - base
  if (count < BIG_OBJECT) {
    for (let i = base; i < top; i++) {
      const at = keys + <usize>i * 12
      if (load<u32>(at) == h && load<u32>(at, 8) == length && same(<usize>load<u32>(at, 4), start, length)) return E_DUPLICATE
    }
  } else {
    if (count == BIG_OBJECT) {
      for (let i = base; i < top; i++) {
        if (!insert(i, load<u32>(keys + <usize>i * 12))) return E_KEYS
      }
    }
    let s = home(h)
    let probes = 0
    while (true) {
      const at = table + <usize>s * 8
      if (load<u32>(at, 4) != generation) {
        store<u32>(at, <u32>top)
        store<u32>(at, generation, 4)
        break
      }
      const i = <i32>load<u32>(at)
      if (i >= base) {
        const k = keys + <usize>i * 12
        if (load<u32>(k) == h && load<u32>(k, 8) == length && same(<usize>load<u32>(k, 4), start, length)) return E_DUPLICATE
      }
      if (++probes > MAX_PROBES) return E_KEYS
      s = (s + 1) & ((1 << TABLE_BITS) - 1)
    }
  }
  const at = keys + <usize>top * 12
  store<u32>(at, h)
  store<u32>(at, <u32>start, 4)
  store<u32>(at, length, 8)
  return E_NONE
}

function insert(index: i32, h: u32): bool {
  let s = home(h)
  let probes = 0
  while (load<u32>(table + <usize>s * 8, 4) == generation) {
    if (++probes > MAX_PROBES) return false
    s = (s + 1) & ((1 << TABLE_BITS) - 1)
  }
  store<u32>(table + <usize>s * 8, <u32>index)
  store<u32>(table + <usize>s * 8, generation, 4)
  return true
}

/**
 * A big object ends: its keys leave the table, the last first. Objects nest, so this leaves the table exactly as it was
 * before them, without gaps; a list of thousands of records with the same keys then costs no more than its length.
 */
function forget(base: i32, top: i32): void {
  for (let i = top - 1; i >= base; i--) {
    let s = home(load<u32>(keys + <usize>i * 12))
    while (<i32>load<u32>(table + <usize>s * 8) != i || load<u32>(table + <usize>s * 8, 4) != generation) s = (s + 1) & ((1 << TABLE_BITS) - 1)
    store<u32>(table + <usize>s * 8, 0, 4)
  }
}

const VALUE: i32 = 0
const AFTER: i32 = 1
const KEY: i32 = 2
const KEY_OR_END: i32 = 3
const VALUE_OR_END: i32 = 4

/**
 * Scans [p, end). strict = refuse duplicate keys and `__proto__`. 16 readable bytes must follow end.
 * Returns E_NONE or the error's code, its place in errorAt.
 */
function scanValue(p: usize, end: usize, strict: i32, maxDepth: i32, maxKeys: i32): i32 {
  memory.fill(slots, 0, <usize>namedCount * 12)
  generation++
  decodedTop = decoded
  deepSeen = 0
  nonAscii = 0
  rootKind = 0
  keyCount = 0
  errorKeyStart = 0
  let keyTop: i32 = 0
  let depth: i32 = 0
  let base: i32 = -1 // of the innermost object; -1 = array or root
  let slot: usize = 0 // where the current top-level value is noted
  let state: i32 = VALUE
  if (maxDepth > MAX_STACK - 1) maxDepth = MAX_STACK - 1
  if (maxKeys > MAX_KEYS - 1) maxKeys = MAX_KEYS - 1
  while (true) {
    let c: u32 = 0
    while (true) {
      if (p >= end) { errorAt = end; return depth == 0 && state == AFTER ? done(p) : E_END }
      c = load<u8>(p)
      if (c > 32) break
      if (c != 32 && c != 10 && c != 13 && c != 9) { errorAt = p; return E_SYNTAX }
      p++
    }
    if (state == AFTER) {
      if (slot != 0 && depth == 1) slot = 0
      if (depth == 0) { errorAt = p; return E_SYNTAX }
      if (c == 44) { p++; state = base >= 0 ? KEY : VALUE; continue }
      if (c == (base >= 0 ? 125 : 93)) { state = KEY_OR_END }
      else { errorAt = p; return E_SYNTAX }
    }
    if ((c == 125 && state == KEY_OR_END && base >= 0) || (c == 93 && base < 0 && (state == VALUE_OR_END || state == KEY_OR_END))) {
      if (base >= 0) {
        if (strict && keyTop - base > BIG_OBJECT) forget(base, keyTop)
        keyTop = base
      }
      depth--
      p++
      if (depth > 0) base = <i32>load<u32>(stack + <usize>depth * 4) - 1
      else { rootEnd = p; base = -1 }
      if (depth == 1 && slot != 0) store<u32>(slot, <u32>p, 4)
      state = AFTER
      continue
    }
    if (state == KEY || state == KEY_OR_END) {
      if (c != 34) { errorAt = p; return E_SYNTAX }
      const q = skipString(p + 1, end)
      if (q == 0) return errorAt >= end ? E_END : E_SYNTAX
      let start = p + 1
      let stop = q
      if (escaped) {
        start = decode(p + 1, q)
        if (start == 0) { errorAt = p; return E_KEYS }
        stop = decodedTop
      }
      if (++keyCount > maxKeys) { errorAt = p; return E_KEYS }
      const wanted = (depth == 1 || deepFrom < namedCount) && ((lengths >> (<u64>(stop - start) & 63)) & 1) != 0
      if (strict || wanted) {
        const h = hash(start, stop)
        if (strict) {
          if (stop - start == 9 && load<u64>(start) == 0x5f6f746f72705f5f && load<u8>(start + 8) == 95) { errorAt = p; return E_PROTO }
          const code = addKey(start, stop, h, base, keyTop)
          if (code != E_NONE) { errorAt = p; errorKeyStart = p + 1; errorKeyEnd = q; return code }
          keyTop++
        }
        for (let i = wanted ? (depth == 1 ? 0 : deepFrom) : namedCount; i < namedCount; i++) {
          const at = named + <usize>i * 12
          if (load<u32>(at, 8) == h && load<u32>(at, 4) == <u32>(stop - start) && same(<usize>load<u32>(at), start, stop - start)) {
            if (i >= deepFrom) deepSeen |= 1 << (i - deepFrom)
            else slot = slots + <usize>i * 12
            break
          }
        }
      }
      p = q + 1
      while (p < end && (load<u8>(p) == 32 || load<u8>(p) == 10 || load<u8>(p) == 13 || load<u8>(p) == 9)) p++
      if (p >= end) { errorAt = end; return E_END }
      if (load<u8>(p) != 58) { errorAt = p; return E_SYNTAX }
      p++
      state = VALUE
      continue
    }
    // a value begins at p
    if (depth == 0) rootKind = <i32>c
    const noted = depth == 1 && slot != 0
    if (noted) { store<u32>(slot, <u32>p); store<u32>(slot, c, 8) }
    if (c == 123 || c == 91) {
      if (depth >= maxDepth) { errorAt = p; return E_DEPTH }
      depth++
      base = c == 123 ? keyTop : -1
      store<u32>(stack + <usize>depth * 4, <u32>(base + 1))
      p++
      state = c == 123 ? KEY_OR_END : VALUE_OR_END
      continue
    }
    if (c == 34) {
      p = skipString(p + 1, end)
      if (p == 0) return errorAt >= end ? E_END : E_SYNTAX
      p++
    } else if (c == 45 || c - 48 < 10) {
      p = skipNumber(p, end)
      if (p == 0) return errorAt >= end ? E_END : E_SYNTAX
    } else if (c == 116 && p + 4 <= end && load<u32>(p) == 0x65757274) p += 4
    else if (c == 102 && p + 5 <= end && load<u32>(p + 1) == 0x65736c61) p += 5
    else if (c == 110 && p + 4 <= end && load<u32>(p) == 0x6c6c756e) p += 4
    else { errorAt = p; return E_SYNTAX }
    if (noted) store<u32>(slot, <u32>p, 4)
    if (depth == 0) rootEnd = p
    state = AFTER
  }
}

function done(p: usize): i32 {
  errorAt = p
  return E_NONE
}

/** Strict UTF-8 (no overlong forms, no surrogates, <= U+10FFFF). */
function isUtf8(p: usize, end: usize): bool {
  while (p < end) {
    const c: u32 = load<u8>(p)
    if (c < 0x80) { p++; continue }
    if (c < 0xc2 || c > 0xf4) return false
    const n: usize = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4
    if (p + n > end) return false
    const d: u32 = load<u8>(p + 1)
    if ((d & 0xc0) != 0x80) return false
    if (c == 0xe0 && d < 0xa0) return false
    if (c == 0xed && d > 0x9f) return false
    if (c == 0xf0 && d < 0x90) return false
    if (c == 0xf4 && d > 0x8f) return false
    if (n > 2 && (load<u8>(p + 2) & 0xc0) != 0x80) return false
    if (n > 3 && (load<u8>(p + 3) & 0xc0) != 0x80) return false
    p += n
  }
  return true
}

/** The next line break at or after p, or end. */
function lineEnd(p: usize, end: usize): usize {
  const lf = i8x16.splat(10)
  const cr = i8x16.splat(13)
  while (p < end) {
    const v = v128.load(p)
    const mask = i8x16.bitmask(v128.or(i8x16.eq(v, lf), i8x16.eq(v, cr)))
    if (mask != 0) {
      p += <usize>ctz(mask)
      return p < end ? p : end
    }
    p += 16
  }
  return end
}

/**
 * Reads one SSE event (WHATWG HTML 9.2.6) from p. Returns the place after its blank line, or 0 when it is not complete.
 * eventKind: 0 no data, 1 valid JSON, 2 [DONE], 3 data that is not valid JSON, 4 several data lines, 5 invalid UTF-8.
 */
function readEvent(p: usize, end: usize): usize {
  let lines: i32 = 0
  dataStart = 0
  dataEnd = 0
  nameStart = 0
  nameEnd = 0
  while (true) {
    const e = lineEnd(p, end)
    if (e >= end) return 0
    let next = e + 1
    if (load<u8>(e) == 13) {
      if (next >= end) return 0
      if (load<u8>(next) == 10) next++
    }
    if (e == p) {
      p = next
      break
    }
    const c: u32 = load<u32>(p)
    if (c == 0x61746164 && (load<u8>(p + 4) == 58 || e == p + 4)) { // data
      lines++
      dataStart = e > p + 5 ? (load<u8>(p + 5) == 32 ? p + 6 : p + 5) : e
      dataEnd = e
    } else if (c == 0x6e657665 && load<u8>(p + 4) == 116 && load<u8>(p + 5) == 58 && e >= p + 6) { // event:
      nameStart = e > p + 6 && load<u8>(p + 6) == 32 ? p + 7 : p + 6
      nameEnd = e
    }
    p = next
  }
  if (lines == 0) { eventKind = 0; return p }
  if (lines > 1) { eventKind = 4; return p }
  if (dataEnd - dataStart == 6 && load<u32>(dataStart) == 0x4e4f445b && <u32>load<u16>(dataStart + 4) == 0x5d45) { // [DON E]
    eventKind = 2
    return p
  }
  if (scanValue(dataStart, dataEnd, 0, 512, MAX_KEYS) != E_NONE) { eventKind = 3; return p }
  eventKind = nonAscii != 0 && !isUtf8(dataStart, dataEnd) ? 5 : 1
  return p
}

export function scan(p: usize, end: usize, strict: i32, maxDepth: i32, maxKeys: i32): i32 {
  const code = scanValue(p, end, strict, maxDepth, maxKeys)
  flush()
  return code
}

export function nextEvent(p: usize, end: usize): usize {
  const next = readEvent(p, end)
  flush()
  return next
}
