import type { Plan, Route, RouteMatch, Target } from '../contracts/routing.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import type { StreamAttempt } from './stream-attempt.ts'
import { GatewayError } from '../core/errors.ts'
import { WheelTimer } from '../core/wheel.ts'
import { cost, planTargets } from '../routing/plan.ts'
import { isContinuable } from './continuation.ts'
import { explainHeader } from './explain-header.ts'
import { hedgeBudget } from './hedge-budget.ts'
import { startAttempt, startShadow } from './start-attempt.ts'

class CallbackTimer extends WheelTimer {
  readonly #fn: () => void
  constructor(fn: () => void) {
    super()
    this.#fn = fn
  }
  override onTimer(): void {
    this.#fn()
  }
}

const MAX_FALLBACKS = 8
/** A hedge for `auto` starts no earlier than this, so that a fast target's jitter starts none. */
const MIN_HEDGE_MS = 50

/**
 * The one place that decides what follows a failed attempt: the next target, the same again after a wait, a fallback
 * model, or the end. It also starts hedges and holds the deadline over everything.
 */
export class AttemptLoop extends WheelTimer {
  readonly #x: Exchange
  #match: RouteMatch
  #plan: Plan
  #index = 0
  /** Attempts on the current target in a row. */
  #tries = 0
  /** Attempts in all, hedges not counted. */
  #made = 0
  #live: Attempt | null = null
  #hedge: Attempt | null = null
  #winner: Attempt | null = null
  #wait: CallbackTimer | null = null
  #hedgeTimer: CallbackTimer | null = null
  #fallbacks: string[] | null = null
  #fallbacksUsed = 0
  /** Monotonic ms at which a backend began to be waited for; -1 = none is. */
  #waitingSince = -1

  constructor(x: Exchange) {
    super()
    this.#x = x
    this.#match = x.match!
    this.#plan = this.#planRoute()
  }

  get #route(): Route {
    return this.#match.route
  }

  #planRoute(): Plan {
    const { services } = this.#x
    const plan = planTargets({ route: this.#route, facts: this.#x, now: services.clock.monotonic(), random: () => services.random.next() })
    this.#x.planNote = plan.note
    return plan
  }

  begin(): void {
    const { services } = this.#x
    const { totalMs } = this.#route.timeouts
    if (totalMs > 0) services.wheel.arm(this, totalMs)
    const { ratio, minPerSecond } = this.#route.retries.budget
    for (const target of this.#route.targets) target.health.earnRetry(target === this.#plan.order[0] ? ratio : 0, minPerSecond, services.clock.monotonic())
    for (const shadow of this.#route.shadows) if (services.random.next() < shadow.shadow) startShadow(this.#x, shadow, this.#match)
    if (this.#route.hedge !== null) this.#armHedge()
    this.#attempt()
  }

  // ── starting ──────────────────────────────────────────────────────────────
  #attempt(): void {
    const { order } = this.#plan
    const now = this.#x.services.clock.monotonic()
    // An ejected target whose rest is over takes one probe at a time: others pass it by while there are others.
    while (this.#index < order.length - 1) {
      const { health } = order[this.#index]!
      if (health.ejectedUntil === 0 || health.tryProbe(now)) break
      this.#index++
      this.#tries = 0
    }
    this.#tries++
    this.#made++
    if (this.#waitingSince < 0) this.#waitingSince = now
    this.#live = startAttempt(this.#x, order[this.#index]!, this.#match)
  }

  #armHedge(): void {
    const { services, needs } = this.#x
    const next = this.#plan.order[1]
    const { hedge } = this.#route
    // Two answers with tool calls could both be acted upon by a client that saw parts of each.
    if (next === undefined || hedge === null || needs.tools || this.#x.operation === 'passthrough') return
    hedgeBudget.request(this.#route.name)
    const after = hedge.afterMs === 'auto' ? this.#plan.order[0]!.health.p95Ms : hedge.afterMs
    if (hedge.afterMs === 'auto' && after === 0) return
    this.#hedgeTimer = new CallbackTimer(() => this.#startHedge(next))
    services.wheel.arm(this.#hedgeTimer, Math.max(after, hedge.afterMs === 'auto' ? MIN_HEDGE_MS : 1))
  }

  #startHedge(target: Target): void {
    const { hedge } = this.#route
    if (this.#x.over || this.#winner !== null || this.#live === null || this.#made > 1 || hedge === null) return
    const price = cost(target, this.#x)
    if (!hedgeBudget.take(this.#route.name, hedge, Number.isFinite(price) ? price : 0, this.#x.services.clock.monotonic())) return
    this.#x.hedged = true
    this.#hedge = startAttempt(this.#x, target, this.#match, { hedge: true })
  }

  // ── what attempts report ──────────────────────────────────────────────────
  /** The first to ask wins; the other's backend is cancelled. */
  claim(attempt: Attempt): boolean {
    if (this.#winner !== null && this.#winner !== attempt) return false
    this.#winner = attempt
    const loser = attempt === this.#live ? this.#hedge : this.#live
    this.#hedge = null
    this.#live = attempt
    loser?.cancel()
    this.#stopWaiting()
    const { wheel } = this.#x.services
    wheel.disarm(this)
    if (this.#hedgeTimer !== null) wheel.disarm(this.#hedgeTimer)
    return true
  }

  #stopWaiting(): void {
    if (this.#waitingSince < 0) return
    this.#x.upstreamMs += this.#x.services.clock.monotonic() - this.#waitingSince
    this.#waitingSince = -1
  }

  onFailed(attempt: Attempt, failure: AttemptFailure): void {
    if (attempt === this.#hedge) {
      this.#hedge = null
      return
    }
    this.#live = null
    if (this.#hedge !== null) {
      // The other one is already on its way: it takes the place of what would be tried next.
      this.#live = this.#hedge
      this.#hedge = null
      this.#index = Math.min(1, this.#plan.order.length - 1)
      this.#tries = 1
      this.#made++
      return
    }
    try {
      this.#afterFailure(failure)
    } catch (error) {
      this.#x.fail(GatewayError.from(error))
    }
  }

  #afterFailure(failure: AttemptFailure): void {
    const { retries } = this.#route
    const again = failure.retryable && this.#made < retries.maxAttempts && !this.#x.services.loop.draining
    if (again && this.#retry(failure)) return
    if (this.#fallBack(failure)) return
    this.#x.fail(failure.error)
  }

  /** True when another attempt of this plan is under way or waited for. */
  #retry(failure: AttemptFailure): boolean {
    const { retries } = this.#route
    const { order } = this.#plan
    const worthAgain = failure.kind === 'failure' || failure.kind === 'busy'
    if (worthAgain && this.#tries < retries.perTarget && order[this.#index]!.health.spendRetry() && this.#waitThenAttempt(failure)) return true
    for (let next = this.#index + 1; next < order.length; next++) {
      const { health } = order[next]!
      // A target that has just failed others is only tried within its retry budget: no storm on what is down.
      if (health.consecutiveFailures > 0 && !health.spendRetry()) continue
      this.#index = next
      this.#tries = 0
      this.#attempt()
      return true
    }
    // All were tried once: again from the first, after a wait, while attempts and budget last.
    if (!worthAgain || order.length === 0 || this.#tries >= retries.maxAttempts) return false
    const first = order.findIndex((t) => t.health.deadUntil <= this.#x.services.clock.monotonic())
    if (first < 0 || !order[first]!.health.spendRetry()) return false
    if (first !== this.#index) this.#tries = 0
    this.#index = first
    return this.#waitThenAttempt(failure)
  }

  #waitThenAttempt(failure: AttemptFailure): boolean {
    const { services } = this.#x
    const { backoff, maxRetryAfterMs } = this.#route.retries
    const { totalMs } = this.#route.timeouts
    // Full jitter (Brooker, AWS Architecture Blog 2015), unless the backend said how long.
    const jitter = services.random.next() * Math.min(backoff.maxMs, backoff.baseMs * 2 ** (this.#made - 1))
    const ms = failure.retryAfterMs ?? jitter
    const left = totalMs === 0 ? Infinity : totalMs - (services.clock.monotonic() - this.#x.received.startedAt)
    if (ms > maxRetryAfterMs || ms >= left) return false
    this.#wait = new CallbackTimer(() => {
      this.#wait = null
      if (!this.#x.over) this.#attempt()
    })
    services.wheel.arm(this.#wait, ms)
    return true
  }

  /** Goes on with another public model. True when an attempt of it is under way. */
  #fallBack(failure: AttemptFailure): boolean {
    const { fallbacks } = this.#route
    if (this.#fallbacks === null || failure.kind === 'context' || failure.kind === 'content') {
      const special = failure.kind === 'context' ? fallbacks.contextWindow : failure.kind === 'content' ? fallbacks.contentPolicy : []
      if (failure.kind === 'client') return false
      const any = failure.kind === 'context' || failure.kind === 'content' ? [] : fallbacks.any
      this.#fallbacks ??= [...special, ...any]
    }
    while (this.#fallbacks.length > 0 && this.#fallbacksUsed < MAX_FALLBACKS) {
      const name = this.#fallbacks.shift()!
      this.#fallbacksUsed++
      const match = this.#x.snapshot.table.match(name)
      if (match === null) continue
      this.#match = match
      this.#index = 0
      this.#tries = 0
      this.#made = 0
      try {
        this.#plan = this.#planRoute()
      } catch {
        // Nothing of that model can serve it either: the next one may.
        continue
      }
      this.#x.planNote = `fallback to ${name} after ${failure.reason}`
      this.#attempt()
      return true
    }
    return false
  }

  /** A chat stream broke after commit: another target goes on where it stopped. False = it cannot. */
  tryContinue(broken: StreamAttempt): boolean {
    const x = this.#x
    const { target, text } = broken
    if (text === null || text === '' || x.continued > 0 || !isContinuable(x.json())) return false
    const next = this.#plan.order.find((t) => t !== target && t.health.ejectedUntil === 0)
    if (next === undefined) return false
    x.continued++
    const notice = { id: x.id, object: 'chat.completion.chunk', created: Math.floor(x.services.clock.now() / 1000), model: x.model, choices: [], heddle: { continuation: { from: target.name, to: next.name } } }
    x.onStreamData(Buffer.from(`data: ${JSON.stringify(notice)}\n\n`))
    this.#winner = null
    this.#live = startAttempt(x, next, this.#match, { continueFrom: text })
    return true
  }

  /** The deadline over all attempts. */
  override onTimer(): void {
    if (this.#x.over || this.#winner !== null) return
    this.#x.fail(new GatewayError('upstream_timeout', `No target answered within ${this.#route.timeouts.totalMs} ms.`))
  }

  /** The request is over: nothing of it may go on at a backend. */
  close(): void {
    const { wheel } = this.#x.services
    wheel.disarm(this)
    if (this.#wait !== null) wheel.disarm(this.#wait)
    if (this.#hedgeTimer !== null) wheel.disarm(this.#hedgeTimer)
    this.#stopWaiting()
    this.#live?.cancel()
    this.#hedge?.cancel()
  }

  explain(): string {
    return explainHeader(this.#x, this.#match, this.#plan)
  }
}
