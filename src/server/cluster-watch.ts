import type { Discovery, Endpoint, EndpointSet, Scraper, ScraperParts } from '../contracts/cluster.ts'
import type { BalancingConfig, DiscoveryConfig } from '../contracts/config-cluster.ts'
import type { DiscoveryParts } from '../mesh/discovery/index.ts'
import { createDiscovery } from '../mesh/discovery/index.ts'
import { later } from '../mesh/discovery/parts.ts'
import { clusterBytes, ClusterMemory, MAX_ENDPOINTS } from '../routing/balance/cluster-memory.ts'
import { ClusterSlots } from './cluster-slots.ts'

/** A registry in uproar is passed on so often and no more, ms. */
const SPACING_MS = 50

export interface ClusterParts {
  readonly discovery: DiscoveryParts
  readonly workers: number
  readonly log: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
  /** To all workers. */
  readonly publish: (set: EndpointSet) => void
  /** Of sets; grows over all clusters, so that a cluster that comes back is newer than what it was. */
  readonly nextVersion: () => number
  /** Replaced in tests. */
  readonly createDiscovery?: (config: DiscoveryConfig, parts: DiscoveryParts) => Promise<Discovery>
}

export type ScraperLoader = () => Promise<{ readonly createScraper: (parts: ScraperParts) => Scraper }>

/** What one cluster has been through, for metrics and the admin API. */
export interface ClusterFacts {
  readonly set: EndpointSet
  readonly updates: number
  readonly empties: number
  readonly errors: ReadonlyMap<string, number>
  /** Why it cannot be asked at the moment; null = it can. */
  readonly fault: string | null
  /** Clock.monotonic; null = never. */
  readonly changedAt: number | null
  readonly heardAt: number | null
}

/** One cluster: asks its source, gives members their places, and tells the workers when something has changed. */
export class ClusterWatch {
  readonly key: string
  readonly type: DiscoveryConfig['type']
  readonly buffer: SharedArrayBuffer
  /** Providers that have it; never empty. */
  names: readonly string[]
  readonly #config: DiscoveryConfig
  readonly #parts: ClusterParts
  readonly #memory: ClusterMemory
  readonly #slots: ClusterSlots
  readonly #first = Promise.withResolvers<void>()
  readonly #errors = new Map<string, number>()
  readonly #skipped = new Map<string, string>()
  #discovery: Discovery | null = null
  #closed = false
  #set: EndpointSet
  #print = ''
  #updates = 0
  #empties = 0
  #kept = false
  #fault: string | null = null
  #faultSince = 0
  #changedAt: number | null = null
  #heardAt: number | null = null
  #publishedAt = -Infinity
  #cancelPublish: (() => void) | null = null
  #overfull = false
  #scraper: Scraper | null = null
  #scraped = ''

  constructor(key: string, config: DiscoveryConfig, names: readonly string[], parts: ClusterParts) {
    this.key = key
    this.type = config.type
    this.names = names
    this.#config = config
    this.#parts = parts
    this.buffer = new SharedArrayBuffer(clusterBytes(parts.workers))
    this.#memory = new ClusterMemory(this.buffer, { worker: 0, workers: parts.workers })
    this.#slots = new ClusterSlots(MAX_ENDPOINTS, (slot) => this.#memory.reset(slot))
    this.#set = { key, version: 0, members: [] }
    void this.#start()
  }

  /** Resolves when the members are known for the first time, or the cluster has been closed. */
  get first(): Promise<void> {
    return this.#first.promise
  }

  get known(): boolean {
    return this.#set.version > 0
  }

  facts(): ClusterFacts {
    return {
      set: this.#set,
      updates: this.#updates,
      empties: this.#empties,
      errors: this.#errors,
      fault: this.#fault,
      changedAt: this.#changedAt,
      heardAt: this.#heardAt,
    }
  }

  /** A worker's thread has ended. */
  forget(worker: number): void {
    this.#memory.forget(worker)
  }

  close(): void {
    this.#closed = true
    this.#discovery?.close()
    this.#cancelPublish?.()
    this.#scraper?.close()
    this.#scraper = null
    this.#first.resolve()
  }

  /** config null = not scraped. Goes on with the one there is when nothing about it has changed. */
  async scrape(config: BalancingConfig['metrics'], load: ScraperLoader): Promise<void> {
    const wanted = config === null ? '' : JSON.stringify(config)
    if (wanted === this.#scraped) return
    this.#scraped = wanted
    this.#scraper?.close()
    this.#scraper = null
    if (config === null) return
    const { createScraper } = await load()
    // Another configuration, or the end, may have come meanwhile.
    if (this.#closed || this.#scraped !== wanted) return
    const { workers, log } = this.#parts
    this.#scraper = createScraper({
      set: this.#set,
      config,
      memory: this.buffer,
      workers,
      cluster: this.names[0]!,
      log,
    })
  }

  async #start(): Promise<void> {
    const create = this.#parts.createDiscovery ?? createDiscovery
    try {
      this.#discovery = await create(this.#config, this.#parts.discovery)
      if (this.#closed) return
      this.#discovery.start({
        endpoints: (list) => this.#closed || this.#take(list),
        error: (reason, detail) => this.#closed || this.#fail(reason, detail),
        alive: () => this.#closed || this.#hear(),
        skipped: (reason, detail) => this.#closed || this.#skip(reason, detail),
      })
    } catch (error) {
      this.#fail('failed', String(error))
    }
  }

  get #now(): number {
    return this.#parts.discovery.clock.monotonic()
  }

  #say(level: 'info' | 'warn', fields: object, message: string): void {
    this.#parts.log(level, { cluster: this.names.join(','), source: this.type, ...fields }, message)
  }

  #hear(): void {
    this.#heardAt = this.#now
    if (this.#fault === null) return
    this.#say('info', { away_ms: Math.round(this.#now - this.#faultSince) }, 'the registry of a cluster answers again')
    this.#fault = null
  }

  #count(reason: string): void {
    this.#errors.set(reason, (this.#errors.get(reason) ?? 0) + 1)
  }

  #fail(reason: string, detail: string): void {
    this.#count(reason)
    const before = this.#fault
    this.#fault = reason
    // One line when it goes away, not one for each attempt.
    if (before !== null) return
    this.#faultSince = this.#now
    const members = this.#set.members.length
    this.#say('warn', { reason, detail, members }, 'the registry of a cluster cannot be used: what was known holds')
  }

  #skip(reason: string, detail: string): void {
    this.#count(reason)
    if (this.#skipped.get(reason) === detail) return
    this.#skipped.set(reason, detail)
    this.#say('warn', { reason, detail }, 'the registry of a cluster says what cannot be used')
  }

  #take(list: readonly Endpoint[]): void {
    this.#hear()
    if (list.length === 0) {
      if (this.#set.members.length > 0 && !this.#kept) {
        this.#empties++
        const kept = this.#config.onEmpty === 'keep'
        this.#say('warn', { kept: kept ? this.#set.members.length : 0 }, 'the registry says that a cluster is empty')
      }
      this.#kept = this.#set.members.length > 0 && this.#config.onEmpty === 'keep'
      if (this.#kept) return
    } else if (this.#kept) {
      this.#kept = false
      this.#say('info', { members: list.length }, 'the registry knows members of the cluster again')
    }
    const { members, left } = this.#slots.assign(list)
    if (left > 0 && !this.#overfull)
      this.#say('warn', { members: members.length, left }, `a cluster can have ${MAX_ENDPOINTS} members`)
    this.#overfull = left > 0
    const print = JSON.stringify(members)
    if (print === this.#print && this.known) return
    this.#print = print
    this.#set = { key: this.key, version: this.#parts.nextVersion(), members }
    this.#updates++
    this.#changedAt = this.#now
    this.#publishSoon()
    this.#first.resolve()
  }

  /** The first change goes out at once, those right after it together. */
  #publishSoon(): void {
    if (this.#cancelPublish !== null) return
    const wait = this.#publishedAt + SPACING_MS - this.#now
    if (wait <= 0) this.#publish()
    else this.#cancelPublish = (this.#parts.discovery.later ?? later)(() => this.#publish(), wait)
  }

  #publish(): void {
    this.#cancelPublish = null
    this.#publishedAt = this.#now
    this.#parts.publish(this.#set)
    this.#scraper?.update(this.#set)
  }
}
