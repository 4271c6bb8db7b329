import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import type { Discovery, Endpoint, EndpointSet, ScraperParts } from '../contracts/cluster.ts'
import type { DiscoveryConfig } from '../contracts/config-cluster.ts'
import type { HeddleConfig, ProviderConfig } from '../contracts/config.ts'
import { endpointOf } from '../mesh/discovery/address.ts'
import { clusterKey } from '../mesh/discovery/key.ts'
import type { Told } from '../mesh/discovery/parts.ts'
import { MetricRegistry } from '../telemetry/metrics.ts'
import { ClusterHub, type HubParts } from './cluster-hub.ts'
import { ClusterSlots } from './cluster-slots.ts'

const source = (prefix: string, onEmpty: 'keep' | 'drop' = 'keep'): DiscoveryConfig => ({
  type: 'etcd',
  urls: ['http://etcd:2379'],
  prefix,
  username: null,
  password: null,
  token: null,
  ca: null,
  onEmpty,
})

const METRICS = { path: '/metrics', port: null, intervalMs: 200, engine: 'auto' } as const

const configOf = (providers: Readonly<Record<string, DiscoveryConfig>>, scraped = false): HeddleConfig =>
  ({
    providers: Object.entries(providers).map(
      ([name, discovery]) =>
        ({
          name,
          discovery,
          balancing: scraped ? { owner: 'gateway', metrics: METRICS } : null,
        }) as unknown as ProviderConfig,
    ),
  }) as unknown as HeddleConfig

const at = (n: number, more: Partial<Endpoint> = {}): Endpoint =>
  endpointOf({ host: `10.0.${n >> 8}.${n & 255}`, port: 8000 }, more)

class Rig {
  now = 1000
  readonly published: EndpointSet[] = []
  readonly forgotten: string[] = []
  readonly lines: string[] = []
  readonly sources: { readonly config: DiscoveryConfig; readonly told: Told; closed: boolean }[] = []
  readonly scraped: { readonly parts: ScraperParts; sets: number; closed: boolean }[] = []
  readonly metrics = new MetricRegistry()
  readonly timers: (() => void)[] = []
  readonly hub: ClusterHub

  constructor(more: Partial<HubParts> = {}) {
    this.hub = new ClusterHub({
      discovery: {
        clock: { now: () => this.now, monotonic: () => this.now },
        random: { next: () => 0.5 },
        version: 'test',
        later: (task) => {
          this.timers.push(task)
          return () => void this.timers.splice(this.timers.indexOf(task), 1)
        },
      },
      workers: 2,
      metrics: this.metrics,
      log: (level, _fields, message) => void this.lines.push(`${level} ${message}`),
      publish: ({ set }) => void this.published.push(set),
      unpublish: ({ set }) => void this.forgotten.push(set.key),
      createDiscovery: async (config) => this.#source(config),
      scraper: async () => ({ createScraper: (parts) => this.#scraper(parts) }),
      ...more,
    })
  }

  #source(config: DiscoveryConfig): Discovery {
    return {
      start: (told) => void this.sources.push({ config, told, closed: false }),
      close: () => {
        for (const entry of this.sources) if (entry.config === config) entry.closed = true
      },
    }
  }

  #scraper(parts: ScraperParts) {
    const entry = { parts, sets: 0, closed: false }
    this.scraped.push(entry)
    return { update: () => void entry.sets++, close: () => void (entry.closed = true) }
  }

  /** Starts, and hands the source. */
  async use(config: HeddleConfig): Promise<Told> {
    await this.hub.use(config, false)
    await Promise.resolve()
    await this.hub.settle(config)
    return this.sources.at(-1)!.told
  }

  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const family = this.metrics.snapshot().find((entry) => entry.name === name)
    return family?.samples.find(({ labels: have }) => Object.entries(labels).every(([k, v]) => have[k] === v))?.value
  }

  tick(): void {
    for (const task of this.timers.splice(0)) task()
  }
}

let rig = new Rig()
afterEach(() => {
  rig.hub.close()
  rig = new Rig()
})

const addresses = (set: EndpointSet | undefined): readonly string[] =>
  (set?.members ?? []).map(({ address }) => address)

test('only what has changed is told, and changes close together at once', async () => {
  const told = await rig.use(configOf({ p: source('/a/') }))
  told.endpoints([at(1), at(2)])
  told.endpoints([at(2), at(1)])
  expect(rig.published).toHaveLength(1)
  told.endpoints([at(1)])
  told.endpoints([at(1), at(3)])
  expect(rig.published).toHaveLength(1)
  rig.now += 60
  rig.tick()
  expect(rig.published.map(addresses)).toEqual([
    ['10.0.0.1:8000', '10.0.0.2:8000'],
    ['10.0.0.1:8000', '10.0.0.3:8000'],
  ])
  expect(rig.published.map(({ version }) => version)).toEqual([1, 3])
})

test('providers that ask for the same share one; a reload of something else keeps it', async () => {
  const both = configOf({ p: source('/a/'), q: source('/a/') })
  const before = await rig.hub.use(both, false)
  await rig.hub.settle(both)
  expect(Object.keys(before)).toEqual([clusterKey(source('/a/'))])
  const more = configOf({ p: source('/a/'), r: source('/b/') })
  const after = await rig.hub.use(more, false)
  await rig.hub.settle(more)
  expect(rig.sources).toHaveLength(2)
  expect(after[clusterKey(source('/a/'))]).toBe(before[clusterKey(source('/a/'))])
  rig.sources[0]!.told.endpoints([at(1)])
  await rig.hub.settle(configOf({ r: source('/b/') }))
  expect(rig.sources.map(({ closed }) => closed)).toEqual([true, false])
  expect(rig.forgotten).toEqual([clusterKey(source('/a/'))])
  expect(rig.published.at(-1)).toMatchObject({ key: clusterKey(source('/a/')), members: [] })
  // What it says after its end is not heard.
  const count = rig.published.length
  rig.sources[0]!.told.endpoints([at(9)])
  expect(rig.published).toHaveLength(count)
})

test('an empty answer keeps the last members, or drops them, as configured', async () => {
  const kept = await rig.use(configOf({ p: source('/a/') }))
  kept.endpoints([at(1)])
  kept.endpoints([])
  kept.endpoints([])
  expect(rig.published.map(addresses)).toEqual([['10.0.0.1:8000']])
  expect(rig.value('heddle_discovery_empty_total', { cluster: 'p' })).toBe(1)
  expect(rig.lines).toEqual(['warn the registry says that a cluster is empty'])
  rig.now += 100
  kept.endpoints([at(2)])
  expect(addresses(rig.published.at(-1))).toEqual(['10.0.0.2:8000'])
  const dropped = await rig.use(configOf({ d: source('/a/', 'drop') }))
  dropped.endpoints([at(1)])
  rig.now += 100
  dropped.endpoints([])
  expect(rig.published.at(-1)?.members).toEqual([])
  expect(rig.value('heddle_discovery_empty_total', { cluster: 'd' })).toBe(1)
})

test('a registry that is away for an hour is said twice, and nothing is lost', async () => {
  const told = await rig.use(configOf({ p: source('/a/') }))
  told.endpoints([at(1)])
  for (let i = 0; i < 3600; i++) {
    rig.now += 1000
    told.error('unreachable', 'etcd:2379: ECONNREFUSED')
  }
  expect(rig.value('heddle_discovery_stale_seconds', { cluster: 'p' })).toBe(3600)
  expect(rig.value('heddle_discovery_errors_total', { cluster: 'p', reason: 'unreachable' })).toBe(3600)
  expect(rig.value('heddle_discovery_endpoints', { cluster: 'p', state: 'ready' })).toBe(1)
  expect(rig.hub.state()).toMatchObject([{ providers: ['p'], fault: 'unreachable', heard_ms: 3_600_000 }])
  told.alive()
  expect(rig.lines).toEqual([
    'warn the registry of a cluster cannot be used: what was known holds',
    'info the registry of a cluster answers again',
  ])
  expect(rig.value('heddle_discovery_stale_seconds', { cluster: 'p' })).toBe(0)
  expect(rig.published).toHaveLength(1)
})

test('new clusters are waited for, once and for a bounded time', async () => {
  rig = new Rig({ firstMs: 20 })
  const config = configOf({ p: source('/a/') })
  let done = false
  const using = rig.hub.use(config, true).then(() => (done = true))
  await Promise.resolve()
  await Promise.resolve()
  expect(done).toBe(false)
  rig.sources[0]!.told.endpoints([at(1)])
  await using
  expect(rig.hub.feeds).toMatchObject([{ kind: 'endpoints', set: { members: [{ address: '10.0.0.1:8000' }] } }])
  const other = configOf({ q: source('/never/') })
  await rig.hub.use(other, true)
  const before = rig.now
  await rig.hub.use(other, true)
  expect(rig.now).toBe(before)
  expect(rig.hub.feeds).toHaveLength(1)
})

test('members are scraped when the provider wants it, with the same scraper over reloads', async () => {
  const told = await rig.use(configOf({ p: source('/a/') }, true))
  expect(rig.scraped[0]?.parts).toMatchObject({ config: METRICS, workers: 2, cluster: 'p' })
  told.endpoints([at(1)])
  expect(rig.scraped[0]?.sets).toBe(1)
  await rig.hub.settle(configOf({ p: source('/a/') }, true))
  expect(rig.scraped).toHaveLength(1)
  await rig.hub.settle(configOf({ p: source('/a/') }))
  expect(rig.scraped[0]?.closed).toBe(true)
})

test('gauges of a provider that has gone are 0', async () => {
  const told = await rig.use(configOf({ p: source('/a/') }))
  told.endpoints([at(1), at(2, { state: 'draining' })])
  expect(rig.value('heddle_discovery_endpoints', { cluster: 'p', state: 'draining' })).toBe(1)
  await rig.hub.settle(configOf({}))
  expect(rig.value('heddle_discovery_endpoints', { cluster: 'p', state: 'ready' })).toBe(0)
  expect(rig.value('heddle_discovery_endpoints', { cluster: 'p', state: 'draining' })).toBe(0)
})

test('a configuration that is refused leaves no names behind', async () => {
  const serves = configOf({ p: source('/a/') })
  const told = await rig.use(serves)
  told.endpoints([at(1)])
  await rig.hub.use(configOf({ renamed: source('/a/') }), false)
  await rig.hub.settle(serves)
  expect(rig.hub.state()).toMatchObject([{ providers: ['p'] }])
  expect(rig.value('heddle_discovery_endpoints', { cluster: 'p', state: 'ready' })).toBe(1)
  expect(rig.value('heddle_discovery_endpoints', { cluster: 'renamed' })).toBeUndefined()
})

test('what cannot be used is said once', async () => {
  const told = await rig.use(configOf({ p: source('/a/') }))
  for (let i = 0; i < 100; i++) told.skipped('invalid', '1 keys hold no address')
  expect(rig.lines).toEqual(['warn the registry of a cluster says what cannot be used'])
  expect(rig.value('heddle_discovery_errors_total', { reason: 'invalid' })).toBe(100)
})

test('more members than there are places: those that are there stay, ready ones go first', () => {
  const slots = new ClusterSlots(3, () => {})
  slots.assign([at(9)])
  const { members, left } = slots.assign([at(1, { state: 'draining' }), at(2), at(3, { priority: 1 }), at(9), at(4)])
  expect(members.map(({ address }) => address)).toEqual(['10.0.0.2:8000', '10.0.0.4:8000', '10.0.0.9:8000'])
  expect(left).toBe(2)
})

test('places: a member keeps its own, no two share one, a free one rests as long as it can', () => {
  const step = fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 12 })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
      const resets: number[] = []
      const slots = new ClusterSlots(8, (slot) => void resets.push(slot))
      let before = new Map<string, number>()
      const freed: number[] = []
      for (const numbers of steps) {
        const count = resets.length
        const { members, left } = slots.assign(numbers.map((n) => at(n)))
        const now = new Map(members.map(({ address, slot }) => [address, slot]))
        expect(new Set(now.values()).size).toBe(members.length)
        expect(members.length + left).toBe(numbers.length)
        expect(members.length).toBe(Math.min(8, numbers.length))
        for (const [address, slot] of before) {
          if (now.has(address)) expect(now.get(address)).toBe(slot)
          else freed.push(slot)
        }
        const added = [...now.keys()].filter((address) => !before.has(address))
        // Each new member has a place that was cleared for it.
        expect(new Set(resets.slice(count))).toEqual(new Set(added.map((address) => now.get(address)!)))
        expect(resets.length - count).toBe(added.length)
        before = now
      }
      // Places that were never used come before those that were.
      const firstReuse = resets.findIndex((slot, i) => resets.indexOf(slot) < i)
      if (firstReuse >= 0) expect(new Set(resets.slice(0, firstReuse)).size).toBe(8)
    }),
  )
})
