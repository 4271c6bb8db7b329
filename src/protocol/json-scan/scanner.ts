/**
 * Looks at JSON and SSE bytes without building objects: says whether they are valid and where the named top-level
 * values stand, so that bodies can be routed, spliced and metered while the bytes themselves stay untouched.
 *
 * The work is done by a small WebAssembly module (SIMD), built from assembly/index.ts: on 100 KB prompts it takes a
 * fraction of JSON.parse's time (docs/performance.md), and unlike JSON.parse it sees duplicate keys.
 */
import { WASM_BASE64 } from './wasm.ts'

export const SCAN_OK = 0
/** What a scan refuses; the numbers are the module's. */
export const SCAN_ERRORS = ['ok', 'syntax', 'depth', 'keys', 'duplicate', 'proto', 'end'] as const

export const EVENT_EMPTY = 0
export const EVENT_JSON = 1
export const EVENT_DONE = 2
export const EVENT_INVALID = 3
export const EVENT_MULTILINE = 4
export const EVENT_BAD_UTF8 = 5

interface Exports {
  readonly memory: WebAssembly.Memory
  outAt(): number
  inputAt(): number
  slotsAt(): number
  namesAt(): number
  addName(length: number, deep: number): number
  scan(from: number, to: number, strict: number, maxDepth: number, maxKeys: number): number
  nextEvent(from: number, to: number): number
}

/** Each name's number, in the names' order and with their count known to the compiler: for taking apart. */
export const numbersOf = <const T extends readonly string[]>(names: T): { readonly [K in keyof T]: number } =>
  names.map((_, i) => i) as unknown as { readonly [K in keyof T]: number }

const wasmModule = new WebAssembly.Module(Buffer.from(WASM_BASE64, 'base64'))
const PAGE = 65536
/** SIMD reads run past the end by up to this many bytes. */
const PADDING = 64
/** Above this the instance is dropped after use: WebAssembly memory never shrinks. */
const KEEP_BYTES = 4 << 20

const OUT_ERROR_AT = 0
const OUT_KEY_START = 1
const OUT_KEY_END = 2
const OUT_DEEP = 3
const OUT_NON_ASCII = 4
const OUT_ROOT_KIND = 5
const OUT_ROOT_END = 6
const OUT_EVENT_KIND = 8
const OUT_DATA_START = 9
const OUT_DATA_END = 10
const OUT_NAME_START = 11
const OUT_NAME_END = 12

/**
 * One scanner holds the result of its last call only: read what is needed before the next. Not for use by two threads.
 * Offsets given back are relative to the scanned bytes.
 */
export class JsonScanner {
  readonly #names: readonly string[]
  readonly #deepNames: readonly string[]
  #wasm!: Exports
  #bytes!: Uint8Array
  #words!: Int32Array
  #input = 0
  #out = 0
  #slots = 0

  /** names are looked for at the top level, deepNames (at most 31) at any depth. */
  constructor(names: readonly string[], deepNames: readonly string[] = []) {
    this.#names = names
    this.#deepNames = deepNames
    this.#open()
  }

  #open(): void {
    const wasm = new WebAssembly.Instance(wasmModule, {
      env: {
        abort() {
          throw new Error('json scanner aborted')
        },
      },
    }).exports as Exports
    this.#wasm = wasm
    this.#view()
    this.#input = wasm.inputAt()
    this.#out = wasm.outAt() >> 2
    this.#slots = wasm.slotsAt() >> 2
    for (const [list, deep] of [
      [this.#names, 0],
      [this.#deepNames, 1],
    ] as const) {
      for (const name of list) {
        const bytes = Buffer.from(name)
        this.#bytes.set(bytes, wasm.namesAt())
        wasm.addName(bytes.length, deep)
      }
    }
  }

  #view(): void {
    this.#bytes = new Uint8Array(this.#wasm.memory.buffer)
    this.#words = new Int32Array(this.#wasm.memory.buffer)
  }

  /** Copies bytes in; scan and nextEvent then work on them. */
  load(bytes: Uint8Array): void {
    const need = this.#input + bytes.length + PADDING
    if (need > this.#bytes.length) {
      this.#wasm.memory.grow(Math.ceil((need - this.#bytes.length) / PAGE))
      this.#view()
    } else if (this.#bytes.length > this.#input + KEEP_BYTES * 2 && bytes.length < KEEP_BYTES) {
      this.#open()
      if (need > this.#bytes.length) {
        this.#wasm.memory.grow(Math.ceil((need - this.#bytes.length) / PAGE))
        this.#view()
      }
    }
    this.#bytes.set(bytes, this.#input)
  }

  /**
   * One JSON text (RFC 8259). strict also refuses duplicate keys at every level and `__proto__`.
   * Returns SCAN_OK or an index into SCAN_ERRORS. Does not validate UTF-8: see nonAscii.
   */
  scan(bytes: Uint8Array, strict: boolean, maxDepth = 512, maxKeys = 131071): number {
    this.load(bytes)
    return this.#wasm.scan(this.#input, this.#input + bytes.length, strict ? 1 : 0, maxDepth, maxKeys)
  }

  /** Where the scan stopped. */
  get errorAt(): number {
    return this.#words[this.#out + OUT_ERROR_AT]! - this.#input
  }

  /** Of the key that stands twice. */
  get duplicateKey(): readonly [start: number, end: number] {
    return [this.#words[this.#out + OUT_KEY_START]! - this.#input, this.#words[this.#out + OUT_KEY_END]! - this.#input]
  }

  /** Bit i is set when deepNames[i] was a key anywhere. */
  get deep(): number {
    return this.#words[this.#out + OUT_DEEP]!
  }

  /** Some string holds bytes above 0x7f: only then UTF-8 must be validated. */
  get nonAscii(): boolean {
    return this.#words[this.#out + OUT_NON_ASCII] !== 0
  }

  /** First byte of the root value. */
  get rootKind(): number {
    return this.#words[this.#out + OUT_ROOT_KIND]!
  }

  /** Just after the root value's last byte. */
  get rootEnd(): number {
    return this.#words[this.#out + OUT_ROOT_END]! - this.#input
  }

  /** First byte of the value of names[i], 0 when absent. */
  kind(i: number): number {
    return this.#words[this.#slots + i * 3 + 2]!
  }

  start(i: number): number {
    return this.#words[this.#slots + i * 3]! - this.#input
  }

  end(i: number): number {
    return this.#words[this.#slots + i * 3 + 1]! - this.#input
  }

  /** Reads one event of loaded bytes [from, to). Returns the offset after it, or 0 when it is not complete. */
  nextEvent(from: number, to: number): number {
    const next = this.#wasm.nextEvent(this.#input + from, this.#input + to)
    return next === 0 ? 0 : next - this.#input
  }

  /** EVENT_* of the last event. When it is EVENT_JSON, kind, start and end speak of its data. */
  get eventKind(): number {
    return this.#words[this.#out + OUT_EVENT_KIND]!
  }

  get dataStart(): number {
    return this.#words[this.#out + OUT_DATA_START]! - this.#input
  }

  get dataEnd(): number {
    return this.#words[this.#out + OUT_DATA_END]! - this.#input
  }

  /** Length of the `event:` field, 0 when there was none. */
  get nameLength(): number {
    return this.#words[this.#out + OUT_NAME_END]! - this.#words[this.#out + OUT_NAME_START]!
  }

  get nameStart(): number {
    return this.#words[this.#out + OUT_NAME_START]! - this.#input
  }
}
