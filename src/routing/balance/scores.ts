/** What speaks for a member, each from 0 to 1, out of what its slot says. */
import type { ClusterMemory } from './cluster-memory.ts'

/** What a member that says nothing counts for: neither better nor worse than others. */
const UNKNOWN = 0.5
/** A member that has room for the adapter, and one that would have to let go of another for it. */
const LORA_ROOM = 0.5
/** Prompt tokens to compute that weigh as much as one call under way. */
const TOKENS_PER_CALL = 1024
/** So many times the usual load, and so many calls, a member may have above it before its cache speaks for it less. */
const BOUND = 1.25
const SLACK = 2.5

/** value while it is fresh; then it fades, and after twice the time it is as if nothing had been said. */
function fresh(score: number, age: number, freshMs: number): number {
  const trust = Math.min(1, Math.max(0, 2 - age / freshMs))
  return score * trust + UNKNOWN * (1 - trust)
}

/** limit: waiting requests from which on it counts 0. Without its queue known, its utilisation (ORCA) speaks. */
export function queueScore(memory: ClusterMemory, slot: number, limit: number, now: number, freshMs: number): number {
  const queue = memory.queue(slot)
  if (queue >= 0) return fresh(Math.max(0, 1 - queue / Math.max(1, limit)), now - memory.queueAt(slot), freshMs)
  const used = memory.utilisation(slot)
  return used < 0 ? UNKNOWN : fresh(Math.max(0, 1 - used), now - memory.utilisationAt(slot), freshMs)
}

export function kvScore(memory: ClusterMemory, slot: number, now: number, freshMs: number): number {
  const kv = memory.kv(slot)
  return kv < 0 ? UNKNOWN : fresh(1 - Math.min(1, kv), now - memory.kvAt(slot), freshMs)
}

/** adapter: nameHash() of the model. Members without adapters all count the same. */
export function loraScore(memory: ClusterMemory, slot: number, adapter: number): number {
  const most = memory.loraMax(slot)
  if (most === 0) return UNKNOWN
  if (memory.hasLora(slot, adapter)) return 1
  return memory.loraCount(slot) < most ? LORA_ROOM : 0
}

/** Calls of ours under way, with what their prompts still cost, for each unit of weight. */
export const loadOf = (memory: ClusterMemory, slot: number, weight: number): number =>
  (memory.calls(slot) + memory.tokens(slot) / TOKENS_PER_CALL) / weight

/** mean: of the load of all that are compared. */
export const inflightScore = (load: number, mean: number): number => 1 / (1 + load / (mean + 1))

/**
 * How much a cache counts, 0..1: all of it up to a bound around the usual load, then less, until at twice the bound nothing
 * is left. So a prompt that everybody sends has as many homes as its traffic needs (after consistent hashing with bounded
 * loads, Mirrokni et al. 2016). usual: between the mean load and the least, as an idle member is worth computing a prompt
 * again.
 */
export function affinity(load: number, usual: number): number {
  const bound = BOUND * usual + SLACK
  return load <= bound ? 1 : Math.max(0, 2 - load / bound)
}

/** best: the lowest latency that is known of any, ms. */
export const latencyScore = (latency: number, best: number): number => (latency === 0 ? 1 : best / latency)

/** Members for callers of certain zones are for nobody else, where others are. */
export function zoneScore(zone: string, forZones: readonly string[], ours: string): number {
  if (ours === '') return UNKNOWN
  if (forZones.length > 0) return forZones.includes(ours) ? 1 : 0
  return zone === '' ? UNKNOWN : zone === ours ? 1 : 0
}
