import type { HeaderList } from './http.ts'

/** What busy() and dead() answer when another credential may take the call: worth another attempt at the same target. */
export const ANOTHER = 0
/** What they answer when neither the target nor its other callers are concerned, and nobody else may take the call. */
export const ONLY_THIS = -1

/** One credential of a provider, chosen for one call. */
export interface Credential {
  /** For logs and metrics: names the key without giving it away, such as `key-2` or `tenant:acme`. */
  readonly id: string
  /** The secret's text(s), to be cut out of error messages. */
  readonly secrets: readonly string[]
  /**
   * The headers with what authenticates the call; the given list is not changed. What does not depend on the request
   * gives the same list for the same list, so that the transport needs to look at it only once. path: with its query,
   * as sent.
   */
  sign(headers: HeaderList, method: string, path: string, body: Buffer | null): HeaderList
  /**
   * The provider said 429 to this key for this target: others first until then. All times monotonic ms. Answers what
   * it means for the target: until when it rests, or ANOTHER, or ONLY_THIS.
   */
  busy(until: number, now: number, target: string): number
  /** The provider refused this key, for this target or (target '') for all; as busy(). */
  dead(until: number, now: number, target: string): number
}

/** The credentials of one provider: one key, a pool, or something that expires and is renewed ahead of time. */
export interface Credentials {
  /**
   * The credential for a call of the target (its name) now, monotonic ms; never waits. tenant: of the caller, '' = none.
   * While none is usable throws GatewayError: `upstream_auth` when they were refused, `upstream_rate_limited` when all
   * are busy, `upstream_unavailable` when one is on its way; with `retryAfterMs` where a time is known.
   */
  choose(tenant: string, now: number, target: string): Credential
  close(): void
}
