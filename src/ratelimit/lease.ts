import type { Amounts, Lease } from '../contracts/admission.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { CounterSet } from './counter.ts'
import type { LedgerMemory, Taken } from './ledger-memory.ts'
import { addRoom } from './room.ts'
import type { Room } from './room.ts'
import type { SharedHold } from './shared-ledger.ts'

export interface LeaseParts {
  readonly memory: LedgerMemory
  readonly set: CounterSet
  readonly shared: SharedHold | null
  readonly amounts: Amounts
  readonly at: number
  readonly skipped: Uint8Array | null
  readonly wouldRefuse: readonly string[]
  readonly requests: Room
  readonly tokens: Room
}

/** What one request holds: in memory, and with a shared ledger there too. */
export class LedgerLease implements Lease, Taken {
  readonly at: number
  readonly skipped: Uint8Array | null
  readonly wouldRefuse: readonly string[]
  inputTokens: number
  outputTokens: number
  tokens: number
  nanoUsd: number
  readonly #memory: LedgerMemory
  readonly #set: CounterSet
  readonly #shared: SharedHold | null
  readonly #requests: Room
  readonly #tokens: Room
  #open = true

  constructor({ memory, set, shared, amounts, at, skipped, wouldRefuse, requests, tokens }: LeaseParts) {
    this.at = at
    this.skipped = skipped
    this.wouldRefuse = wouldRefuse
    this.inputTokens = amounts.inputTokens
    this.outputTokens = amounts.outputTokens
    this.tokens = amounts.inputTokens + amounts.outputTokens
    this.nanoUsd = amounts.nanoUsd
    this.#memory = memory
    this.#set = set
    this.#shared = shared
    this.#requests = requests
    this.#tokens = tokens
  }

  addHeaders(to: HeaderList): void {
    addRoom(to, this.#requests, this.#tokens)
  }

  settle(actual: Amounts): void {
    if (!this.#open) return
    this.#open = false
    this.#shared?.settle(this, actual)
    this.#memory.settle(this.#set, this, actual)
  }

  extend(total: Amounts): boolean {
    if (!this.#open) return true
    // Nothing new: the usual chunk of a stream costs four comparisons.
    const tokens = total.inputTokens + total.outputTokens
    if (
      total.inputTokens <= this.inputTokens &&
      total.outputTokens <= this.outputTokens &&
      tokens <= this.tokens &&
      total.nanoUsd <= this.nanoUsd
    ) {
      return true
    }
    const shared = this.#shared === null || this.#shared.extend(this, total)
    // What this process has used alone is more than the limit: no shared ledger can say otherwise.
    const here = this.#memory.extend(this.#set, this, total)
    return shared && here
  }
}
