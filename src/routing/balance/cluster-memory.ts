import { randomInt } from 'node:crypto'
import type { WorkerPlace } from '../health.ts'
import { INDEX_WORDS, PrefixIndex } from './prefix-index.ts'

/** Members that one cluster can have at a time. */
export const MAX_ENDPOINTS = 256
/** LoRA adapters of a member that are known by name; an engine holds fewer. */
const MAX_LORAS = 16

// Int32 fields of a slot.
const GENERATION = 0
const CONSECUTIVE = 1
const EJECTIONS = 2
const LORA_MAX = 3
const LORA_COUNT = 4
const LORAS = 5
const INTS = LORAS + MAX_LORAS
// Float64 fields. Plain loads and stores: a lost race costs one sample.
const EJECTED_UNTIL = 0
const PROBE_UNTIL = 1
const LATENCY = 2
const LATENCY_AT = 3
// Each of these is followed by when it was said.
const QUEUE = 4
const QUEUE_AT = 5
const RUNNING = 6
const KV = 8
const KV_AT = 9
const UTILISATION = 10
const UTILISATION_AT = 11
const KV_TOKENS = 12
const FLOATS = 13
/** A worker's counts of a slot: calls under way, and tokens of their prompts that no cache is taken to have. */
const COUNTS = 2

const HEADER_BYTES = 64
const SLOT_BYTES = FLOATS * 8 + INTS * 4 + INDEX_WORDS * 4

/** Failures in a row that eject a member. */
const FAILURES = 3
const FIRST_REST_MS = 2000
const LONGEST_REST_MS = 60_000
/** A probe that never came back lets the next one go after this, ms. */
const PROBE_PATIENCE_MS = 10_000
/** Time in which the latency of a member that is not asked falls to 1/e, ms: it gets its chance again. */
const LATENCY_FADE_MS = 10_000

/** Size of the memory that all threads share of one cluster. workers: threads that serve. Pages that nobody touches cost nothing. */
export const clusterBytes = (workers: number): number =>
  HEADER_BYTES + MAX_ENDPOINTS * (SLOT_BYTES + workers * COUNTS * 4)

/** What a member says of itself; left out = nothing, and what was known holds while it is fresh. */
export interface LoadSignals {
  /** Requests that wait. */
  readonly queue?: number | undefined
  readonly running?: number | undefined
  /** Of the KV cache in use, 0..1. */
  readonly kv?: number | undefined
  /** That its KV cache can hold. */
  readonly kvTokens?: number | undefined
  /** 0..1 and above, as the application sees it (ORCA). */
  readonly utilisation?: number | undefined
  /** Adapters that can be loaded at a time. */
  readonly loraMax?: number | undefined
  readonly loras?: readonly string[] | undefined
}

/** Never 0: that is an empty place. */
export function nameHash(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return hash === 0 ? 1 : hash
}

/**
 * What all threads of the process know of a cluster's members, by slot: calls under way, health, what they say of their
 * load, and which prompts they are taken to have in their caches. Times are Clock.monotonic, ms.
 */
export class ClusterMemory {
  readonly prefixes: PrefixIndex
  /** Of all hashes over prompts: chosen at random, so that nobody outside can make prompts collide. */
  readonly seed: number
  readonly #ints: Int32Array
  readonly #floats: Float64Array
  /** Row after row, one for each worker: what a worker that dies had begun can be forgotten. */
  readonly #counts: Int32Array
  readonly #row: number

  /** buffer: clusterBytes(place.workers) long. A thread that begins no calls says any worker. */
  constructor(buffer: SharedArrayBuffer, { worker, workers }: WorkerPlace) {
    const header = new Int32Array(buffer, 0, 1)
    Atomics.compareExchange(header, 0, 0, randomInt(1, 2 ** 31))
    this.seed = Atomics.load(header, 0)
    let at = HEADER_BYTES
    const take = (bytes: number): number => (at += bytes) - bytes
    this.#floats = new Float64Array(buffer, take(MAX_ENDPOINTS * FLOATS * 8), MAX_ENDPOINTS * FLOATS)
    this.#ints = new Int32Array(buffer, take(MAX_ENDPOINTS * INTS * 4), MAX_ENDPOINTS * INTS)
    const counts = MAX_ENDPOINTS * COUNTS * workers
    this.#counts = new Int32Array(buffer, take(counts * 4), counts)
    this.#row = worker * MAX_ENDPOINTS * COUNTS
    const words = MAX_ENDPOINTS * INDEX_WORDS
    this.prefixes = new PrefixIndex(new Int32Array(buffer, take(words * 4), words))
  }

  /** A slot gets another member: nothing of the one before it stays. */
  reset(slot: number): void {
    Atomics.add(this.#ints, slot * INTS + GENERATION, 1)
    this.#ints.fill(0, slot * INTS + GENERATION + 1, (slot + 1) * INTS)
    this.#floats.fill(0, slot * FLOATS, (slot + 1) * FLOATS)
    for (let at = slot * COUNTS; at < this.#counts.length; at += MAX_ENDPOINTS * COUNTS)
      this.#counts.fill(0, at, at + COUNTS)
    this.prefixes.forget(slot)
  }

  /** A worker's thread has ended: what it had under way ended with it. */
  forget(worker: number): void {
    const row = MAX_ENDPOINTS * COUNTS
    this.#counts.fill(0, worker * row, (worker + 1) * row)
  }

  generation(slot: number): number {
    return Atomics.load(this.#ints, slot * INTS + GENERATION)
  }

  // ── calls under way ───────────────────────────────────────────────────────
  begin(slot: number, tokens: number): void {
    const at = this.#row + slot * COUNTS
    Atomics.add(this.#counts, at, 1)
    Atomics.add(this.#counts, at + 1, tokens)
  }

  end(slot: number, tokens: number): void {
    const at = this.#row + slot * COUNTS
    Atomics.sub(this.#counts, at, 1)
    Atomics.sub(this.#counts, at + 1, tokens)
  }

  calls(slot: number): number {
    return this.#sum(slot * COUNTS)
  }

  /** Of the prompts of its calls, as far as no cache has them. */
  tokens(slot: number): number {
    return this.#sum(slot * COUNTS + 1)
  }

  #sum(first: number): number {
    let sum = 0
    for (let at = first; at < this.#counts.length; at += MAX_ENDPOINTS * COUNTS) sum += this.#counts[at]!
    // A slot that changed hands while a call ended may be one short.
    return Math.max(0, sum)
  }

  // ── health ────────────────────────────────────────────────────────────────
  /** Not to be called: it failed and rests, or has rested and another call is just trying it. */
  resting(slot: number, now: number): boolean {
    const at = slot * FLOATS
    return this.#floats[at + EJECTED_UNTIL]! > now || this.#floats[at + PROBE_UNTIL]! > now
  }

  ejectedUntil(slot: number): number {
    return this.#floats[slot * FLOATS + EJECTED_UNTIL]!
  }

  /** A call of it begins. After a rest it is the one that tries whether it is well again. */
  probe(slot: number, now: number): void {
    if (Atomics.load(this.#ints, slot * INTS + EJECTIONS) > 0)
      this.#floats[slot * FLOATS + PROBE_UNTIL] = now + PROBE_PATIENCE_MS
  }

  ok(slot: number): void {
    Atomics.store(this.#ints, slot * INTS + CONSECUTIVE, 0)
    if (Atomics.load(this.#ints, slot * INTS + EJECTIONS) === 0) return
    Atomics.store(this.#ints, slot * INTS + EJECTIONS, 0)
    this.#floats[slot * FLOATS + EJECTED_UNTIL] = 0
    this.#floats[slot * FLOATS + PROBE_UNTIL] = 0
  }

  /** Says nothing of its health; if it was the probe, another may follow. */
  neutral(slot: number): void {
    const at = slot * FLOATS + PROBE_UNTIL
    if (this.#floats[at] !== 0) this.#floats[at] = 0
  }

  /** unreachable: nobody listens there, which is enough. Else it takes some in a row. */
  failed(slot: number, unreachable: boolean, now: number): void {
    const ints = slot * INTS
    this.#floats[slot * FLOATS + PROBE_UNTIL] = 0
    const inRow = Atomics.add(this.#ints, ints + CONSECUTIVE, 1) + 1
    const before = Atomics.load(this.#ints, ints + EJECTIONS)
    if (this.#floats[slot * FLOATS + EJECTED_UNTIL]! > now) return
    if (!unreachable && before === 0 && inRow < FAILURES) return
    Atomics.add(this.#ints, ints + EJECTIONS, 1)
    this.#floats[slot * FLOATS + EJECTED_UNTIL] =
      now + Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** Math.min(before, 10))
    // Who was not there comes back with an empty cache.
    if (unreachable) this.prefixes.forget(slot)
  }

  /** ms: until an answer began, for each unit of work. Up at once by half (peaks count), down slowly. */
  observe(slot: number, ms: number, now: number): void {
    const at = slot * FLOATS
    const before = this.#floats[at + LATENCY]!
    const share = ms > before ? 0.5 : 0.15
    this.#floats[at + LATENCY] = before === 0 ? ms : before + (ms - before) * share
    this.#floats[at + LATENCY_AT] = now
  }

  /** 0 = nothing known. */
  latency(slot: number, now: number): number {
    const at = slot * FLOATS
    const latency = this.#floats[at + LATENCY]!
    return latency === 0 ? 0 : latency * Math.exp((this.#floats[at + LATENCY_AT]! - now) / LATENCY_FADE_MS)
  }

  // ── what members say of themselves ────────────────────────────────────────
  signals(slot: number, signals: LoadSignals, now: number): void {
    const at = slot * FLOATS
    const note = (field: number, value: number | undefined): void => {
      if (value === undefined || !(value >= 0)) return
      this.#floats[at + field] = value
      this.#floats[at + field + 1] = now
    }
    note(QUEUE, signals.queue)
    note(RUNNING, signals.running)
    note(KV, signals.kv)
    note(UTILISATION, signals.utilisation)
    if (signals.kvTokens !== undefined && signals.kvTokens > 0) this.#floats[at + KV_TOKENS] = signals.kvTokens
    if (signals.loraMax !== undefined) this.#ints[slot * INTS + LORA_MAX] = signals.loraMax
    if (signals.loras === undefined) return
    const count = Math.min(MAX_LORAS, signals.loras.length)
    for (let i = 0; i < count; i++) this.#ints[slot * INTS + LORAS + i] = nameHash(signals.loras[i]!)
    this.#ints[slot * INTS + LORA_COUNT] = count
  }

  /** Age of a signal tells how much it counts. -1 = never heard. */
  queue(slot: number): number {
    return this.#said(slot, QUEUE)
  }
  queueAt(slot: number): number {
    return this.#floats[slot * FLOATS + QUEUE_AT]!
  }
  running(slot: number): number {
    return this.#said(slot, RUNNING)
  }
  kv(slot: number): number {
    return this.#said(slot, KV)
  }
  kvAt(slot: number): number {
    return this.#floats[slot * FLOATS + KV_AT]!
  }
  utilisation(slot: number): number {
    return this.#said(slot, UTILISATION)
  }
  utilisationAt(slot: number): number {
    return this.#floats[slot * FLOATS + UTILISATION_AT]!
  }
  /** 0 = not known. */
  kvTokens(slot: number): number {
    return this.#floats[slot * FLOATS + KV_TOKENS]!
  }

  #said(slot: number, field: number): number {
    const at = slot * FLOATS + field
    return this.#floats[at + 1] === 0 ? -1 : this.#floats[at]!
  }

  /** 0 = it has no adapters, or says nothing. */
  loraMax(slot: number): number {
    return this.#ints[slot * INTS + LORA_MAX]!
  }
  loraCount(slot: number): number {
    return this.#ints[slot * INTS + LORA_COUNT]!
  }
  /** hash: nameHash() of the adapter. */
  hasLora(slot: number, hash: number): boolean {
    const first = slot * INTS + LORAS
    const end = first + this.loraCount(slot)
    for (let at = first; at < end; at++) if (this.#ints[at] === hash) return true
    return false
  }
}
