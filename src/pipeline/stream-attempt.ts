import type { StreamDialect } from '../protocol/openai/answer.ts'
import type { Usage } from '../contracts/usage.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import { EVENT_BAD_UTF8, EVENT_DONE, EVENT_EMPTY, EVENT_JSON, EVENT_MULTILINE } from '../protocol/json-scan/scanner.ts'
import { answerScanner, continuableText, parseEvent } from '../protocol/openai/answer.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { HeldStream } from './held-stream.ts'
import type { HeldStreamPlan } from './held-stream.ts'
import { joinDataLines } from '../protocol/sse.ts'
import { usageHints } from '../protocol/usage.ts'
import type { UsageHints } from '../protocol/usage.ts'

export interface StreamPlan extends Omit<HeldStreamPlan, 'heartbeat'> {
  readonly dialect: StreamDialect
  /** Heddle asked for the usage chunk, the client did not: it is read and taken out again. */
  readonly dropUsage: boolean
  /** Keep the text, so that another target can go on with it. */
  readonly keepText: boolean
}

/** Labels of an event stream; some servers give it none, or the type of any text. Whether it is one its events say. */
const MAY_BE_EVENTS = /^(?:text\/event-stream|text\/plain|application\/octet-stream)\b|^$/i
const DONE = Buffer.from('data: [DONE]\n\n')
/** A comment (WHATWG HTML 9.2.6): it stands between whole events, as only whole ones are sent. */
const HEARTBEAT = Buffer.from(': heartbeat\n\n')

const STEP = { keep: 0, drop: 1, stop: 2, failed: 3 } as const
type Step = (typeof STEP)[keyof typeof STEP]

/** A stream of server-sent events that the client understands: only whole, valid events go on, as the bytes that came. */
export class StreamAttempt extends HeldStream {
  readonly #dialect: StreamDialect
  readonly #dropUsage: boolean
  readonly #finishEnds: boolean
  readonly #hints: UsageHints
  #first = true
  #finished = false
  /** Something of an answer has come, not only annotations: `[DONE]` alone is no answer. */
  #opened = false
  #failure: AttemptFailure | null = null
  /** Events of the Responses dialect are numbered: an error event goes on counting. */
  events = 0

  constructor(plan: StreamPlan) {
    super({ ...plan, heartbeat: HEARTBEAT })
    this.#dialect = plan.dialect
    this.#dropUsage = plan.dropUsage
    this.#hints = usageHints(plan.target.provider.config.type)
    this.#finishEnds = plan.dialect.endsByFinish === true || plan.target.provider.config.streamEnd === 'finish_reason'
    this.text = plan.keepText ? '' : null
  }

  protected onAnswerHead(): void {
    const type = this.headers['content-type']
    const encoding = this.headers['content-encoding']
    // Not a stream: an error in JSON, a login page, or an answer that ignored `stream`.
    if (!MAY_BE_EVENTS.test(typeof type === 'string' ? type : '')) this.collectError()
    else if (encoding !== undefined && encoding !== 'identity')
      this.fail(invalidAnswer('bad_encoding', this.target.name))
  }

  protected onAnswerData(chunk: Buffer): void {
    if (this.ended) return
    let bytes = chunk
    if (this.#first) {
      this.#first = false
      if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) bytes = chunk.subarray(3)
    }
    const joined = this.joinTail(bytes)
    if (joined !== null) this.#read(joined)
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
        if (at > from) this.send(bytes.subarray(from, at))
        this.#read(joinDataLines(bytes.subarray(at, next)))
        if (this.over || this.ended) return
        answerScanner.load(bytes)
        from = at = next
        continue
      }
      const step = this.#step(kind, bytes)
      if (step === STEP.failed) {
        // What came before it in the same bytes was good, and the client may have it if it has the rest.
        if (this.committed && at > from) this.send(bytes.subarray(from, at))
        this.fail(this.#failure!)
        return
      }
      if (step === STEP.drop) {
        if (at > from) this.send(bytes.subarray(from, at))
        from = next
      }
      at = next
      if (step === STEP.stop) {
        this.ended = true
        break
      }
    }
    if (at > from) this.send(from === 0 && at === end ? bytes : bytes.subarray(from, at))
    if (this.over) return
    if (this.ended) {
      this.complete()
      return
    }
    if (at < end) this.keepTail(at === 0 ? bytes : bytes.subarray(at))
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
        return this.#refuse(this.classify(200, this.#dialect.fault?.(bytes) ?? parseEvent(bytes)))
    }
  }

  /** An event of the answer proper, with or without content. */
  #open(bytes: Buffer): void {
    this.#opened = true
    this.#noteUsage(this.#dialect.usage(bytes, this.#hints))
    if (this.#finishEnds && !this.#finished) this.#finished = this.#dialect.finished(bytes)
  }

  #content(bytes: Buffer): void {
    this.#open(bytes)
    if (this.text !== null) this.#keepText(bytes)
    this.noteContent(answerScanner.dataEnd - answerScanner.dataStart)
  }

  #refuse(failure: AttemptFailure): Step {
    this.#failure = failure
    return STEP.failed
  }

  #noteUsage(usage: Usage | null): void {
    if (usage === null) return
    const { merge } = this.#dialect
    this.usage = merge === undefined || this.usage === null ? usage : merge(this.usage, usage)
  }

  #keepText(bytes: Buffer): void {
    const piece = continuableText(bytes)
    this.text = piece === null || this.text === null ? null : this.text + piece
  }

  protected onAnswerEnd(): void {
    if (!this.waits && this.#finished) {
      // This backend is known never to send [DONE]: its finish reason is the end, and the client gets its [DONE].
      this.finishWith(this.#dialect.done ? DONE : null)
      return
    }
    this.fail(invalidAnswer(this.waits ? 'event_cut' : 'stream_cut', this.target.name))
  }
}
