import type { Json } from '../contracts/canonical.ts'
import type { HeldStreamPlan } from './held-stream.ts'
import { EventStreamReader, type EventStreamMessage } from '../protocol/bedrock/event-stream.ts'
import { exceptionStatus } from '../protocol/bedrock/wire-answer.ts'
import { fieldsOf, parseEvent } from '../protocol/canonical/loose.ts'
import { readUsage, usageHints } from '../protocol/usage.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { HeldStream } from './held-stream.ts'

const MAY_BE_FRAMES = /^application\/(?:vnd\.amazon\.eventstream|octet-stream)\b|^$/i

/**
 * ConverseStream for a client that speaks it: frames go on as the bytes that came, but only whole ones, and none that says
 * that it failed: until something of the answer has gone out another target can take over, and after it the client gets an
 * exception of ours.
 */
export class FrameStream extends HeldStream {
  override readonly contentType = 'application/vnd.amazon.eventstream'
  readonly #reader: EventStreamReader
  #finished = false

  constructor(plan: Omit<HeldStreamPlan, 'heartbeat'>) {
    super({ ...plan, heartbeat: null })
    this.#reader = new EventStreamReader(plan.owner.services.limits.sseEvent, true)
  }

  protected onAnswerHead(): void {
    const type = this.headers['content-type']
    const encoding = this.headers['content-encoding']
    if (!MAY_BE_FRAMES.test(typeof type === 'string' ? type : '')) this.collectError()
    else if (encoding !== undefined && encoding !== 'identity')
      this.fail(invalidAnswer('bad_encoding', this.target.name))
  }

  protected onAnswerData(chunk: Buffer): void {
    if (this.ended) return
    const fault = this.#reader.push(chunk)
    const whole: Buffer[] = []
    for (let frame = this.#reader.next(); frame !== null && !this.ended; frame = this.#reader.next()) {
      const failed = this.#failureIn(frame)
      if (failed !== null) {
        // What came before it was good, and the client may have it if it has the rest.
        if (this.committed) this.#pass(whole)
        if (!this.over) this.fail(failed)
        return
      }
      whole.push(frame.bytes!)
    }
    if (fault === null || this.ended || this.committed) this.#pass(whole)
    if (this.over) return
    if (this.ended) this.complete()
    else if (fault !== null) this.fail(invalidAnswer(fault, this.target.name))
  }

  #pass(frames: readonly Buffer[]): void {
    if (frames.length > 0) this.send(frames.length === 1 ? frames[0]! : Buffer.concat(frames))
  }

  /** null = a good one. */
  #failureIn({ name, data }: EventStreamMessage): ReturnType<typeof invalidAnswer> | null {
    switch (name) {
      case 'contentBlockDelta':
      case 'contentBlockStart':
        this.noteContent(data.length)
        return null
      case 'messageStop':
        this.#finished = true
        return null
      case 'metadata':
        return this.#measure(data)
      default:
        if (name !== 'error' && !name.toLowerCase().endsWith('exception')) return null
        return this.classify(200, said(name, data))
    }
  }

  /** The last event of an answer that has said why it ended. */
  #measure(data: string): ReturnType<typeof invalidAnswer> | null {
    try {
      const { usage } = parseEvent(data)
      this.usage = readUsage(usage, usageHints(this.target.provider.config.type)) ?? this.usage
    } catch {
      return invalidAnswer('invalid_event', this.target.name)
    }
    this.ended = this.#finished
    return null
  }

  protected onAnswerEnd(): void {
    // The counts come last; without them the answer is still whole.
    if (this.#finished && !this.#reader.waits) this.finishWith(null)
    else this.fail(invalidAnswer(this.#reader.waits ? 'event_cut' : 'stream_cut', this.target.name))
  }
}

function said(name: string, data: string): Json {
  let body: Json = {}
  try {
    body = fieldsOf(JSON.parse(data)) as Json & object
  } catch {
    // Its name says enough.
  }
  return { status: exceptionStatus(name), type: name, ...body }
}
