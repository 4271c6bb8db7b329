import type { HeaderList } from '../contracts/http.ts'
import type { CounterSet } from './counter.ts'

/** Seconds with at most three decimals and without useless zeros: Go prints durations so. */
const seconds = (ms: number): string => `${ms / 1000}s`

/** A duration as Go's time.Duration prints it, the form of OpenAI's `x-ratelimit-reset-*`: `120ms`, `1s`, `6m0s`, `1h2m3.5s`. */
export const goDuration = (ms: number): string => {
  const whole = Math.max(0, Math.ceil(ms))
  if (whole === 0) return '0s'
  if (whole < 1000) return `${whole}ms`
  if (whole < 60_000) return seconds(whole)
  const hours = Math.floor(whole / 3_600_000)
  const minutes = Math.floor((whole % 3_600_000) / 60_000)
  const rest = seconds(whole % 60_000)
  return hours > 0 ? `${hours}h${minutes}m${rest}` : `${minutes}m${rest}`
}

/** What is left of a limit, in numbers that are at hand when a request has been looked at. limit -1 = there is none. */
export interface Room {
  readonly limit: number
  readonly left: number
  readonly resetMs: number
}

export const NO_ROOM: Room = { limit: -1, left: 0, resetMs: 0 }

/** The tightest of the counters at `places`: the one that refuses first if nothing changes. */
export const tightest = (
  set: CounterSet,
  places: readonly number[],
  left: readonly number[],
  reset: readonly number[],
): Room => {
  let found = -1
  for (const place of places) if (found < 0 || left[place]! < left[found]!) found = place
  if (found < 0) return NO_ROOM
  return { limit: set.counters[found]!.amount, left: left[found]!, resetMs: reset[found]! }
}

/** Appends the headers of what is limited: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`. */
export const addRoom = (to: HeaderList, requests: Room, tokens: Room): void => {
  if (requests.limit >= 0) {
    to.push(
      'x-ratelimit-limit-requests',
      String(requests.limit),
      'x-ratelimit-remaining-requests',
      String(Math.max(0, requests.left)),
      'x-ratelimit-reset-requests',
      goDuration(requests.resetMs),
    )
  }
  if (tokens.limit >= 0) {
    to.push(
      'x-ratelimit-limit-tokens',
      String(tokens.limit),
      'x-ratelimit-remaining-tokens',
      String(Math.max(0, tokens.left)),
      'x-ratelimit-reset-tokens',
      goDuration(tokens.resetMs),
    )
  }
}
