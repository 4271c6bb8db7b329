import type { Embedder, TextVector, WordVectors } from '../../contracts/semantic.ts'
import { quantised } from './quantise.ts'
import type { Table } from './table-file.ts'
import { readTable } from './table-file.ts'
import { MOST_PIECES, WordPiece } from './wordpiece.ts'

/** From src/cache/embed and from dist/cache/embed alike. */
const SHIPPED = new URL('../../../config/semantic/table.bin', import.meta.url)

/** A word is known where at least this share of it is in pieces that tell something. */
const KNOWN_WORD = 0.5

/** As REDUNDANT of scripts/cache-model/table.py. */
const REDUNDANT = -2

/** Words that are remembered, 1 kB each; then it begins anew. */
const MOST_WORDS = 2048

interface Word {
  /** null = it has none. */
  readonly vector: Float32Array | null
  readonly weight: number
}
const UNKNOWN: Word = { vector: null, weight: 1 }

/**
 * A text is a sum of its pieces' vectors (Model2Vec, Tulkens & van Dongen 2024; trained further, see
 * scripts/cache-model/README.md). Synchronous; about 20 us for a question. One per thread: it computes in place.
 */
export class TableEmbedder implements Embedder, WordVectors {
  readonly version: string
  readonly dimensions: number
  readonly coverageFloor: number
  readonly table: Table
  readonly #pieces: WordPiece
  readonly #sums: Float64Array
  readonly #words = new Map<string, Word>()
  readonly #all: Float64Array
  /** Vectors of the text's pieces, one after the other. */
  readonly #rows: Float64Array
  /** Of the rows met so far; 0 = not yet. */
  readonly #lengths: Float64Array
  /** Of each row: the number of the text that had it last. */
  readonly #met: Uint32Array
  #texts = 0

  constructor(table: Table) {
    this.table = table
    this.version = `table-${table.dimensions}-${table.checksum}`
    this.dimensions = table.dimensions
    this.coverageFloor = table.coverageFloor
    this.#pieces = new WordPiece(table.vocabulary)
    this.#sums = new Float64Array(table.dimensions)
    this.#all = new Float64Array(table.dimensions)
    this.#rows = new Float64Array(table.dimensions * MOST_PIECES)
    this.#lengths = new Float64Array(table.rows)
    this.#met = new Uint32Array(table.rows)
  }

  embed(text: string): TextVector {
    this.#pieces.tokenize(text)
    this.#sum()
    const { characters, known } = this.#pieces
    return quantised(this.#sums, characters === 0 ? 0 : known / characters)
  }

  vector(word: string, out: Float32Array, at: number): boolean {
    const { vector } = this.#wordOf(word)
    if (vector === null) return false
    out.set(vector, at)
    return true
  }

  weight(word: string): number {
    return this.#wordOf(word).weight
  }

  /** The same few thousand words make most of all questions. */
  #wordOf(word: string): Word {
    let known = this.#words.get(word)
    if (known !== undefined) return known
    if (this.#words.size >= MOST_WORDS) this.#words.clear()
    known = this.#known(word) ? { vector: this.#direction(), weight: this.#greatestWeight() } : UNKNOWN
    this.#words.set(word, known)
    return known
  }

  /** Of the pieces last read; null = they have none. */
  #direction(): Float32Array | null {
    this.#sum()
    const sums = this.#sums
    let squares = 0
    for (const value of sums) squares += value * value
    if (squares === 0) return null
    const scale = 1 / Math.sqrt(squares)
    return Float32Array.from(sums, (value) => value * scale)
  }

  #greatestWeight(): number {
    let greatest = 0
    for (let at = 0; at < this.#pieces.count; at += 1) {
      greatest = Math.max(greatest, this.table.weights[this.#pieces.pieces[at]!]!)
    }
    return greatest / 255
  }

  #known(word: string): boolean {
    this.#pieces.tokenize(word)
    const { count, characters, known } = this.#pieces
    return count > 0 && characters > 0 && known >= characters * KNOWN_WORD
  }

  /**
   * Each piece once, however often the text says it, and less where the others say the same: weighted by
   * exp(REDUNDANT * its cosine to the sum of the others). The table was trained to be read so.
   */
  #sum(): void {
    const { values, scales, dimensions } = this.table
    const { pieces } = this.#pieces
    const count = this.#distinct()
    const rows = this.#rows
    const all = this.#all.fill(0)
    for (let at = 0; at < count; at += 1) {
      const from = pieces[at]! * dimensions
      const to = at * dimensions
      const scale = scales[pieces[at]!]!
      for (let of = 0; of < dimensions; of += 1) {
        const value = values[from + of]! * scale
        rows[to + of] = value
        all[of]! += value
      }
    }
    const length = Math.sqrt(dot(all, all, 0))
    const sums = this.#sums.fill(0)
    for (let at = 0; at < count; at += 1) {
      const from = at * dimensions
      const own = this.#lengths[pieces[at]!] || this.#measure(pieces[at]!, from)
      const lengths = own * length
      const cosine = lengths > 0 ? (dot(all, rows, from) - own * own) / lengths : 0
      const weight = Math.exp(REDUNDANT * cosine)
      for (let of = 0; of < dimensions; of += 1) sums[of]! += rows[from + of]! * weight
    }
  }

  /** The length of a piece's vector, which is at `from`. */
  #measure(row: number, from: number): number {
    let squares = 0
    for (let of = from; of < from + this.dimensions; of += 1) squares += this.#rows[of]! * this.#rows[of]!
    const length = Math.sqrt(squares)
    this.#lengths[row] = length
    return length
  }

  /** Moves the first of each piece to the front; how many there are. */
  #distinct(): number {
    const { pieces, count } = this.#pieces
    this.#texts = (this.#texts + 1) >>> 0
    let kept = 0
    for (let at = 0; at < count; at += 1) {
      const row = pieces[at]!
      if (this.#met[row] === this.#texts) continue
      this.#met[row] = this.#texts
      pieces[kept] = row
      kept += 1
    }
    return kept
  }
}

/** Four sums at a time: one would wait for each addition before the next. sums.length is a multiple of 4. */
function dot(sums: Float64Array, values: Float64Array, from: number): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  for (let of = 0; of < sums.length; of += 4) {
    a += sums[of]! * values[from + of]!
    b += sums[of + 1]! * values[from + of + 1]!
    c += sums[of + 2]! * values[from + of + 2]!
    d += sums[of + 3]! * values[from + of + 3]!
  }
  return a + b + c + d
}

/** The embedder of the shipped table, or of the file at path. Throws for a file that is missing or damaged. */
export function loadTable(path: string | URL = SHIPPED): TableEmbedder {
  return new TableEmbedder(readTable(path))
}
