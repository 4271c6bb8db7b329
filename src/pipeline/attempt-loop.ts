import type { Plan, Route, RouteMatch, Target } from '../contracts/routing.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import type { PermitRequest } from './permit.ts'
import type { HeldStream } from './held-stream.ts'
import { hasOthers } from './attempt-record.ts'
import { stripProofs } from './bare-body.ts'
import { GatewayError } from '../core/errors.ts'
import { kindOfRefusal, NOT_CALLED, streamInterrupted } from '../routing/failure.ts'
import { CallbackTimer, WheelTimer } from '../core/wheel.ts'
import { planTargets } from '../routing/plan.ts'
import { continuationNotice, isContinuable, mayContinue } from './continuation.ts'
import { askPermit, outOfTime, tooLate } from './permit.ts'
import { upstreamModel } from '../routing/table.ts'
import { explainHeader } from './explain-header.ts'
import { earnRetries, jitter, leastResting, mayPause } from './backoff.ts'
import { Hedge } from './hedge.ts'
import { startAttempt, startShadows } from './start-attempt.ts'

const MAX_FALLBACKS = 8
const NO_PLAN: Plan = { order: [], skipped: [], note: 'none' }
/**
 * The one place that decides what follows a failed attempt: the next target, the same again after a wait, a fallback
 * model, or the end. It also starts hedges and holds the deadline over everything.
 */
export class AttemptLoop extends WheelTimer {
  readonly #x: Exchange
  #match: RouteMatch
  #plan = NO_PLAN
  #index = 0
  /** Attempts on the current target in a row. */
  #tries = 0
  /** Attempts in all, hedges not counted. */
  #made = 0
  #live: Attempt | null = null
  #hedge: Hedge | null = null
  /** A call that waits for its turn or for its limits. */
  #asking: PermitRequest | null = null
  #winner: Attempt | null = null
  #wait: CallbackTimer | null = null
  #fallbacks: string[] | null = null
  #fallbacksUsed = 0
  /** An answer that broke off after commit, and who may still go on with it. */
  #continuing: { readonly text: string; readonly from: Target; readonly left: Target[] } | null = null
  /** Monotonic ms at which a backend began to be waited for, and a place at one; -1 = none is. */
  #waitingSince = -1
  #queuedSince = -1

  constructor(x: Exchange) {
    super()
    this.#x = x
    this.#match = x.match!
  }

  get #route(): Route {
    return this.#match.route
  }

  /** Ms, monotonic. Handed on where several steps belong to one moment: reading the clock is not free. */
  #now(): number {
    return this.#x.services.clock.monotonic()
  }

  #planRoute(now = this.#now()): Plan {
    const { services } = this.#x
    const { pricing } = this.#x.snapshot.policies
    const plan = planTargets({
      route: this.#route,
      facts: this.#x,
      asked: this.#match.asked === '' ? undefined : this.#match.asked,
      now,
      random: () => services.random.next(),
      uncarried: (target) => this.#x.uncarried(target, this.#route.unsupported),
      refuse: pricing.strict ? (target) => pricing.refuses(target, upstreamModel(target, this.#match)) : undefined,
    })
    this.#x.planNote = plan.note
    return plan
  }

  /** Throws GatewayError when neither the route nor a fallback has a target for the request. */
  begin(): void {
    const now = this.#now()
    this.#setDeadline(now)
    try {
      this.#plan = this.#planRoute(now)
    } catch (error) {
      // All targets rest, or the prompt is too long for each: that is what fallbacks are for.
      const refusal = GatewayError.from(error)
      if (!this.#fallBack({ kind: kindOfRefusal(refusal), reason: refusal.code })) throw refusal
      return
    }
    earnRetries(this.#route, this.#plan, now)
    if (this.#route.shadows.length > 0 && !this.#x.door?.decide) startShadows(this.#x, this.#match)
    this.#passSlow(now)
    if (this.#route.hedge !== null && this.#x.door === null)
      this.#hedge = Hedge.for(
        this.#x,
        this.#match,
        this.#plan.order,
        () => !this.#x.over && this.#winner === null && this.#live !== null && this.#made === 1,
      )
    this.#attempt(now)
  }

  /** The route's own time, or what the caller and the proxies before us still have patience for. */
  #setDeadline(now: number): void {
    const x = this.#x
    const { totalMs } = this.#route.timeouts
    const route = totalMs > 0 ? now + totalMs : Infinity
    const caller = x.received.startedAt + x.budgetMs
    x.deadlineAt = Math.min(route, caller)
    if (x.deadlineAt === Infinity) return
    if (x.deadlineAt <= now) throw tooLate(x.budgetMs)
    x.services.wheel.arm(this, Math.max(1, x.deadlineAt - now))
  }

  /** Targets that usually begin later than the caller waits are no use to it. Throws when all are such. */
  #passSlow(now: number): void {
    const x = this.#x
    if (x.budgetMs === Infinity) return
    const left = x.deadlineAt - now
    const { order } = this.#plan
    const next = order.findIndex(({ health }) => health.p50StreamMs <= left)
    if (next < 0) throw tooLate(x.budgetMs, Math.min(...order.map(({ health }) => health.p50StreamMs)))
    for (const { name } of order.slice(0, next)) (x.passedOver ??= []).push({ target: name, reason: 'too slow' })
    this.#index = next
  }

  // ── starting ──────────────────────────────────────────────────────────────
  #attempt(now = this.#now()): void {
    const { order } = this.#plan
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
    this.#queuedSince = now
    const target = order[this.#index]!
    const asking = askPermit(this.#x, target, {
      model: upstreamModel(target, this.#match),
      mayWait: true,
      start: (permit, later) => {
        if (later) this.#x.queueMs += this.#now() - this.#queuedSince
        if (this.#x.door?.decide) this.#x.decided(target, upstreamModel(target, this.#match), permit)
        else this.#live = startAttempt(this.#x, target, this.#match, later ? { permit } : { permit, now })
      },
      refused: (error) => this.#passOver(target, error),
    })
    // Another may be asked for already, when this one was refused at once.
    if (asking !== null) this.#asking = asking
  }

  /** Limits or a full queue keep the request from a target: it was not called, and says nothing about its health. */
  #passOver(target: Target, error: GatewayError): void {
    this.#made--
    this.#x.passedOver ??= []
    this.#x.passedOver.push({ target: target.name, reason: error.detail ?? error.code })
    const failure: AttemptFailure = {
      kind: 'limited',
      reason: error.code,
      status: 0,
      retryable: true,
      retryAfterMs: error.retryAfterMs,
      ...NOT_CALLED,
      error,
    }
    if (this.#continuing === null) this.#afterFailure(failure)
    else if (!this.#continueWithNext()) this.#x.fail(streamInterrupted(failure))
  }

  // ── what attempts report ──────────────────────────────────────────────────
  /** The first to ask wins; the other's backend is cancelled. */
  claim(attempt: Attempt): boolean {
    if (this.#winner !== null && this.#winner !== attempt) return false
    this.#winner = attempt
    const second = this.#hedge?.release() ?? null
    const loser = attempt === this.#live ? second : this.#live
    this.#hedge = null
    this.#live = attempt
    loser?.cancel()
    this.#stopWaiting()
    this.#x.services.wheel.disarm(this)
    return true
  }

  #stopWaiting(): void {
    if (this.#waitingSince < 0) return
    this.#x.upstreamMs += this.#x.services.clock.monotonic() - this.#waitingSince
    this.#waitingSince = -1
  }

  onFailed(attempt: Attempt, failure: AttemptFailure): void {
    if (attempt === this.#hedge?.attempt) {
      this.#hedge.attempt = null
      return
    }
    this.#live = null
    if (this.#hedge !== null && this.#hedge.attempt !== null) {
      // The other one is already on its way: it takes the place of what would be tried next.
      this.#live = this.#hedge.release()
      this.#hedge = null
      this.#index = Math.min(1, this.#plan.order.length - 1)
      this.#tries = 1
      this.#made++
      return
    }
    try {
      if (this.#continuing === null) this.#afterFailure(failure)
      // Part of the answer is with the client: nobody may begin it again.
      else if (!this.#continueWithNext()) this.#x.fail(streamInterrupted(failure))
    } catch (error) {
      this.#x.fail(GatewayError.from(error))
    }
  }

  /** A proxy has made the call: nobody can make another. */
  get #handedOver(): boolean {
    const { door } = this.#x
    return door !== null && door.decide === null && door.used
  }

  #afterFailure(failure: AttemptFailure): void {
    if (failure.foreignProof === true && !this.#handedOver && stripProofs(this.#x)) {
      // The same target once more.
      this.#attempt()
      return
    }
    const { retries } = this.#route
    const again =
      failure.retryable && this.#made < retries.maxAttempts && !this.#x.spent && !this.#x.services.loop.draining
    if (!this.#handedOver && ((again && this.#retry(failure)) || this.#fallBack(failure))) return
    this.#x.fail(failure.error)
  }

  /** True when another attempt of this plan is under way or waited for. */
  #retry(failure: AttemptFailure): boolean {
    const { retries } = this.#route
    const { order } = this.#plan
    const again = failure.kind === 'failure' || failure.kind === 'busy'
    // Who retries elsewhere, or has sent this twice, needs none here: only other targets and addresses are tried.
    const others = again && hasOthers(order[this.#index]!, this.#x.attempts.at(-1)?.endpoint)
    const worthAgain = others || (again && failure.sameAgain && this.#x.mayRepeat)
    // As the backend said, else random.
    const pause = failure.retryAfterMs ?? jitter(this.#x, this.#route.retries, this.#made)
    if (worthAgain && this.#tryHere(others, pause)) return true
    for (let next = this.#index + 1; next < order.length; next++) {
      const { health } = order[next]!
      // A target that has just failed others is only tried within its retry budget: no storm on what is down.
      if (health.consecutiveFailures > 0 && !health.spendRetry()) continue
      this.#index = next
      this.#tries = 0
      this.#attempt()
      return true
    }
    // All were tried once: again, beginning with the one that rests least, while attempts and budget last.
    if (!worthAgain || this.#tries >= retries.maxAttempts) return false
    const { next, least } = leastResting(order, this.#now())
    const wait =
      next === this.#index ? Math.max(least, pause) : Math.max(least, jitter(this.#x, this.#route.retries, this.#made))
    if (!mayPause(this.#x, this.#route, wait) || !order[next]!.health.spendRetry()) return false
    if (next !== this.#index) this.#tries = 0
    this.#index = next
    this.#attemptAfter(wait)
    return true
  }

  /** The same target once more: at once at another of its addresses, else after a pause and within its retry budget. */
  #tryHere(others: boolean, pause: number): boolean {
    if (others && this.#tries === 1) {
      this.#attempt()
      return true
    }
    const { health } = this.#plan.order[this.#index]!
    if (this.#tries >= this.#route.retries.perTarget || !mayPause(this.#x, this.#route, pause) || !health.spendRetry())
      return false
    this.#attemptAfter(pause)
    return true
  }

  #attemptAfter(ms: number): void {
    this.#wait = new CallbackTimer(() => {
      this.#wait = null
      if (this.#x.over) return
      try {
        this.#attempt()
      } catch (error) {
        // Out of a timer it would end the process, with everybody else's requests.
        this.#x.fail(GatewayError.from(error))
      }
    })
    this.#x.services.wheel.arm(this.#wait, ms)
  }

  /** Goes on with another public model. True when an attempt of it is under way. */
  #fallBack(failure: Pick<AttemptFailure, 'kind' | 'reason'>): boolean {
    const { fallbacks } = this.#route
    if (this.#fallbacks === null || failure.kind === 'context' || failure.kind === 'content') {
      const special =
        failure.kind === 'context' ? fallbacks.contextWindow : failure.kind === 'content' ? fallbacks.contentPolicy : []
      if (failure.kind === 'client') return false
      const any = failure.kind === 'context' || failure.kind === 'content' ? [] : fallbacks.any
      this.#fallbacks ??= [...special, ...any]
    }
    while (this.#fallbacks.length > 0 && this.#fallbacksUsed < MAX_FALLBACKS) {
      const name = this.#fallbacks.shift()!
      this.#fallbacksUsed++
      const match = this.#x.snapshot.table.match(name)
      if (match === null || this.#x.principal.access.model(name, this.#x) !== null) continue
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
      earnRetries(this.#route, this.#plan, this.#now())
      this.#x.planNote = `fallback to ${name} after ${failure.reason}`
      this.#attempt()
      return true
    }
    return false
  }

  /** A chat stream broke after commit: another target goes on where it stopped. False = it cannot. */
  tryContinue(broken: HeldStream): boolean {
    const x = this.#x
    const { target, text } = broken
    // Only chat streams keep their text; what is passed on as it comes has none.
    if (typeof text !== 'string' || text === '' || x.continued > 0 || this.#handedOver || !isContinuable(x.json()))
      return false
    this.#continuing = {
      text,
      from: target,
      left: this.#plan.order.filter((t) => t !== target && mayContinue(x, t)),
    }
    if (!this.#continueWithNext()) return false
    x.continued++
    return true
  }

  /** False = no target is left that could go on. */
  #continueWithNext(): boolean {
    const x = this.#x
    const { text, from, left } = this.#continuing!
    const next = left.shift()
    if (next === undefined) return false
    x.onStreamData(continuationNotice(x, from, next))
    if (x.over) return true // a limit has ended the stream with it
    this.#winner = null
    const asking = askPermit(x, next, {
      model: upstreamModel(next, this.#match),
      mayWait: true,
      start: (permit) => {
        this.#live = startAttempt(x, next, this.#match, { continueFrom: text, permit })
      },
      refused: (error) => this.#passOver(next, error),
    })
    if (asking !== null) this.#asking = asking
    return true
  }

  /** The deadline over all attempts. */
  override onTimer(): void {
    const x = this.#x
    if (x.over || this.#winner !== null) return
    const left = x.deadlineAt - this.#now()
    if (left > 0) {
      // A later try has joined, and has more time.
      if (left < Infinity) x.services.wheel.arm(this, left)
      return
    }
    const { totalMs } = this.#route.timeouts
    const queued = this.#asking !== null && x.attempts.length === 0
    x.fail(x.deadlineAt < x.received.startedAt + x.budgetMs ? outOfTime(totalMs, queued) : tooLate(x.budgetMs))
  }

  /** The request is over: nothing of it may go on at a backend. */
  close(): void {
    const { wheel } = this.#x.services
    wheel.disarm(this)
    if (this.#wait !== null) wheel.disarm(this.#wait)
    this.#stopWaiting()
    this.#asking?.cancel()
    this.#live?.cancel()
    this.#hedge?.release()?.cancel()
  }

  explain(): string {
    return explainHeader(this.#x, this.#match, this.#plan)
  }
}
