import { LRUCache } from 'lru-cache'
import type { Entry } from './entry.ts'

/** Callers whose questions are counted. */
const MAX_CALLERS = 10_000
const MINUTE_MS = 60_000

/** Nobody fills the cache alone. */
export class InsertQuota {
  readonly #perMinute: number
  readonly #callers = new LRUCache<string, { count: number; since: number }>({ max: MAX_CALLERS })

  constructor(perMinute: number) {
    this.#perMinute = perMinute
  }

  /** False = its caller has had all of this minute. now: ms. */
  take({ principal, tenant }: Pick<Entry, 'principal' | 'tenant'>, now: number): boolean {
    const who = `${tenant.length}:${tenant}${principal}`
    const known = this.#callers.get(who)
    if (known === undefined || now - known.since >= MINUTE_MS) {
      this.#callers.set(who, { count: 1, since: now })
      return true
    }
    return ++known.count <= this.#perMinute
  }
}
