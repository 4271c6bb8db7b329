import { ALONE, classOf, DROPPED, isCounted, plain, SPACE } from './characters.ts'

/** BERT gives up on words longer than this: they are unknown. */
const LONGEST_WORD = 100
/** Pieces of one text; BERT's own limit. */
export const MOST_PIECES = 512
/** Code units looked at: eight for each piece that is taken. */
const MOST_UNITS = MOST_PIECES * 8
const CONTINUED = 1
const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

/** Greek; Latin and its additions come before. */
const FIRST_OTHER_SCRIPT = 0x370

/** The shortest piece that says what a word is about: letters of gibberish fall into shorter ones. */
const TELLING = 3

/**
 * Splits text into pieces of a vocabulary, as BERT's uncased tokenizer does (greedy, longest first; pieces after a word's
 * first are written `##x` in the vocabulary). One instance per thread: `tokenize` leaves its answer in the fields, so that
 * it allocates nothing.
 */
export class WordPiece {
  /** Rows of the pieces of the last text, `count` of them. */
  readonly pieces = new Int32Array(MOST_PIECES)
  count = 0
  /** Characters of the last text that are not space or punctuation, and those of them in known words. */
  characters = 0
  known = 0
  readonly #slots: Int32Array
  readonly #units: Uint16Array
  readonly #starts: Uint32Array
  readonly #continued: Uint8Array
  readonly #longest: number
  readonly #text = new Uint16Array(MOST_UNITS)
  readonly #hashes = new Int32Array(LONGEST_WORD + 1)

  readonly #unknown: number

  /** unknown: the row that stands for a word of no pieces; -1 = such a word is left out. */
  constructor(vocabulary: readonly string[], unknown = -1) {
    this.#unknown = unknown
    let size = 1
    while (size < vocabulary.length * 4) size *= 2
    this.#slots = new Int32Array(size).fill(-1)
    const bare = vocabulary.map((piece) => (piece.length > 2 && piece.startsWith('##') ? piece.slice(2) : piece))
    this.#starts = new Uint32Array(vocabulary.length + 1)
    this.#continued = new Uint8Array(vocabulary.length)
    this.#units = new Uint16Array(bare.reduce((sum, piece) => sum + piece.length, 0))
    let longest = 1
    let end = 0
    for (const [row, piece] of bare.entries()) {
      this.#continued[row] = piece === vocabulary[row] ? 0 : CONTINUED
      for (let at = 0; at < piece.length; at += 1) this.#units[end + at] = piece.charCodeAt(at)
      end += piece.length
      this.#starts[row + 1] = end
      longest = Math.max(longest, piece.length)
      this.#add(row, piece)
    }
    this.#longest = Math.min(longest, LONGEST_WORD)
  }

  /** Reads at most the first 4096 UTF-16 units and 512 pieces. */
  tokenize(text: string): void {
    this.count = 0
    this.characters = 0
    this.known = 0
    const source = plain(text.length > MOST_UNITS ? text.slice(0, MOST_UNITS) : text)
    const end = Math.min(source.length, MOST_UNITS)
    let size = 0
    for (let at = 0; at < end && this.count < MOST_PIECES; at += 1) {
      let code = source.charCodeAt(at)
      if (code >= 65 && code <= 90) code += 32
      const kind = classOf(code)
      if (kind === DROPPED) continue
      if (kind !== SPACE && kind !== ALONE) {
        this.#text[size] = code
        size += 1
        continue
      }
      this.#word(size)
      size = 0
      if (kind === ALONE) {
        this.#text[0] = code
        this.#word(1)
      }
    }
    this.#word(size)
  }

  /** Splits the word in the first units of #text. A word with a part that no piece covers is unknown as a whole. */
  #word(size: number): void {
    if (size === 0) return
    const counted = size > 1 || isCounted(this.#text[0]!) ? size : 0
    this.characters += counted
    if (size > LONGEST_WORD) return this.#giveUp(this.count)
    const first = this.count
    let known = 0
    let digits = true
    for (let from = 0; from < size;) {
      const row = this.count < MOST_PIECES ? this.#longestPiece(from, size) : -1
      if (row < 0) {
        return this.#giveUp(this.count < MOST_PIECES ? first : this.count)
      }
      const length = this.#starts[row + 1]! - this.#starts[row]!
      if (length >= TELLING || length === size) known += length
      for (let at = from; digits && at < from + length; at += 1) digits = this.#text[at]! >= 48 && this.#text[at]! <= 57
      this.pieces[this.count] = row
      this.count += 1
      from += length
    }
    // single letters of other scripts are in BERT's vocabulary, but it learnt next to nothing of them
    if (counted > 0 && this.#text[0]! < FIRST_OTHER_SCRIPT) this.known += digits ? size : known
  }

  #giveUp(count: number): void {
    this.count = count
    if (this.#unknown < 0 || count === MOST_PIECES) return
    this.pieces[count] = this.#unknown
    this.count += 1
  }

  #longestPiece(from: number, size: number): number {
    const continued = from > 0 ? CONTINUED : 0
    const most = Math.min(size - from, this.#longest)
    let hash = FNV_OFFSET ^ continued
    for (let length = 1; length <= most; length += 1) {
      hash = Math.imul(hash ^ this.#text[from + length - 1]!, FNV_PRIME)
      this.#hashes[length] = hash
    }
    for (let length = most; length > 0; length -= 1) {
      const row = this.#find(this.#hashes[length]!, from, length, continued)
      if (row >= 0) return row
    }
    return -1
  }

  #find(hash: number, from: number, length: number, continued: number): number {
    const mask = this.#slots.length - 1
    for (let slot = spread(hash) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot]!
      if (row < 0) return -1
      const start = this.#starts[row]!
      if (this.#continued[row] !== continued || this.#starts[row + 1]! - start !== length) continue
      let at = 0
      while (at < length && this.#units[start + at] === this.#text[from + at]) at += 1
      if (at === length) return row
    }
  }

  #add(row: number, piece: string): void {
    let hash = FNV_OFFSET ^ this.#continued[row]!
    for (let at = 0; at < piece.length; at += 1) hash = Math.imul(hash ^ piece.charCodeAt(at), FNV_PRIME)
    const mask = this.#slots.length - 1
    let slot = spread(hash) & mask
    while (this.#slots[slot]! >= 0) slot = (slot + 1) & mask
    this.#slots[slot] = row
  }
}

/** FNV-1a's low bits alone are weak for short keys. */
function spread(hash: number): number {
  return (hash ^ (hash >>> 15)) >>> 0
}
