import { JsonScanner, numbersOf, SCAN_OK } from '../../protocol/json-scan/scanner.ts'

const NAMES = ['messages', 'prompt', 'input', 'tools', 'functions', 'instructions', 'system'] as const
const [MESSAGES, PROMPT, INPUT, TOOLS, FUNCTIONS, INSTRUCTIONS, SYSTEM] = numbersOf(NAMES)
/** Where the conversation itself stands. */
const PROMPTS = [MESSAGES, PROMPT, INPUT]
/** Chat templates put these before the conversation, wherever they stand in the body. */
const BEFORE = [TOOLS, FUNCTIONS, INSTRUCTIONS, SYSTEM]
const scanner = new JsonScanner(NAMES)

const NONE = new Int32Array(0)
const ODD = 0x9e3779b1 | 0
const OTHER = 0x85ebca6b | 0

/** Both halves are mixed once more at each block's end (MurmurHash3's finalizer), so that all bits of the block are in all bits. */
function mix(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/** Hashes the beginnings of prompts, block by block. One a picker: it holds what it last made. */
export class PromptHasher {
  readonly #blockBytes: number
  readonly #maxBytes: number
  readonly #seed: number
  #a = 0
  #b = 0

  /** Bytes: of a block (a multiple of 8), and of a prompt that is looked at. seed: the same in all threads. */
  constructor(blockBytes: number, maxBytes: number, seed: number) {
    this.#blockBytes = Math.max(8, blockBytes & ~7)
    this.#maxBytes = maxBytes
    this.#seed = (seed ^ Math.imul(this.#blockBytes, ODD)) | 0
  }

  /**
   * A pair for each whole block of the conversation; what stands in the last part of a block is not counted. Empty when the
   * body is not a JSON object, or holds none. The same conversation with more messages begins with the same hashes.
   */
  hash(model: string, body: Buffer): Int32Array {
    if (body.length < this.#blockBytes || scanner.scan(body, false) !== SCAN_OK) return NONE
    let prompt = -1
    for (const i of PROMPTS) if (prompt < 0 && scanner.kind(i) !== 0) prompt = i
    if (prompt < 0) return NONE
    const start = scanner.start(prompt)
    // Without the closing bracket: where more messages follow, a comma stands there.
    const bytes = Math.min(scanner.end(prompt) - 1 - start, this.#maxBytes)
    const blocks = Math.floor(bytes / this.#blockBytes)
    if (blocks <= 0) return NONE
    const view = new DataView(body.buffer, body.byteOffset, body.length)
    this.#begin(model)
    for (const i of BEFORE)
      if (scanner.kind(i) !== 0)
        this.#add(view, scanner.start(i), Math.min(scanner.end(i), scanner.start(i) + this.#maxBytes))
    const hashes = new Int32Array(blocks * 2)
    for (let block = 0; block < blocks; block++) {
      const at = start + block * this.#blockBytes
      this.#add(view, at, at + this.#blockBytes)
      hashes[block * 2] = this.#a
      hashes[block * 2 + 1] = this.#b
    }
    return hashes
  }

  /** For calls that are tied together by nothing but a name: one block. */
  hashName(model: string, name: string): Int32Array {
    const bytes = Buffer.from(name)
    this.#begin(model)
    this.#add(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length)
    return Int32Array.of(this.#a, this.#b)
  }

  #begin(model: string): void {
    this.#a = this.#seed
    this.#b = this.#seed ^ OTHER
    for (let i = 0; i < model.length; i++) this.#a = Math.imul(this.#a ^ model.charCodeAt(i), 0x01000193)
  }

  /** Two lanes, four bytes each: they do not wait for each other. */
  #add(view: DataView, from: number, to: number): void {
    let a = this.#a
    let b = this.#b
    let at = from
    for (; at + 8 <= to; at += 8) {
      a = Math.imul(a ^ view.getInt32(at, true), ODD)
      a ^= a >>> 15
      b = Math.imul(b ^ view.getInt32(at + 4, true), OTHER)
      b ^= b >>> 13
    }
    for (; at < to; at++) a = Math.imul(a ^ view.getUint8(at), ODD)
    this.#a = mix(a ^ Math.imul(b, ODD))
    // 0 is an empty place in the index.
    this.#b = mix(b ^ Math.imul(a, OTHER)) || 1
  }
}
