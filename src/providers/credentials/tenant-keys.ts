import type { AuthScheme } from '../../contracts/config.ts'
import { ONLY_THIS, type Credential, type Credentials } from '../../contracts/credentials.ts'
import type { HeaderList } from '../../contracts/http.ts'
import { GatewayError } from '../../core/errors.ts'
import { FixedCredential, keyHeaders } from './fixed.ts'
import { Rests } from './rests.ts'
import type { Held } from '../../core/held-pool.ts'

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

/** The provider's credential where tenants have keys of their own: what happens to it must not stop those. */
class SharedCredential implements Credential {
  readonly id: string
  readonly secrets: readonly string[]
  readonly rests = new Rests()
  readonly #inner: Credential

  constructor(inner: Credential) {
    this.id = inner.id
    this.secrets = inner.secrets
    this.#inner = inner
  }

  sign(headers: HeaderList, method: string, path: string, body: Buffer | null): HeaderList {
    return this.#inner.sign(headers, method, path, body)
  }

  busy(until: number, now: number, target: string): number {
    return this.#keep('busy', this.#inner.busy(until, now, target), target)
  }

  dead(until: number, now: number, target: string): number {
    return this.#keep('refused', this.#inner.dead(until, now, target), target)
  }

  /** The rest that the target would have taken. */
  #keep(kind: 'busy' | 'refused', answer: number, target: string): number {
    if (answer <= 0) return answer
    this.rests.set(kind, answer, target)
    return ONLY_THIS
  }
}

/**
 * Bring your own key: a tenant that has a key for the provider uses that and only that, whatever becomes of it; its
 * requests are never paid for by the others' key, nor theirs by its own, and neither's trouble stops the other.
 */
export class TenantKeys implements Credentials {
  readonly #own: ReadonlyMap<string, Held<TenantKey>>
  readonly #others: Held<Credentials>
  readonly #shared = new WeakMap<Credential, SharedCredential>()

  constructor(own: ReadonlyMap<string, Held<TenantKey>>, others: Held<Credentials>) {
    this.#own = own
    this.#others = others
  }

  choose(tenant: string, now: number, target: string): Credential {
    const own = this.#own.get(tenant)?.value
    const key = own ?? this.#sharedOf(this.#others.value.choose(tenant, now, target))
    const until = key.rests.until(target)
    if (until <= now) return key
    const options = { retryAfterMs: until - now, detail: `${key.id} rests for ${target}` }
    const whose = own === undefined ? 'the gateway' : 'the key of this tenant'
    if (key.rests.refusedUntil(target) > now)
      throw new GatewayError('upstream_auth', `The provider refused ${whose}.`, options)
    throw new GatewayError('upstream_rate_limited', `The provider is rate limiting ${whose}.`, {
      ...options,
      publicCode: 'rate_limit_exceeded',
    })
  }

  #sharedOf(credential: Credential): SharedCredential {
    let shared = this.#shared.get(credential)
    if (shared === undefined) {
      shared = new SharedCredential(credential)
      this.#shared.set(credential, shared)
    }
    return shared
  }

  close(): void {
    for (const lease of this.#own.values()) lease.release()
    this.#others.release()
  }
}
