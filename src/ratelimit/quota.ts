import type { Ticket } from '../contracts/capacity.ts'
import type { LimitHeaders, LimitState } from '../protocol/limit-headers.ts'

const KINDS = ['requests', 'tokens', 'inputTokens', 'outputTokens'] as const
export const QUOTA_KINDS = KINDS.length

// Float64 fields of one kind. Plain loads and stores: a lost race costs the news of one answer.
const LIMIT = 0
const REMAINING = 1
const LEARNED_AT = 2
const RESET_AT = 3
/** 1 = grows back bit by bit until the reset, 0 = all at once at the reset. */
const REFILLS = 4
const FIELDS = 5
export const QUOTA_FLOATS = QUOTA_KINDS * FIELDS

/** Where a target's quota is remembered: what answers said, and for each worker what is on its way. */
export interface QuotaMemory {
  readonly known: Float64Array
  /** The row of this worker, one of `rows`. */
  readonly own: Float64Array
  readonly rows: readonly Float64Array[]
}

/** Tokens and requests of a call, by kind. */
const needOf = (ticket: Ticket, kind: number): number => {
  if (kind === 0) return 1
  if (kind === 1) return ticket.tokens
  const input = ticket.inputTokens ?? ticket.tokens
  return kind === 2 ? input : ticket.tokens - input
}

/**
 * What a provider still grants, as its limit headers say, less what is on its way and not in its count yet. Shared by
 * all workers. What was learned holds until its reset; after it the whole limit is taken to be there, until an answer
 * says better.
 */
export class LearnedQuota {
  readonly #memory: QuotaMemory

  constructor(memory: QuotaMemory) {
    this.#memory = memory
  }

  /** A call is on its way, or is so no more (sign -1): its headers are here, or it is over. */
  pending(ticket: Ticket, sign: 1 | -1): void {
    const { own } = this.#memory
    for (let kind = 0; kind < QUOTA_KINDS; kind++) own[kind] = Math.max(0, own[kind]! + sign * needOf(ticket, kind))
  }

  /** now: monotonic ms. */
  learn(headers: LimitHeaders, now: number): void {
    for (let kind = 0; kind < QUOTA_KINDS; kind++) {
      const state = headers[KINDS[kind]!]
      if (state !== undefined) this.#note(kind, state, now)
    }
  }

  #note(kind: number, { limit, remaining, resetMs, refills }: LimitState, now: number): void {
    const { known } = this.#memory
    const at = kind * FIELDS
    known[at + LIMIT] = limit
    known[at + REMAINING] = remaining
    known[at + LEARNED_AT] = now
    known[at + RESET_AT] = now + resetMs
    known[at + REFILLS] = refills ? 1 : 0
  }

  /** Ms until the call fits, by what is known; 0 = now. A call that no quota could ever hold is let through alone. */
  waitMs(ticket: Ticket, now: number): number {
    let wait = 0
    for (let kind = 0; kind < QUOTA_KINDS; kind++) wait = Math.max(wait, this.#waitOf(kind, needOf(ticket, kind), now))
    return wait
  }

  #waitOf(kind: number, need: number, now: number): number {
    const { known, rows } = this.#memory
    const at = kind * FIELDS
    const resetAt = known[at + RESET_AT]!
    const learnedAt = known[at + LEARNED_AT]!
    // Nothing known, or known for so long that it says nothing.
    if (learnedAt === 0 || need === 0) return 0
    let pending = 0
    for (const row of rows) pending += row[kind]!
    const limit = known[at + LIMIT]!
    const over = now >= resetAt
    // Without a limit nothing is known after the reset.
    if (over && limit === 0) return 0
    const remaining = over ? limit : known[at + REMAINING]!
    const wanted = need + pending
    if (wanted <= remaining) return 0
    if (pending === 0 && (over || (limit > 0 && need > limit && remaining >= limit))) return 0
    // It will not fit before something comes back: answers wake the queue.
    if (over) return Infinity
    const all = Math.max(limit, remaining)
    if (known[at + REFILLS] === 0 || all <= remaining) return resetAt - now
    const perMs = (all - remaining) / (resetAt - learnedAt)
    const fullAt = wanted >= all ? resetAt : learnedAt + (wanted - remaining) / perMs
    return Math.max(0, Math.min(fullAt, resetAt) - now)
  }
}
