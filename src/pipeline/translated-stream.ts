import type { Json } from '../contracts/canonical.ts'
import type { AnswerContext, Asked, ClientDialect, StreamDecoder, StreamEncoder, Wire } from '../contracts/dialect.ts'
import type { HeldStreamPlan } from './held-stream.ts'
import { framerOf, type Framer } from '../protocol/framing.ts'
import { EVENT_DONE, EVENT_EMPTY, EVENT_JSON, EVENT_MULTILINE } from '../protocol/json-scan/scanner.ts'
import { answerScanner } from '../protocol/openai/answer.ts'
import { joinDataLines } from '../protocol/sse.ts'
import { invalidAnswer } from '../routing/failure.ts'
import { HeldStream } from './held-stream.ts'
import { listenFor, type Listener } from './listener.ts'

export interface TranslatedPlan extends Omit<HeldStreamPlan, 'heartbeat'> {
  readonly wire: Wire
  readonly client: ClientDialect
  readonly context: AnswerContext
  /** Of the request, what the answer is read with. */
  readonly asked: Asked | undefined
}

const LABELS: Readonly<Record<Wire['framing'], RegExp>> = {
  sse: /^(?:text\/event-stream|text\/plain|application\/octet-stream)\b|^$/i,
  ndjson: /^(?:application\/(?:x-ndjson|jsonl|json)|text\/plain|application\/octet-stream)\b|^$/i,
  eventstream: /^(?:application\/vnd\.amazon\.eventstream|application\/octet-stream)\b|^$/i,
}

/** A stream in the backend's dialect, told event by event to the writer of the client's. */
export class TranslatedStream extends HeldStream {
  override readonly contentType: string
  readonly encoder: StreamEncoder
  readonly #wire: Wire
  readonly #listener: Listener
  readonly #decoder: StreamDecoder
  readonly #framer: Framer | null
  #first = true

  constructor(plan: TranslatedPlan) {
    const encoder = plan.client.stream(plan.context)
    super({ ...plan, heartbeat: encoder.heartbeat === '' ? null : Buffer.from(encoder.heartbeat) })
    const { wire } = plan
    this.contentType = plan.client.streamType
    this.encoder = encoder
    this.#wire = wire
    this.#listener = listenFor(encoder, wire, plan.context.request)
    this.#decoder = wire.stream(this.#listener, plan.asked)
    this.#framer = framerOf(wire.framing, this.owner.services.limits.sseEvent)
  }

  protected onAnswerHead(): void {
    const type = this.headers['content-type']
    const encoding = this.headers['content-encoding']
    if (!LABELS[this.#wire.framing].test(typeof type === 'string' ? type : '')) this.collectError()
    else if (encoding !== undefined && encoding !== 'identity')
      this.fail(invalidAnswer('bad_encoding', this.target.name))
  }

  protected onAnswerData(chunk: Buffer): void {
    if (this.ended) return
    if (this.#framer === null) this.#readEvents(chunk)
    else this.#readFrames(this.#framer, chunk)
    if (!this.over) this.#flush()
  }

  #readFrames(framer: Framer, chunk: Buffer): void {
    const fault = framer.push(chunk)
    for (let event = framer.next(); event !== null; event = framer.next())
      if (!this.#tell(event.name, event.data, event.data.length)) return
    if (fault !== null) this.#refuse(fault)
  }

  #readEvents(chunk: Buffer): void {
    let bytes = chunk
    if (this.#first) {
      this.#first = false
      if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) bytes = chunk.subarray(3)
    }
    const joined = this.joinTail(bytes)
    if (joined !== null) this.#scan(joined)
  }

  #scan(bytes: Buffer): void {
    answerScanner.load(bytes)
    const end = bytes.length
    let at = 0
    while (at < end) {
      const next = answerScanner.nextEvent(at, end)
      if (next === 0) break
      const kind = answerScanner.eventKind
      if (kind === EVENT_MULTILINE) {
        this.#scan(joinDataLines(bytes.subarray(at, next)))
        if (this.over || this.ended) return
        answerScanner.load(bytes)
      } else if (kind !== EVENT_EMPTY && !this.#event(kind, bytes)) return
      at = next
    }
    if (at < end) this.keepTail(at === 0 ? bytes : bytes.subarray(at))
  }

  /** False = nothing that follows is read. */
  #event(kind: number, bytes: Buffer): boolean {
    if (kind !== EVENT_JSON && kind !== EVENT_DONE) {
      this.#refuse('invalid_event')
      return false
    }
    const { nameStart, nameLength, dataStart, dataEnd } = answerScanner
    const name = nameLength === 0 ? '' : bytes.toString('latin1', nameStart, nameStart + nameLength)
    const data = kind === EVENT_DONE ? '[DONE]' : bytes.toString('utf8', dataStart, dataEnd)
    return this.#tell(name, data, dataEnd - dataStart)
  }

  #tell(name: string, data: string, size: number): boolean {
    const listener = this.#listener
    listener.content = false
    let verdict: ReturnType<StreamDecoder['event']>
    try {
      verdict = this.#decoder.event(name, data)
    } catch {
      this.#refuse('invalid_event')
      return false
    }
    this.usage = listener.used
    if (listener.content) this.noteContent(size)
    if (verdict === 'go') return true
    if (verdict === 'error') this.#failWith(this.#decoder.fault)
    else if (!listener.opened) this.#refuse('no_choices')
    else this.ended = true
    return false
  }

  /** What came before in the same bytes was good, and the client may have it if it has the rest. */
  #failWith(fault: Json): void {
    const failure = this.classify(200, fault)
    if (this.committed) this.#flush()
    if (!this.over) this.fail(failure)
  }

  #refuse(reason: string): void {
    if (this.committed) this.#flush()
    if (!this.over) this.fail(invalidAnswer(reason, this.target.name))
  }

  #flush(): void {
    const taken = this.encoder.take()
    const bytes = typeof taken === 'string' ? (taken === '' ? null : Buffer.from(taken)) : taken
    if (this.ended) this.finishWith(bytes)
    else if (bytes !== null) this.send(bytes)
  }

  protected onAnswerEnd(): void {
    const rest = this.#framer?.rest() ?? null
    if (rest !== null && !this.#tell(rest.name, rest.data, rest.data.length)) {
      if (!this.over) this.#flush()
      return
    }
    const broken = this.waits || this.#framer?.waits === true
    if (!broken && this.#listener.opened && this.#decoder.close()) {
      this.ended = true
      this.#flush()
    } else this.fail(invalidAnswer(broken ? 'event_cut' : 'stream_cut', this.target.name))
  }
}
