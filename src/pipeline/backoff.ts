import type { RetryConfig } from '../contracts/config.ts'
import type { Route } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'

/** Ms before the attempt that follows `made` others: full jitter (Brooker, AWS Architecture Blog 2015). */
export const jitter = (x: Exchange, { backoff }: RetryConfig, made: number): number =>
  x.services.random.next() * Math.min(backoff.maxMs, backoff.baseMs * 2 ** (made - 1))

/** Nobody waits longer than configured, or past the deadline. */
export const mayPause = (x: Exchange, { retries }: Route, ms: number): boolean =>
  ms <= retries.maxRetryAfterMs && x.services.clock.monotonic() + ms < x.deadlineAt
