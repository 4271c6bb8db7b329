import type { Amounts } from '../contracts/admission.ts'
import { costOf, WINDOW } from './counter.ts'
import type { Counter, CounterSet } from './counter.ts'
import { takenFor } from './ledger-memory.ts'
import type { Taken } from './ledger-memory.ts'
import type { SharedHold } from './shared-ledger.ts'

/** Where a hold writes what has changed. */
export interface HoldBooks {
  correctWindow(counter: Counter, delta: number, takenAt: number): void
  correctAccount(counter: Counter, held: number, settled: number): void
}

/** What one request holds in Redis. */
export class RedisHold implements SharedHold {
  readonly #books: HoldBooks
  readonly #set: CounterSet
  readonly #skipped: Uint8Array | null
  /** Left after the request was admitted; null = Redis has not counted it: all of what it uses is told at its end. */
  readonly #left: number[] | null
  readonly #takenAt: number

  constructor(
    books: HoldBooks,
    set: CounterSet,
    skipped: Uint8Array | null,
    left: readonly number[] | null,
    at: number,
  ) {
    this.#books = books
    this.#set = set
    this.#skipped = skipped
    this.#left = left === null ? null : [...left]
    this.#takenAt = at
  }

  extend(taken: Taken, total: Amounts): boolean {
    let enough = true
    for (const [i, counter] of this.#set.counters.entries()) {
      const { rule } = counter
      const delta = costOf(rule.unit, total) - takenFor(rule.unit, taken)
      if (delta <= 0 || this.#skipped?.[i] === 1) continue
      if (rule.kind !== WINDOW) this.#books.correctAccount(counter, delta, 0)
      else if (this.#left !== null) this.#books.correctWindow(counter, delta, this.#takenAt)
      if (this.#left === null) continue
      this.#left[i] = this.#left[i]! - delta
      if (rule.stopStreams && !rule.shadow && this.#left[i] < 0) enough = false
    }
    return enough
  }

  settle(taken: Taken, actual: Amounts): void {
    for (const [i, counter] of this.#set.counters.entries()) {
      if (this.#skipped?.[i] === 1) continue
      const { unit, kind } = counter.rule
      const held = takenFor(unit, taken)
      const used = costOf(unit, actual)
      if (kind !== WINDOW) this.#books.correctAccount(counter, -held, used)
      else this.#books.correctWindow(counter, this.#left === null ? used : used - held, this.#takenAt)
    }
  }
}
