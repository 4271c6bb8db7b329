import { randomBytes } from 'node:crypto'
import type { Amounts, Lease } from '../contracts/admission.ts'
import type { Target } from '../contracts/routing.ts'
import type { Clock } from '../core/clock.ts'
import type { Account } from './account.ts'
import type { Snapshot } from './snapshot.ts'
import { NO_USAGE } from '../protocol/usage.ts'

/** What was taken of limits for a call that somebody else makes. */
export interface Pending {
  readonly lease: Lease
  readonly expected: Amounts
  readonly target: Target
  readonly model: string
  readonly snapshot: Snapshot
  /** What estimates may learn from it; null = nothing. */
  readonly lesson: ReturnType<Account['lesson']> | null
}

/** What a call has used; -1 = not said. */
export interface Told {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly totalTokens: number
}

interface Kept extends Pending {
  readonly until: number
}

/** Tickets are not guessed: whoever has one can settle it. */
const TICKET_BYTES = 12
/** More are not kept: the oldest counts as expected. */
const MAX_KEPT = 200_000

/**
 * Leases that wait for the end of calls which Heddle does not make. Each ends once: settled with what was used, or as
 * expected when nobody says so in time.
 */
export class Leases {
  readonly #clock: Clock
  readonly #waitMs: () => number
  /** In the order of their time. */
  readonly #kept = new Map<string, Kept>()
  /** Asked where a ticket is not known here; it may be another worker's. */
  onUnknown: ((ticket: string, told: Told) => void) | null = null
  /** Leases that nobody settled in time, ever. */
  expired = 0

  constructor(clock: Clock, waitMs: () => number) {
    this.#clock = clock
    this.#waitMs = waitMs
  }

  get size(): number {
    return this.#kept.size
  }

  /** Returns its ticket. */
  keep(pending: Pending): string {
    const ticket = randomBytes(TICKET_BYTES).toString('base64url')
    pending.snapshot.retain()
    this.#kept.set(ticket, { ...pending, until: this.#clock.monotonic() + this.#waitMs() })
    if (this.#kept.size > MAX_KEPT) this.#expire(this.#kept.keys().next().value!)
    return ticket
  }

  /** The call has not ended yet. */
  holds(ticket: string): Pending | null {
    return this.#kept.get(ticket) ?? null
  }

  /** False = it is not known here. */
  settle(ticket: string, told: Told): boolean {
    const kept = this.#kept.get(ticket)
    if (kept === undefined) return false
    this.#kept.delete(ticket)
    kept.lease.settle(amountsOf(kept, told))
    kept.snapshot.release()
    return true
  }

  /** To be called every second or so. */
  sweep(): void {
    const now = this.#clock.monotonic()
    for (const [ticket, { until }] of this.#kept) {
      if (until > now) return
      this.#expire(ticket)
    }
  }

  #expire(ticket: string): void {
    const kept = this.#kept.get(ticket)!
    this.#kept.delete(ticket)
    this.expired++
    kept.lease.settle(kept.expected)
    kept.snapshot.release()
  }

  /** All count as expected: nobody can say more. */
  close(): void {
    for (const ticket of this.#kept.keys()) this.#expire(ticket)
  }
}

/** Of a sum alone the prompt is what was expected, and the rest the answer. */
function amountsOf({ expected, target, model, snapshot, lesson }: Pending, told: Told): Amounts {
  const known = told.inputTokens >= 0 && told.outputTokens >= 0
  const inputTokens = known ? told.inputTokens : Math.min(expected.inputTokens, told.totalTokens)
  const outputTokens = known ? told.outputTokens : told.totalTokens - inputTokens
  const usage = { ...NO_USAGE, inputTokens, outputTokens }
  const { pricing } = snapshot.policies
  const { nanoUsd } = pricing.charge(target, model, usage, !known)
  if (known && lesson !== null) pricing.learn(lesson.name, lesson.bytes, usage)
  return { inputTokens, outputTokens, nanoUsd }
}
