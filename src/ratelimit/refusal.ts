import type { Amounts } from '../contracts/admission.ts'
import { GatewayError } from '../core/errors.ts'
import { CALENDAR, costOf, NANO, OPEN } from './counter.ts'
import type { Counter, CounterSet } from './counter.ts'
import { addRoom, tightest } from './room.ts'

/** What a ledger that refuses has found. */
export interface Refused {
  readonly refusedBy: number
  readonly waitMs: number
  readonly never: boolean
  readonly left: readonly number[]
  readonly reset: readonly number[]
}

const WORDS = {
  requests: 'requests',
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  tokens: 'tokens',
  usd: 'US dollars',
  concurrency: 'requests at a time',
} as const

/** `60000` as `1m`: the largest unit that divides it. */
const span = (ms: number): string => {
  if (ms % 86_400_000 === 0) return `${ms / 86_400_000}d`
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`
  if (ms % 60_000 === 0) return `${ms / 60_000}m`
  return `${ms / 1000}s`
}

const quantity = ({ rule }: Counter, amount: number): string =>
  `${rule.unit === 'usd' ? amount / NANO : amount} ${WORDS[rule.unit]}`

/** `60 requests per 1m`, `50 US dollars per month`, `8 requests at a time`. */
const limitText = (counter: Counter): string => {
  const { rule } = counter
  const text = quantity(counter, counter.amount)
  if (rule.kind === OPEN) return text
  return `${text} per ${rule.kind === CALENDAR ? rule.calendar!.unit : span(rule.windowMs)}`
}

const messageOf = (counter: Counter, refused: Refused, amounts: Amounts): string => {
  const { rule } = counter
  if (refused.never) {
    const needed = quantity(counter, costOf(rule.unit, amounts))
    return `The request may need ${needed}, and the limit is ${limitText(counter)}.`
  }
  return `${rule.unit === 'usd' ? 'Budget used up' : 'Rate limit reached'}: ${limitText(counter)}.`
}

/** A request that never fits is told the longest wait that makes sense: one window, or what is left of the period. */
const waitOf = ({ rule }: Counter, refused: Refused): number => {
  if (Number.isFinite(refused.waitMs)) return Math.max(1, Math.ceil(refused.waitMs))
  return rule.kind === CALENDAR ? Math.max(1, Math.ceil(refused.reset[refused.refusedBy] ?? 1)) : rule.windowMs || 1000
}

/** The error of a request that a limit refuses, with the room that its limits have now. */
export const refusal = (set: CounterSet, refused: Refused, amounts: Amounts): GatewayError => {
  const counter = set.counters[refused.refusedBy]!
  const headers: string[] = []
  // `left` counts the refused request as taken, which it is not.
  const left = refused.left.map((value, i) => value + costOf(set.counters[i]?.rule.unit ?? 'requests', amounts))
  addRoom(headers, tightest(set, set.requests, left, refused.reset), tightest(set, set.tokens, left, refused.reset))
  return new GatewayError(
    counter.rule.unit === 'usd' ? 'budget_exceeded' : 'rate_limited',
    messageOf(counter, refused, amounts),
    { retryAfterMs: waitOf(counter, refused), headers, detail: `refused by ${counter.toString()}` },
  )
}

/** The limits cannot be asked and may not be passed unasked. */
export const unavailable = (limit: string, cause: string, retryAfterMs: number): GatewayError =>
  new GatewayError('overloaded', 'The limits of this request cannot be checked now.', {
    retryAfterMs,
    detail: `limit ${limit}: ${cause}`,
  })
