import type { Amounts } from '../contracts/admission.ts'
import type { LimitUnit } from '../contracts/config-limits.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { CALENDAR, costOf, OPEN, PARTS, RING, WINDOW } from './counter.ts'
import type { Counter, CounterSet } from './counter.ts'
import { AMOUNT, bufferBytes, LedgerTable, PART, PERIOD, SETTLED, UNTIL } from './ledger-table.ts'
import type { WorkerPlace } from './ledger-table.ts'

/** A counter of places under way keeps its slot for this long while nothing is, ms. */
const OPEN_KEEP_MS = 1000
/** Places come back when calls end, which nobody knows: the caller is told to ask again after this, ms. */
export const OPEN_WAIT_MS = 1000

const ALONE: WorkerPlace = { worker: 0, workers: 1 }

/** Twice as many slots as counters, or the last of them would often find none. */
const slotsFor = (scopes: number): number => Math.max(64, scopes * 2)

/** Bytes of shared memory for so many counters and workers. */
export const ledgerBytes = (maxScopes: number, workers: number): number => bufferBytes(slotsFor(maxScopes), workers)

/** What one request has taken. Tokens have a sum of their own: what a limit on it has been charged only ever grows. */
export interface Taken {
  /** Monotonic ms. */
  readonly at: number
  inputTokens: number
  outputTokens: number
  tokens: number
  nanoUsd: number
  /** 1 where a counter took nothing: it is in shadow mode and would have refused, or the table was full. null = none. */
  readonly skipped: Uint8Array | null
}

/** The same, of what a request has taken so far. */
export const takenFor = (unit: LimitUnit, taken: Taken): number =>
  unit === 'tokens' ? taken.tokens : costOf(unit, taken)

/** What the last `reserve` of this thread found; overwritten by the next. */
export interface Outcome {
  /** Place in the set of the counter that refuses longest; -1 = admitted. */
  refusedBy: number
  /** Until it may admit the request, ms. */
  waitMs: number
  /** It never will: the request alone is more than the limit. */
  never: boolean
  /** There was no slot for it. */
  full: boolean
  at: number
  skipped: Uint8Array | null
  /** Limits in shadow mode that would have refused. */
  wouldRefuse: readonly string[]
  /** For each counter of the set: what is left after this request (below 0 = lacking), and ms until all is back. */
  readonly left: number[]
  readonly reset: number[]
}

const NOTHING: readonly string[] = []

/**
 * The ledger in memory, one for all threads of the process. What is admitted never exceeds a limit: in any stretch of its
 * window, or in its calendar period, taken plus settled is at most the amount. All limits of a request are looked at and
 * taken from with the lock held, so it is all or none.
 */
export class LedgerMemory {
  readonly table: LedgerTable
  readonly outcome: Outcome = {
    refusedBy: -1,
    waitMs: 0,
    never: false,
    full: false,
    at: 0,
    skipped: null,
    wouldRefuse: NOTHING,
    left: [],
    reset: [],
  }
  readonly #clock: Clock
  readonly #slots: number[] = []
  readonly #costs: number[] = []

  /** shared: another ledger's buffer, or the number of counters for a new one. */
  constructor(shared: SharedArrayBuffer | number, place: WorkerPlace = ALONE, clock: Clock = systemClock) {
    const buffer = typeof shared === 'number' ? new SharedArrayBuffer(ledgerBytes(shared, place.workers)) : shared
    this.table = new LedgerTable(buffer, place)
    this.#clock = clock
  }

  get buffer(): SharedArrayBuffer {
    return this.table.buffer
  }

  /**
   * Takes the amounts from all counters of the set or from none; false = refused, and `outcome` says why. replicas: 0 =
   * this ledger is the one that counts; else it stands in for a shared one that is away: it enforces this part of limits
   * with the policy `local` (1 = all, 4 = a quarter), and lets pass what those with `open` say.
   */
  reserve(set: CounterSet, amounts: Amounts, replicas = 0): boolean {
    const { lock } = this.table
    lock.acquire()
    try {
      this.#look(set, amounts, replicas)
      if (this.outcome.refusedBy >= 0) return false
      this.#take(set)
      return true
    } finally {
      lock.release()
    }
  }

  /** Takes the amounts whatever the limits say: another ledger has admitted the request, and this one keeps up with
   * it. `outcome.skipped` says where nothing was taken. */
  record(set: CounterSet, amounts: Amounts, skipped: Uint8Array | null): void {
    const { lock } = this.table
    const outcome = this.outcome
    lock.acquire()
    try {
      this.#look(set, amounts, 0)
      outcome.refusedBy = -1
      outcome.wouldRefuse = NOTHING
      // What the other ledger has skipped is skipped here too, whatever this one thinks of limits in shadow mode.
      outcome.skipped = skipped === null ? null : skipped.slice()
      for (let i = 0; i < set.counters.length; i++) {
        if (this.#slots[i]! < 0) (outcome.skipped ??= new Uint8Array(set.counters.length))[i] = 1
      }
      this.#take(set)
    } finally {
      lock.release()
    }
  }

  #look(set: CounterSet, amounts: Amounts, replicas: number): void {
    const { outcome, table } = this
    const { counters } = set
    const now = this.#clock.monotonic()
    const wall = this.#clock.now()
    outcome.refusedBy = -1
    outcome.waitMs = -1
    outcome.at = now
    outcome.skipped = null
    outcome.wouldRefuse = NOTHING
    for (let i = 0; i < counters.length; i++) {
      const counter = counters[i]!
      const slot = table.find(counter, now, wall)
      this.#slots[i] = slot
      if (slot < 0) {
        this.#noSlot(counter, i, counters.length)
        continue
      }
      const cost = costOf(counter.rule.unit, amounts)
      const used = this.#prepare(counter, slot, now, wall)
      const amount = replicas < 2 ? counter.amount : Math.floor(counter.amount / replicas)
      const left = amount - used - cost
      this.#costs[i] = cost
      outcome.left[i] = left
      outcome.reset[i] = this.#resetMs(counter, slot, now, wall)
      // Who takes nothing is never in the way, also when a call has used more than it took.
      if (left >= 0 || cost === 0 || (replicas > 0 && counter.rule.onStoreFailure === 'open')) continue
      if (counter.rule.shadow) this.#shadowRefuses(counters, i)
      else this.#refuses(counter, i, left, cost > amount, now)
    }
  }

  #noSlot(counter: Counter, i: number, count: number): void {
    const { outcome } = this
    outcome.left[i] = 0
    outcome.reset[i] = 0
    if (counter.rule.onStoreFailure === 'closed' && !counter.rule.shadow) {
      outcome.refusedBy = i
      outcome.waitMs = OPEN_WAIT_MS
      outcome.never = false
      outcome.full = true
    } else (outcome.skipped ??= new Uint8Array(count))[i] = 1
  }

  #refuses(counter: Counter, i: number, left: number, never: boolean, now: number): void {
    const { outcome } = this
    const waitMs = never ? Infinity : this.#waitMs(counter, this.#slots[i]!, -left, now)
    if (waitMs <= outcome.waitMs) return
    outcome.refusedBy = i
    outcome.waitMs = waitMs
    outcome.never = never
    outcome.full = false
  }

  /** Of a limit in shadow mode that would refuse nothing is taken: the next requests see what they would have seen. */
  #shadowRefuses(counters: readonly Counter[], i: number): void {
    const { outcome } = this
    const { limit } = counters[i]!.rule
    if (outcome.wouldRefuse.includes(limit)) return
    outcome.wouldRefuse = [...outcome.wouldRefuse, limit]
    outcome.skipped ??= new Uint8Array(counters.length)
    for (let j = 0; j < counters.length; j++) if (counters[j]!.rule.limit === limit) outcome.skipped[j] = 1
  }

  #take(set: CounterSet): void {
    const { counters } = set
    const { skipped } = this.outcome
    for (let i = 0; i < counters.length; i++) {
      const slot = this.#slots[i]!
      if (slot < 0 || (skipped !== null && skipped[i] === 1)) continue
      this.#add(counters[i]!, slot, this.#costs[i]!)
    }
  }

  #add(counter: Counter, slot: number, cost: number): void {
    if (counter.rule.kind !== WINDOW) {
      this.table.hold(slot, cost)
      return
    }
    const { floats } = this.table
    const base = this.table.base(slot)
    const at = base + (floats[base + PART]! % RING)
    floats[at] = floats[at]! + cost
  }

  /** Brings the slot up to date and gives what is used and held of it. */
  #prepare(counter: Counter, slot: number, now: number, wall: number): number {
    const { table } = this
    const { floats } = table
    const { rule } = counter
    const base = table.base(slot)
    floats[base + AMOUNT] = counter.amount
    if (rule.kind === OPEN) {
      floats[base + UNTIL] = now + OPEN_KEEP_MS
      return table.reserved(slot)
    }
    if (rule.kind === CALENDAR) {
      const calendar = rule.calendar!
      calendar.at(wall)
      if (calendar.start > floats[base + PERIOD]!) {
        floats[base + PERIOD] = calendar.start
        floats[base + SETTLED] = 0
      }
      floats[base + UNTIL] = calendar.end
      return floats[base + SETTLED]! + table.reserved(slot)
    }
    const part = Math.floor((now * PARTS) / rule.windowMs)
    const newest = floats[base + PART]!
    if (part > newest) {
      for (let p = Math.max(newest + 1, part - PARTS); p <= part; p++) floats[base + (p % RING)] = 0
      floats[base + PART] = part
      floats[base + UNTIL] = ((part + RING) * rule.windowMs) / PARTS
    }
    let sum = 0
    for (let i = base; i < base + RING; i++) sum += floats[i]!
    return sum
  }

  /** Ms until `lacking` more is free. */
  #waitMs({ rule }: Counter, slot: number, lacking: number, now: number): number {
    if (rule.kind === OPEN) return OPEN_WAIT_MS
    if (rule.kind === CALENDAR) return rule.calendar!.end - this.#clock.now()
    const base = this.table.base(slot)
    const newest = this.table.floats[base + PART]!
    let part = Math.max(0, newest - PARTS)
    for (let freed = 0; part <= newest; part++) {
      freed += this.table.floats[base + (part % RING)]!
      if (freed >= lacking) break
    }
    return Math.ceil(((part + RING) * rule.windowMs) / PARTS - now)
  }

  #resetMs({ rule }: Counter, slot: number, now: number, wall: number): number {
    if (rule.kind === OPEN) return 0
    if (rule.kind === CALENDAR) return rule.calendar!.end - wall
    return ((this.table.floats[this.table.base(slot) + PART]! + RING) * rule.windowMs) / PARTS - now
  }

  /** Replaces what was taken by what was used; money and tokens only where the unit counts them. */
  settle(set: CounterSet, taken: Taken, actual: Amounts): void {
    const { table } = this
    const { counters } = set
    const now = this.#clock.monotonic()
    const wall = this.#clock.now()
    table.lock.acquire()
    try {
      for (let i = 0; i < counters.length; i++) {
        const counter = counters[i]!
        const { unit, kind } = counter.rule
        const held = takenFor(unit, taken)
        const cost = costOf(unit, actual)
        if ((taken.skipped !== null && taken.skipped[i] === 1) || (kind === WINDOW && held === cost)) continue
        const slot = table.find(counter, now, wall)
        if (slot < 0) continue
        this.#prepare(counter, slot, now, wall)
        if (kind === WINDOW) this.#correct(counter, slot, cost - held, taken.at)
        else this.#close(counter, slot, held, cost)
      }
    } finally {
      table.lock.release()
    }
  }

  #close({ rule }: Counter, slot: number, held: number, cost: number): void {
    const { table } = this
    table.hold(slot, -held)
    if (rule.kind === OPEN || cost === 0) return
    const at = table.base(slot) + SETTLED
    table.floats[at] = table.floats[at]! + cost
    table.changed()
  }

  /** More is charged now; less is given back where it was taken, when that part still counts. */
  #correct({ rule }: Counter, slot: number, delta: number, takenAt: number): void {
    const { floats } = this.table
    const base = this.table.base(slot)
    const newest = floats[base + PART]!
    // A refund in a later part than the charge would leave stretches with too little in them; an earlier one cannot.
    const part = delta > 0 ? newest : Math.min(newest, Math.floor((takenAt * PARTS) / rule.windowMs))
    if (part < newest - PARTS) return
    const at = base + (part % RING)
    floats[at] = Math.max(0, floats[at]! + delta)
  }

  /** Takes what was used above what was taken. False = a limit with `stop_streams` has no more. */
  extend(set: CounterSet, taken: Taken, total: Amounts): boolean {
    const tokens = total.inputTokens + total.outputTokens
    const more =
      total.inputTokens > taken.inputTokens ||
      total.outputTokens > taken.outputTokens ||
      tokens > taken.tokens ||
      total.nanoUsd > taken.nanoUsd
    if (!more) return true
    const enough = this.#extend(set, taken, total)
    taken.inputTokens = Math.max(taken.inputTokens, total.inputTokens)
    taken.outputTokens = Math.max(taken.outputTokens, total.outputTokens)
    taken.tokens = Math.max(taken.tokens, tokens)
    taken.nanoUsd = Math.max(taken.nanoUsd, total.nanoUsd)
    return enough
  }

  #extend({ counters }: CounterSet, taken: Taken, total: Amounts): boolean {
    const { table } = this
    const now = this.#clock.monotonic()
    const wall = this.#clock.now()
    let enough = true
    table.lock.acquire()
    try {
      for (let i = 0; i < counters.length; i++) {
        const counter = counters[i]!
        const { rule } = counter
        const delta = costOf(rule.unit, total) - takenFor(rule.unit, taken)
        if (delta <= 0 || (taken.skipped !== null && taken.skipped[i] === 1)) continue
        const slot = table.find(counter, now, wall)
        if (slot < 0) continue
        const used = this.#prepare(counter, slot, now, wall) + delta
        this.#add(counter, slot, delta)
        if (rule.stopStreams && !rule.shadow && used > counter.amount) enough = false
      }
    } finally {
      table.lock.release()
    }
    return enough
  }

  /** The thread of that worker has ended: what its leases held is free again. Called by the main thread. */
  forget(worker: number): void {
    this.table.forget(worker)
  }
}
