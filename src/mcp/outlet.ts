import type { HeaderList, ReplyWriter } from '../contracts/http.ts'
import { CallbackTimer, type TimerWheel } from '../core/wheel.ts'
import { SSE_COMMENT, sseEvent } from './sse-reader.ts'

export interface OutletParts {
  readonly reply: ReplyWriter
  readonly wheel: TimerWheel
  /** Sent with the head, whichever it is. */
  readonly headers: HeaderList
  readonly takesJson: boolean
  readonly takesStream: boolean
  /** Ms of silence after which an open stream says that it is there; 0 = never. */
  readonly heartbeatMs: number
  /** A client that takes nothing for this long is dropped, ms. */
  readonly stallMs: number
  /** The client does not read: what is on its way should wait. */
  onSlow(slow: boolean): void
  /** It has not read for too long. */
  onStalled(): void
  /** The first byte leaves. */
  onFirst(status: number): void
  /** All has left. */
  onEnded(): void
}

const LINE_BREAK = /[\r\n]/

/** The answer to one POST: JSON when nothing comes before it, else a stream of events (2025-11-25, transports). */
export class Outlet {
  readonly #parts: OutletParts
  readonly #batch: boolean
  readonly #silence: CallbackTimer
  readonly #stall: CallbackTimer
  #waiting: number
  #answers: string[] = []
  #streaming = false
  #ended = false
  #slow = false
  bytes = 0

  /** requests: answers that will come. batch: they are one list. */
  constructor(parts: OutletParts, requests: number, batch: boolean) {
    this.#parts = parts
    this.#waiting = requests
    this.#batch = batch
    this.#silence = new CallbackTimer(() => this.#beat())
    this.#stall = new CallbackTimer(() => parts.onStalled())
    if (parts.heartbeatMs > 0 && parts.takesStream) parts.wheel.arm(this.#silence, parts.heartbeatMs)
  }

  get ended(): boolean {
    return this.#ended
  }

  get streaming(): boolean {
    return this.#streaming
  }

  /** What servers say beside their answers can be passed on. */
  get takesMessages(): boolean {
    return this.#parts.takesStream && !this.#ended
  }

  /** Before anything has left. */
  addHeaders(...list: string[]): void {
    this.#parts.headers.push(...list)
  }

  /** Nothing may leave before the answer: its head is not known yet. */
  wait(): void {
    this.#parts.wheel.disarm(this.#silence)
  }

  /** Something before the answers. Nothing happens where only JSON is taken. */
  message(text: string): void {
    if (!this.takesMessages) return
    this.#stream()
    this.#event(text)
  }

  /** status: of HTTP, when it is the only answer. */
  answer(text: string, status = 200): void {
    if (this.#ended) return
    this.#waiting--
    if (this.#streaming) {
      this.#event(text)
      if (this.#waiting === 0) this.end()
      return
    }
    this.#answers.push(text)
    if (this.#waiting > 0) return
    if (!this.#parts.takesJson) {
      this.#stream()
      for (const one of this.#answers) this.#event(one)
      this.end()
      return
    }
    const body = this.#batch ? `[${this.#answers.join(',')}]` : text
    this.#json(status, body)
  }

  /** A request that is not answered: its client has taken it back. */
  drop(): void {
    if (this.#ended) return
    this.#waiting--
    if (this.#waiting > 0) return
    if (!this.#streaming && this.#answers.length > 0 && this.#parts.takesJson) {
      this.#json(200, this.#batch ? `[${this.#answers.join(',')}]` : this.#answers[0]!)
      return
    }
    if (!this.#streaming && this.#parts.takesStream) this.#stream()
    if (this.#streaming) this.end()
    else {
      this.#ended = true
      this.#disarm()
      this.#parts.onFirst(202)
      this.#parts.reply.send(202, [...this.#parts.headers], '')
      this.#parts.onEnded()
    }
  }

  #json(status: number, body: string): void {
    this.#ended = true
    this.#disarm()
    this.bytes += body.length
    this.#parts.onFirst(status)
    this.#parts.reply.send(status, ['content-type', 'application/json', ...this.#parts.headers], body)
    this.#parts.onEnded()
  }

  #stream(): void {
    if (this.#streaming) return
    this.#streaming = true
    const { reply, headers } = this.#parts
    this.#parts.onFirst(200)
    reply.head(200, [
      'content-type',
      'text/event-stream',
      'cache-control',
      'no-cache',
      'x-accel-buffering',
      'no',
      ...headers,
    ])
    for (const answer of this.#answers.splice(0)) this.#event(answer)
  }

  #event(text: string): void {
    const line = LINE_BREAK.test(text) ? text.replaceAll(/[\r\n]+/g, ' ') : text
    this.#write(sseEvent(line))
  }

  #write(text: string): void {
    const { reply, wheel, heartbeatMs, stallMs } = this.#parts
    this.bytes += text.length
    if (heartbeatMs > 0) wheel.arm(this.#silence, heartbeatMs)
    if (reply.write(text) || this.#slow) return
    this.#slow = true
    if (stallMs > 0) wheel.arm(this.#stall, stallMs)
    this.#parts.onSlow(true)
  }

  #beat(): void {
    if (this.#ended) return
    this.#stream()
    // One that does not read is not written to.
    if (this.#slow) this.#parts.wheel.arm(this.#silence, this.#parts.heartbeatMs)
    else this.#write(SSE_COMMENT)
  }

  /** A stream that is not over with its answers. */
  open(): void {
    this.#stream()
    this.#parts.reply.flush()
  }

  onDrain(): void {
    if (!this.#slow) return
    this.#slow = false
    this.#parts.wheel.disarm(this.#stall)
    this.#parts.onSlow(false)
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#disarm()
    this.#parts.reply.end()
    this.#parts.onEnded()
  }

  /** The client is gone, or is cut off. */
  close(): void {
    this.#ended = true
    this.#disarm()
  }

  #disarm(): void {
    this.#parts.wheel.disarm(this.#silence)
    this.#parts.wheel.disarm(this.#stall)
  }
}
