import type { AuthScheme } from '../../contracts/config.ts'
import { ANOTHER, type Credential, type Credentials } from '../../contracts/credentials.ts'
import { GatewayError } from '../../core/errors.ts'
import { FixedCredential, keyHeaders } from './fixed.ts'
import { Rests } from './rests.ts'

export interface PoolKeyConfig {
  readonly id: string
  readonly key: string
  readonly weight: number
}

class PoolKey extends FixedCredential {
  readonly weight: number
  readonly rests = new Rests()
  /** Of the smooth weighted round robin. */
  turn = 0
  readonly #pool: KeyPool

  constructor(pool: KeyPool, config: PoolKeyConfig, auth: AuthScheme) {
    super(config.id, keyHeaders(auth, config.key), [config.key])
    this.#pool = pool
    this.weight = config.weight
  }

  override busy(until: number, now: number, target: string): number {
    this.rests.set('busy', until, target)
    return this.#pool.restOf(target, now)
  }

  override dead(until: number, now: number, target: string): number {
    this.rests.set('refused', until, target)
    return this.#pool.restOf(target, now)
  }
}

/**
 * Several keys of one account or of several, used in turn by weight: the smooth weighted round robin of nginx, which
 * spreads a heavy key's turns instead of bunching them. A key that the provider calls busy rests for that target, one
 * that it refuses (401, 402, 403) rests longer; the others go on. What is known of a key is known to one worker.
 */
export class KeyPool implements Credentials {
  readonly #keys: readonly PoolKey[]
  readonly #provider: string

  constructor(provider: string, auth: AuthScheme, keys: readonly PoolKeyConfig[]) {
    this.#provider = provider
    this.#keys = keys.map((key) => new PoolKey(this, key, auth))
  }

  choose(_tenant: string, now: number, target: string): Credential {
    let best: PoolKey | null = null
    let total = 0
    for (const key of this.#keys) {
      if (key.rests.until(target) > now) continue
      key.turn += key.weight
      total += key.weight
      if (best === null || key.turn > best.turn) best = key
    }
    if (best === null) throw this.#refusal(now, target)
    best.turn -= total
    return best
  }

  /** ANOTHER, or when the first key of all that rest may be used again. */
  restOf(target: string, now: number): number {
    let first = Infinity
    for (const key of this.#keys) first = Math.min(first, key.rests.until(target))
    return first > now ? first : ANOTHER
  }

  #refusal(now: number, target: string): GatewayError {
    const retryAfterMs = this.restOf(target, now) - now
    const detail = `all ${this.#keys.length} keys of provider ${this.#provider} rest`
    return this.#keys.every((key) => key.rests.refusedUntil(target) > now)
      ? new GatewayError('upstream_auth', 'The provider refused the gateway.', { retryAfterMs, detail })
      : new GatewayError('upstream_rate_limited', 'The provider is rate limiting this model.', {
          retryAfterMs,
          detail,
          publicCode: 'rate_limit_exceeded',
        })
  }

  close(): void {}
}
