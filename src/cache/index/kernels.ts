/**
 * Rows of 8-bit vectors and the search among them, in WebAssembly (SIMD), built by build.mjs from assembly/kernels.as.
 *
 * A row is a number: 64 of them make a page, pages follow one another. Per row: the vector, one bit of sign a component, the
 * sum of its squares, when it ends, whose it is. Nothing here is checked: RowPool gives rows, VectorIndex keeps account.
 */
import { WASM_BASE64 } from './wasm.ts'

/** Rows of a page; also the greatest block. */
export const PAGE_ROWS = 64
/** log2 of PAGE_ROWS. */
export const PAGE_ORDER = 6
/** In place of a next block's first row. */
export const NO_BLOCK = 0x1fffffff
export const MAX_DIMENSIONS = 2048
export const MAX_HITS = 16
const WASM_PAGE = 65536

interface Exports {
  readonly memory: WebAssembly.Memory
  init(dimensions: number): void
  firstPageAt(): number
  bytesOfPage(): number
  inputAt(): number
  hitCosinesAt(): number
  hitEntriesAt(): number
  prepare(): number
  put(row: number, entry: number, expiresAt: number): void
  move(to: number, from: number): number
  expiryOf(row: number): number
  valuesAt(row: number): number
  linkOf(row: number): number
  setLink(row: number, link: number): void
  searchAll(head: number, inHead: number, k: number, now: number): number
  searchNear(head: number, inHead: number, k: number, now: number, among: number): number
}

let wasmModule: WebAssembly.Module | null = null

export class Kernels {
  readonly dimensions: number
  /** Bytes of a page of rows. */
  readonly pageBytes: number
  readonly #wasm: Exports
  readonly #firstPage: number
  readonly #input: number
  readonly #cosines: number
  readonly #entries: number
  #bytes!: Int8Array
  #doubles!: Float64Array
  #words!: Uint32Array

  constructor(dimensions: number) {
    wasmModule ??= new WebAssembly.Module(Buffer.from(WASM_BASE64, 'base64'))
    const wasm = new WebAssembly.Instance(wasmModule, {
      env: {
        abort() {
          throw new Error('vector kernels aborted')
        },
      },
    }).exports as Exports
    wasm.init(dimensions)
    this.dimensions = dimensions
    this.#wasm = wasm
    this.pageBytes = wasm.bytesOfPage()
    this.#firstPage = wasm.firstPageAt()
    this.#input = wasm.inputAt()
    this.#cosines = wasm.hitCosinesAt() >> 3
    this.#entries = wasm.hitEntriesAt() >> 2
    this.#view()
  }

  #view(): void {
    const { buffer } = this.#wasm.memory
    this.#bytes = new Int8Array(buffer)
    this.#doubles = new Float64Array(buffer)
    this.#words = new Uint32Array(buffer)
  }

  /** Of the module's memory: it never shrinks. */
  get bytes(): number {
    return this.#bytes.length
  }

  /** Pages of rows that fit what memory there is. */
  get pages(): number {
    return Math.floor((this.#bytes.length - this.#firstPage) / this.pageBytes)
  }

  /** What the memory would be with this many pages of rows. */
  bytesFor(pages: number): number {
    const need = this.#firstPage + pages * this.pageBytes
    return Math.max(this.#bytes.length, Math.ceil(need / WASM_PAGE) * WASM_PAGE)
  }

  /** Makes room for so many pages of rows in all. false = the machine has none left. */
  grow(pages: number): boolean {
    const more = this.bytesFor(pages) - this.#bytes.length
    if (more === 0) return true
    try {
      this.#wasm.memory.grow(more / WASM_PAGE)
    } catch {
      return false
    }
    this.#view()
    return true
  }

  /** What the next put or search is about. Returns the sum of its squares, 0 = no direction. */
  prepare(values: Int8Array): number {
    this.#bytes.set(values, this.#input)
    return this.#wasm.prepare()
  }

  put(row: number, entry: number, expiresAt: number): void {
    this.#wasm.put(row, entry, expiresAt)
  }

  /** Overwrites a row. Returns the entry that moved. */
  move(to: number, from: number): number {
    return this.#wasm.move(to, from) >>> 0
  }

  expiryOf(row: number): number {
    return this.#wasm.expiryOf(row)
  }

  /** A view: gone with the next insertion. */
  valuesOf(row: number): Int8Array {
    const at = this.#wasm.valuesAt(row) >>> 0
    return this.#bytes.subarray(at, at + this.dimensions)
  }

  /** First row of the block after the one that begins at row, or NO_BLOCK. */
  nextOf(row: number): number {
    return this.#wasm.linkOf(row) >>> 3
  }

  /** log2 of the rows of the block that begins at row. */
  orderOf(row: number): number {
    return this.#wasm.linkOf(row) & 7
  }

  link(row: number, order: number, next: number): void {
    this.#wasm.setLink(row, (next << 3) | order)
  }

  /** Exact. Results are in cosine(i) and entry(i), best first. */
  searchAll(head: number, inHead: number, k: number, now: number): number {
    return this.#wasm.searchAll(head, inHead, k, now)
  }

  /** Exact among the `among` rows, and all as near, whose signs are most like the query's, its greater components before others. */
  searchNear(head: number, inHead: number, k: number, now: number, among: number): number {
    return this.#wasm.searchNear(head, inHead, k, now, among)
  }

  cosine(i: number): number {
    return this.#doubles[this.#cosines + i]!
  }

  entry(i: number): number {
    return this.#words[this.#entries + i]!
  }
}
