import type { AttemptOutcome, Health } from '../contracts/routing.ts'
import type { BreakerConfig } from '../contracts/config.ts'
import { systemClock } from '../core/clock.ts'

// Int32 fields of a slot.
const CONSECUTIVE = 0
const EJECTIONS = 1
const PROBING = 2
const WINDOW_OK = 3
const WINDOW_FAILED = 4
const INTS = 5
// Float64 fields. Plain loads and stores: a lost race costs one sample of an average, nothing else.
const LATENCY = 0
const LATENCY_AT = 1
const EJECTED_UNTIL = 2
const BUSY_UNTIL = 3
const DEAD_UNTIL = 4
const WINDOW_START = 5
const PROBE_AT = 6
const BUDGET = 7
const BUDGET_AT = 8
const LATENCY_HIGH = 9
const STREAM_MEDIAN = 10
const STREAM_MEDIAN_AT = 11
const FLOATS = 12

const SLOT_BYTES = INTS * 4 + FLOATS * 8
/** Time in which the latency average falls to 1/e, ms. */
const DECAY_MS = 10_000
/** A probe that never came back frees the half-open state after this, ms. */
const PROBE_PATIENCE_MS = 60_000
/** Retry tokens a target can save up. */
const BUDGET_CAP = 50

/** Which of the workers that share a table this one is: worker from 0, below workers. */
export interface WorkerPlace {
  readonly worker: number
  readonly workers: number
}

const ALONE: WorkerPlace = { worker: 0, workers: 1 }

/**
 * Health of all targets in memory that all workers of the process share, so that a breaker is one breaker.
 * Slots belong to targets by name and outlive configuration reloads. What is in flight each worker counts in a row of
 * its own, or what a worker that dies had begun would stay counted for ever.
 */
export class HealthTable {
  readonly buffer: SharedArrayBuffer
  readonly #ints: Int32Array
  readonly #floats: Float64Array
  /** Row after row, one for each worker: workers do not write to each other's cache lines. */
  readonly #inflight: Int32Array
  readonly #capacity: number
  readonly #worker: number
  readonly #now: () => number

  /**
   * shared: another table's buffer, or the number of slots for a new one; `place.workers` is the same in all tables on one
   * buffer. now: monotonic ms, the same origin in all threads.
   */
  constructor(
    shared: SharedArrayBuffer | number,
    now: () => number = systemClock.monotonic,
    { worker, workers }: WorkerPlace = ALONE,
  ) {
    const slotBytes = SLOT_BYTES + workers * 4
    this.#now = now
    this.#worker = worker
    this.buffer = typeof shared === 'number' ? new SharedArrayBuffer(shared * slotBytes) : shared
    const capacity = Math.floor(this.buffer.byteLength / slotBytes)
    this.#capacity = capacity
    this.#floats = new Float64Array(this.buffer, 0, capacity * FLOATS)
    this.#ints = new Int32Array(this.buffer, capacity * FLOATS * 8, capacity * INTS)
    this.#inflight = new Int32Array(this.buffer, capacity * SLOT_BYTES, capacity * workers)
  }

  get capacity(): number {
    return this.#capacity
  }

  slot(index: number, breaker: BreakerConfig): TargetHealth {
    return new TargetHealth(
      this.#ints.subarray(index * INTS, (index + 1) * INTS),
      this.#floats.subarray(index * FLOATS, (index + 1) * FLOATS),
      { counts: this.#inflight, slot: index, own: this.#worker * this.#capacity + index, step: this.#capacity },
      breaker,
      this.#now,
    )
  }

  /** A worker's thread has ended: what it had in flight ended with it. */
  forget(worker: number): void {
    this.#inflight.fill(0, worker * this.#capacity, (worker + 1) * this.#capacity)
  }
}

/** Where the counts of one target are: at slot, slot + step, ... one for each worker; `own` is the one to write. */
interface InflightCounts {
  readonly counts: Int32Array
  readonly slot: number
  readonly own: number
  readonly step: number
}

/** One target's slot, as seen by one worker. */
export class TargetHealth implements Health {
  readonly #ints: Int32Array
  readonly #floats: Float64Array
  readonly #inflight: Int32Array
  readonly #slot: number
  readonly #own: number
  readonly #step: number
  readonly #breaker: BreakerConfig
  readonly #now: () => number

  constructor(
    ints: Int32Array,
    floats: Float64Array,
    inflight: InflightCounts,
    breaker: BreakerConfig,
    now: () => number,
  ) {
    this.#now = now
    this.#ints = ints
    this.#floats = floats
    this.#inflight = inflight.counts
    this.#slot = inflight.slot
    this.#own = inflight.own
    this.#step = inflight.step
    this.#breaker = breaker
  }

  get inflight(): number {
    let sum = 0
    for (let at = this.#slot; at < this.#inflight.length; at += this.#step) sum += Atomics.load(this.#inflight, at)
    return sum
  }
  /** Fades while the target is not asked, or one that was slow once would never be asked again. */
  get latencyMs(): number {
    const latency = this.#floats[LATENCY]!
    return latency === 0 ? 0 : latency * Math.exp((this.#floats[LATENCY_AT]! - this.#now()) / DECAY_MS)
  }
  get p95Ms(): number {
    return this.#floats[LATENCY_HIGH]!
  }
  /** Fades, or a target that was slow once would be refused to callers in a hurry for ever. */
  get p50StreamMs(): number {
    const median = this.#floats[STREAM_MEDIAN]!
    return median === 0 ? 0 : median * Math.exp((this.#floats[STREAM_MEDIAN_AT]! - this.#now()) / DECAY_MS)
  }
  get consecutiveFailures(): number {
    return Atomics.load(this.#ints, CONSECUTIVE)
  }
  get ejections(): number {
    return Atomics.load(this.#ints, EJECTIONS)
  }
  get ejectedUntil(): number {
    return this.#floats[EJECTED_UNTIL]!
  }
  get busyUntil(): number {
    return this.#floats[BUSY_UNTIL]!
  }
  get deadUntil(): number {
    return this.#floats[DEAD_UNTIL]!
  }

  begin(): void {
    Atomics.add(this.#inflight, this.#own, 1)
  }

  end(outcome: AttemptOutcome, firstTokenMs: number, now: number, stream = false): void {
    Atomics.sub(this.#inflight, this.#own, 1)
    if (outcome === 'neutral') {
      Atomics.store(this.#ints, PROBING, 0)
      return
    }
    if (!this.#breaker.enabled) {
      if (outcome === 'ok') Atomics.store(this.#ints, CONSECUTIVE, 0)
      else Atomics.add(this.#ints, CONSECUTIVE, 1)
    } else this.#judge(outcome === 'ok', now)
    if (firstTokenMs < 0) return
    this.#observe(firstTokenMs, now)
    if (stream) this.#observeMedian(firstTokenMs, now)
  }

  #judge(ok: boolean, now: number): void {
    const { consecutiveFailures, failureRatio, minRequests, windowMs } = this.#breaker
    if (now - this.#floats[WINDOW_START]! > windowMs) {
      this.#floats[WINDOW_START] = now
      Atomics.store(this.#ints, WINDOW_OK, 0)
      Atomics.store(this.#ints, WINDOW_FAILED, 0)
    }
    const halfOpen = this.#floats[EJECTED_UNTIL]! > 0 && now >= this.#floats[EJECTED_UNTIL]!
    if (ok) {
      Atomics.add(this.#ints, WINDOW_OK, 1)
      Atomics.store(this.#ints, CONSECUTIVE, 0)
      // A success that began before the ejection says nothing about now; one after it closes the circuit.
      if (halfOpen) {
        this.#floats[EJECTED_UNTIL] = 0
        Atomics.store(this.#ints, EJECTIONS, 0)
        Atomics.store(this.#ints, PROBING, 0)
      }
      return
    }
    const inRow = Atomics.add(this.#ints, CONSECUTIVE, 1) + 1
    const failed = Atomics.add(this.#ints, WINDOW_FAILED, 1) + 1
    const all = failed + Atomics.load(this.#ints, WINDOW_OK)
    const open = this.#floats[EJECTED_UNTIL]! > now
    if (open) return
    if (halfOpen || inRow >= consecutiveFailures || (all >= minRequests && failed / all >= failureRatio))
      this.#eject(now)
  }

  #eject(now: number): void {
    const times = Atomics.add(this.#ints, EJECTIONS, 1)
    Atomics.store(this.#ints, PROBING, 0)
    Atomics.store(this.#ints, WINDOW_OK, 0)
    Atomics.store(this.#ints, WINDOW_FAILED, 0)
    this.#floats[EJECTED_UNTIL] =
      now + Math.min(this.#breaker.maxEjectionMs, this.#breaker.baseEjectionMs * 2 ** Math.min(times, 20))
  }

  /** Peak EWMA (after Finagle and linkerd): a slow answer counts at once, a fast one only with time. */
  #observe(ms: number, now: number): void {
    const before = this.#floats[LATENCY]!
    const age = now - this.#floats[LATENCY_AT]!
    this.#floats[LATENCY_AT] = now
    if (before === 0 || ms > before) this.#floats[LATENCY] = ms
    else {
      const keep = Math.exp(-Math.max(age, 1) / DECAY_MS)
      this.#floats[LATENCY] = before * keep + ms * (1 - keep)
    }
    // Quantile by stochastic approximation: up 19 steps when above, down one when below, settles at p95.
    const high = this.#floats[LATENCY_HIGH]!
    const step = Math.max(high, ms) * 0.005
    this.#floats[LATENCY_HIGH] = high === 0 ? ms : ms > high ? high + 19 * step : Math.max(0, high - step)
  }

  /** As above: as many steps up as down settle at the median. */
  #observeMedian(ms: number, now: number): void {
    const median = this.p50StreamMs
    // Of the median itself: an outlier counts as one sample above it, however far.
    const step = Math.max(median, 1) * 0.05
    this.#floats[STREAM_MEDIAN] =
      median === 0 ? ms : ms > median ? Math.min(ms, median + step) : Math.max(ms, median - step)
    this.#floats[STREAM_MEDIAN_AT] = now
  }

  busy(until: number): void {
    if (until > this.#floats[BUSY_UNTIL]!) this.#floats[BUSY_UNTIL] = until
  }

  dead(until: number): void {
    this.#floats[DEAD_UNTIL] = until
  }

  /** New credentials: the target gets its chance at once. */
  revive(): void {
    this.#floats[DEAD_UNTIL] = 0
  }

  tryProbe(now: number): boolean {
    const taken = Atomics.compareExchange(this.#ints, PROBING, 0, 1)
    if (taken === 0 || now - this.#floats[PROBE_AT]! > PROBE_PATIENCE_MS) {
      this.#floats[PROBE_AT] = now
      return true
    }
    return false
  }

  /** A request arrived: it earns its share of a retry token. ratio 0..1, perSecond tokens that come by themselves. */
  earnRetry(ratio: number, perSecond: number, now: number): void {
    const age = this.#floats[BUDGET_AT] === 0 ? 1000 : now - this.#floats[BUDGET_AT]!
    this.#floats[BUDGET_AT] = now
    this.#floats[BUDGET] = Math.min(BUDGET_CAP + perSecond, this.#floats[BUDGET]! + ratio + (age * perSecond) / 1000)
  }

  /** Takes one retry token. False = the budget is spent. */
  spendRetry(): boolean {
    if (this.#floats[BUDGET]! < 1) return false
    this.#floats[BUDGET] = this.#floats[BUDGET]! - 1
    return true
  }
}
