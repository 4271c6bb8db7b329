import type { Embedder, TextVector, WordVectors } from '../../contracts/semantic.ts'
import { quantised } from './quantise.ts'
import type { Table } from './table-file.ts'
import { readTable } from './table-file.ts'
import { WordPiece } from './wordpiece.ts'

/** From src/cache/embed and from dist/cache/embed alike. */
const SHIPPED = new URL('../../../config/semantic/table.bin', import.meta.url)

/** A word is known where at least this share of it is in pieces that tell something. */
const KNOWN_WORD = 0.5

/**
 * A text is the sum of its pieces' vectors (Model2Vec, Tulkens & van Dongen 2024; trained further, see
 * scripts/cache-model/README.md). Synchronous; about 10 us for a question. One per thread: it computes in place.
 */
export class TableEmbedder implements Embedder, WordVectors {
  readonly version: string
  readonly dimensions: number
  readonly coverageFloor: number
  readonly table: Table
  readonly #pieces: WordPiece
  readonly #sums: Float32Array

  constructor(table: Table) {
    this.table = table
    this.version = `table-${table.dimensions}-${table.checksum}`
    this.dimensions = table.dimensions
    this.coverageFloor = table.coverageFloor
    this.#pieces = new WordPiece(table.vocabulary)
    this.#sums = new Float32Array(table.dimensions)
  }

  embed(text: string): TextVector {
    this.#pieces.tokenize(text)
    this.#sum()
    const { characters, known } = this.#pieces
    return quantised(this.#sums, characters === 0 ? 0 : known / characters)
  }

  vector(word: string, out: Float32Array, at: number): boolean {
    if (!this.#known(word)) return false
    this.#sum()
    const sums = this.#sums
    let squares = 0
    for (const value of sums) squares += value * value
    if (squares === 0) return false
    const scale = 1 / Math.sqrt(squares)
    for (let of = 0; of < sums.length; of += 1) out[at + of] = sums[of]! * scale
    return true
  }

  weight(word: string): number {
    if (!this.#known(word)) return 1
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

  #sum(): void {
    const { values, scales, dimensions } = this.table
    const sums = this.#sums.fill(0)
    const { pieces, count } = this.#pieces
    for (let at = 0; at < count; at += 1) {
      const row = pieces[at]!
      const scale = scales[row]!
      const from = row * dimensions
      for (let of = 0; of < dimensions; of += 1) sums[of]! += values[from + of]! * scale
    }
  }
}

/** The embedder of the shipped table, or of the file at path. Throws for a file that is missing or damaged. */
export function loadTable(path: string | URL = SHIPPED): TableEmbedder {
  return new TableEmbedder(readTable(path))
}
