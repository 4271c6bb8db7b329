import type { CapacityConfig, Grant, OnTurn, Ticket, Waiting } from '../contracts/capacity.ts'
import type { Health, Target } from '../contracts/routing.ts'
import { GatewayError } from '../core/errors.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { parseLimitHeaders } from '../protocol/limit-headers.ts'
import type { GateParts } from './fair-queue-gate.ts'
import { FairQueue, QueueMember, type Flow } from './fair-queue.ts'
import { LearnedQuota } from './quota.ts'

/** Told to wait where nothing has been measured yet, ms. */
const UNMEASURED_MS = 1000
/** While somebody waits the target is looked at this often, for what no other worker announces, ms. */
const POLL_MS = 20
/** Weight of the newest in the mean time between two places that came free. */
const NEWEST = 0.1

/** The queue of one target in one worker. */
export class TargetQueue {
  readonly target: string
  readonly #health: Pick<Health, 'busyUntil'>
  readonly #slot: number
  readonly #parts: GateParts
  readonly #quota: LearnedQuota
  readonly #queue = new FairQueue()
  readonly #poll: CallbackTimer
  #config: CapacityConfig
  /** Mean ms between two calls that ended while somebody waited; 0 = not measured. */
  #interval = 0
  #lastEnd = 0
  #listening = false
  #pumping = false

  constructor(target: Target, slot: number, config: CapacityConfig, parts: GateParts) {
    this.target = target.name
    this.#health = target.health
    this.#slot = slot
    this.#config = config
    this.#parts = parts
    this.#quota = new LearnedQuota(parts.table.quota(slot))
    this.#poll = new CallbackTimer(() => this.pump())
  }

  get config(): CapacityConfig {
    return this.#config
  }
  get waiting(): number {
    return this.#queue.size
  }
  get inUse(): number {
    return this.#parts.table.inUse(this.#slot)
  }

  /** Another bound counts from now on, also for those that wait. */
  reconfigure(config: CapacityConfig): void {
    this.#config = config
    if (this.#queue.size > 0) this.#parts.wheel.arm(this.#poll, 0)
  }

  #now(): number {
    return this.#parts.clock.monotonic()
  }

  /** Ms until the backend is expected to take the call: while it rests after a 429, or its quota is used up. */
  #waitMs(ticket: Ticket): number {
    const now = this.#now()
    const rest = Math.max(0, this.#health.busyUntil - now)
    return this.#config.learn ? Math.max(rest, this.#quota.waitMs(ticket, now)) : rest
  }

  enter(ticket: Ticket, onTurn: OnTurn): Grant | Waiting {
    const backendWait = this.#waitMs(ticket)
    if (this.#queue.size === 0 && backendWait === 0 && this.#mayBarge() && this.#take())
      return this.#grant(ticket, this.#queue.charge(ticket))
    const { queueLength, queueWaitMs } = this.#config
    const known = Number.isFinite(backendWait) ? backendWait : 0
    if (known > queueWaitMs) throw this.#refusal('quota used up', known)
    if (this.#queue.size >= queueLength || queueWaitMs === 0)
      throw this.#refusal('queue full', Math.max(this.#drainMs(), known))
    const place = new Place(this, ticket, onTurn)
    this.#queue.push(place)
    this.#parts.wheel.arm(place.timer, queueWaitMs)
    this.#changed()
    return place
  }

  /** Where others wait, nobody who comes now goes before them with more than this worker's part. */
  #mayBarge(): boolean {
    const { table } = this.#parts
    const { concurrency } = this.#config
    if (concurrency === 0) return true
    const others = table.othersWaiting(this.#slot)
    return others === 0 || table.ownInUse(this.#slot) < Math.floor(concurrency / (others + 1))
  }

  #take(): boolean {
    const { concurrency } = this.#config
    return this.#parts.table.tryTake(this.#slot, concurrency === 0 ? Infinity : concurrency)
  }

  #grant(ticket: Ticket, flow: Flow): Grant {
    this.#quota.pending(ticket, 1)
    return new Held(this, ticket, flow)
  }

  #refusal(why: string, ms: number): GatewayError {
    return new GatewayError('rate_limited', 'The backend of this model has no place for the request now.', {
      retryAfterMs: Math.max(1, Math.ceil(ms)),
      detail: `${this.target}: ${why}, ${this.#queue.size} waiting`,
    })
  }

  /** Ms in which those that wait now will have begun, at the rate at which places came free so far. */
  #drainMs(): number {
    return this.#interval === 0 ? UNMEASURED_MS : (this.#queue.size + 1) * this.#interval
  }

  /** Lets in who is next, as long as there are places and quota. */
  pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    let wait = POLL_MS
    try {
      for (let next = this.#queue.peek(); next !== null; next = this.#queue.peek()) {
        const place = next as Place
        wait = this.#waitMs(place.ticket)
        if (wait > 0 || !this.#take()) break
        this.#parts.wheel.disarm(place.timer)
        const grant = this.#grant(place.ticket, this.#queue.take(place))
        place.onTurn(grant, 0)
      }
    } finally {
      this.#pumping = false
      this.#changed(wait)
    }
  }

  /** The length of the queue has changed, or what it waits for. */
  #changed(wait = 0): void {
    const { table, wheel } = this.#parts
    table.setWaiting(this.#slot, this.#queue.size)
    if (this.#queue.size === 0) {
      wheel.disarm(this.#poll)
      return
    }
    wheel.arm(this.#poll, wait > 0 ? Math.min(wait, POLL_MS) : POLL_MS)
    this.#listen()
  }

  /** Another worker's places wake this one at once; the poll is for what nobody announces. */
  #listen(): void {
    if (this.#listening) return
    const { table } = this.#parts
    const announced = table.announced(this.#slot, table.announcements(this.#slot))
    if (announced === null) return
    this.#listening = true
    void announced.then(() => {
      this.#listening = false
      if (this.#queue.size > 0) this.pump()
    })
  }

  /** It waited as long as it may, or does not want to any more. */
  leave(place: Place): void {
    this.#queue.remove(place)
    this.#changed()
  }

  disarm(place: Place): void {
    this.#parts.wheel.disarm(place.timer)
  }

  expire(place: Place): void {
    this.leave(place)
    place.onTurn(null, Math.max(1, Math.ceil(this.#drainMs())))
  }

  // ── what grants report ────────────────────────────────────────────────────
  answered(ticket: Ticket, header: (name: string) => string | undefined): void {
    this.#quota.pending(ticket, -1)
    if (this.#config.learn) {
      const headers = parseLimitHeaders(header, this.#parts.clock.now())
      if (headers !== null) this.#quota.learn(headers, this.#now())
    }
    if (this.#queue.size > 0) this.pump()
  }

  end(ticket: Ticket, flow: Flow, tokens: number, pending: boolean): void {
    if (pending) this.#quota.pending(ticket, -1)
    this.#queue.settle(flow, Math.max(1, ticket.tokens), tokens)
    const { table } = this.#parts
    table.giveBack(this.#slot)
    this.#measure()
    const others = table.othersWaiting(this.#slot)
    if (others > 0) {
      table.announce(this.#slot)
      // Who holds its part leaves the place to the other workers; if none of them takes it, the poll does.
      if (table.ownInUse(this.#slot) >= Math.floor(this.#config.concurrency / (others + 1))) return
    }
    if (this.#queue.size > 0) this.pump()
  }

  #measure(): void {
    const now = this.#now()
    // Places that come free while nobody waits tell how often requests come, not how fast they are served.
    if (this.#queue.size > 0 && this.#lastEnd > 0) {
      const passed = now - this.#lastEnd
      this.#interval = this.#interval === 0 ? passed : this.#interval + (passed - this.#interval) * NEWEST
    }
    this.#lastEnd = this.#queue.size > 0 ? now : 0
  }
}

/** One request in the queue. */
class Place extends QueueMember implements Waiting {
  readonly timer: CallbackTimer
  readonly onTurn: OnTurn
  readonly #queue: TargetQueue

  constructor(queue: TargetQueue, ticket: Ticket, onTurn: OnTurn) {
    super(ticket)
    this.#queue = queue
    this.onTurn = onTurn
    this.timer = new CallbackTimer(() => queue.expire(this))
  }

  cancel(): void {
    if (this.flow === null) return
    this.#queue.disarm(this)
    this.#queue.leave(this)
  }
}

/** One call under way. */
class Held implements Grant {
  readonly #queue: TargetQueue
  readonly #ticket: Ticket
  readonly #flow: Flow
  #pending = true
  #over = false

  constructor(queue: TargetQueue, ticket: Ticket, flow: Flow) {
    this.#queue = queue
    this.#ticket = ticket
    this.#flow = flow
  }

  answered(header: (name: string) => string | undefined): void {
    if (!this.#pending) return
    this.#pending = false
    this.#queue.answered(this.#ticket, header)
  }

  end(tokens: number): void {
    if (this.#over) return
    this.#over = true
    const pending = this.#pending
    this.#pending = false
    this.#queue.end(this.#ticket, this.#flow, tokens, pending)
  }
}
