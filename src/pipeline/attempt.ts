import type { Call, UpstreamFault, UpstreamHeaders, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { RouteDefaults } from '../contracts/config.ts'
import type { Amounts } from '../contracts/admission.ts'
import type { Credential } from '../contracts/credentials.ts'
import type { GatewayError } from '../core/errors.ts'
import type { AttemptOutcome, Target } from '../contracts/routing.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import { hasOthers, type AttemptRecord } from './attempt-record.ts'
import type { Door } from './door.ts'
import type { Permit } from './permit.ts'
import type { Services } from './services.ts'
import type { Usage } from '../contracts/usage.ts'
import { classifyAnswer, classifyFault, NOT_CALLED, timeoutFailure } from '../routing/failure.ts'
import { WheelTimer } from '../core/wheel.ts'
import { proxyTime } from '../mesh/origin.ts'
import { restAfter } from './attempt-rest.ts'
import { secretsOf } from './attempt-secrets.ts'
import { notPicked } from './not-picked.ts'

/** What an attempt tells the exchange that owns it. */
export interface AttemptOwner {
  readonly services: Services
  /** Who makes the call, if not Heddle. */
  readonly door: Door | null
  /** Proxies of a mesh stand between Heddle and backends that it calls without TLS. */
  readonly inMesh: boolean
  /** All attempts of the request so far. */
  readonly attempts: readonly AttemptRecord[]
  /** Not before commit, or the commit itself failed: another attempt may follow. */
  onAttemptFailed(attempt: Attempt, failure: AttemptFailure): void
  /** A stream broke after bytes had gone to the client. */
  onStreamBroken(attempt: Attempt, failure: AttemptFailure): void
  /** The attempt has an answer for the client: true = it may write it, false = another attempt was faster. */
  claim(attempt: Attempt): boolean
  onAttemptDone(attempt: Attempt): void
  /** It is over, however it ended; before anything else is told of its end. */
  onAttemptClosed(attempt: Attempt): void
  /** The client has not read for as long as it may. */
  onClientStalled(): void
}

export interface AttemptPlan {
  readonly owner: AttemptOwner
  readonly target: Target
  readonly model: string
  readonly record: AttemptRecord
  /** Clock.monotonic, ms: when the attempt begins. */
  readonly now: number
  /** The route's timers, retry and breaker rules. */
  readonly rules: RouteDefaults
  /** What it holds while it lasts; null = nothing. */
  readonly permit: Permit | null
  /** null = the provider wants none. */
  readonly credential: Credential | null
}

const NOTHING: readonly string[] = []
const MAX_ERROR_BYTES = 64 * 1024
/** A proxy's own error is one line. */
const PROXY_TEXT = 500
/** After its terminal event a backend gets this long to end its answer, so that the connection can be used again. */
const LINGER_MS = 1000

/**
 * One call of one target. Subclasses judge the answer by its form; this class has what all forms share: error bodies,
 * timers, health, and exactly one ending.
 */
export abstract class Attempt extends WheelTimer implements UpstreamSink {
  readonly owner: AttemptOwner
  readonly target: Target
  /** Realtime sessions may name it late. */
  model: string
  readonly record: AttemptRecord
  readonly startedAt: number
  readonly rules: RouteDefaults
  readonly #permit: Permit | null
  readonly #credential: Credential | null
  usage: Usage | null = null
  /** Bytes of it have gone to the client. */
  committed = false
  over = false
  headers: UpstreamHeaders = {}
  /** Parameters of the client that its wire could not carry. */
  dropped: readonly string[] = NOTHING
  protected call: Call | null = null
  protected status = 0
  /** Wheel time of the last byte. */
  protected lastByteAt = 0
  protected paused = false
  /** Wheel time since which the client does not read. */
  #pausedAt = 0
  #errorChunks: Buffer[] | null = null
  #errorBytes = 0
  #errorText = ''

  constructor(plan: AttemptPlan) {
    super()
    this.owner = plan.owner
    this.target = plan.target
    this.model = plan.model
    this.record = plan.record
    this.rules = plan.rules
    this.#permit = plan.permit
    this.#credential = plan.credential
    this.startedAt = plan.now
  }

  start(request: UpstreamRequest): void {
    this.target.health.begin()
    const ms = this.nextCheck()
    if (ms > 0) this.owner.services.wheel.arm(this, ms)
    const { door } = this.owner
    const call =
      door === null || door.decide !== null
        ? this.target.provider.upstream.call(request, this)
        : door.call(this.target, request, this)
    // The call may have failed before it returned.
    if (!this.over) this.call = call
  }

  /** Its first token comes long before its end. */
  protected get streams(): boolean {
    return false
  }

  /** Ms until a timer of this attempt is due, 0 = none; judged from its state. */
  protected abstract nextCheck(): number
  /** The timer that nextCheck() named is due. */
  protected abstract onDue(): void
  protected abstract onAnswerHead(): void
  protected abstract onAnswerData(chunk: Buffer): void
  protected abstract onAnswerEnd(): void

  protected elapsed(): number {
    return this.owner.services.clock.monotonic() - this.startedAt
  }

  onTimer(): void {
    if (this.over) {
      this.call?.abort()
      return
    }
    this.onDue()
    if (this.over) return
    const ms = this.nextCheck()
    if (ms > 0) this.owner.services.wheel.arm(this, ms)
  }

  onEndpoint(address: string, note: string): void {
    this.record.endpoint = address
    this.record.endpointNote = note
  }

  onHead(status: number, headers: UpstreamHeaders): void {
    if (this.over) return
    this.status = status
    this.record.status = status
    this.headers = headers
    this.record.proxyMs = proxyTime(headers)
    this.#permit?.answered(headers)
    this.lastByteAt = this.owner.services.wheel.coarseNow
    if (status >= 200 && status < 300) this.onAnswerHead()
    else this.#errorChunks = []
  }

  onData(chunk: Buffer): void {
    if (this.over) return
    this.lastByteAt = this.owner.services.wheel.coarseNow
    if (this.#errorChunks === null) {
      this.onAnswerData(chunk)
      return
    }
    this.#errorChunks.push(chunk)
    this.#errorBytes += chunk.length
    if (this.#errorBytes > MAX_ERROR_BYTES) this.#failByStatus()
  }

  onEnd(): void {
    if (this.over) {
      this.owner.services.wheel.disarm(this)
      return
    }
    if (this.#errorChunks === null) this.onAnswerEnd()
    else this.#failByStatus()
  }

  onFault(fault: UpstreamFault): void {
    if (this.over) this.owner.services.wheel.disarm(this)
    else if (fault.refusal !== undefined) this.fail(notPicked(fault.refusal))
    // An error status says more than the broken connection that followed it.
    else if (this.#errorChunks !== null) this.#failByStatus()
    else this.fail(classifyFault(fault, this.target.name))
  }

  /** From here on the answer's bytes are an error body, whatever its status. */
  protected collectError(first?: Buffer): void {
    this.#errorChunks = first === undefined ? [] : [first]
    this.#errorBytes = first?.length ?? 0
  }

  protected classify(status: number, body: unknown): AttemptFailure {
    return classifyAnswer(status, this.headers, body, {
      statuses: this.rules.retries.statuses,
      now: this.owner.services.clock.now(),
      target: this.target.name,
      secrets: secretsOf(this.target.provider.config, this.#credential),
      proxyText: this.#behindProxy ? this.#errorText : undefined,
    })
  }

  /** A proxy of the mesh could answer in the backend's place: it reads what is sent, as TLS of our own keeps it from doing. */
  get #behindProxy(): boolean {
    const { baseUrl, egress } = this.target.provider.config
    return this.owner.inMesh && (egress.mode === 'mesh-originate' || baseUrl.startsWith('http:'))
  }

  #failByStatus(): void {
    const text = Buffer.concat(this.#errorChunks!).subarray(0, MAX_ERROR_BYTES).toString()
    if (this.#behindProxy) this.#errorText = text.slice(0, PROXY_TEXT)
    let body: unknown = text
    try {
      body = JSON.parse(text)
    } catch {
      // Not JSON: nothing of it is shown to anybody.
      body = null
    }
    this.fail(this.failureOfBody(this.status, body))
  }

  /** Overridden where a good status may carry a bad body. */
  protected failureOfBody(status: number, body: unknown): AttemptFailure {
    return this.classify(status, body)
  }

  fail(failure: AttemptFailure): void {
    if (this.over) return
    this.record.origin = failure.origin
    this.record.errorType = failure.errorType
    const blame = failure.kind === 'failure'
    this.#close(blame ? this.#blamed() : 'neutral', failure.reason)
    this.call?.abort(blame)
    const judged = this.#rest(failure)
    if (this.committed) this.owner.onStreamBroken(this, judged)
    else this.owner.onAttemptFailed(this, judged)
  }

  /** One address that fails says nothing of the target: it is judged for itself. */
  #blamed(): AttemptOutcome {
    return hasOthers(this.target, this.record.endpoint) ? 'neutral' : 'failure'
  }

  /**
   * The call is not made: no credential can be used for it now, or the target cannot say what is asked. Told later, as the
   * owner must have the attempt first.
   */
  refuse(error: GatewayError): void {
    this.target.health.begin()
    const failure: AttemptFailure = {
      ...refusalOf(error),
      status: 0,
      retryable: true,
      retryAfterMs: error.retryAfterMs,
      ...NOT_CALLED,
      error,
    }
    queueMicrotask(() => {
      if (this.over) return
      this.#close('neutral', failure.reason)
      this.owner.onAttemptFailed(this, failure)
    })
  }

  /** One of several addresses has said so: only when another says the same, it holds for all. */
  get #firstOfMany(): boolean {
    const asked = this.owner.attempts.filter((one) => one.target === this.target.name && one.endpoint !== '')
    return asked.length < 2 && hasOthers(this.target, this.record.endpoint)
  }

  /** Who rests because of the failure. */
  #rest(failure: AttemptFailure): AttemptFailure {
    if (failure.kind !== 'dead' && (failure.kind !== 'busy' || this.#firstOfMany)) return failure
    const now = this.owner.services.clock.monotonic()
    return restAfter(failure, this, this.#credential, this.status, now)
  }

  protected timeout(which: 'first_token' | 'idle' | 'attempt'): void {
    this.fail(timeoutFailure(which, this.target.name))
  }

  /** linger: the backend may still end its answer, so that the connection lives on. */
  protected succeed(linger: boolean): void {
    if (this.over) return
    this.#close('ok', 'ok')
    if (linger && this.call !== null) {
      this.call.resume()
      this.owner.services.wheel.arm(this, LINGER_MS)
    }
    this.owner.onAttemptDone(this)
  }

  /** The client left, or another attempt won: the backend's socket closes now. */
  cancel(): void {
    if (this.over) return
    this.#close('neutral', 'cancelled')
    this.call?.abort()
  }

  #close(outcome: AttemptOutcome, result: string): void {
    this.over = true
    const { services } = this.owner
    services.wheel.disarm(this)
    const now = services.clock.monotonic()
    this.record.ms = now - this.startedAt
    this.record.result = result
    this.target.health.end(outcome, this.record.firstTokenMs, now, this.streams)
    this.readUsage()
    this.owner.onAttemptClosed(this)
    this.#permit?.end(this)
    services.telemetry.attempt(this)
  }

  /** The backend may have worked on it: it was reached, and did not refuse. */
  get mayHaveUsed(): boolean {
    if (this.committed || this.record.result === 'ok') return true
    // Given up while the backend was silent or at work: it has read the prompt at least.
    const givenUp = this.record.result === 'cancelled' || this.record.result.endsWith('_timeout')
    return givenUp && this.status < 300
  }

  /** Limits that count its target gave it something. */
  get limited(): boolean {
    return this.#permit?.limited === true
  }

  /** Takes what it has used beyond that. False = a limit that stops streams has no more. */
  extendPermit(total: Amounts): boolean {
    return this.#permit?.extend(total) ?? true
  }

  /** Looks for what the backend has said of its usage, when it was not read on the way. */
  protected readUsage(): void {}

  /** Tokens of the answer so far, about. */
  answerTokens(): number {
    return 0
  }

  protected noteFirstToken(): void {
    if (this.record.firstTokenMs < 0) this.record.firstTokenMs = this.elapsed()
  }

  /** The client is slow: the backend is not read until resume(), and the client has limits.clientStallMs for it. */
  pause(): void {
    if (this.over || this.paused) return
    this.paused = true
    this.call?.pause()
    const { wheel, limits } = this.owner.services
    if (limits.clientStallMs > 0) wheel.arm(this, limits.clientStallMs)
    this.#pausedAt = wheel.coarseNow
  }

  resume(): void {
    if (this.over || !this.paused) return
    this.paused = false
    const { wheel } = this.owner.services
    this.lastByteAt = wheel.coarseNow
    const ms = this.nextCheck()
    if (ms > 0) wheel.arm(this, ms)
    else wheel.disarm(this)
    this.call?.resume()
  }

  /** Ms that a client which does not read has left, 0 = as long as it likes. Only while paused. */
  protected stallLeft(): number {
    const { wheel, limits } = this.owner.services
    return limits.clientStallMs === 0 ? 0 : Math.max(1, limits.clientStallMs - (wheel.coarseNow - this.#pausedAt))
  }

  /** Drops a client whose time is over. Only while paused. */
  protected dropStalled(): void {
    const { wheel, limits } = this.owner.services
    if (limits.clientStallMs > 0 && wheel.coarseNow - this.#pausedAt >= limits.clientStallMs)
      this.owner.onClientStalled()
  }
}

function refusalOf({ code }: GatewayError): Pick<AttemptFailure, 'kind' | 'reason'> {
  if (code === 'upstream_auth') return { kind: 'dead', reason: 'key_refused' }
  return code.startsWith('upstream_')
    ? { kind: 'busy', reason: 'no_key' }
    : { kind: 'missing', reason: 'untranslatable' }
}
