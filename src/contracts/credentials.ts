import type { HeaderList } from './http.ts'

/** What signing may depend on. */
export interface OutgoingRequest {
  readonly method: string
  /** Path with query, as sent. */
  readonly path: string
  readonly body: Buffer | null
  /** Tenant of the caller; '' = none. */
  readonly tenant: string
}

/** One credential of a provider, chosen for one call. */
export interface Credential {
  /** For logs and metrics: names the key without giving it away, such as `key-2` or `tenant:acme`. */
  readonly id: string
  /** The secret's text(s), to be cut out of error messages. */
  readonly secrets: readonly string[]
  /** Appends what authenticates the call. */
  apply(request: OutgoingRequest, to: HeaderList): void
  /** The provider said 429 for this key: others first until then (monotonic ms). */
  busy(until: number): void
  /** The provider refused this key (401, 402, 403): not used until then (monotonic ms). */
  dead(until: number): void
}

/** The credentials of one provider: one key, a pool, or something that expires and is renewed ahead of time. */
export interface Credentials {
  /**
   * The credential for a call now; never waits. Throws GatewayError `upstream_auth` while none is usable, with
   * `retryAfterMs` when one is on its way.
   */
  choose(tenant: string, now: number): Credential
  /** Another credential than this one is usable now for the tenant: worth another attempt at the same target. */
  hasOther(than: Credential, tenant: string, now: number): boolean
  close(): void
}
