import { hash } from 'node:crypto'
import type { CacheConfig } from '../contracts/config-cache.ts'
import type { SharedStore } from '../cache/shared.ts'
import type { AnswerCaching } from '../pipeline/policies.ts'
import type { Clock } from '../core/clock.ts'
import type { Services } from '../pipeline/services.ts'
import type { CacheMeter } from '../pipeline/cache/answers.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import { HeldPool, type Held } from '../core/held-pool.ts'
import type { CacheAsk } from './messages.ts'
import type { ConfigUpdate } from './worker.ts'
import { NANO_PER_USD } from '../core/usd.ts'

export interface CacheKitParts {
  readonly place: WorkerPlace
  readonly metrics: MetricRegistry
  readonly clock: Clock
  readonly log: Services['log']
}

/** Keeps answers for as long as a configuration that says how is in use. One a worker. */
export class CacheKit {
  readonly #parts: CacheKitParts
  readonly #stores = new HeldPool<SharedStore>((store) => store.close())
  readonly #meter: CacheMeter
  #watched = false

  constructor(parts: CacheKitParts) {
    this.#parts = parts
    this.#meter = meterOf(parts.metrics)
  }

  /** null = no route keeps answers: nothing of it is loaded. */
  async of(
    { config: { cache, ledger }, shared }: ConfigUpdate,
    hold: <T>(held: Held<T>) => T,
  ): Promise<AnswerCaching | null> {
    if (cache === null) return null
    const { Answers } = await import('../pipeline/cache/answers.ts')
    const { SharedStore } = await import('../cache/shared.ts')
    const tiers = cache.redis === null ? null : await import('./cache-tier.ts')
    const name = hash(
      'sha256',
      JSON.stringify([shared.cacheSeed, cache, cache.redis === null ? null : ledger.redis]),
      'base64url',
    )
    const store = hold(
      this.#stores.acquire(name, () => {
        const opened = this.#open(name, cache, SharedStore)
        if (tiers !== null) opened.tier = tiers.openTier(opened, cache.redis!, ledger.redis!, this.#parts)
        return opened
      }),
    )
    return new Answers({ config: cache, store, meter: this.#meter })
  }

  #open(name: string, { maxBytes, maxEntryBytes }: CacheConfig, Store: typeof SharedStore): SharedStore {
    this.#watch()
    return new Store({ name, maxBytes, maxEntryBytes, workers: this.#parts.place.workers })
  }

  /** Of one worker: the others have the same. */
  #watch(): void {
    const { metrics, place } = this.#parts
    if (this.#watched || place.worker !== 0) return
    this.#watched = true
    const entries = metrics.gauge('heddle_cache_entries', 'Answers that are kept in memory.')
    const bytes = metrics.gauge('heddle_cache_bytes', 'What they take, bytes.')
    metrics.onCollect(() => {
      const stores = this.#stores.values()
      entries.set(stores.reduce((sum, { memory }) => sum + memory.size, 0))
      bytes.set(stores.reduce((sum, { memory }) => sum + memory.bytes, 0))
    })
  }

  /** Of all configurations that still serve. */
  ask(asked: CacheAsk): unknown {
    const stores = this.#stores.values()
    switch (asked.kind) {
      case 'cache_stats':
        return stores.length === 0
          ? null
          : { stores: stores.map(({ memory: { size, bytes } }) => ({ entries: size, bytes })) }
      case 'cache_purge':
        return stores.reduce((gone, store) => gone + store.purge(asked.wish), 0)
      case 'cache_feedback':
        return stores.some((store) => store.judge(asked.key, asked.wrong))
    }
  }
}

function meterOf(metrics: MetricRegistry): CacheMeter {
  return {
    request(route, result, reason) {
      const help = 'Requests on routes that keep answers, by what the cache did for them.'
      metrics.counter('heddle_cache_requests_total', help, { model: route, result, reason }).value++
    },
    saved(route, nanoUsd) {
      const help = 'US dollars that answers had cost which were served again.'
      metrics.counter('heddle_cache_saved_usd_total', help, { model: route }).value += nanoUsd / NANO_PER_USD
    },
    refused(route, reason) {
      const help = 'Answers that were not kept.'
      metrics.counter('heddle_cache_refused_total', help, { model: route, reason }).value++
    },
  }
}
