import type { RetryConfig } from '../contracts/config.ts'
import type { Plan, Route, Target } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'

/** Ms before the attempt that follows `made` others: full jitter (Brooker, AWS Architecture Blog 2015). */
export const jitter = (x: Exchange, { backoff }: RetryConfig, made: number): number =>
  x.services.random.next() * Math.min(backoff.maxMs, backoff.baseMs * 2 ** (made - 1))

/** Nobody waits longer than configured, or past the deadline. */
export const mayPause = (x: Exchange, { retries }: Route, ms: number): boolean =>
  ms <= retries.maxRetryAfterMs && x.services.clock.monotonic() + ms < x.deadlineAt

/** Which of the order can be asked again soonest, and in how many ms; Infinity = none, their credentials are refused. */
export function leastResting(order: readonly Target[], now: number): { readonly next: number; readonly least: number } {
  const rest = ({ health }: Target): number => (health.deadUntil > now ? Infinity : Math.max(0, health.busyUntil - now))
  const least = Math.min(...order.map(rest))
  return { next: order.findIndex((target) => rest(target) === least), least }
}

/** A request earns the retries of its model. The floor is the model's: each of its targets gets a part. now: monotonic, ms. */
export function earnRetries({ retries: { budget }, targets }: Route, { order }: Plan, now: number): void {
  for (const target of targets)
    target.health.earnRetry(target === order[0] ? budget.ratio : 0, budget.minPerSecond / targets.length, now)
}
