import { randomUUID } from 'node:crypto'
import type { Change } from './messages.ts'
import type { RedisLedger } from '../ratelimit/redis-ledger.ts'
import type { LimitOverride } from '../ratelimit/overrides.ts'
import { Revocations } from '../auth/revocations.ts'
import { overrideKey, Overrides } from '../ratelimit/overrides.ts'
import { nameOf, undoes } from './changes.ts'

/** Where replicas tell each other of changes. */
export type ChangeStore = Pick<RedisLedger, 'readRevocations' | 'writeRevocation' | 'readOverrides' | 'writeOverride'>

/** Begins the name of a store, which stands among the revoked ids: no key has an id with a blank in front. */
const STORE = ' store '

/**
 * What operators have changed since the start, in one worker; with Redis the same in all replicas a second later. A Redis
 * that has lost its data, or is another one, is told what is known here: a revoked key must not become valid by it.
 */
export class RuntimeChanges {
  readonly revocations = new Revocations()
  readonly overrides = new Overrides()
  /** Not in Redis yet. Without Redis all of them: one may be configured later. */
  readonly #pending = new Map<string, Change>()
  /** Counts changes, so that what was read before one of them is known to be old. */
  #version = 0
  /** Name of the store whose data is known here; '' = none so far. */
  #store = ''

  /** Holds here at once; replicas are told by share(). */
  apply(change: Change): void {
    this.resume(change)
    this.#pending.set(nameOf(change), change)
  }

  /** Holds here at once; replicas have been told by another worker. */
  resume(change: Change): void {
    this.#version++
    if (change.kind === 'revoke') {
      if (change.revoked) this.revocations.revoke(change.id)
      else this.revocations.restore(change.id)
      return
    }
    const { amount, ...target } = change.change
    if (amount === null) this.overrides.clear(target)
    else this.overrides.set({ ...target, amount })
  }

  /**
   * Tells Redis what it does not know, and takes over what it knows; while it cannot be asked, what holds here stays.
   * True = limits have changed.
   */
  async share(redis: ChangeStore): Promise<boolean> {
    try {
      for (const [name, change] of this.#pending) {
        if (change.kind === 'revoke') await redis.writeRevocation(change.id, change.revoked)
        else await redis.writeOverride(overrideKey(change.change), overrideOf(change))
        // Another change of the same thing may have come meanwhile.
        if (this.#pending.get(name) === change) this.#pending.delete(name)
      }
      return await this.#takeOver(redis)
    } catch {
      return false
    }
  }

  async #takeOver(redis: ChangeStore): Promise<boolean> {
    const version = this.#version
    const [stored, overrides] = await Promise.all([redis.readRevocations(), redis.readOverrides()])
    if (stored === null || overrides === null || version !== this.#version || this.#pending.size > 0) return false
    const stores = stored.filter((id) => id.startsWith(STORE))
    if (stores.length === 0 || (this.#store !== '' && !stores.includes(this.#store))) {
      await this.#tellAll(redis, stores[0])
      return false
    }
    if (this.#store === '') this.#store = stores[0]!
    this.revocations.replaceAll(stored.filter((id) => !id.startsWith(STORE)))
    return this.overrides.replace(overrides)
  }

  async #tellAll(redis: ChangeStore, known: string | undefined): Promise<void> {
    for (const id of this.revocations.snapshot().added) await redis.writeRevocation(id, true)
    for (const override of this.overrides.all) await redis.writeOverride(overrideKey(override), override)
    const store = known ?? `${STORE}${randomUUID()}`
    // Last: whoever sees it takes what is there for all there is.
    if (known === undefined) await redis.writeRevocation(store, true)
    this.#store = store
  }
}

const overrideOf = (change: Change & { readonly kind: 'change' }): LimitOverride | null => {
  if (undoes(change)) return null
  return { ...change.change, amount: change.change.amount! }
}
