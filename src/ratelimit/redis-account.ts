import { CALENDAR } from './counter.ts'
import type { Counter } from './counter.ts'

/** What this instance knows of its part in one account (a budget, or places under way) in Redis. */
export class Account {
  readonly counter: Counter
  /** Epoch ms; 0 and 0 for places under way. */
  period = 0
  end = 0
  /** By this instance, in the period; and what of it Redis has confirmed, under this generation of the key. */
  settled = 0
  acked = 0
  generation = ''
  /** Held by leases, and asked for by requests whose answer is not here yet. */
  granted = 0
  asked = 0
  /** Redis must be told. */
  dirty = false
  /** Number of the last command that told Redis absolute amounts. */
  toldSeq = 0

  constructor(counter: Counter) {
    this.counter = counter
  }

  get reserved(): number {
    return Math.max(0, this.granted + this.asked)
  }

  /** now: epoch ms of Redis. In a new period nothing is settled yet. */
  enter(now: number): void {
    const { kind, calendar } = this.counter.rule
    if (kind !== CALENDAR) return
    calendar!.at(now)
    // A clock that is set back a little does not bring back the former period.
    if (calendar!.start <= this.period) return
    this.period = calendar!.start
    this.end = calendar!.end
    this.settled = 0
    this.acked = 0
  }

  /** The answer to a request for `cost` is here: it holds it, or not. */
  answered(cost: number, granted: boolean, seq: number): void {
    this.asked -= cost
    if (granted) this.granted += cost
    // Redis has been told meanwhile that it was held.
    else if (this.toldSeq > seq) this.dirty = true
  }

  /** Whether the request was carried out nobody knows: what Redis is told next corrects it. */
  unanswered(cost: number): void {
    this.asked -= cost
    this.dirty = true
  }

  /** Nothing in it that could be lost. */
  idle(now: number): boolean {
    return !this.dirty && this.granted <= 0 && this.asked <= 0 && now >= this.end
  }
}
