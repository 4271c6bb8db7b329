import type { Change } from './messages.ts'
import type { RedisLedger } from '../ratelimit/redis-ledger.ts'
import type { LimitOverride } from '../ratelimit/overrides.ts'
import { Revocations } from '../auth/revocations.ts'
import { overrideKey, Overrides } from '../ratelimit/overrides.ts'
import { nameOf, undoes } from './changes.ts'

/** What operators have changed since the start, in one worker; with Redis the same in all replicas a second later. */
export class RuntimeChanges {
  readonly revocations = new Revocations()
  readonly overrides = new Overrides()
  /** Not in Redis yet. */
  readonly #pending = new Map<string, Change>()

  /** Holds here at once. shared: Redis is to be told. */
  apply(change: Change, shared: boolean): void {
    if (change.kind === 'revoke') {
      if (change.revoked) this.revocations.revoke(change.id)
      else this.revocations.restore(change.id)
    } else {
      const { amount, ...target } = change.change
      if (amount === null) this.overrides.clear(target)
      else this.overrides.set({ ...target, amount })
    }
    if (shared) this.#pending.set(nameOf(change), change)
  }

  /**
   * Tells Redis what it does not know, and takes over what it knows; while it cannot be asked, what holds here stays.
   * True = limits have changed.
   */
  async share(redis: RedisLedger): Promise<boolean> {
    try {
      for (const [name, change] of this.#pending) {
        if (change.kind === 'revoke') await redis.writeRevocation(change.id, change.revoked)
        else await redis.writeOverride(overrideKey(change.change), overrideOf(change))
        // Another change of the same thing may have come meanwhile.
        if (this.#pending.get(name) === change) this.#pending.delete(name)
      }
    } catch {
      return false
    }
    const [revoked, overrides] = await Promise.all([redis.readRevocations(), redis.readOverrides()])
    if (revoked === null || overrides === null || this.#pending.size > 0) return false
    this.revocations.replaceAll(revoked)
    return this.overrides.replace(overrides)
  }
}

const overrideOf = (change: Change & { readonly kind: 'change' }): LimitOverride | null => {
  if (undoes(change)) return null
  return { ...change.change, amount: change.change.amount! }
}
