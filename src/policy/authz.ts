import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { ClientSide, HeaderList, ReplyWriter } from '../contracts/http.ts'
import type { Target } from '../contracts/routing.ts'
import type { DecisionDoor } from '../pipeline/door.ts'
import type { Leases } from '../pipeline/leases.ts'
import type { Head } from '../pipeline/raw-received.ts'
import type { UnaryCall, UnaryHandler } from '../protocol/grpc/calls.ts'
import type { PolicyParts } from './parts.ts'
import { GatewayError } from '../core/errors.ts'
import { cutBody, decisionOf, isCut } from '../pipeline/decision.ts'
import { Exchange } from '../pipeline/exchange.ts'
import type { CheckAnswer, CheckQuestion } from './check-wire.ts'
import { PolicyReceived, tooLarge, unfitHead, unpack } from './received.ts'
import { GRPC } from '../protocol/grpc/status.ts'

export interface AuthzParts extends PolicyParts {
  readonly leases: Leases
  limits(): PolicyServiceConfig['authz']['limits']
}

/** External authorization (envoy.service.auth.v3): may this request go on, and where should it go? */
export function checkHandler(parts: AuthzParts): UnaryHandler<CheckQuestion, CheckAnswer> {
  return (call, question) => {
    const { services, gate } = parts
    const closed = gate.refusal()
    const overload = closed === null ? gate.overload() : null
    if (closed !== null || overload !== null) {
      parts.decided('authz', 'unavailable', 0)
      call.fail(GRPC.UNAVAILABLE, closed?.message ?? `overloaded: ${overload}`)
      return
    }
    const check = new Check(parts, call, question, services.clock.monotonic())
    parts.inflight(1)
    call.listener = check
    check.begin()
  }
}

/** One check: the answer's side of its exchange. */
class Check implements ReplyWriter, DecisionDoor {
  readonly name = 'authz'
  readonly counts: boolean
  readonly #parts: AuthzParts
  readonly #call: UnaryCall<CheckAnswer>
  readonly #startedAt: number
  readonly #head: Head
  readonly #received: PolicyReceived
  readonly #partial: boolean
  readonly #missing: boolean
  open = true
  client: ClientSide | null = null

  constructor(parts: AuthzParts, call: UnaryCall<CheckAnswer>, question: CheckQuestion, startedAt: number) {
    this.#parts = parts
    this.#call = call
    this.#startedAt = startedAt
    this.counts = parts.limits() !== 'off'
    const { method, path, raw, peer, principal, body } = question
    this.#head = { method, url: path, raw, peer, startedAt }
    this.#received = new PolicyReceived(this.#head, principal, parts.services.current().policies.headers)
    this.#received.body = body
    this.#partial = isCut(this.#received)
    this.#missing = this.#received.body.length === 0 && bodyExpected(this.#received)
  }

  begin(): void {
    const { services } = this.#parts
    const received = this.#received
    const exchange = new Exchange(services, received, this, this)
    this.client = exchange
    const refusal = unfitHead(this.#head, services.limits) ?? this.#unfitBody()
    if (refusal !== null) {
      exchange.fail(refusal)
      return
    }
    unpack(received, services.limits, (error) => {
      if (error === null) exchange.begin()
      else exchange.fail(error)
    })
  }

  #unfitBody(): GatewayError | null {
    const { body } = this.#parts.services.limits
    if (this.#received.body.length > body) return tooLarge(body)
    if (this.#partial) return cutBody()
    if (this.#missing)
      return new GatewayError(
        'proxy_misconfigured',
        'The proxy in front does not show the body, by which is decided.',
        {
          detail: 'set with_request_body (Istio: includeRequestBodyInCheck) for external authorization',
        },
      )
    return null
  }

  #done(answer: CheckAnswer, decision: string): void {
    const parts = this.#parts
    parts.inflight(-1)
    parts.decided('authz', decision, parts.services.clock.monotonic() - this.#startedAt)
    this.#call.answer(answer)
  }

  onCancelled(): void {
    this.open = false
    this.#parts.inflight(-1)
    this.client?.onClientGone()
  }

  // ── the decision ──────────────────────────────────────────────────────────
  decide(x: Exchange, target: Target, model: string): void {
    if (!this.open) return
    this.open = false
    this.#done({ allowed: decisionOf(x, target, model, this.#parts.limits(), this.#parts.leases) }, 'allowed')
  }

  /** Also what Heddle answers itself, such as the list of models. */
  send(status: number, headers: HeaderList, body: Buffer | string): void {
    if (!this.open) return
    this.open = false
    const text = typeof body === 'string' ? body : body.toString()
    this.#done({ status, headers, body: text }, status < 400 ? 'answered' : 'denied')
  }

  // Nothing that comes in pieces can be answered here, and nothing is: no backend is called.
  head(): void {}
  flush(): void {}
  write(): boolean {
    return true
  }
  end(): void {}
  destroy(): void {
    this.open = false
  }
}

function bodyExpected(received: PolicyReceived): boolean {
  const length = received.header('content-length')
  return (length !== undefined && length !== '0') || received.header('transfer-encoding') !== undefined
}
