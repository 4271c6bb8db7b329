import type { QuotaMemory } from './quota.ts'
import { QUOTA_FLOATS, QUOTA_KINDS } from './quota.ts'

// Int32 fields of a slot.
const IN_USE = 0
/** Goes up with each place that is freed while somebody else waits: what waiting workers wait on. */
const FREED = 1
const INTS = 2
// Int32 fields of a slot in a worker's row.
const OWN_IN_USE = 0
const OWN_WAITING = 1
const ROW_INTS = 2

/** Which of the workers that share the memory this one is: worker from 0, below workers. */
export interface Place {
  readonly worker: number
  readonly workers: number
}

/**
 * Places at backends in memory that all workers of the process share. The sum is exact; each worker also counts in a
 * row of its own what it holds, so that the places of one that dies can be given back.
 */
export class CapacityTable {
  readonly buffer: SharedArrayBuffer
  readonly #floats: Float64Array
  readonly #ints: Int32Array
  readonly #place: Place
  readonly #slots: number
  /** First elements of the rows in the two arrays. */
  readonly #rowInts: number
  readonly #rowFloats: number

  /** shared: another table's buffer, or the number of slots for a new one. */
  constructor(shared: SharedArrayBuffer | number, place: Place = { worker: 0, workers: 1 }) {
    const bytes = slotBytes(place.workers)
    this.buffer = typeof shared === 'number' ? new SharedArrayBuffer(shared * bytes) : shared
    const slots = Math.floor(this.buffer.byteLength / bytes)
    this.#slots = slots
    this.#place = place
    const floats = slots * (QUOTA_FLOATS + place.workers * QUOTA_KINDS)
    this.#floats = new Float64Array(this.buffer, 0, floats)
    this.#ints = new Int32Array(this.buffer, floats * 8, slots * (INTS + place.workers * ROW_INTS))
    this.#rowInts = slots * INTS
    this.#rowFloats = slots * QUOTA_FLOATS
  }

  get capacity(): number {
    return this.#slots
  }

  #own(slot: number, worker = this.#place.worker): number {
    return this.#rowInts + (worker * this.#slots + slot) * ROW_INTS
  }

  /** Takes a place if fewer than `limit` are taken, by all workers together. */
  tryTake(slot: number, limit: number): boolean {
    const at = slot * INTS + IN_USE
    for (;;) {
      const taken = Atomics.load(this.#ints, at)
      if (taken >= limit) return false
      if (Atomics.compareExchange(this.#ints, at, taken, taken + 1) === taken) break
    }
    Atomics.add(this.#ints, this.#own(slot) + OWN_IN_USE, 1)
    return true
  }

  giveBack(slot: number): void {
    Atomics.sub(this.#ints, this.#own(slot) + OWN_IN_USE, 1)
    Atomics.sub(this.#ints, slot * INTS + IN_USE, 1)
  }

  inUse(slot: number): number {
    return Atomics.load(this.#ints, slot * INTS + IN_USE)
  }

  ownInUse(slot: number): number {
    return Atomics.load(this.#ints, this.#own(slot) + OWN_IN_USE)
  }

  /** Says how many requests wait in this worker. */
  setWaiting(slot: number, count: number): void {
    Atomics.store(this.#ints, this.#own(slot) + OWN_WAITING, count)
  }

  /** Other workers in which somebody waits. */
  othersWaiting(slot: number): number {
    let others = 0
    for (let worker = 0; worker < this.#place.workers; worker++) {
      if (worker !== this.#place.worker && Atomics.load(this.#ints, this.#own(slot, worker) + OWN_WAITING) > 0) others++
    }
    return others
  }

  /** Wakes the workers that wait for a place. */
  announce(slot: number): void {
    Atomics.add(this.#ints, slot * INTS + FREED, 1)
    Atomics.notify(this.#ints, slot * INTS + FREED)
  }

  /** Resolves when a place is announced; null = one was announced since `seen`. */
  announced(slot: number, seen: number): Promise<unknown> | null {
    const result = Atomics.waitAsync(this.#ints, slot * INTS + FREED, seen)
    return result.async ? result.value : null
  }

  announcements(slot: number): number {
    return Atomics.load(this.#ints, slot * INTS + FREED)
  }

  /** What is known of the quota of a slot's target. */
  quota(slot: number): QuotaMemory {
    const { worker, workers } = this.#place
    const row = (w: number): Float64Array => {
      const at = this.#rowFloats + (w * this.#slots + slot) * QUOTA_KINDS
      return this.#floats.subarray(at, at + QUOTA_KINDS)
    }
    return {
      known: this.#floats.subarray(slot * QUOTA_FLOATS, (slot + 1) * QUOTA_FLOATS),
      own: row(worker),
      rows: Array.from({ length: workers }, (_, w) => row(w)),
    }
  }

  /** A worker's thread has ended: its places are free, nobody waits in it, nothing of it is on its way. */
  forget(worker: number): void {
    for (let slot = 0; slot < this.#slots; slot++) {
      const at = this.#own(slot, worker)
      Atomics.store(this.#ints, at + OWN_WAITING, 0)
      const held = Atomics.exchange(this.#ints, at + OWN_IN_USE, 0)
      if (held > 0) {
        Atomics.sub(this.#ints, slot * INTS + IN_USE, held)
        this.announce(slot)
      }
    }
    const from = this.#rowFloats + worker * this.#slots * QUOTA_KINDS
    this.#floats.fill(0, from, from + this.#slots * QUOTA_KINDS)
  }
}

const slotBytes = (workers: number): number =>
  (QUOTA_FLOATS + workers * QUOTA_KINDS) * 8 + (INTS + workers * ROW_INTS) * 4
