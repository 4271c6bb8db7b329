import { hash } from 'node:crypto'
import type { ProviderConfig } from '../contracts/config.ts'
import type { CacheConfig } from '../contracts/config-cache.ts'
import type { LedgerConfig } from '../contracts/config-limits.ts'
import type { SemanticTier } from '../cache/semantic.ts'
import type { SnapshotKeeper } from '../cache/snapshot.ts'
import type { SharedStore } from '../cache/shared.ts'
import type { AnswerCaching } from '../pipeline/policies.ts'
import type { Clock } from '../core/clock.ts'
import type { Services } from '../pipeline/services.ts'
import type { CacheMeter } from '../pipeline/cache/answers.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import { everyUnref } from '../core/every.ts'
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

/** Workers tell each other what they have learnt this often, ms. */
const SHARE_MS = 1000

/** Keeps answers for as long as a configuration that says how is in use. One a worker. */
export class CacheKit {
  readonly #parts: CacheKitParts
  readonly #stores = new HeldPool<SharedStore>((store) => this.#close(store))
  /** Of stores that outlive the process, the youngest last. */
  readonly #keepers = new Map<SharedStore, SnapshotKeeper>()
  readonly #meter: CacheMeter
  #watched = false

  constructor(parts: CacheKitParts) {
    this.#parts = parts
    this.#meter = meterOf(parts.metrics)
  }

  /** null = no route keeps answers: nothing of it is loaded. */
  async of(
    { config: { cache, ledger, providers }, shared }: ConfigUpdate,
    hold: <T>(held: Held<T>) => T,
  ): Promise<AnswerCaching | null> {
    if (cache === null) return null
    const { Answers } = await import('../pipeline/cache/answers.ts')
    const name = hash(
      'sha256',
      JSON.stringify([shared.cacheSeed, cache, cache.redis === null ? null : ledger.redis]),
      'base64url',
    )
    const open = this.#stores.values().find((known) => known.name === name)
    const made = open ?? (await this.#make(name, cache, ledger, providers))
    const store = hold(this.#stores.acquire(name, () => made))
    if (store !== made) made.close()
    else if (open === undefined) await this.#open(store, cache, ledger)
    return new Answers({ config: cache, store, meter: this.#meter })
  }

  async #make(
    name: string,
    { maxBytes, maxEntryBytes, redis, semantic }: CacheConfig,
    ledger: LedgerConfig,
    providers: readonly ProviderConfig[],
  ): Promise<SharedStore> {
    const { SharedStore: Store } = await import('../cache/shared.ts')
    const { place, clock } = this.#parts
    // All that count for the same promise.
    const counting = place.workers * (redis === null ? 1 : ledger.redis!.replicas)
    const tier =
      semantic === null
        ? null
        : await (await import('./cache-semantic.ts')).openSemantic(semantic, providers, this.#parts, counting)
    return new Store({ name, maxBytes, maxEntryBytes, ...place, clock, semantic: tier })
  }

  /** Resolves when it has what it had, and knows what others have learnt, or that takes too long. */
  async #open(store: SharedStore, config: CacheConfig, ledger: LedgerConfig): Promise<void> {
    this.#watch()
    const { redis, semantic, snapshot } = config
    if (redis !== null) {
      const { openTier } = await import('./cache-tier.ts')
      await openTier(store, redis, semantic?.maxEntries ?? 0, ledger.redis!, this.#parts)
    }
    if (snapshot === null) return
    const { openSnapshot } = await import('./cache-snapshot.ts')
    const others = [...this.#keepers.values()]
    const keeper = openSnapshot(store, config, this.#parts, (one) => this.#keeperOf(one.path) === one)
    await Promise.all(others.filter(({ path }) => path === keeper.path).map((other) => other.handOver()))
    this.#keepers.set(store, keeper)
    await keeper.load()
  }

  /** Who writes that file. */
  #keeperOf(path: string): SnapshotKeeper | undefined {
    return [...this.#keepers.values()].findLast((keeper) => keeper.path === path)
  }

  #close(store: SharedStore): void {
    this.#keepers.get(store)?.close()
    this.#keepers.delete(store)
    store.close()
  }

  /** Once there is anything. Numbers are those of one worker: the others have the same. */
  #watch(): void {
    if (this.#watched) return
    this.#watched = true
    everyUnref(() => {
      for (const store of this.#stores.values()) store.share()
    }, SHARE_MS)
    const { metrics, place } = this.#parts
    if (place.worker !== 0) return
    const entries = metrics.gauge('heddle_cache_entries', 'Answers that are kept in memory.')
    const bytes = metrics.gauge('heddle_cache_bytes', 'What they take, bytes.')
    const vectors = metrics.gauge('heddle_cache_vector_bytes', 'What vectors of questions take, bytes.')
    metrics.onCollect(() => {
      const stores = this.#stores.values()
      entries.set(stores.reduce((sum, { memory }) => sum + memory.size, 0))
      bytes.set(stores.reduce((sum, { memory }) => sum + memory.bytes, 0))
      vectors.set(stores.reduce((sum, { semantic }) => sum + (semantic?.bytes ?? 0), 0))
      for (const { semantic } of stores) if (semantic !== null) showEstimates(semantic, metrics)
    })
  }

  /** The thread serves nobody any more: what it has learnt is told. */
  async end(): Promise<void> {
    await Promise.all([...this.#stores.values(), ...this.#keepers.values()].map((one) => one.end()))
  }

  /** Of all configurations that still serve. */
  ask(asked: CacheAsk): unknown {
    const stores = this.#stores.values()
    switch (asked.kind) {
      case 'cache_stats':
        return stores.length === 0 ? null : statsOf(stores)
      case 'cache_purge':
        return stores.reduce((gone, store) => gone + store.purge(asked.wish), 0)
      case 'cache_feedback':
        return stores.some((store) => store.judge(asked.key, asked.wrong))
    }
  }
}

/** Of each model the tenant that does worst: who uses it are not the operator's number. */
function showEstimates(semantic: SemanticTier, metrics: MetricRegistry): void {
  const worst = new Map<string, { wrong: number; atMost: number; used: number }>()
  for (const { model, rate, rateAtMost, budget, wrongAtMost } of semantic.estimates()) {
    const known = worst.get(model) ?? { wrong: 0, atMost: 0, used: 0 }
    worst.set(model, {
      wrong: Math.max(known.wrong, rate),
      atMost: Math.max(known.atMost, rateAtMost),
      used: Math.max(known.used, budget === 0 ? 0 : wrongAtMost / budget),
    })
  }
  const rate =
    'Share of wrong answers by semantic hits, in the measure of the promise: as is likely, and at most at its confidence. Of the tenants the worst.'
  const used = 'Share of the wrong answers that are allowed by now which is used up at most. Of the tenants the worst.'
  for (const [model, { wrong, atMost, used: share }] of worst) {
    metrics.gauge('heddle_cache_wrong_ratio', rate, { model, kind: 'likely' }).set(wrong)
    metrics.gauge('heddle_cache_wrong_ratio', rate, { model, kind: 'at_most' }).set(atMost)
    metrics.gauge('heddle_cache_budget_used_ratio', used, { model }).set(share)
  }
}

function statsOf(stores: readonly SharedStore[]): object {
  return {
    stores: stores.map(({ memory: { size, bytes } }) => ({ entries: size, bytes })),
    semantic: stores.flatMap(({ semantic }) =>
      semantic === null
        ? []
        : [
            {
              entries: semantic.size,
              bytes: semantic.bytes,
              version: semantic.version,
              estimates: semantic.estimates(),
            },
          ],
    ),
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
    learnt(route, wrong, shadow) {
      const help =
        'Answers that showed whether another one, found by meaning, would have been right; shadow: it would have been served.'
      const labels = { model: route, right: String(!wrong), shadow: String(shadow) }
      metrics.counter('heddle_cache_labels_total', help, labels).value++
    },
    refused(route, reason) {
      const help = 'Answers that were not kept.'
      metrics.counter('heddle_cache_refused_total', help, { model: route, reason }).value++
    },
  }
}
