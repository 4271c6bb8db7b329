import type { AuthScheme } from '../../contracts/config.ts'
import { ONLY_THIS, type Credential, type Credentials } from '../../contracts/credentials.ts'
import { GatewayError } from '../../core/errors.ts'
import { FixedCredential, keyHeaders } from './fixed.ts'
import { Rests } from './rests.ts'
import type { Lease } from './share.ts'

/** A tenant's own key: what the provider says to it concerns nobody else. */
export class TenantKey extends FixedCredential {
  readonly rests = new Rests()

  constructor(tenant: string, auth: AuthScheme, key: string) {
    super(`tenant:${tenant}`, keyHeaders(auth, key), [key])
  }

  override busy(until: number, _now: number, target: string): number {
    this.rests.set('busy', until, target)
    return ONLY_THIS
  }

  override dead(until: number, _now: number, target: string): number {
    this.rests.set('refused', until, target)
    return ONLY_THIS
  }

  close(): void {}
}

/**
 * Bring your own key: a tenant that has a key for the provider uses that and only that, whatever becomes of it; its
 * requests are never paid for by the others' key, nor theirs by its own.
 */
export class TenantKeys implements Credentials {
  readonly #own: ReadonlyMap<string, Lease<TenantKey>>
  readonly #others: Lease<Credentials>

  constructor(own: ReadonlyMap<string, Lease<TenantKey>>, others: Lease<Credentials>) {
    this.#own = own
    this.#others = others
  }

  choose(tenant: string, now: number, target: string): Credential {
    const key = this.#own.get(tenant)?.thing
    if (key === undefined) return this.#others.thing.choose(tenant, now, target)
    const until = key.rests.until(target)
    if (until <= now) return key
    const retryAfterMs = until - now
    throw key.rests.refusedUntil(target) > now
      ? new GatewayError('upstream_auth', 'The provider refused the key of this tenant.', {
          retryAfterMs,
          detail: `${key.id} was refused for ${target}`,
        })
      : new GatewayError('upstream_rate_limited', 'The provider is rate limiting the key of this tenant.', {
          retryAfterMs,
          detail: `${key.id} is busy for ${target}`,
          publicCode: 'rate_limit_exceeded',
        })
  }

  close(): void {
    for (const lease of this.#own.values()) lease.release()
    this.#others.release()
  }
}
