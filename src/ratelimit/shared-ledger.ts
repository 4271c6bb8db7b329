import type { Amounts } from '../contracts/admission.ts'
import type { CounterSet } from './counter.ts'
import type { Refused } from './refusal.ts'
import type { Taken } from './ledger-memory.ts'

/** Counters that all replicas share. */
export interface SharedLedger {
  /** False = do not ask: it has failed lately. */
  readonly up: boolean
  /**
   * Takes the amounts from all counters of the set or from none. null = it could not be asked in time; what it may have
   * taken it gives back by itself.
   */
  reserve(set: CounterSet, amounts: Amounts): Promise<SharedAnswer | null>
  /** The request goes on without having been counted: what it uses is told later. */
  uncounted(set: CounterSet, amounts: Amounts): SharedHold
}

export type SharedAnswer =
  | ({ readonly ok: true; readonly hold: SharedHold; readonly skipped: Uint8Array | null } & Room)
  | ({ readonly ok: false } & Refused)

interface Room {
  readonly wouldRefuse: readonly string[]
  readonly left: readonly number[]
  readonly reset: readonly number[]
}

/** What one request holds of the shared counters. Nothing here waits: what is told leaves with the next batch. */
export interface SharedHold {
  /** `taken` as it was before; `total` has grown. False = a limit with `stop_streams` has no more, as far as is known. */
  extend(taken: Taken, total: Amounts): boolean
  /** Once. */
  settle(taken: Taken, actual: Amounts): void
}
