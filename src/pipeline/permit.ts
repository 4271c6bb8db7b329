import type { Amounts, Lease } from '../contracts/admission.ts'
import type { Grant, Waiting } from '../contracts/capacity.ts'
import type { Target } from '../contracts/routing.ts'
import type { UpstreamHeaders } from '../contracts/upstream.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import { NO_USAGE } from '../protocol/usage.ts'
import { GatewayError } from '../core/errors.ts'

const NOTHING_USED: Amounts = { inputTokens: 0, outputTokens: 0, nanoUsd: 0 }

/** What one call holds while it lasts: its place at the backend, and what it took of limits on the target. */
export class Permit {
  readonly #grant: Grant | null
  readonly #lease: Lease | null

  constructor(grant: Grant | null, lease: Lease | null) {
    this.#grant = grant
    this.#lease = lease
  }

  /** The head of the answer is here. */
  answered(headers: UpstreamHeaders): void {
    this.#grant?.answered((name) => {
      const value = headers[name]
      return typeof value === 'string' ? value : value?.[0]
    })
  }

  get limited(): boolean {
    return this.#lease !== null
  }

  extend(total: Amounts): boolean {
    return this.#lease?.extend(total) ?? true
  }

  /** The call was not made. */
  release(): void {
    this.#grant?.end(0)
    this.#lease?.settle(NOTHING_USED)
  }

  /** Somebody else makes the call, and does not say what it used. */
  count(amounts: Amounts): void {
    this.#grant?.end(amounts.inputTokens + amounts.outputTokens)
    this.#lease?.settle(amounts)
  }

  /** The call is over and charged. */
  end({ record }: Attempt): void {
    const { inputTokens, outputTokens } = record.usage ?? NO_USAGE
    this.#grant?.end(inputTokens + outputTokens)
    this.#lease?.settle({ inputTokens, outputTokens, nanoUsd: Math.max(0, record.nanoUsd) })
  }
}

/** One of the two is called, once. */
interface PermitAnswer {
  /** null = nothing bounds the target. */
  onPermit(permit: Permit | null): void
  onRefused(error: GatewayError): void
}

const isGrant = (entry: Grant | Waiting): entry is Grant => 'end' in entry

/**
 * Asks for one call of a target: first its turn at the backend, then the limits that count the target. One of the two
 * callbacks is called, at once or later; what this returns ends the asking, after which neither is.
 */
export class PermitRequest {
  readonly #x: Exchange
  readonly #target: Target
  readonly #model: string
  readonly #answer: PermitAnswer
  #waiting: Waiting | null = null
  #over = false

  constructor(x: Exchange, target: Target, model: string, answer: PermitAnswer) {
    this.#x = x
    this.#target = target
    this.#model = model
    this.#answer = answer
  }

  /** mayWait false: refused where there is a queue. */
  begin(mayWait: boolean): void {
    const { policies } = this.#x.snapshot
    const { gate } = policies
    if (gate === null) {
      this.#askLimits(null)
      return
    }
    const { inputTokens, outputTokens } = this.#x.account.expected
    const own = policies.ticketOf(this.#x.principal)
    // What can wait never goes before what others of its tenant ask.
    const priority = Math.max(own.priority, this.#x.received.priority ?? own.priority)
    const ticket = { ...own, priority, tokens: inputTokens + outputTokens, inputTokens }
    let entry: Grant | Waiting | null
    try {
      entry = gate.enter(this.#target, ticket, (grant, retryAfterMs) => this.#onTurn(grant, retryAfterMs))
    } catch (error) {
      this.#refuse(GatewayError.from(error))
      return
    }
    if (entry === null || isGrant(entry)) this.#askLimits(entry)
    else if (mayWait) this.#waiting = entry
    else {
      entry.cancel()
      this.#refuse(tooBusy(this.#target, NOT_WAITED_MS))
    }
  }

  #onTurn(grant: Grant | null, retryAfterMs: number): void {
    this.#waiting = null
    if (this.#over) grant?.end(0)
    else if (grant === null) this.#refuse(tooBusy(this.#target, retryAfterMs))
    else this.#askLimits(grant)
  }

  #askLimits(grant: Grant | null): void {
    const { limiter } = this.#x
    if (limiter === null || !limiter.byTarget) {
      this.#permit(grant, null)
      return
    }
    let lease: Lease | null | Promise<Lease | null>
    try {
      lease = limiter.admit({
        facts: this.#x,
        model: this.#x.match?.route.name ?? '',
        target: this.#target,
        estimate: this.#x.account.expectedAt(this.#target, this.#model),
      })
    } catch (error) {
      this.#refuse(GatewayError.from(error), grant)
      return
    }
    if (lease instanceof Promise)
      lease.then(
        (taken) => this.#permit(grant, taken),
        (error: unknown) => this.#refuse(GatewayError.from(error), grant),
      )
    // Not caught: what fails in the call that begins now is no refusal of the limits.
    else this.#permit(grant, lease)
  }

  #permit(grant: Grant | null, lease: Lease | null): void {
    if (this.#over) {
      grant?.end(0)
      lease?.settle(NOTHING_USED)
      return
    }
    this.#over = true
    this.#answer.onPermit(grant === null && lease === null ? null : new Permit(grant, lease))
  }

  #refuse(error: GatewayError, grant: Grant | null = null): void {
    grant?.end(0)
    if (this.#over) return
    this.#over = true
    this.#answer.onRefused(error)
  }

  /** Nobody wants the call any more. */
  cancel(): void {
    this.#over = true
    this.#waiting?.cancel()
    this.#waiting = null
  }
}

/** Of a hedge, which does not queue: nobody is told. */
const NOT_WAITED_MS = 1000

const tooBusy = (target: Target, retryAfterMs: number): GatewayError =>
  new GatewayError('upstream_unavailable', 'The backend had no place for the request in time.', {
    retryAfterMs,
    detail: `queue of ${target.name}`,
  })

/** The time of the whole request is over. queued: nothing was called, so that no backend was slow. */
export const outOfTime = (totalMs: number, queued: boolean): GatewayError =>
  queued
    ? new GatewayError('upstream_unavailable', `No backend had a place for the request within ${totalMs} ms.`, {
        retryAfterMs: NOT_WAITED_MS,
        detail: 'the total timeout ended in a queue',
      })
    : new GatewayError('upstream_timeout', `No target answered within ${totalMs} ms.`)

/** What the caller gives the request is over, or is less than the model usually takes to begin. */
export const tooLate = (budgetMs: number, usuallyMs = 0): GatewayError =>
  new GatewayError(
    'deadline_exceeded',
    usuallyMs === 0
      ? `The ${Math.round(budgetMs)} ms that the caller gave this request are over.`
      : `The caller gave this request ${Math.round(budgetMs)} ms; the model takes ${Math.round(usuallyMs)} ms to begin.`,
  )

/**
 * Asks for a call of a target, and makes it: at once, and before this returns, where nothing bounds the target. `later`
 * is true when something was waited for. Returns what is still asked for; null = it has been decided.
 */
export function askPermit(
  x: Exchange,
  target: Target,
  options: {
    readonly model: string
    /** false: refused where there is a queue. */
    readonly mayWait: boolean
    readonly start: (permit: Permit | null, later: boolean) => void
    readonly refused: (error: GatewayError) => void
    /** The call could not be started after something had been waited for. Left out: the request fails. */
    readonly fault?: (error: unknown) => void
  },
): PermitRequest | null {
  const { limiter } = x
  const { gate } = x.snapshot.policies
  if (gate === null && (limiter === null || !limiter.byTarget)) {
    options.start(null, false)
    return null
  }
  let later = false
  let open = true
  // Out of a callback an error would end the process, with everybody else's requests.
  const guarded = (step: () => void): void => {
    open = false
    if (!later) {
      step()
      return
    }
    try {
      step()
    } catch (error) {
      if (options.fault === undefined) x.fail(GatewayError.from(error))
      else options.fault(error)
    }
  }
  const request = new PermitRequest(x, target, options.model, {
    onPermit: (permit) =>
      guarded(() => {
        // Nobody may have cancelled the asking: that of a hedge is not held by anybody.
        if (x.over) {
          permit?.release()
          return
        }
        try {
          options.start(permit, later)
        } catch (error) {
          permit?.release()
          throw error
        }
      }),
    onRefused: (error) =>
      guarded(() => {
        if (!x.over) options.refused(error)
      }),
  })
  request.begin(options.mayWait)
  later = true
  return open ? request : null
}
