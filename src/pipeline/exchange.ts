import type { Principal } from '../contracts/identity.ts'
import type { ClientSide, HeaderList, Received, ReplyWriter } from '../contracts/http.ts'
import type { Target } from '../contracts/routing.ts'
import { addUsages } from '../protocol/usage.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import type { Attempt } from './attempt.ts'
import type { Door } from './door.ts'
import type { JsonAttempt, JsonOwner } from './json-attempt.ts'
import { RawAttempt, type RawOwner } from './raw-attempt.ts'
import type { Services } from './services.ts'
import type { HeldStream, StreamOwner } from './held-stream.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { GatewayError } from '../core/errors.ts'
import { streamInterrupted } from '../routing/failure.ts'
import { Account } from './account.ts'
import { ExchangeState } from './exchange-state.ts'
import { AttemptLoop } from './attempt-loop.ts'
import { countBody, mustEstimate } from './count-tokens.ts'
import { embedClientAnswer } from './embed-clients.ts'
import { errorBody, errorHead, errorTail, logFault } from './error-answer.ts'
import { addExchangeHeaders, dressHeaders } from './client-headers.ts'
import { addCost, answerHeaders, rawAnswerHeaders } from './headers.ts'
import { joinEarlier, takeOutcome } from './join.ts'
import type { Permit } from './permit.ts'
import { modelsAnswer } from './models.ts'
import { aboutOllama } from './ollama-about.ts'
import { methodsOf } from './operation.ts'
import { endpointFor } from './realtime/endpoint.ts'
import { usageRecord } from './record.ts'
import { asElsewhere, findRoute, prepare } from './prepare.ts'

const JSON_TYPE = 'application/json'

/**
 * One request from its receipt to its end: match, plan, attempts, answer. It alone writes to the client, and it ends
 * exactly once, whatever happens.
 */
export class Exchange extends ExchangeState implements ClientSide, JsonOwner, StreamOwner, RawOwner {
  readonly account = new Account(this)
  #loop: AttemptLoop | null = null
  #writing: Attempt | null = null
  #explain = false

  /** door: left out, Heddle makes the calls. */
  constructor(services: Services, received: Received, writer: ReplyWriter, door: Door | null = null) {
    super(services, received, writer, door)
  }

  // ── life ──────────────────────────────────────────────────────────────────
  begin(): void {
    // Its client may have left while the body was made ready: what is taken from here on nobody would give back.
    if (this.over) return
    this.bytesIn = this.received.body.length
    try {
      const { auth } = this.snapshot.policies
      if (auth === null) {
        this.#identified(ANONYMOUS)
        return
      }
      const principal = this.received.identity ?? auth.identify(this.received)
      if (principal instanceof Promise) principal.then((p) => this.#later(() => this.#identified(p)), this.#refuse)
      else this.#identified(principal)
    } catch (error) {
      this.fail(GatewayError.from(error))
    }
  }

  /** Goes on after something was waited for, unless the request is over. */
  #later(step: () => void): void {
    if (this.over) return
    try {
      step()
    } catch (error) {
      this.fail(GatewayError.from(error))
    }
  }

  readonly #refuse = (error: unknown): void => this.fail(GatewayError.from(error))

  #identified(principal: Principal): void {
    this.principal = principal
    const endpoint = endpointFor(this)
    if (this.snapshot.policies.state?.takes(this) === true) return
    if (endpoint === null)
      throw new GatewayError(
        'not_found',
        `There is nothing at ${this.received.method} ${this.received.path.slice(0, 200)}.`,
      )
    if (endpoint.kind === 'models') {
      const { id, dialect } = endpoint
      const { method } = this.received
      // Anthropic's list has the path of OpenAI's: its clients say a version.
      const asks = this.received.header('anthropic-version') === undefined ? dialect : 'anthropic.messages'
      this.#sendJson(200, modelsAnswer(this.snapshot, { id, method, dialect: asks }, principal.access))
      return
    }
    if (endpoint.kind === 'about') {
      this.#sendJson(200, aboutOllama(this, endpoint.what))
      return
    }
    prepare(this, endpoint)
    // Before the route is looked up: a refusal must not tell which names there are.
    const denial = principal.access.request(this) ?? asElsewhere(this)
    if (denial !== null)
      throw new GatewayError('permission_denied', 'This caller may not send this request.', {
        detail: `${denial.rule}: ${denial.reason}`,
      })
    if (this.repeated && this.door === null && joinEarlier(this)) return
    this.match = findRoute(this)
    this.#explain = this.received.header('x-heddle-explain') !== undefined
    const waiting = this.snapshot.policies.state?.ready(this)
    if (waiting === undefined) this.#admit()
    else waiting.then(() => this.#later(() => this.#admit()), this.#refuse)
  }

  #admit(): void {
    const waiting = this.account.admit()
    if (waiting === undefined) this.#detach()
    else waiting.then(() => this.#later(() => this.#detach()), this.#refuse)
  }

  /** Whoever will come back for the answer is told so before it is made. */
  #detach(): void {
    const waiting = this.kept?.background === true ? this.snapshot.policies.state?.detach(this) : undefined
    if (waiting === undefined) this.#admitted()
    else waiting.then(() => this.#later(() => this.#admitted()), this.#refuse)
  }

  #admitted(): void {
    if (this.counting && mustEstimate(this)) {
      this.#sendJson(200, countBody(this), ['x-heddle-estimated', 'input_tokens'])
      return
    }
    const cache = this.match!.route.cache === null ? null : this.snapshot.policies.cache
    const served = cache === null ? false : cache.begin(this)
    if (served instanceof Promise) served.then((done) => this.#later(() => done || this.lead()), this.#refuse)
    else if (!served) this.lead()
  }

  /** Asks backends. */
  lead(): void {
    this.#loop = new AttemptLoop(this)
    this.#loop.begin()
  }

  /** The request ends with an error: in the envelope before the first byte, as an event in a stream after it. */
  fail(error: GatewayError): void {
    if (this.over) return
    if (this.clients?.failsAll(this, error) === true) return
    this.error = error
    if (error.code === 'internal') logFault(this, error)
    if (this.#writing !== null) this.#failCommitted(error)
    else {
      const body = errorBody(this.received.path, error, this.id)
      const { status, headers } = errorHead(this, error)
      this.status = status
      if (error.headers.length === 0) this.account.lease?.addHeaders(headers)
      dressHeaders(headers, this)
      if (error.code === 'method_not_allowed') headers.push('allow', methodsOf(this.received.path).join(', '))
      this.#addExplain(headers)
      this.#noteFirstByte()
      this.bytesOut = body.length
      this.writer.send(status, headers, body)
    }
    this.#finish()
  }

  #failCommitted(error: GatewayError): void {
    const event = errorTail(this, error, this.#writing)
    if (event === null) this.writer.destroy()
    else {
      this.bytesOut += event.length
      this.writer.end(event)
    }
  }

  #sendJson(status: number, body: string, more: readonly string[] = []): void {
    this.status = status
    this.bytesOut = body.length
    this.#noteFirstByte()
    this.writer.send(status, dressHeaders(['content-type', JSON_TYPE, 'x-request-id', this.id, ...more], this), body)
    this.#finish()
  }

  /** The answer was here already: it is sent, and the request is over. */
  reply(status: number, body: string): void {
    if (!this.over) this.#sendJson(status, body)
  }

  /** The same, when the answer has been written. */
  replied(status: number, bytes: number): void {
    this.status = status
    this.bytesOut = bytes
    this.#noteFirstByte()
    this.#finish()
  }

  #finish(): void {
    if (this.over) return
    this.over = true
    this.#loop?.close()
    this.account.settle()
    this.totalMs = this.services.clock.monotonic() - this.received.startedAt
    if (this.received.upload !== undefined) this.bytesIn = this.received.upload.bytes
    this.cache?.end(this)
    if (this.clients?.leader === this) this.clients.end()
    this.services.telemetry.request(this)
    if (this.trace?.sampled === true) this.snapshot.policies.tracing?.writeSpans(this)
    // Of a stranger there is nothing to bill, and as much as it likes: records of others must not give way to it. And what
    // a proxy was told it may do it has not done yet.
    const handedOver = this.error === null && this.door !== null && this.door.decide !== null
    if (this.error?.code !== 'unauthenticated' && !handedOver) this.snapshot.policies.recorder?.write(usageRecord(this))
    this.snapshot.release()
  }

  #noteFirstByte(): void {
    if (this.firstByteMs < 0) this.firstByteMs = this.services.clock.monotonic() - this.received.startedAt
  }

  // ── the client's side ─────────────────────────────────────────────────────
  onClientGone(): void {
    if (this.over || this.clients?.goesOnWithout(this) === true) return
    if (this.detached !== null) {
      this.detached.onClientGone()
      return
    }
    this.error = new GatewayError('client_closed', 'The client went away.')
    if (this.status === 0) this.status = this.error.status
    this.#finish()
  }

  onDrain(): void {
    if (this.clients === null) (this.#writing ?? this.source)?.resume()
    else if (this.clients.writer.drained(this.ownWriter)) this.clients.leader.#writing?.resume()
  }

  onClientStalled(): void {
    if (this.clients !== null) {
      this.clients.writer.destroySlow()
      return
    }
    this.writer.destroy()
    this.onClientGone()
  }

  // ── tries of one request that came several times ──────────────────────────
  /** The earlier try, whose answer this one's client has got, is over. */
  endAs(leader: Exchange): void {
    if (this.over) return
    takeOutcome(this, leader)
    this.#finish()
  }

  /** The target is chosen, and a proxy makes the call. permit: what it holds of the target's limits. */
  decided(target: Target, model: string, permit: Permit | null): void {
    this.answeredBy = target
    this.answeredModel = model
    this.status = 200
    permit?.count(this.account.expectedAt(target, model))
    this.door?.decide?.(this, target, model)
    this.#finish()
  }

  // ── the attempts' side ────────────────────────────────────────────────────
  claim(attempt: Attempt): boolean {
    if (this.over || this.#loop === null || !this.#loop.claim(attempt)) {
      attempt.cancel()
      return false
    }
    this.answeredBy = attempt.target
    this.answeredModel = attempt.model
    return true
  }

  onAttemptFailed(attempt: Attempt, failure: AttemptFailure): void {
    if (!this.over) this.#loop?.onFailed(attempt, failure)
  }

  onStreamBroken(attempt: Attempt, failure: AttemptFailure): void {
    if (this.over) return
    this.usage = attempt.usage
    try {
      if (this.#loop?.tryContinue(attempt as HeldStream) !== true) this.fail(streamInterrupted(failure))
    } catch (error) {
      this.fail(GatewayError.from(error))
    }
  }

  onAttemptClosed(attempt: Attempt): void {
    this.account.charge(attempt)
  }

  onAttemptDone(attempt: Attempt): void {
    this.usage = addUsages(this.usage, attempt.usage)
    // A raw answer ends with its backend's.
    if (attempt instanceof RawAttempt) this.writer.end()
    this.#finish()
  }

  onAnswer(attempt: JsonAttempt, answer: Buffer): void {
    const { embedding } = this
    const body = embedding === null ? answer : embedClientAnswer(embedding.form, answer, this)
    this.account.charge(attempt)
    const headers = answerHeaders(attempt, this.id, JSON_TYPE, this.account)
    if (this.snapshot.config.usage.costHeader) addCost(headers, this.account)
    this.#begin(headers)
    this.status = 200
    this.bytesOut = body.length
    this.trace?.noteAnswer(body)
    this.writer.send(200, headers, body)
  }

  onStreamCommit(attempt: HeldStream): void {
    const first = this.#writing === null
    this.#writing = attempt
    if (!first) return
    this.#releaseBody()
    const headers = answerHeaders(attempt, this.id, attempt.contentType, this.account)
    headers.push('cache-control', 'no-cache', 'x-accel-buffering', 'no')
    if (this.match?.route.continuation === true) headers.push('x-heddle-continuation', 'possible')
    this.#begin(headers)
    this.status = 200
    this.writer.head(200, headers)
  }

  onStreamData(bytes: Buffer): boolean {
    if (this.#writing !== null && !this.account.keepUp(this.#writing)) {
      this.fail(new GatewayError('budget_exceeded', 'A limit was used up while the answer was being sent.'))
      return false
    }
    this.bytesOut += bytes.length
    this.trace?.noteAnswer(bytes)
    return this.writer.write(bytes)
  }

  onStreamEnd(): void {
    this.writer.end()
  }

  onRawHead(attempt: RawAttempt): void {
    this.#writing = attempt
    this.#releaseBody()
    const headers = rawAnswerHeaders(attempt, this.id, this.account)
    this.#begin(headers)
    this.status = attempt.answerStatus
    this.writer.head(attempt.answerStatus, headers)
    this.writer.flush()
  }

  onRawData(chunk: Buffer): boolean {
    this.bytesOut += chunk.length
    return this.writer.write(chunk)
  }

  #begin(headers: HeaderList): void {
    this.#noteFirstByte()
    addExchangeHeaders(headers, this)
    this.#addExplain(headers)
  }

  /** After commit nobody asks again: an open stream must not hold its prompt, which may be far larger than all else. */
  #releaseBody(): void {
    if (this.match?.route.continuation === true) return
    this.releaseRequest()
  }

  #addExplain(headers: HeaderList): void {
    if (this.#explain && this.#loop !== null) headers.push('x-heddle-explain', this.#loop.explain())
  }
}
