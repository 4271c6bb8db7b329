import type {
  ClusterSource,
  EndpointSet,
  Member,
  Picked,
  PickedCall,
  Picker,
  PickHints,
  PickOptions,
} from '../../contracts/cluster.ts'
import type { BalancingConfig, ScorerName } from '../../contracts/config-cluster.ts'
import type { WorkerPlace } from '../health.ts'
import { systemRandom, type Random } from '../../core/clock.ts'
import { Candidates } from './candidates.ts'
import { ClusterMemory, MAX_ENDPOINTS, nameHash } from './cluster-memory.ts'
import { CountedCall, type PickMemo } from './picked-call.ts'
import { INDEX_ENTRIES } from './prefix-index.ts'
import { PromptHasher } from './prompt-hash.ts'
import { affinity, inflightScore, kvScore, latencyScore, loadOf, loraScore, queueScore, zoneScore } from './scores.ts'

/** Members that a pick names: the best, and those after it. */
const NAMED = 3
/** Scores that are closer than this share of the best possible one are alike: chance decides. */
const ALIKE = 0.005
/** English prose has about four bytes a token. */
const BYTES_PER_TOKEN = 4
/** Signals hold at least so long, ms; else three intervals of the scraper. */
const FRESH_MS = 2000
const NO_HASHES = new Int32Array(0)

/** Picks by what is known of all members. One a worker and cluster; not for use by two threads. */
export class ScoredPicker implements Picker {
  readonly #source: ClusterSource
  readonly #config: BalancingConfig
  readonly #weights: Readonly<Record<ScorerName, number>>
  readonly #memory: ClusterMemory
  readonly #candidates: Candidates
  readonly #hasher: PromptHasher
  readonly #random: Random
  readonly #freshMs: number
  readonly #alike: number
  readonly #scores = new Float64Array(MAX_ENDPOINTS)
  readonly #loads = new Float64Array(MAX_ENDPOINTS)
  readonly #latencies = new Float64Array(MAX_ENDPOINTS)
  readonly #zones = new Float64Array(MAX_ENDPOINTS)
  #set: EndpointSet | null = null
  #turn: number

  constructor(source: ClusterSource, config: BalancingConfig, place: WorkerPlace, random: Random = systemRandom) {
    this.#source = source
    this.#config = config
    this.#weights = config.scorers
    this.#random = random
    this.#memory = new ClusterMemory(source.memory, place)
    this.#candidates = new Candidates(this.#memory, config.saturation)
    this.#hasher = new PromptHasher(config.prefix.blockBytes, config.prefix.maxBytes, this.#memory.seed)
    this.#freshMs = Math.max(FRESH_MS, (config.metrics?.intervalMs ?? 0) * 3)
    this.#alike = Object.values(config.scorers).reduce((sum, weight) => sum + weight, 0) * ALIKE
    // Workers do not all begin with the same one.
    this.#turn = Math.floor(random.next() * MAX_ENDPOINTS)
  }

  pick(hints: PickHints, options: PickOptions): Picked {
    const { set } = this.#source
    if (set !== this.#set) this.#adopt(set)
    const { members } = set
    this.#candidates.find(members, options, hints.priority)
    const { policy } = this.#config
    if (policy === 'scored') return this.#byScore(members, hints, options)
    const memo: PickMemo = { hashes: NO_HASHES, hints }
    const first =
      policy === 'random' ? this.#draw(members) : policy === 'round_robin' ? this.#next() : this.#lessBusy(members)
    return { members: this.#withOthers(members, first), note: options.explain === true ? policy : '', memo }
  }

  begin(member: Member, picked: Picked, now: number): PickedCall {
    const { hashes, hints } = picked.memo as PickMemo
    const { slot } = member
    let tokens = hints.promptTokens
    if (hashes.length > 0) {
      const known = this.#memory.prefixes.match(slot, hashes, this.#capacity(slot))
      tokens *= 1 - known / (hashes.length / 2)
      this.#memory.prefixes.add(slot, hashes)
    }
    return new CountedCall(this.#memory, member, tokens, now, this.#config.orca)
  }

  usable(now: number, except = ''): number {
    let usable = 0
    for (const { slot, address } of this.#source.set.members)
      if (address !== except && !this.#memory.resting(slot, now)) usable++
    return usable
  }

  #adopt(set: EndpointSet): void {
    this.#set = set
    set.members.forEach(({ zone, forZones }, i) => {
      this.#zones[i] = zoneScore(zone, forZones, this.#config.zone)
    })
  }

  // ── without scores ────────────────────────────────────────────────────────
  /** By weight. */
  #draw(members: readonly Member[]): number {
    const { indexes, count } = this.#candidates
    let all = 0
    for (let at = 0; at < count; at++) all += members[indexes[at]!]!.weight
    let left = this.#random.next() * all
    for (let at = 0; at < count - 1; at++) {
      left -= members[indexes[at]!]!.weight
      if (left < 0) return indexes[at]!
    }
    return indexes[count - 1]!
  }

  #next(): number {
    const { indexes, count } = this.#candidates
    this.#turn = (this.#turn + 1) >>> 0
    return indexes[this.#turn % count]!
  }

  /** The less busy of two: nearly as good as the least busy of all, and nobody runs to the same one. */
  #lessBusy(members: readonly Member[]): number {
    const a = this.#draw(members)
    let b = this.#draw(members)
    // The same twice would be no choice.
    for (let i = 0; b === a && i < 3; i++) b = this.#draw(members)
    const busy = (i: number): number => this.#memory.calls(members[i]!.slot) / members[i]!.weight
    return busy(b) < busy(a) ? b : a
  }

  #withOthers(members: readonly Member[], first: number): Member[] {
    const { indexes, count } = this.#candidates
    const named = [members[first]!]
    const from = count > 1 ? Math.floor(this.#random.next() * count) : 0
    for (let at = 0; at < count && named.length < NAMED; at++) {
      const i = indexes[(from + at) % count]!
      if (i !== first) named.push(members[i]!)
    }
    return named
  }

  // ── by score ──────────────────────────────────────────────────────────────
  #byScore(members: readonly Member[], hints: PickHints, { now, explain }: PickOptions): Picked {
    const hashes = this.#hashes(hints)
    const picked = { memo: { hashes, hints } satisfies PickMemo, note: '' }
    const { indexes, count } = this.#candidates
    if (count === 1 && explain !== true) return { ...picked, members: [members[indexes[0]!]!] }
    const measured = this.#measure(members, now)
    const adapter = this.#weights.lora === 0 ? 0 : nameHash(hints.model)
    const call: ScoredCall = { hashes, ...measured, adapter, now }
    for (let at = 0; at < count; at++) {
      const i = indexes[at]!
      this.#scores[i] = this.#score(members[i]!, i, call)
    }
    const named = this.#best(members)
    const note = explain === true ? this.#explain(named[0]!, members, call) : ''
    return { ...picked, members: named, note }
  }

  #hashes({ model, body, session }: PickHints): Int32Array {
    if (this.#weights.prefix === 0) return NO_HASHES
    const hashes = body === null ? NO_HASHES : this.#hasher.hash(model, body)
    return hashes.length > 0 || session === '' ? hashes : this.#hasher.hashName(model, session)
  }

  /** Load and latency of each candidate, their mean and the best. */
  #measure(members: readonly Member[], now: number): Pick<ScoredCall, 'mean' | 'usual' | 'best'> {
    const { indexes, count } = this.#candidates
    let sum = 0
    let best = Infinity
    let least = Infinity
    for (let at = 0; at < count; at++) {
      const i = indexes[at]!
      const { slot, weight } = members[i]!
      const load = (this.#loads[i] = loadOf(this.#memory, slot, weight))
      sum += load
      if (load < least) least = load
      const latency = (this.#latencies[i] = this.#memory.latency(slot, now))
      if (latency > 0 && latency < best) best = latency
    }
    const mean = sum / count
    return { mean, usual: (mean + least) / 2, best }
  }

  #score({ slot }: Member, i: number, call: ScoredCall): number {
    const { hashes, mean, usual, best, adapter, now } = call
    const w = this.#weights
    const load = this.#loads[i]!
    let score = w.inflight * inflightScore(load, mean) + w.zone * this.#zones[i]!
    if (w.latency > 0) score += w.latency * latencyScore(this.#latencies[i]!, best)
    if (w.queue > 0)
      score += w.queue * queueScore(this.#memory, slot, this.#config.saturation.queue, now, this.#freshMs)
    if (w.kv > 0) score += w.kv * kvScore(this.#memory, slot, now, this.#freshMs)
    if (w.lora > 0) score += w.lora * loraScore(this.#memory, slot, adapter)
    if (hashes.length > 0) score += w.prefix * this.#share(slot, hashes) * affinity(load, usual)
    return score
  }

  /** Of the prompt's blocks, those that the member has, 0..1. */
  #share(slot: number, hashes: Int32Array): number {
    return this.#memory.prefixes.match(slot, hashes, this.#capacity(slot)) / (hashes.length / 2)
  }

  /** Blocks that the member remembers: what its cache holds, where it says so. */
  #capacity(slot: number): number {
    const { blocksPerEndpoint, blockBytes } = this.#config.prefix
    const tokens = this.#memory.kvTokens(slot)
    return Math.min(INDEX_ENTRIES, tokens > 0 ? (tokens * BYTES_PER_TOKEN) / blockBytes : blocksPerEndpoint)
  }

  /** The best, of those alike any, and the next ones. */
  #best(members: readonly Member[]): Member[] {
    const { indexes, count } = this.#candidates
    const scores = this.#scores
    let top = -Infinity
    for (let at = 0; at < count; at++) top = Math.max(top, scores[indexes[at]!]!)
    let weights = 0
    let first = indexes[0]!
    for (let at = 0; at < count; at++) {
      const i = indexes[at]!
      if (scores[i]! < top - this.#alike) continue
      const { weight } = members[i]!
      weights += weight
      // Each is kept with its share of the weights so far: a draw by weight in one pass.
      if (this.#random.next() * weights < weight) first = i
    }
    const named = [members[first]!]
    scores[first] = -Infinity
    while (named.length < Math.min(NAMED, count)) {
      let next = -1
      for (let at = 0; at < count; at++) {
        const i = indexes[at]!
        if (scores[i]! > -Infinity && (next < 0 || scores[i]! > scores[next]!)) next = i
      }
      named.push(members[next]!)
      scores[next] = -Infinity
    }
    return named
  }

  #explain(member: Member, members: readonly Member[], call: ScoredCall): string {
    const i = members.indexOf(member)
    const { slot } = member
    const { hashes, mean, usual, best, adapter, now } = call
    const parts: Record<ScorerName, number> = {
      prefix: hashes.length === 0 ? 0 : this.#share(slot, hashes) * affinity(this.#loads[i]!, usual),
      queue: queueScore(this.#memory, slot, this.#config.saturation.queue, now, this.#freshMs),
      kv: kvScore(this.#memory, slot, now, this.#freshMs),
      lora: loraScore(this.#memory, slot, adapter),
      inflight: inflightScore(this.#loads[i]!, mean),
      latency: latencyScore(this.#latencies[i]!, best),
      zone: this.#zones[i]!,
    }
    const shown = Object.entries(parts).filter(([name]) => this.#weights[name as ScorerName] > 0)
    const text = shown.map(([name, score]) => `${name} ${score.toFixed(2)}`).join(', ')
    return `${member.address} of ${this.#candidates.count}: ${text}`
  }
}

interface ScoredCall {
  readonly hashes: Int32Array
  /** Of the loads of all candidates. */
  readonly mean: number
  /** Between the mean and the least. */
  readonly usual: number
  /** The lowest latency that is known, ms. */
  readonly best: number
  readonly adapter: number
  readonly now: number
}
