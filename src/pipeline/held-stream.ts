import type { AttemptOwner, AttemptPlan } from './attempt.ts'
import type { UpstreamHeaders } from '../contracts/upstream.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { tokensOfEvents } from './account.ts'
import { Attempt } from './attempt.ts'

/** The owner writes to the client. */
export interface StreamOwner extends AttemptOwner {
  /** A committed stream that is silent for so long gets a comment, ms; 0 = never. */
  readonly heartbeatMs: number
  /** The answer's head may go out; the first bytes follow at once. */
  onStreamCommit(attempt: HeldStream): void
  /** False = the client is slow. */
  onStreamData(bytes: Buffer): boolean
  /** The dialect's terminal event has been written. */
  onStreamEnd(attempt: HeldStream): void
}

export interface HeldStreamPlan extends AttemptPlan {
  readonly owner: StreamOwner
  /** The client's stream is open already: this call goes on with what another one left. */
  readonly resumes?: boolean
  /** What keeps a silent stream alive; null = nothing may stand between its events. */
  readonly heartbeat: Buffer | null
}

const EVENTS = 'text/event-stream; charset=utf-8'
const NO_HEADERS: UpstreamHeaders = {}
const LINE_FEED = 10
const CARRIAGE_RETURN = 13

/**
 * A call whose answer is a stream. Until the first semantic token (text, tool call, refusal) everything is held back: an
 * error up to there is invisible to the client, and another target can take over. Subclasses read the backend's bytes.
 */
export abstract class HeldStream extends Attempt {
  declare readonly owner: StreamOwner
  protected readonly resumes: boolean
  readonly #heartbeat: Buffer | null
  #held: Buffer[] | null = null
  #heldBytes = 0
  #heldSince = -1
  /** Wheel time of the last comment of ours. */
  #beatAt = 0
  /** An event that has not ended yet. */
  #tail: Buffer[] | null = null
  #tailBytes = 0
  /** The terminal event has been read. */
  protected ended = false
  /** A semantic token stands in the bytes that are being read: they commit the answer. */
  #ready = false
  /** Text sent so far, when it is kept; null = cannot be continued. */
  text: string | null = null
  /** Events with content, their bytes together, and the shortest of them. */
  #contentEvents = 0
  #contentBytes = 0
  #least = 400

  constructor(plan: HeldStreamPlan) {
    super(plan)
    this.#heartbeat = plan.heartbeat
    this.resumes = plan.resumes === true
    if (this.resumes) this.#beatAt = plan.owner.services.wheel.coarseNow
  }

  /** Of what the client gets. */
  readonly contentType: string = EVENTS

  protected override get streams(): boolean {
    return true
  }

  override answerTokens(): number {
    return tokensOfEvents(this.#contentEvents, this.#contentBytes, this.#least)
  }

  // ── timers ────────────────────────────────────────────────────────────────
  protected nextCheck(): number {
    const { timeouts, commit } = this.rules
    if (this.committed) {
      if (this.paused) return this.stallLeft()
      const { coarseNow } = this.owner.services.wheel
      const idle = timeouts.idleMs === 0 ? Infinity : timeouts.idleMs - (coarseNow - this.lastByteAt)
      const next = Math.min(idle, this.#untilBeat())
      return next === Infinity ? 0 : Math.max(1, next)
    }
    const token = timeouts.firstTokenMs === 0 ? Infinity : timeouts.firstTokenMs - this.elapsed()
    const holds = this.#heldSince >= 0 && commit.maxMs > 0
    const hold = holds ? commit.maxMs - (this.owner.services.clock.monotonic() - this.#heldSince) : Infinity
    const next = Math.min(token, hold, this.resumes ? this.#untilBeat() : Infinity)
    return next === Infinity ? 0 : Math.max(1, next)
  }

  protected onDue(): void {
    const { timeouts } = this.rules
    if (this.committed) {
      if (this.paused) this.dropStalled()
      else if (timeouts.idleMs > 0 && this.owner.services.wheel.coarseNow - this.lastByteAt >= timeouts.idleMs)
        this.timeout('idle')
      else this.#beat()
    } else if (timeouts.firstTokenMs > 0 && this.elapsed() >= timeouts.firstTokenMs) this.timeout('first_token')
    else if (this.#holdIsOver) this.#commit()
    else if (this.resumes) this.#beat()
  }

  get #holdIsOver(): boolean {
    const { maxMs } = this.rules.commit
    return maxMs > 0 && this.#heldSince >= 0 && this.owner.services.clock.monotonic() - this.#heldSince >= maxMs
  }

  /** Ms until a comment is due; Infinity = never. */
  #untilBeat(): number {
    const { heartbeatMs, services } = this.owner
    if (heartbeatMs === 0 || this.#heartbeat === null) return Infinity
    return heartbeatMs - (services.wheel.coarseNow - this.#lastSentAt())
  }

  #lastSentAt(): number {
    return this.committed ? Math.max(this.lastByteAt, this.#beatAt) : this.#beatAt
  }

  /** Idle timers of proxies and load balancers between us and the client do not know that a model thinks. */
  #beat(): void {
    if (this.#untilBeat() > 0) return
    this.#beatAt = this.owner.services.wheel.coarseNow
    // Before commit there is nothing to hold up.
    if (!this.owner.onStreamData(this.#heartbeat!) && this.committed) this.pause()
  }

  // ── reading ───────────────────────────────────────────────────────────────
  protected override failureOfBody(status: number, body: unknown): AttemptFailure {
    const isError = typeof body === 'object' && body !== null && 'error' in body && Boolean(body.error)
    return status >= 300 || isError
      ? this.classify(status, body)
      : invalidAnswer('wrong_content_type', this.target.name)
  }

  /** Whether bytes wait whose event has not ended. */
  protected get waits(): boolean {
    return this.#tail !== null
  }

  /** Bytes whose event has not ended: they come again with the next ones. */
  protected keepTail(bytes: Buffer): void {
    this.#tail = [bytes]
    this.#tailBytes = bytes.length
  }

  /** The open event plus what came now, or null while there is no blank line in it: then it is only kept. */
  protected joinTail(bytes: Buffer): Buffer | null {
    const tail = this.#tail
    if (tail === null) return bytes
    tail.push(bytes)
    this.#tailBytes += bytes.length
    if (this.#tailBytes > this.owner.services.limits.sseEvent) {
      this.fail(invalidAnswer('event_too_large', this.target.name))
      return null
    }
    const before = tail[tail.length - 2]!
    const last = before[before.length - 1]
    const seam =
      (last === LINE_FEED || last === CARRIAGE_RETURN) && (bytes[0] === LINE_FEED || bytes[0] === CARRIAGE_RETURN)
    if (
      !seam &&
      this.#tailBytes > 65536 &&
      !bytes.includes('\n\n') &&
      !bytes.includes('\n\r\n') &&
      !bytes.includes('\r\r')
    )
      return null
    const joined = Buffer.concat(tail, this.#tailBytes)
    this.#tail = null
    this.#tailBytes = 0
    return joined
  }

  /** An event with something that a user sees; size: of its data, bytes. */
  protected noteContent(size: number): void {
    this.#contentEvents++
    this.#contentBytes += size
    if (size < this.#least) this.#least = size
    if (this.committed || this.#ready) return
    this.#ready = true
    this.noteFirstToken()
  }

  // ── writing ───────────────────────────────────────────────────────────────
  protected send(bytes: Buffer): void {
    if (!this.committed) {
      this.#held ??= []
      this.#held.push(bytes)
      this.#heldBytes += bytes.length
      if (this.#heldSince < 0) {
        this.#heldSince = this.owner.services.clock.monotonic()
        if (this.rules.commit.maxMs > 0) this.owner.services.wheel.arm(this, this.nextCheck())
      }
      if (this.#ready || this.ended || this.#heldBytes > this.rules.commit.maxBytes) this.#commit()
      return
    }
    if (!this.owner.onStreamData(bytes)) this.pause()
  }

  #commit(): void {
    if (this.over || this.committed) return
    if (!this.owner.claim(this)) return
    this.committed = true
    this.noteFirstToken()
    const held = this.#held ?? []
    this.#held = null
    const ms = this.nextCheck()
    if (ms > 0) this.owner.services.wheel.arm(this, ms)
    else this.owner.services.wheel.disarm(this)
    this.owner.onStreamCommit(this)
    // What was worth passing on is with the client: an open stream keeps nothing that it does not need.
    this.headers = NO_HEADERS
    for (const bytes of held) if (!this.over && !this.owner.onStreamData(bytes)) this.pause()
  }

  /** The answer is whole without an event that says so. last: what the client's dialect ends with; null = nothing. */
  protected finishWith(last: Buffer | null): void {
    this.ended = true
    if (last !== null) this.send(last)
    else this.#commit()
    if (!this.over) this.complete()
  }

  protected complete(): void {
    this.owner.onStreamEnd(this)
    this.succeed(true)
  }
}
