// A cluster of one thread for tests: members by name, memory, and time that stands still.
import type { ClusterSource, EndpointSet, Member, PickHints } from '../../contracts/cluster.ts'
import type { BalancingConfig, ScorerName } from '../../contracts/config-cluster.ts'
import { clusterBytes, ClusterMemory } from './cluster-memory.ts'
import { ScoredPicker } from './picker.ts'

export const ALONE = { worker: 0, workers: 1 }

const SCORERS = { prefix: 3, queue: 2, kv: 1, lora: 2, inflight: 2, latency: 1, zone: 1 }

export function balancing(
  change: Partial<Omit<BalancingConfig, 'scorers'>> & { readonly scorers?: Partial<Record<ScorerName, number>> } = {},
): BalancingConfig {
  return {
    owner: 'gateway',
    policy: 'scored',
    prefix: { blockBytes: 64, blocksPerEndpoint: 1024, maxBytes: 65_536 },
    metrics: null,
    orca: false,
    saturation: { queue: 5, kv: 0.8 },
    zone: '',
    epp: null,
    ...change,
    scorers: { ...SCORERS, ...change.scorers },
  }
}

export const member = (slot: number, change: Partial<Member> = {}): Member => ({
  slot,
  host: '10.0.0.1',
  port: 8000 + slot,
  address: `10.0.0.1:${8000 + slot}`,
  weight: 1,
  priority: 0,
  zone: '',
  forZones: [],
  state: 'ready',
  name: '',
  ...change,
})

export class TestCluster implements ClusterSource {
  readonly key = 'test'
  readonly memory: SharedArrayBuffer
  readonly state: ClusterMemory
  set: EndpointSet
  #watchers: ((set: EndpointSet) => void)[] = []

  constructor(members: readonly Member[], workers = 1) {
    this.memory = new SharedArrayBuffer(clusterBytes(workers))
    this.state = new ClusterMemory(this.memory, { worker: 0, workers })
    this.set = { key: 'test', version: 1, members }
  }

  watch(onSet: (set: EndpointSet) => void): () => void {
    this.#watchers.push(onSet)
    return () => {
      this.#watchers = this.#watchers.filter((one) => one !== onSet)
    }
  }

  /** Another set takes the place of the one before it. */
  become(members: readonly Member[]): void {
    this.set = { key: this.key, version: this.set.version + 1, members }
    for (const onSet of this.#watchers) onSet(this.set)
  }
}

/** mulberry32: the same draws in each run. */
export function seeded(seed: number): { next(): number } {
  let state = seed
  return {
    next() {
      state = (state + 0x6d2b79f5) | 0
      let t = Math.imul(state ^ (state >>> 15), 1 | state)
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296
    },
  }
}

export const pickerOf = (cluster: TestCluster, config = balancing(), seed = 1): ScoredPicker =>
  new ScoredPicker(cluster, config, ALONE, seeded(seed))

/** A chat request with these messages. */
export const bodyOf = (...messages: readonly string[]): Buffer =>
  Buffer.from(JSON.stringify({ model: 'm', messages: messages.map((content) => ({ role: 'user', content })) }))

export const hints = (body: Buffer | null = null, change: Partial<PickHints> = {}): PickHints => ({
  model: 'm',
  body,
  promptTokens: body === null ? 10 : Math.ceil(body.length / 4),
  session: '',
  priority: 0,
  ...change,
})
