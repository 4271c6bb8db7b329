// AssemblyScript, not TypeScript: compiled by ../build.mjs to ../wasm.ts. Explained in ../kernels.ts.
// Rows of 8-bit vectors in pages of 64; blocks of rows of one page, chained, make a partition. All but the first block of
// a chain are full. A chain is searched row by row, or by one bit a component first and by the vectors of the nearest then:
// a component whose sign differs counts 0 to 3, by how great it is in the vector that is looked for.

const ROWS: u32 = 64
const MAX_DIMENSIONS: i32 = 2048
const MAX_HITS: i32 = 16
const NO_BLOCK: u32 = 0x1fffffff
const GONE: u32 = 0xffff

const input = memory.data(MAX_DIMENSIONS, 16)
const wide = memory.data(MAX_DIMENSIONS * 2, 16)
const bits = memory.data(MAX_DIMENSIONS / 8, 16)
/** Components that count 1 and 3, and that count 2 and 3. */
const ones = memory.data(MAX_DIMENSIONS / 8, 16)
const twos = memory.data(MAX_DIMENSIONS / 8, 16)
const counts = memory.data((MAX_DIMENSIONS * 3 + 1) * 4, 16)
const hitCosines = memory.data(MAX_HITS * 8, 16)
const hitEntries = memory.data(MAX_HITS * 4, 16)

let dimensions: i32 = 0
let width: usize = 0
let signWidth: usize = 0
let base: usize = 0
let pageBytes: usize = 0
let atDistance: usize = 0
let atExpiry: usize = 0
let atSquare: usize = 0
let atEntry: usize = 0
let atLink: usize = 0
let atValues: usize = 0
let inputSquare: i32 = 0

let hits: i32 = 0
let wanted: i32 = 0
/** dot * dot of less than this times the row's square cannot be among the best. */
let bar: f64 = 0
let worst: f64 = 0

export function init(size: i32): void {
  dimensions = size
  width = (size + 15) & ~15
  signWidth = ((size + 63) >> 6) << 3
  base = (__heap_base + 63) & ~63
  atDistance = signWidth * ROWS
  atExpiry = atDistance + 2 * ROWS
  atSquare = atExpiry + 8 * ROWS
  atEntry = atSquare + 4 * ROWS
  atLink = atEntry + 4 * ROWS
  atValues = atLink + 4 * ROWS
  pageBytes = atValues + width * ROWS
}

export function firstPageAt(): usize {
  return base
}
export function bytesOfPage(): usize {
  return pageBytes
}
export function inputAt(): usize {
  return input
}
export function hitCosinesAt(): usize {
  return hitCosines
}
export function hitEntriesAt(): usize {
  return hitEntries
}

// @ts-ignore: decorator
@inline
function page(row: u32): usize {
  return base + <usize>(row >> 6) * pageBytes
}

/** Makes the vector that was written at inputAt ready for put or search. Returns the sum of its squares. */
export function prepare(): i32 {
  let sum = i32x4.splat(0)
  for (let i: usize = <usize>dimensions; i < width; i++) store<i8>(input + i, 0)
  for (let i: usize = 0; i < width; i += 8) {
    const part = v128.load_ext<i8>(input + i)
    v128.store(wide + i * 2, part)
    sum = i32x4.add(sum, i32x4.dot_i16x8_s(part, part))
  }
  memory.fill(bits, 0, signWidth)
  for (let i: usize = 0; i < width; i += 16) {
    store<u16>(bits + (i >> 3), <u16>i8x16.bitmask(v128.load(input + i)))
  }
  inputSquare = total(sum)
  return inputSquare
}

/** Steps of 0.65 of the root mean square: the error of four levels is about the least there for bell-shaped components. */
function weigh(): void {
  const step = 0.65 * Math.sqrt(<f64>inputSquare / <f64>dimensions)
  const least = i8x16.splat(<i8>level(step * 0.5))
  const middle = i8x16.splat(<i8>level(step * 1.5))
  const most = i8x16.splat(<i8>level(step * 2.5))
  memory.fill(ones, 0, signWidth)
  memory.fill(twos, 0, signWidth)
  for (let i: usize = 0; i < width; i += 16) {
    const size = i8x16.abs(v128.load(input + i))
    const two = i8x16.ge_u(size, middle)
    const one = v128.or(v128.andnot(i8x16.ge_u(size, least), two), i8x16.ge_u(size, most))
    store<u16>(ones + (i >> 3), <u16>i8x16.bitmask(one))
    store<u16>(twos + (i >> 3), <u16>i8x16.bitmask(two))
  }
}

// @ts-ignore: decorator
@inline
function level(size: f64): i32 {
  return max(1, <i32>Math.min(255, Math.ceil(size)))
}

// @ts-ignore: decorator
@inline
function total(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3)
}

/** Writes the prepared vector. */
export function put(row: u32, entry: u32, expiresAt: f64): void {
  const p = page(row)
  const i = <usize>(row & 63)
  memory.copy(p + i * signWidth, bits, signWidth)
  memory.copy(p + atValues + i * width, input, width)
  store<f64>(p + atExpiry + i * 8, expiresAt)
  store<i32>(p + atSquare + i * 4, inputSquare)
  store<u32>(p + atEntry + i * 4, entry)
}

/** Overwrites a row with another. Returns the entry that moved. */
export function move(to: u32, from: u32): u32 {
  const t = page(to)
  const f = page(from)
  const i = <usize>(to & 63)
  const j = <usize>(from & 63)
  memory.copy(t + i * signWidth, f + j * signWidth, signWidth)
  memory.copy(t + atValues + i * width, f + atValues + j * width, width)
  store<f64>(t + atExpiry + i * 8, load<f64>(f + atExpiry + j * 8))
  store<i32>(t + atSquare + i * 4, load<i32>(f + atSquare + j * 4))
  const entry = load<u32>(f + atEntry + j * 4)
  store<u32>(t + atEntry + i * 4, entry)
  return entry
}

export function expiryOf(row: u32): f64 {
  return load<f64>(page(row) + atExpiry + <usize>(row & 63) * 8)
}
export function valuesAt(row: u32): usize {
  return page(row) + atValues + <usize>(row & 63) * width
}
/** Of the block that begins at the row: next block's first row << 3 | log2 of its own rows. */
export function linkOf(row: u32): u32 {
  return load<u32>(page(row) + atLink + <usize>(row & 63) * 4)
}
export function setLink(row: u32, link: u32): void {
  store<u32>(page(row) + atLink + <usize>(row & 63) * 4, link)
}

// @ts-ignore: decorator
@inline
function dot(at: usize): i32 {
  let a = i32x4.splat(0)
  let b = i32x4.splat(0)
  for (let i: usize = 0; i < width; i += 16) {
    a = i32x4.add(a, i32x4.dot_i16x8_s(v128.load_ext<i8>(at + i), v128.load(wide + i * 2)))
    b = i32x4.add(b, i32x4.dot_i16x8_s(v128.load_ext<i8>(at + i, 8), v128.load(wide + i * 2, 16)))
  }
  return total(i32x4.add(a, b))
}

function keep(product: i32, square: i32, entry: u32): void {
  const cosine = <f64>product / Math.sqrt(<f64>inputSquare * <f64>square)
  if (hits === wanted) {
    if (cosine <= worst) return
  } else hits++
  let i = hits - 1
  while (i > 0 && load<f64>(hitCosines + <usize>(i - 1) * 8) < cosine) {
    store<f64>(hitCosines + <usize>i * 8, load<f64>(hitCosines + <usize>(i - 1) * 8))
    store<u32>(hitEntries + <usize>i * 4, load<u32>(hitEntries + <usize>(i - 1) * 4))
    i--
  }
  store<f64>(hitCosines + <usize>i * 8, cosine)
  store<u32>(hitEntries + <usize>i * 4, entry)
  if (hits < wanted) return
  worst = load<f64>(hitCosines + <usize>(hits - 1) * 8)
  // A little lower than it is: what rounding might let through is decided by the cosine itself.
  bar = worst > 0 ? worst * worst * <f64>inputSquare * 0.999999 : -1
}

// @ts-ignore: decorator
@inline
function consider(p: usize, i: usize, product: i32): void {
  const square = load<i32>(p + atSquare + i * 4)
  if (bar >= 0 && (product <= 0 || <f64>product * <f64>product < bar * <f64>square)) return
  keep(product, square, load<u32>(p + atEntry + i * 4))
}

function begin(k: i32): void {
  hits = 0
  wanted = min(k, MAX_HITS)
  bar = -1
  worst = 0
}

/** The k nearest of a chain to the prepared vector, in hitCosines and hitEntries, best first. Returns how many. */
export function searchAll(head: u32, inHead: u32, k: i32, now: f64): i32 {
  begin(k)
  let row = head
  let n = inHead
  for (;;) {
    const p = page(row)
    const from = <usize>(row & 63)
    for (let i = from; i < from + <usize>n; i++) {
      if (load<f64>(p + atExpiry + i * 8) > now) consider(p, i, dot(p + atValues + i * width))
    }
    const next = linkOf(row) >> 3
    if (next === NO_BLOCK) break
    row = next
    n = 1 << (linkOf(row) & 7)
  }
  return hits
}

// @ts-ignore: decorator
@inline
function note(p: usize, i: usize, distance: i64, now: f64): void {
  if (load<f64>(p + atExpiry + i * 8) > now) {
    store<u16>(p + atDistance + i * 2, <u16>distance)
    const count = counts + (<usize>distance << 2)
    store<u32>(count, load<u32>(count) + 1)
  } else store<u16>(p + atDistance + i * 2, <u16>GONE)
}

// @ts-ignore: decorator
@inline
function differs(at: usize, word: usize): i64 {
  const other = load<i64>(at + word) ^ load<i64>(bits + word)
  return popcnt<i64>(other & load<i64>(ones + word)) + (popcnt<i64>(other & load<i64>(twos + word)) << 1)
}

function distances256(p: usize, from: usize, to: usize, now: f64): void {
  for (let i = from; i < to; i++) {
    const at = p + i * 32
    note(p, i, differs(at, 0) + differs(at, 8) + differs(at, 16) + differs(at, 24), now)
  }
}

function distances384(p: usize, from: usize, to: usize, now: f64): void {
  for (let i = from; i < to; i++) {
    const at = p + i * 48
    const half = differs(at, 0) + differs(at, 8) + differs(at, 16)
    note(p, i, half + differs(at, 24) + differs(at, 32) + differs(at, 40), now)
  }
}

function distancesOf(p: usize, from: usize, to: usize, now: f64): void {
  for (let i = from; i < to; i++) {
    let distance: i64 = 0
    for (let word: usize = 0; word < signWidth; word += 8) distance += differs(p + i * signWidth, word)
    note(p, i, distance, now)
  }
}

/** As searchAll, but only among those at least as near as the nearest `among` are by the signs of their components. */
export function searchNear(head: u32, inHead: u32, k: i32, now: f64, among: u32): i32 {
  begin(k)
  weigh()
  memory.fill(counts, 0, <usize>(dimensions * 3 + 1) * 4)
  let row = head
  let n = inHead
  for (;;) {
    const p = page(row)
    const from = <usize>(row & 63)
    if (signWidth === 48) distances384(p, from, from + <usize>n, now)
    else if (signWidth === 32) distances256(p, from, from + <usize>n, now)
    else distancesOf(p, from, from + <usize>n, now)
    const next = linkOf(row) >> 3
    if (next === NO_BLOCK) break
    row = next
    n = 1 << (linkOf(row) & 7)
  }
  let limit: i32 = -1
  let seen: u32 = 0
  while (seen < among && limit < dimensions * 3) seen += load<u32>(counts + <usize>++limit * 4)
  rescore(head, inHead, limit)
  return hits
}

function rescore(head: u32, inHead: u32, limit: i32): void {
  const limits = i16x8.splat(<i16>limit)
  let row = head
  let n = inHead
  for (;;) {
    const p = page(row)
    let i = <usize>(row & 63)
    const to = i + <usize>n
    for (; i + 8 <= to; i += 8) {
      let found = i16x8.bitmask(i16x8.le_u(v128.load(p + atDistance + i * 2), limits))
      while (found !== 0) {
        const at = i + <usize>ctz(found)
        consider(p, at, dot(p + atValues + at * width))
        found &= found - 1
      }
    }
    for (; i < to; i++) {
      if (<i32>load<u16>(p + atDistance + i * 2) <= limit) consider(p, i, dot(p + atValues + i * width))
    }
    const next = linkOf(row) >> 3
    if (next === NO_BLOCK) return
    row = next
    n = 1 << (linkOf(row) & 7)
  }
}
