import type { RouteCache } from '../../contracts/config-cache.ts'
import type { HeaderList } from '../../contracts/http.ts'
import type { CacheKey } from '../../cache/key.ts'
import type { Look } from '../../cache/semantic.ts'
import type { Exchange } from '../exchange.ts'
import type { CacheControl } from './control.ts'

/**
 * hit: the same was asked before. semantic: something that means the same was. miss: a backend is asked. coalesced: one is
 * being asked already. bypass: the cache has nothing to do with it.
 */
export type CacheStatus = 'hit' | 'semantic' | 'miss' | 'coalesced' | 'bypass'

/** What ends with a request that the cache has to do with. */
export interface RunOwner {
  ended(x: Exchange, run: CacheRun): void
}

/** What the cache knows of one request. */
export class CacheRun {
  status: CacheStatus
  /** Of a bypass, and of an answer that was not kept. */
  reason = ''
  /** Of a hit: of the entry, as clients know it; '' = none. */
  entry = ''
  ageMs = 0
  /** Of a semantic hit: cosine of the vectors, and how surely it is right; -1 = of none. */
  similarity = -1
  confidence = -1
  /** What was found by meaning; null = nothing was looked for. */
  look: Look | null = null
  /** Billionths of a US dollar that the answer cost when it was made. */
  savedNanoUsd = 0
  readonly rules: RouteCache
  readonly control: CacheControl
  readonly key: CacheKey | null
  /** By which others find it while it is under way; '' = they do not. */
  readonly flight: string
  readonly #owner: RunOwner

  constructor(
    owner: RunOwner,
    status: CacheStatus,
    rules: RouteCache,
    control: CacheControl,
    key: CacheKey | null = null,
    flight = '',
  ) {
    this.#owner = owner
    this.status = status
    this.rules = rules
    this.control = control
    this.key = key
    this.flight = flight
  }

  /** Once, when the request is over. */
  end(x: Exchange): void {
    this.#owner.ended(x, this)
  }

  addHeaders(to: HeaderList): void {
    to.push('x-heddle-cache', this.status)
    if (this.reason !== '') to.push('x-heddle-cache-reason', this.reason)
    if (this.entry === '') return
    to.push('age', String(Math.max(0, Math.floor(this.ageMs / 1000))), 'x-heddle-cache-key', this.entry)
    if (this.similarity < 0) return
    to.push('x-heddle-cache-similarity', this.similarity.toFixed(3))
    to.push('x-heddle-cache-confidence', this.confidence.toFixed(3))
  }
}

/** What the cache did for a request; '' = it had nothing to do with it. */
export const cacheStatus = ({ cache }: Pick<Exchange, 'cache'>): CacheStatus | '' => cache?.status ?? ''

const SERVED: ReadonlySet<string> = new Set<CacheStatus>(['hit', 'semantic', 'coalesced'])

/** Its answer was somebody else's. */
export const isServed = (x: Pick<Exchange, 'cache'>): boolean => SERVED.has(cacheStatus(x))
