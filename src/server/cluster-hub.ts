import type { BalancingConfig, DiscoveryConfig } from '../contracts/config-cluster.ts'
import type { HeddleConfig } from '../contracts/config.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import type { Feed } from './messages.ts'
import { atMost } from '../core/sleep.ts'
import { clusterKey, ownDiscovery } from '../mesh/discovery/index.ts'
import { ClusterWatch, type ClusterParts, type ScraperLoader } from './cluster-watch.ts'

/** Members of clusters that are new are waited for, at most, ms. */
const FIRST_MS = 5000

const loadScraper: ScraperLoader = () => import('../routing/balance/scraper.ts')

interface Wanted {
  readonly discovery: DiscoveryConfig
  readonly names: string[]
  metrics: BalancingConfig['metrics']
}

/** Clusters of a configuration by key. Providers that ask for the same share one; the first that wants its members scraped says how. */
export function wantedClusters({ providers }: Pick<HeddleConfig, 'providers'>): ReadonlyMap<string, Wanted> {
  const wanted = new Map<string, Wanted>()
  for (const provider of providers) {
    const discovery = ownDiscovery(provider)
    if (discovery === null) continue
    const key = clusterKey(discovery)
    const cluster = wanted.get(key) ?? { discovery, names: [], metrics: null }
    cluster.names.push(provider.name)
    cluster.metrics ??= provider.balancing?.metrics ?? null
    wanted.set(key, cluster)
  }
  return wanted
}

type EndpointsFeed = Extract<Feed, { kind: 'endpoints' }>

export interface HubParts extends Omit<ClusterParts, 'nextVersion' | 'publish'> {
  readonly metrics: MetricRegistry
  /** To all workers, and those that follow. */
  readonly publish: (feed: EndpointsFeed) => void
  /** Those that follow need not know of it. */
  readonly unpublish: (feed: EndpointsFeed) => void
  /** Replaced in tests. */
  readonly scraper?: ScraperLoader
  readonly firstMs?: number
}

/** All clusters of the process, in the main thread: what is found out once is told to every worker. */
export class ClusterHub {
  readonly #parts: HubParts
  readonly #clusters = new Map<string, ClusterWatch>()
  #version = 0

  constructor(parts: HubParts) {
    this.#parts = parts
    parts.metrics.onCollect(() => this.#collect())
  }

  /**
   * Begins what the configuration has and is not there yet; what it does not have goes on until settle(). wait: for the
   * members of clusters of which nothing is known, for a bounded time. Resolves with the memory of each cluster.
   */
  async use(config: Pick<HeddleConfig, 'providers'>, wait: boolean): Promise<Record<string, SharedArrayBuffer>> {
    const wanted = wantedClusters(config)
    const started: ClusterWatch[] = []
    for (const [key, { discovery, names }] of wanted) {
      const known = this.#clusters.get(key)
      const cluster = known ?? this.#begin(key, discovery, names)
      if (!cluster.known && (known === undefined || !this.#waited.has(cluster))) started.push(cluster)
    }
    if (wait && started.length > 0) {
      for (const cluster of started) this.#waited.add(cluster)
      await atMost(this.#parts.firstMs ?? FIRST_MS, Promise.all(started.map((cluster) => cluster.first)))
    }
    return Object.fromEntries([...wanted.keys()].map((key) => [key, this.#clusters.get(key)!.buffer]))
  }

  /** Those that have had their time are not waited for again. */
  readonly #waited = new WeakSet<ClusterWatch>()

  #begin(key: string, discovery: DiscoveryConfig, names: readonly string[]): ClusterWatch {
    const cluster = new ClusterWatch(key, discovery, names, {
      ...this.#parts,
      publish: (set) => this.#parts.publish({ kind: 'endpoints', set }),
      nextVersion: () => ++this.#version,
    })
    this.#clusters.set(key, cluster)
    return cluster
  }

  /** This configuration serves: what it does not have ends, and what it wants scraped is. */
  async settle(config: Pick<HeddleConfig, 'providers'>): Promise<void> {
    const wanted = wantedClusters(config)
    for (const [key, cluster] of this.#clusters) {
      if (wanted.has(key)) continue
      this.#clusters.delete(key)
      cluster.close()
      // Workers would otherwise begin with the old members when the cluster comes back.
      const none = { kind: 'endpoints', set: { key, version: ++this.#version, members: [] } } as const
      this.#parts.publish(none)
      this.#parts.unpublish(none)
    }
    const { scraper: load = loadScraper } = this.#parts
    await Promise.all(
      [...wanted].map(async ([key, { metrics, names }]) => {
        const cluster = this.#clusters.get(key)
        if (cluster === undefined) return
        cluster.names = names
        await cluster.scrape(metrics, load)
      }),
    )
  }

  /** What workers begin with. */
  get feeds(): readonly Feed[] {
    const known = [...this.#clusters.values()].filter((cluster) => cluster.known)
    return known.map((cluster) => ({ kind: 'endpoints', set: cluster.facts().set }))
  }

  /** A worker's thread has ended: calls that it had under way have too. */
  forget(worker: number): void {
    for (const cluster of this.#clusters.values()) cluster.forget(worker)
  }

  close(): void {
    for (const cluster of this.#clusters.values()) cluster.close()
    this.#clusters.clear()
  }

  /** For the admin API. */
  state(): readonly object[] {
    const now = this.#parts.discovery.clock.monotonic()
    const age = (at: number | null): number | null => (at === null ? null : Math.round(now - at))
    return [...this.#clusters.values()].map((cluster) => {
      const { set, fault, changedAt, heardAt } = cluster.facts()
      return {
        providers: cluster.names,
        source: cluster.type,
        version: set.version,
        fault,
        changed_ms: age(changedAt),
        heard_ms: age(heardAt),
        members: set.members.map(({ address, state, weight, priority, zone, name, slot }) => ({
          address,
          state,
          weight,
          priority,
          zone,
          name,
          slot,
        })),
      }
    })
  }

  /** Of providers that have gone the gauges stand at 0. */
  #collect(): void {
    const { metrics, discovery } = this.#parts
    const now = discovery.clock.monotonic()
    const gone = new Set(this.#seen)
    for (const cluster of this.#clusters.values()) {
      const { set, updates, empties, errors, heardAt } = cluster.facts()
      const draining = set.members.filter(({ state }) => state === 'draining').length
      const stale = cluster.type === 'static' || heardAt === null ? 0 : (now - heardAt) / 1000
      for (const name of cluster.names) {
        gone.delete(name)
        this.#seen.add(name)
        this.#gauges(name, set.members.length - draining, draining, stale)
        metrics.counter('heddle_discovery_updates_total', UPDATES, { cluster: name }).value = updates
        metrics.counter('heddle_discovery_empty_total', EMPTY, { cluster: name }).value = empties
        for (const [reason, count] of errors)
          metrics.counter('heddle_discovery_errors_total', ERRORS, { cluster: name, reason }).value = count
      }
    }
    for (const name of gone) this.#gauges(name, 0, 0, 0)
  }

  readonly #seen = new Set<string>()

  #gauges(cluster: string, ready: number, draining: number, stale: number): void {
    const { metrics } = this.#parts
    metrics.gauge('heddle_discovery_endpoints', ENDPOINTS, { cluster, state: 'ready' }).set(ready)
    metrics.gauge('heddle_discovery_endpoints', ENDPOINTS, { cluster, state: 'draining' }).set(draining)
    metrics.gauge('heddle_discovery_stale_seconds', STALE, { cluster }).set(stale)
  }
}

const ENDPOINTS = 'Members of a provider’s cluster, by state.'
const UPDATES = 'Changes of a provider’s cluster that were told to the workers.'
const ERRORS = 'What kept a registry from being used, by reason.'
const EMPTY = 'Times that a registry said of a cluster with members that it is empty.'
const STALE = 'Time since the registry was last heard of, seconds; quiet ones are asked about once a minute.'
