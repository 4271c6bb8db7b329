import type { AttemptOwner, AttemptPlan } from './attempt.ts'
import type { UpstreamHeaders } from '../contracts/upstream.ts'
import type { StreamDialect } from '../protocol/openai/answer.ts'
import type { Usage } from '../contracts/usage.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import { EVENT_BAD_UTF8, EVENT_DONE, EVENT_EMPTY, EVENT_JSON, EVENT_MULTILINE } from '../protocol/json-scan/scanner.ts'
import { answerScanner, continuableText, parseEvent } from '../protocol/openai/answer.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { tokensOfEvents } from './account.ts'
import { Attempt } from './attempt.ts'
import { joinDataLines } from '../protocol/sse.ts'
import { usageHints } from '../protocol/usage.ts'
import type { UsageHints } from '../protocol/usage.ts'

/** The owner writes to the client. */
export interface StreamOwner extends AttemptOwner {
  /** A committed stream that is silent for so long gets a comment, ms; 0 = never. */
  readonly heartbeatMs: number
  /** The answer's head may go out; the first bytes follow at once. */
  onStreamCommit(attempt: StreamAttempt): void
  /** False = the client is slow. */
  onStreamData(bytes: Buffer): boolean
  /** The dialect's terminal event has been written. */
  onStreamEnd(attempt: StreamAttempt): void
}

export interface StreamPlan extends AttemptPlan {
  readonly owner: StreamOwner
  readonly dialect: StreamDialect
  /** Heddle asked for the usage chunk, the client did not: it is read and taken out again. */
  readonly dropUsage: boolean
  /** Keep the text, so that another target can go on with it. */
  readonly keepText: boolean
  /** The client's stream is open already: this call goes on with what another one left. */
  readonly resumes?: boolean
}

/** Labels of an event stream; some servers give it none, or the type of any text. Whether it is one its events say. */
const MAY_BE_EVENTS = /^(?:text\/event-stream|text\/plain|application\/octet-stream)\b|^$/i
const NO_HEADERS: UpstreamHeaders = {}
/** A comment (WHATWG HTML 9.2.6): it stands between whole events, as only whole ones are sent. */
const HEARTBEAT = Buffer.from(': heartbeat\n\n')
const LINE_FEED = 10
const CARRIAGE_RETURN = 13

const STEP = { keep: 0, drop: 1, stop: 2, failed: 3 } as const
type Step = (typeof STEP)[keyof typeof STEP]

/**
 * A call whose answer is a stream of server-sent events. Only whole, valid events go on, as the bytes that came. Until
 * the first semantic token (text, tool call, refusal) everything is held back: an error up to there is invisible to
 * the client, and another target can take over.
 */
export class StreamAttempt extends Attempt {
  declare readonly owner: StreamOwner
  readonly #dialect: StreamDialect
  readonly #dropUsage: boolean
  readonly #finishEnds: boolean
  readonly #resumes: boolean
  readonly #hints: UsageHints
  #held: Buffer[] | null = null
  #heldBytes = 0
  #heldSince = -1
  /** Wheel time of the last comment of ours. */
  #beatAt = 0
  /** An event that has not ended yet. */
  #tail: Buffer[] | null = null
  #tailBytes = 0
  #ended = false
  #first = true
  #finished = false
  /** Something of an answer has come, not only annotations: `[DONE]` alone is no answer. */
  #opened = false
  /** A semantic token stands in the bytes that are being read: they commit the answer. */
  #ready = false
  #failure: AttemptFailure | null = null
  /** Text sent so far, when it is kept; null = cannot be continued. */
  text: string | null
  /** Events of the Responses dialect are numbered: an error event goes on counting. */
  events = 0
  /** Events with content, their bytes together, and the shortest of them. */
  #contentEvents = 0
  #contentBytes = 0
  #least = 400

  constructor(plan: StreamPlan) {
    super(plan)
    this.#dialect = plan.dialect
    this.#dropUsage = plan.dropUsage
    this.#hints = usageHints(plan.target.provider.config.type)
    this.#finishEnds = plan.target.provider.config.streamEnd === 'finish_reason'
    this.text = plan.keepText ? '' : null
    this.#resumes = plan.resumes === true
    if (this.#resumes) this.#beatAt = plan.owner.services.wheel.coarseNow
  }

  protected override get streams(): boolean {
    return true
  }

  override answerTokens(): number {
    return tokensOfEvents(this.#contentEvents, this.#contentBytes, this.#least)
  }

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
    const next = Math.min(token, hold, this.#resumes ? this.#untilBeat() : Infinity)
    return next === Infinity ? 0 : Math.max(1, next)
  }

  /** Ms until a comment is due; Infinity = never. */
  #untilBeat(): number {
    const { heartbeatMs, services } = this.owner
    return heartbeatMs === 0 ? Infinity : heartbeatMs - (services.wheel.coarseNow - this.#lastSentAt())
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
    else if (this.#resumes) this.#beat()
  }

  get #holdIsOver(): boolean {
    const { maxMs } = this.rules.commit
    return maxMs > 0 && this.#heldSince >= 0 && this.owner.services.clock.monotonic() - this.#heldSince >= maxMs
  }

  #lastSentAt(): number {
    return this.committed ? Math.max(this.lastByteAt, this.#beatAt) : this.#beatAt
  }

  /** Idle timers of proxies and load balancers between us and the client do not know that a model thinks. */
  #beat(): void {
    if (this.#untilBeat() > 0) return
    this.#beatAt = this.owner.services.wheel.coarseNow
    // Before commit there is nothing to hold up.
    if (!this.owner.onStreamData(HEARTBEAT) && this.committed) this.pause()
  }

  protected onAnswerHead(): void {
    const type = this.headers['content-type']
    const encoding = this.headers['content-encoding']
    // Not a stream: an error in JSON, a login page, or an answer that ignored `stream`.
    if (!MAY_BE_EVENTS.test(typeof type === 'string' ? type : '')) this.collectError()
    else if (encoding !== undefined && encoding !== 'identity')
      this.fail(invalidAnswer('bad_encoding', this.target.name))
  }

  protected override failureOfBody(status: number, body: unknown): AttemptFailure {
    const isError = typeof body === 'object' && body !== null && 'error' in body && Boolean(body.error)
    return status >= 300 || isError
      ? this.classify(status, body)
      : invalidAnswer('wrong_content_type', this.target.name)
  }

  protected onAnswerData(chunk: Buffer): void {
    if (this.#ended) return
    let bytes = chunk
    if (this.#first) {
      this.#first = false
      if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) bytes = chunk.subarray(3)
    }
    if (this.#tail !== null) {
      const joined = this.#joinTail(bytes)
      if (joined === null) return
      bytes = joined
    }
    this.#read(bytes)
  }

  /** The open event plus what came now, or null while there is no blank line in it: then it is only kept. */
  #joinTail(bytes: Buffer): Buffer | null {
    const tail = this.#tail!
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

  #read(bytes: Buffer): void {
    answerScanner.load(bytes)
    const end = bytes.length
    let from = 0
    let at = 0
    while (at < end) {
      const next = answerScanner.nextEvent(at, end)
      if (next === 0) break
      const kind = answerScanner.eventKind
      if (kind === EVENT_MULTILINE) {
        if (at > from) this.#send(bytes.subarray(from, at))
        this.#read(joinDataLines(bytes.subarray(at, next)))
        if (this.over || this.#ended) return
        answerScanner.load(bytes)
        from = at = next
        continue
      }
      const step = this.#step(kind, bytes)
      if (step === STEP.failed) {
        // What came before it in the same bytes was good, and the client may have it if it has the rest.
        if (this.committed && at > from) this.#send(bytes.subarray(from, at))
        this.fail(this.#failure!)
        return
      }
      if (step === STEP.drop) {
        if (at > from) this.#send(bytes.subarray(from, at))
        from = next
      }
      at = next
      if (step === STEP.stop) {
        this.#ended = true
        break
      }
    }
    if (at > from) this.#send(from === 0 && at === end ? bytes : bytes.subarray(from, at))
    if (this.over) return
    if (this.#ended) {
      this.#complete()
      return
    }
    if (at < end) {
      this.#tail = [at === 0 ? bytes : bytes.subarray(at)]
      this.#tailBytes = end - at
    }
  }

  /** Judges the event that was just read. */
  #step(kind: number, bytes: Buffer): Step {
    if (kind === EVENT_EMPTY) return STEP.keep
    if (kind === EVENT_DONE) {
      if (!this.#dialect.done) return STEP.drop
      return this.#opened ? STEP.stop : this.#refuse(invalidAnswer('no_choices', this.target.name))
    }
    if (kind !== EVENT_JSON) {
      return this.#refuse(invalidAnswer(kind === EVENT_BAD_UTF8 ? 'invalid_utf8' : 'invalid_event', this.target.name))
    }
    this.events++
    switch (this.#dialect.judge(bytes, this.committed)) {
      case 'content':
        this.#content(bytes)
        return STEP.keep
      case 'usage':
        this.#noteUsage(this.#dialect.usage(bytes, this.#hints))
        return this.#dropUsage ? STEP.drop : STEP.keep
      case 'note':
        return STEP.keep
      case 'start':
        this.#open(bytes)
        return STEP.keep
      case 'end':
        this.#noteUsage(this.#dialect.usage(bytes, this.#hints))
        return STEP.stop
      case 'failed':
        this.#noteUsage(this.#dialect.usage(bytes, this.#hints))
        if (this.committed) return STEP.stop
        return this.#refuse(this.classify(200, parseEvent(bytes)))
      case 'error':
        // The client gets an error event of ours in its place, under its number.
        this.events--
        return this.#refuse(this.classify(200, parseEvent(bytes)))
    }
  }

  /** An event of the answer proper, with or without content. */
  #open(bytes: Buffer): void {
    this.#opened = true
    this.#noteUsage(this.#dialect.usage(bytes, this.#hints))
    if (this.#finishEnds && !this.#finished) this.#finished = this.#dialect.finished(bytes)
  }

  #content(bytes: Buffer): void {
    const size = answerScanner.dataEnd - answerScanner.dataStart
    this.#contentEvents++
    this.#contentBytes += size
    if (size < this.#least) this.#least = size
    this.#open(bytes)
    if (this.text !== null) this.#keepText(bytes)
    if (this.committed || this.#ready) return
    this.#ready = true
    this.noteFirstToken()
  }

  #refuse(failure: AttemptFailure): Step {
    this.#failure = failure
    return STEP.failed
  }

  #noteUsage(usage: Usage | null): void {
    if (usage !== null) this.usage = usage
  }

  #keepText(bytes: Buffer): void {
    const piece = continuableText(bytes)
    this.text = piece === null || this.text === null ? null : this.text + piece
  }

  #send(bytes: Buffer): void {
    if (!this.committed) {
      this.#held ??= []
      this.#held.push(bytes)
      this.#heldBytes += bytes.length
      if (this.#heldSince < 0) {
        this.#heldSince = this.owner.services.clock.monotonic()
        if (this.rules.commit.maxMs > 0) this.owner.services.wheel.arm(this, this.nextCheck())
      }
      if (this.#ready || this.#ended || this.#heldBytes > this.rules.commit.maxBytes) this.#commit()
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

  #complete(): void {
    this.owner.onStreamEnd(this)
    this.succeed(true)
  }

  protected onAnswerEnd(): void {
    if (this.#tail === null && this.#finished) {
      // This backend is known never to send [DONE]: its finish reason is the end, and the client gets its [DONE].
      this.#ended = true
      this.#send(Buffer.from('data: [DONE]\n\n'))
      if (!this.over) this.#complete()
      return
    }
    this.fail(invalidAnswer(this.#tail === null ? 'stream_cut' : 'event_cut', this.target.name))
  }
}
