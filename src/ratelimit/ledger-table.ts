import { CALENDAR, OPEN, RING, WINDOW } from './counter.ts'
import { SpinLock } from './spin-lock.ts'

/** Which of the threads that share a table this one is: worker from 0, below workers; the main thread is `workers`. */
export interface WorkerPlace {
  readonly worker: number
  readonly workers: number
}

/** What the table must know of a counter. */
export interface SlotKey {
  readonly hi: number
  readonly lo: number
  readonly label: string
  readonly rule: { readonly kind: number }
  slot: number
}

// Float64 fields of a slot; the first RING are the parts of a window.
export const PART = RING // number of the newest part
export const UNTIL = RING + 1 // epoch ms (calendar) or monotonic ms from which on the content means nothing
export const SETTLED = RING + 2
export const PERIOD = RING + 3 // epoch ms, start of the period that SETTLED belongs to
export const AMOUNT = RING + 4 // the limit as last applied, for listings
const FLOATS = RING + 5
// Int32 fields.
const HI = 0
const LO = 1
const KIND = 2
const LABEL_LENGTH = 3
const INTS = 4

const LABEL_BYTES = 192
const HEADER_BYTES = 64
// Words of the header.
const LOCK = 0
const REFUSED = 2
const CHANGES = 3

/** Places where a counter may be: with the table half full the chance that all are taken is below 1e-8. */
const PROBES = 32

const encoder = new TextEncoder()
const decoder = new TextDecoder()

const slotBytes = (workers: number): number => FLOATS * 8 + INTS * 4 + LABEL_BYTES + (workers + 1) * 8

export const bufferBytes = (slots: number, workers: number): number => HEADER_BYTES + slots * slotBytes(workers)

/**
 * Counters in memory that all threads of the process share: a table of fixed slots, open addressing. A slot is free again
 * as soon as its content has expired. Everything but the lock itself is touched with the lock held only.
 */
export class LedgerTable {
  readonly buffer: SharedArrayBuffer
  readonly lock: SpinLock
  readonly floats: Float64Array
  readonly slots: number
  readonly #header: Int32Array
  readonly #ints: Int32Array
  readonly #labels: Uint8Array
  /** Amounts that leases hold, a row for each worker: what a dead worker held is its row. */
  readonly #reserved: Float64Array
  readonly #worker: number
  readonly #workers: number

  constructor(buffer: SharedArrayBuffer, { worker, workers }: WorkerPlace) {
    this.buffer = buffer
    this.#worker = worker
    this.#workers = workers
    const slots = Math.floor((buffer.byteLength - HEADER_BYTES) / slotBytes(workers))
    this.slots = slots
    this.#header = new Int32Array(buffer, 0, HEADER_BYTES / 4)
    let at = HEADER_BYTES
    this.floats = new Float64Array(buffer, at, slots * FLOATS)
    at += slots * FLOATS * 8
    this.#reserved = new Float64Array(buffer, at, slots * (workers + 1))
    at += slots * (workers + 1) * 8
    this.#ints = new Int32Array(buffer, at, slots * INTS)
    at += slots * INTS * 4
    this.#labels = new Uint8Array(buffer, at, slots * LABEL_BYTES)
    this.lock = new SpinLock(this.#header, LOCK, worker + 1)
  }

  /** Place of a slot's first field in `floats`. */
  base(slot: number): number {
    return slot * FLOATS
  }

  /**
   * The counter's slot, an empty one made its own, or -1 when the table has none left for it. The caller sets UNTIL before
   * it looks for the next one, or the next one may get the same.
   */
  find(counter: SlotKey, monotonic: number, wall: number): number {
    const { slot, hi, lo } = counter
    const ints = this.#ints
    if (slot >= 0 && ints[slot * INTS] === hi && ints[slot * INTS + LO] === lo) return slot
    let free = -1
    for (let i = 0, at = (hi >>> 0) % this.slots; i < PROBES; i++, at = at + 1 === this.slots ? 0 : at + 1) {
      if (ints[at * INTS + HI] === hi && ints[at * INTS + LO] === lo) {
        counter.slot = at
        return at
      }
      if (free < 0 && this.#expired(at, monotonic, wall)) free = at
    }
    if (free < 0) {
      Atomics.add(this.#header, REFUSED, 1)
      return -1
    }
    this.#claim(free, counter)
    return free
  }

  #expired(slot: number, monotonic: number, wall: number): boolean {
    const kind = this.#ints[slot * INTS + KIND]!
    if (kind === 0) return true
    const until = this.floats[slot * FLOATS + UNTIL]!
    if (kind === WINDOW) return monotonic >= until
    return (kind === OPEN ? monotonic : wall) >= until && this.reserved(slot) === 0
  }

  #claim(slot: number, counter: SlotKey): void {
    const { kind } = counter.rule
    this.floats.fill(0, slot * FLOATS, (slot + 1) * FLOATS)
    if (kind === CALENDAR) this.floats[slot * FLOATS + PERIOD] = -Infinity
    this.write(slot, counter.hi, counter.lo, kind, counter.label)
    counter.slot = slot
  }

  /** Makes a slot a counter's. */
  write(slot: number, hi: number, lo: number, kind: number, label: string): void {
    const at = slot * INTS
    this.#ints[at + HI] = hi
    this.#ints[at + LO] = lo
    this.#ints[at + KIND] = kind
    const room = this.#labels.subarray(slot * LABEL_BYTES, (slot + 1) * LABEL_BYTES)
    this.#ints[at + LABEL_LENGTH] = encoder.encodeInto(label, room).written
  }

  kind(slot: number): number {
    return this.#ints[slot * INTS + KIND]!
  }

  id(slot: number): string {
    const bytes = Buffer.alloc(8)
    bytes.writeInt32LE(this.#ints[slot * INTS + HI]!, 0)
    bytes.writeInt32LE(this.#ints[slot * INTS + LO]!, 4)
    return bytes.toString('hex')
  }

  label(slot: number): string {
    const from = slot * LABEL_BYTES
    // A copy: TextDecoder takes no shared memory.
    return decoder.decode(this.#labels.slice(from, from + this.#ints[slot * INTS + LABEL_LENGTH]!))
  }

  /** What the leases of all workers hold. */
  reserved(slot: number): number {
    let sum = 0
    for (let row = 0, at = slot; row <= this.#workers; row++, at += this.slots) sum += this.#reserved[at]!
    return sum
  }

  /** Adds to what this worker's leases hold; never below nothing. */
  hold(slot: number, amount: number): void {
    const at = this.#worker * this.slots + slot
    const held = this.#reserved[at]! + amount
    this.#reserved[at] = held > 0 ? held : 0
  }

  /** That worker's thread has ended: its leases are free, and the lock if it had it. */
  forget(worker: number): void {
    this.lock.forget(worker + 1)
    this.lock.acquire()
    this.#reserved.fill(0, worker * this.slots, (worker + 1) * this.slots)
    this.lock.release()
  }

  /** A budget has changed. */
  changed(): void {
    Atomics.add(this.#header, CHANGES, 1)
  }

  /** Differs when a budget has changed since. */
  get changes(): number {
    return Atomics.load(this.#header, CHANGES)
  }

  /** How often there was no slot for a new counter. */
  get turnedAway(): number {
    return Atomics.load(this.#header, REFUSED)
  }
}
