import type { HeaderList } from './http.ts'
import type { RequestFacts, Target } from './routing.ts'

/** What a call is expected to use, or has used. Whole numbers >= 0; money in billionths of a US dollar. */
export interface Amounts {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly nanoUsd: number
}

/** What a call is expected to use before it is made. */
export interface Estimate extends Amounts {
  /**
   * The client has not said how long the answer may be: outputTokens, and what they cost, are a guess. Limits take at
   * most a part of themselves for it, so that a bad guess cannot keep requests out that would have fitted.
   */
  readonly guessed?: boolean
}

export interface AdmissionQuery {
  /** Who asks and what; with the principal. */
  readonly facts: RequestFacts
  /** Name of the route (the public model), for scopes by model. */
  readonly model: string
  /** null = limits that do not look at the target; else those that do, and only those. */
  readonly target: Target | null
  readonly estimate: Estimate
}

/** All limits of requests. */
export interface Limiter {
  /** Some limit looks at the target: each attempt must be admitted too. */
  readonly byTarget: boolean
  /**
   * Takes the estimate (and one request, and one place for concurrency) from every limit that applies, or from none.
   * null = no limit applies. Synchronous in memory. Throws, or rejects with, GatewayError `rate_limited` or
   * `budget_exceeded`, with the time to wait and the six headers.
   */
  admit(query: AdmissionQuery): Lease | null | Promise<Lease | null>
}

/** What one request holds of its limits. */
export interface Lease {
  /** Appends the six `x-ratelimit-*` headers of the tightest scope (wire-formats: OpenAI). */
  addHeaders(to: HeaderList): void
  /** Replaces what was taken by what was used, and gives the place back. Once; later calls do nothing. */
  settle(actual: Amounts): void
  /** More than was taken has been used: takes that too. False = a limit with `stop_streams` has no more. Memory only of what is known here: never waits. */
  extend(total: Amounts): boolean
  /** Limits in shadow mode that would have refused. */
  readonly wouldRefuse: readonly string[]
}
