import type { Target } from '../contracts/routing.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import type { RouteMatch } from '../contracts/routing.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { isRaw } from '../protocol/operations.ts'
import { cost } from '../routing/plan.ts'
import { upstreamModel } from '../routing/table.ts'
import { hedgeBudget } from './hedge-budget.ts'
import { askPermit } from './permit.ts'
import { startAttempt } from './start-attempt.ts'

/** A hedge for `auto` starts no earlier than this, so that a fast target's jitter starts none. */
const MIN_HEDGE_MS = 50
/** What a hedge on a target of unknown price is taken to cost: that of a dear model, since a cap must hold. */
const ASSUMED_PRICE = { input: 5, output: 25 }

/** The second attempt that is started beside a slow first one. Made only where the route hedges. */
export class Hedge {
  readonly #x: Exchange
  readonly #match: RouteMatch
  readonly #next: Target
  readonly #timer: CallbackTimer
  /** The first attempt is alone under way, and nothing has been answered. */
  readonly #isWanted: () => boolean
  #over = false
  attempt: Attempt | null = null

  constructor(x: Exchange, match: RouteMatch, next: Target, isWanted: () => boolean) {
    this.#x = x
    this.#match = match
    this.#next = next
    this.#isWanted = isWanted
    this.#timer = new CallbackTimer(() => this.#start())
  }

  /** Null where there is nobody to hedge with, or the request must not be made twice. */
  static for(x: Exchange, match: RouteMatch, order: readonly Target[], isWanted: () => boolean): Hedge | null {
    const [, next] = order
    // Two answers with tool calls could both be acted upon by a client that saw parts of each. A repeated request is a
    // second one already.
    if (next === undefined || x.needs.tools || isRaw(x.operation) || x.repeated) return null
    const { hedge, name } = match.route
    if (hedge === null) return null
    hedgeBudget.request(name)
    const after = hedge.afterMs === 'auto' ? order[0]!.health.p95Ms : hedge.afterMs
    if (hedge.afterMs === 'auto' && after === 0) return null
    const made = new Hedge(x, match, next, isWanted)
    x.services.wheel.arm(made.#timer, Math.max(after, hedge.afterMs === 'auto' ? MIN_HEDGE_MS : 1))
    return made
  }

  #start(): void {
    const { hedge, name } = this.#match.route
    const x = this.#x
    if (this.#over || hedge === null || !this.#isWanted()) return
    if (!hedgeBudget.take(name, hedge, cost(this.#next, x, ASSUMED_PRICE), x.services.clock.monotonic())) return
    // The first attempt is under way: the request does not depend on this one.
    const fault = (error: unknown): void =>
      x.services.log('error', { request_id: x.id, err: String(error) }, 'hedge failed to start')
    try {
      askPermit(x, this.#next, {
        model: upstreamModel(this.#next, this.#match),
        mayWait: false,
        start: (permit) => {
          if (this.#over) permit?.release()
          else this.attempt = startAttempt(x, this.#next, this.#match, { hedge: true, permit })
          x.hedged ||= this.attempt !== null
        },
        refused: () => {},
        fault,
      })
    } catch (error) {
      fault(error)
    }
  }

  /** What is under way is somebody else's from now on, and nothing more begins. */
  release(): Attempt | null {
    const { attempt } = this
    this.#over = true
    this.attempt = null
    this.#x.services.wheel.disarm(this.#timer)
    return attempt
  }
}
