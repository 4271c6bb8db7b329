import type { ErrorBound } from '../../contracts/semantic.ts'
import type { Random } from '../../core/clock.ts'
import { mostWrong, ruledOut, type Tally } from './bound.ts'
import { bandOf, BAND_ENDS, BANDS, CUTS, logBets, NO_BAND } from './curve.ts'
import { DriftAlarm } from './drift.ts'
import { believedErrors, sustainableBand } from './estimate.ts'
import { Counts, type CalibrationRecord } from './ledger.ts'

/** hit: answer from the cache. check: would be one, but has to be learnt from. miss: ask the backend. */
export type Action = 'hit' | 'check' | 'miss'

export interface CalibratorOptions {
  readonly bound: ErrorBound
  readonly random: Random
  /**
   * What a check is. `miss`: the client waits for the backend, and its answer is right. `shadow`: the client gets what is in the
   * cache, and the backend is asked behind its back. A call is paid in both cases.
   */
  readonly checks?: 'miss' | 'shadow'
  /** That count for the same scope, this one among them; what they have not told yet is supposed to be what we have not told. */
  readonly replicas?: number
}

/** All shares 0..1, of requests or of hits as the measure says. */
export interface Estimate {
  readonly state: 'learning' | 'serving'
  readonly requests: number
  readonly hits: number
  readonly labels: number
  /** Wrong answers that are allowed by now. */
  readonly budget: number
  /** Wrong answers that are likely, and the most that are not ruled out at the confidence. */
  readonly wrong: number
  readonly wrongAtMost: number
  readonly rate: number
  readonly rateAtMost: number
  /** Probability of error, as the evidence says it, up to which is served; 0 = nothing. */
  readonly servedUpTo: number
  /** How often the traffic was found to have changed. */
  readonly epoch: number
}

/** So many wrong answers are allowed from the start: before grace / bound requests (or hits) a rate says nothing. */
export const GRACE = 5
/** Budget that is not used is not kept beyond this many requests' (or hits') worth: it would be spent at once on a bad day. */
const SAVED = 20_000
/** Of the hits are checked at least so many; more while the budget is small, when a label is worth more than a hit. */
const CHECKS_LEAST = 0.02
const CHECKS_MOST = 0.4
const CHECKS_PER_BUDGET = 1
/** The plan must hold so much longer, as a share of the requests up to now and at least so many. */
const HORIZON = 0.1
const HORIZON_LEAST = 100
const REPLAN = 0.02
/** Hits of a band of which little is known weigh on the bound for ever: so many labels up to it come first. */
const LEAST_LABELS = 15
/** Of the confidence the first epoch has this much; the rest is for those after a change of traffic, of which there is no end. */
const FIRST_EPOCH = 0.9
/** Bands' shares of the requests are forgotten by this factor with each. */
const FORGET = 0.998

/**
 * Decides what is served in one scope (tenant, model, versions), so that wrong answers stay within the bound at all times together,
 * at its confidence (docs/adr/0016). Synchronous, without a clock. Assumes: the probability of error is made before the answer is
 * known; labels are honest, and whether one comes has nothing to do with what it says; a band's share of errors stays while its
 * epoch lasts.
 */
export class Calibrator {
  readonly #bound: ErrorBound
  readonly #random: Random
  readonly #shadow: boolean
  readonly #replicas: number
  readonly #all = new Counts()
  /** Of #all, what others have not been told. */
  readonly #fresh = new Counts()
  readonly #alarm = new DriftAlarm()
  readonly #rates = new Float64Array(BANDS)
  readonly #bets = new Float64Array(CUTS.length)
  readonly #supposed = new Float64Array(BANDS)
  readonly #believed = new Float64Array(BANDS)
  #rateWeight = 0
  #epoch = 0
  #needed: number
  #forfeited = 0
  #pending = 0
  #open = NO_BAND
  /** The loosest that was ever open in this epoch: what was served there is still to be vouched for. */
  #opened = NO_BAND
  #quota = 0
  #heard = 0
  #replanAt = 0

  /** Throws RangeError where the bound is outside of its range. */
  constructor(options: CalibratorOptions) {
    const { bound, confidence } = options.bound
    if (!(bound > 0 && bound < 1)) throw new RangeError('bound must be between 0 and 1')
    if (!(confidence > 0 && confidence < 1)) throw new RangeError('confidence must be between 0 and 1')
    this.#bound = options.bound
    this.#random = options.random
    this.#shadow = options.checks === 'shadow'
    this.#replicas = Math.max(1, options.replicas ?? 1)
    this.#needed = this.#neededIn(0)
    believedErrors(this.#all, this.#believed)
  }

  /** Once for each request that the exact tier has no answer to. wrong: probability by the evidence, 0..1; NaN = no candidate. */
  decide(wrong: number): Action {
    this.#all.requests++
    this.#fresh.requests++
    const band = bandOf(wrong)
    this.#notice(band)
    if (band === NO_BAND) return 'miss'
    if (this.#all.requests >= this.#replanAt || this.#heard > REPLAN * this.#all.requests) this.#plan()
    if (band > this.#open) return 'miss'
    if (this.#quota <= 0) this.#plan()
    if (band > this.#open) return 'miss'
    if (this.#random.next() < this.#checkShare()) {
      if (!this.#shadow) return 'check'
      this.#pending++
      this.#quota--
      this.#count(band, 0)
      return 'check'
    }
    this.#quota--
    this.#count(band, 1)
    return 'hit'
  }

  /**
   * What a miss or a check taught: whether the candidate's answer was another one. wrong: as it was given to `decide`. Nothing is
   * told where answers cannot be compared.
   */
  label(wrong: number, isWrong: boolean): void {
    const band = bandOf(wrong)
    if (band === NO_BAND) return
    if (band <= this.#opened && this.#alarm.hear(this.#seenShare(band), isWrong)) this.#begin()
    for (const counts of [this.#all, this.#fresh]) {
      counts.labels[band]!++
      if (isWrong) counts.wrong[band]!++
    }
    this.#heard++
  }

  /** A shadow check ended: label it if it could be compared, and say here what the client got; null = nobody knows. */
  shadowed(wrong: number, isWrong: boolean | null): void {
    this.#pending = Math.max(0, this.#pending - 1)
    const band = bandOf(wrong)
    if (isWrong === null && band !== NO_BAND) {
      for (const counts of [this.#all, this.#fresh]) counts.served[band]!++
    }
    if (isWrong === true) this.report()
  }

  /** Somebody says that a hit was wrong. It costs budget; it is no sample, so it says nothing about the band. */
  report(): void {
    this.#all.seenWrong++
    this.#fresh.seenWrong++
    this.#quota = 0
  }

  /** What others have not been told; they give it to `absorb`. */
  take(): CalibrationRecord {
    const record = this.#fresh.record(this.#epoch)
    this.#fresh.clear()
    return record
  }

  /** Of another replica, or what a store kept. Of an earlier epoch it is of no use; of a later one, ours is. */
  absorb(record: CalibrationRecord): void {
    while (record.epoch > this.#epoch) this.#begin()
    if (record.epoch < this.#epoch) return
    this.#all.add(record)
    this.#heard = Infinity
  }

  record(): CalibrationRecord {
    return this.#all.record(this.#epoch)
  }

  estimate(): Estimate {
    this.#plan()
    const { labels, served, requests, hits, seenWrong } = this.#all
    let unseen = 0
    let wrong = seenWrong
    let labelled = 0
    for (let band = 0; band < BANDS; band++) {
      unseen += served[band]!
      wrong += served[band]! * this.#believed[band]!
      labelled += labels[band]!
    }
    const wrongAtMost = Math.min(hits, seenWrong + mostWrong(this.#tally(served), unseen, this.#needed))
    const base = this.#bound.measure === 'wrong_per_request' ? requests : hits
    return {
      state: this.#open === NO_BAND ? 'learning' : 'serving',
      requests,
      hits,
      labels: labelled,
      budget: this.#budget(requests, hits),
      wrong,
      wrongAtMost,
      rate: base === 0 ? 0 : wrong / base,
      rateAtMost: base === 0 ? 0 : wrongAtMost / base,
      servedUpTo: this.#open === NO_BAND ? 0 : BAND_ENDS[this.#open]!,
      epoch: this.#epoch,
    }
  }

  #neededIn(epoch: number): number {
    // 1/e^2 sums to pi^2/6.
    const share = epoch === 0 ? FIRST_EPOCH : ((1 - FIRST_EPOCH) * 6) / (Math.PI * epoch) ** 2
    return -Math.log((1 - this.#bound.confidence) * share)
  }

  /** Traffic has changed: what was known says nothing any more, and the promise begins anew. */
  #begin(): void {
    this.#epoch++
    this.#needed = this.#neededIn(this.#epoch)
    this.#all.clear()
    this.#fresh.clear()
    this.#alarm.reset()
    this.#forfeited = 0
    this.#open = NO_BAND
    this.#opened = NO_BAND
    this.#quota = 0
    this.#replanAt = 0
  }

  /** Of errors, on the high side: what the evidence said wrongly is no change. */
  #seenShare(band: number): number {
    return (this.#all.wrong[band]! + 2) / (this.#all.labels[band]! + LEAST_LABELS)
  }

  #count(band: number, unseen: 0 | 1): void {
    for (const counts of [this.#all, this.#fresh]) {
      counts.hits++
      counts.served[band]! += unseen
    }
  }

  #notice(band: number): void {
    this.#rateWeight = this.#rateWeight * FORGET + 1
    for (let b = 0; b < BANDS; b++) this.#rates[b]! *= FORGET
    if (band !== NO_BAND) this.#rates[band]!++
  }

  #checkShare(): number {
    const { requests, hits } = this.#all
    return Math.min(CHECKS_MOST, Math.max(CHECKS_LEAST, CHECKS_PER_BUDGET / this.#budget(requests, hits)))
  }

  /** Whole wrong answers. */
  #budget(requests: number, hits: number): number {
    const base = this.#bound.measure === 'wrong_per_request' ? requests : hits
    return Math.max(GRACE, Math.floor(this.#bound.bound * base + 1e-9) - this.#forfeited)
  }

  #tally(served: ArrayLike<number>): Tally {
    return { labels: this.#all.labels, wrong: this.#all.wrong, served, logBets: this.#bets }
  }

  #plan(): void {
    const all = this.#all
    logBets(all.labels, all.wrong, this.#bets)
    believedErrors(all, this.#believed)
    this.#forfeit()
    this.#heard = 0
    this.#replanAt = all.requests + Math.max(5, Math.floor(all.requests * REPLAN))
    this.#quota = Math.max(1, Math.floor((all.hits * REPLAN) / this.#replicas))
    const most = sustainableBand(this.#believed, this.#rates, this.#rateWeight, this.#bound)
    let open = most
    while (open > NO_BAND && !this.#canServe(open)) open--
    this.#open = open
    this.#opened = Math.max(this.#opened, open)
    if (open === NO_BAND) this.#quota = 0
  }

  #forfeit(): void {
    const { served, requests, hits, seenWrong } = this.#all
    let likely = seenWrong
    for (let band = 0; band < BANDS; band++) likely += served[band]! * this.#believed[band]!
    const unused = this.#budget(requests, hits) - likely - Math.max(4 * GRACE, this.#bound.bound * SAVED)
    if (unused > 0) this.#forfeited += Math.floor(unused)
  }

  /** Whether the promise is kept if the whole quota is served in this band, now, and if bands up to it are, for a while. */
  #canServe(open: number): boolean {
    const { labels, served, requests, hits } = this.#all
    let labelled = 0
    for (let band = 0; band <= open; band++) labelled += labels[band]!
    if (labelled < LEAST_LABELS) return false
    for (let band = 0; band < BANDS; band++) {
      this.#supposed[band] = served[band]! + (this.#replicas - 1) * this.#fresh.served[band]!
    }
    this.#supposed[open]! += this.#quota * this.#replicas
    if (!this.#holds(requests, hits)) return false
    const ahead = Math.max(HORIZON_LEAST, HORIZON * requests)
    let more = 0
    for (let band = 0; band <= open; band++) {
      const added = (this.#rates[band]! / this.#rateWeight) * ahead
      this.#supposed[band]! += added
      more += added
    }
    return this.#holds(requests + ahead, hits + more)
  }

  #holds(requests: number, hits: number): boolean {
    const known = this.#all.seenWrong + this.#pending + (this.#shadow ? this.#quota : 0)
    const left = this.#budget(requests, hits) - known
    return left >= 0 && ruledOut(this.#tally(this.#supposed), left + 1, this.#needed)
  }
}
