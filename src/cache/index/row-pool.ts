import { PAGE_ORDER, PAGE_ROWS } from './kernels.ts'
import { growUint32, growInt32, grownLength } from './tables.ts'

/** log2 of the rows of a page: nothing free. */
const FULL = -1
const NONE = -1
const ORDERS = PAGE_ORDER + 1
/** Where a block of 1, 2, 4, 8, 16 rows may begin in 32. */
const STARTS = [0xffffffff, 0x55555555, 0x11111111, 0x01010101, 0x00010001] as const

/** The starts, as bits, of free blocks of 2^order rows among 32 rows; order < 5. */
function freeStarts(free: number, order: number): number {
  let starts = free
  for (let i = 0; i < order; i++) starts &= starts >>> (1 << i)
  return starts & STARTS[order]!
}

const lowest = (bits: number): number => 31 - Math.clz32(bits & -bits)

/** log2 of the greatest block that 64 rows have free. */
function greatest(low: number, high: number): number {
  if (low === -1 && high === -1) return 6
  if (low === -1 || high === -1) return 5
  for (let order = 4; order >= 0; order--)
    if (freeStarts(low, order) !== 0 || freeStarts(high, order) !== 0) return order
  return FULL
}

/**
 * Who has which rows: blocks of 1, 2, 4 .. 64 rows, buddies of each other within pages of 64, so that partitions of three
 * entries share a page and what they leave grows together again. Takes and gives in a bounded number of steps.
 */
export class RowPool {
  #pages = 0
  /** Bits of free rows, 0..31 and 32..63 of each page. */
  #low = new Int32Array(0)
  #high = new Int32Array(0)
  /** Pages whose greatest free block is the same are a list. */
  readonly #lists = new Int32Array(ORDERS).fill(NONE)
  #next = new Int32Array(0)
  #previous = new Int32Array(0)
  #order = new Uint32Array(0)
  #freeRows = 0
  /** log2 of the rows of the block taken last. */
  takenOrder = 0

  get pages(): number {
    return this.#pages
  }

  get freeRows(): number {
    return this.#freeRows
  }

  get bytes(): number {
    return this.#low.byteLength * 5
  }

  /** What `bytes` would be with one page more. */
  get bytesWithPage(): number {
    return grownLength(this.#low.length, this.#pages + 1) * 20
  }

  addPage(): void {
    const page = this.#pages++
    this.#low = growInt32(this.#low, this.#pages)
    this.#high = growInt32(this.#high, this.#pages)
    this.#next = growInt32(this.#next, this.#pages)
    this.#previous = growInt32(this.#previous, this.#pages)
    this.#order = growUint32(this.#order, this.#pages)
    this.#low[page] = -1
    this.#high[page] = -1
    this.#freeRows += PAGE_ROWS
    this.#list(page, PAGE_ORDER)
  }

  /** Whether a block of 2^order rows is free. */
  has(order: number): boolean {
    for (let i = order; i < ORDERS; i++) if (this.#lists[i] !== NONE) return true
    return false
  }

  /** First row of a block of 2^order rows, else of the greatest below it (takenOrder says which); -1 = no row is free. */
  take(order: number): number {
    let at = order
    while (at < ORDERS && this.#lists[at] === NONE) at++
    if (at === ORDERS) {
      at = order - 1
      while (at >= 0 && this.#lists[at] === NONE) at--
      if (at < 0) return -1
    }
    const taken = Math.min(at, order)
    const page = this.#lists[at]!
    const row = this.#firstFree(page, taken)
    this.#mark(page, row, taken, false)
    this.takenOrder = taken
    return page * PAGE_ROWS + row
  }

  give(row: number, order: number): void {
    this.#mark(Math.floor(row / PAGE_ROWS), row % PAGE_ROWS, order, true)
  }

  #firstFree(page: number, order: number): number {
    if (order === 6) return 0
    if (order === 5) return this.#low[page] === -1 ? 0 : 32
    const starts = freeStarts(this.#low[page]!, order)
    return starts === 0 ? 32 + lowest(freeStarts(this.#high[page]!, order)) : lowest(starts)
  }

  #mark(page: number, row: number, order: number, free: boolean): void {
    const rows = 1 << order
    const bits = rows >= 32 ? -1 : ((1 << rows) - 1) << (row & 31)
    if (rows === 64 || row < 32) this.#low[page] = free ? this.#low[page]! | bits : this.#low[page]! & ~bits
    if (rows === 64 || row >= 32) this.#high[page] = free ? this.#high[page]! | bits : this.#high[page]! & ~bits
    this.#freeRows += free ? rows : -rows
    const now = greatest(this.#low[page]!, this.#high[page]!)
    const before = this.#order[page]! - 1
    if (now === before) return
    if (before !== FULL) this.#unlist(page, before)
    if (now === FULL) this.#order[page] = 0
    else this.#list(page, now)
  }

  #list(page: number, order: number): void {
    const first = this.#lists[order]!
    this.#next[page] = first
    this.#previous[page] = NONE
    if (first !== NONE) this.#previous[first] = page
    this.#lists[order] = page
    this.#order[page] = order + 1
  }

  #unlist(page: number, order: number): void {
    const next = this.#next[page]!
    const previous = this.#previous[page]!
    if (next !== NONE) this.#previous[next] = previous
    if (previous === NONE) this.#lists[order] = next
    else this.#next[previous] = next
  }
}
