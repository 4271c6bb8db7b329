import type { Http2Stream, StreamHandler as Http2Handler } from '../http2/stream.ts'
import type { Method, StreamCall, StreamHandler, StreamListener, UnaryCall, UnaryHandler } from './calls.ts'
import { WheelTimer, type TimerWheel } from '../../core/wheel.ts'
import { MessageReader, PREFIX, type MessageLimits, type MessageOwner, type Partial } from './messages.ts'
import { failureOnly, failureTrailers, GOOD, GRPC, HEAD } from './status.ts'

/** What the calls of a port share. */
export interface CallPlace {
  readonly wheel: TimerWheel
  readonly limits: MessageLimits
  readonly partial: Partial
  readonly onFault: (error: unknown) => void
}

/** What calls of all kinds have in common. */
abstract class Exchange extends WheelTimer implements Http2Handler, MessageOwner {
  protected readonly stream: Http2Stream
  protected readonly method: Method
  protected readonly place: CallPlace
  /** Only for what does not come in one piece. */
  protected reader: MessageReader | null = null
  /** The answer, or the failure, is on its way. */
  protected over = false
  protected ended = false
  cancelled = false
  abstract readonly stopped: boolean

  constructor(stream: Http2Stream, method: Method, place: CallPlace, timeoutMs: number) {
    super()
    this.stream = stream
    this.method = method
    this.place = place
    if (timeoutMs !== Infinity) place.wheel.arm(this, timeoutMs)
  }

  onData(chunk: Buffer): void {
    if (this.over) return
    if (this.reader === null) {
      if (isWhole(chunk) && !this.stopped) {
        this.onMessage(chunk.subarray(PREFIX))
        return
      }
      this.reader = new MessageReader(this, this.place.limits, this.place.partial)
    }
    this.reader.push(chunk)
  }

  onEnd(): void {
    this.ended = true
    if (this.over) return
    if (this.reader?.holds === true) return
    if (this.reader?.incomplete === true) this.fail(GRPC.INTERNAL, 'a message that is cut')
    else this.onComplete()
  }

  onMessage(bytes: Buffer): void {
    let message: unknown
    try {
      message = this.method.codec.read(bytes)
    } catch {
      this.fail(GRPC.INTERNAL, 'the message cannot be read')
      return
    }
    this.onRead(message)
  }

  onBadMessage(code: number, message: string): void {
    this.fail(code, message)
  }

  override onTimer(): void {
    if (this.over) return
    this.fail(GRPC.DEADLINE_EXCEEDED, 'the time of the call is over')
    // Its last words would wait behind what the peer does not take.
    if (!this.stream.closed) this.stream.reset()
    this.cancel()
  }

  onClose(code: number): void {
    this.place.wheel.disarm(this)
    this.reader?.close()
    const early = code >= 0 && !this.over
    this.over = true
    if (early) this.cancel()
    this.onGone()
  }

  fail(code: number, message: string): void {
    if (this.over) return
    this.over = true
    if (this.stream.headSent) this.stream.end(failureTrailers(code, message))
    else this.stream.respond(failureOnly(code, message), true)
  }

  protected abstract onRead(message: unknown): void
  protected abstract onComplete(): void
  /** Nobody waits for an answer any more. */
  protected abstract cancel(): void
  protected abstract onGone(): void
  abstract onDrain(): void
}

/** One message and nothing else, as most calls have it. */
const isWhole = (chunk: Buffer): boolean =>
  chunk.length >= PREFIX && chunk[0] === 0 && chunk.readUInt32BE(1) === chunk.length - PREFIX

export class UnaryExchange extends Exchange implements UnaryCall<unknown> {
  listener: { onCancelled(): void } | null = null
  #request: unknown = null
  #has = false
  readonly stopped = false

  protected onRead(message: unknown): void {
    if (this.#has) {
      this.fail(GRPC.UNIMPLEMENTED, 'a second request message')
      return
    }
    this.#has = true
    this.#request = message
  }

  protected onComplete(): void {
    if (!this.#has) {
      this.fail(GRPC.UNIMPLEMENTED, 'no request message')
      return
    }
    const request = this.#request
    this.#request = null
    try {
      ;(this.method.handle as UnaryHandler<unknown, unknown>)(this, request)
    } catch (error) {
      this.place.onFault(error)
      this.fail(GRPC.INTERNAL, 'the call could not be handled')
    }
  }

  answer(value: unknown): void {
    if (this.over) return
    this.over = true
    this.listener = null
    this.stream.answer(HEAD, this.method.codec.frame(value), GOOD)
  }

  protected cancel(): void {
    this.cancelled = true
    const { listener } = this
    this.listener = null
    listener?.onCancelled()
  }

  protected onGone(): void {}
  onDrain(): void {}
}

export class StreamExchange extends Exchange implements StreamCall<unknown> {
  #listener: StreamListener<unknown> | null = null
  #paused = false
  #telling = false
  #messages = 0

  get stopped(): boolean {
    return this.#paused || this.over
  }

  begin(): void {
    try {
      this.#listener = (this.method.handle as StreamHandler<unknown, unknown>)(this)
    } catch (error) {
      this.#broken(error)
    }
  }

  #broken(error: unknown): void {
    this.place.onFault(error)
    this.fail(GRPC.INTERNAL, 'the call could not be handled')
  }

  protected onRead(message: unknown): void {
    if (this.method.single && ++this.#messages > 1) {
      this.fail(GRPC.UNIMPLEMENTED, 'a second request message')
      return
    }
    this.#telling = true
    try {
      this.#listener?.onMessage(message)
    } catch (error) {
      this.#broken(error)
    }
    this.#telling = false
  }

  protected onComplete(): void {
    if (this.method.single && this.#messages === 0) this.fail(GRPC.UNIMPLEMENTED, 'no request message')
    else
      try {
        this.#listener?.onEnd()
      } catch (error) {
        this.#broken(error)
      }
  }

  write(value: unknown): boolean {
    if (this.over) return true
    if (!this.stream.headSent) this.stream.respond(HEAD)
    return this.stream.write(this.method.codec.frame(value))
  }

  end(): void {
    if (this.over) return
    this.over = true
    if (!this.stream.headSent) this.stream.respond(HEAD)
    this.stream.end(GOOD)
  }

  pause(): void {
    if (this.over) return
    this.#paused = true
    this.stream.pause()
  }

  resume(): void {
    if (!this.#paused || this.over) return
    this.#paused = false
    this.stream.resume()
    // From inside of a message: the loop that told it goes on.
    if (this.#telling) return
    const held = this.reader?.holds === true
    this.reader?.resume()
    if (held && this.ended && !this.reader!.holds) this.onEnd()
  }

  onDrain(): void {
    this.#listener?.onDrain()
  }

  protected cancel(): void {
    this.cancelled = true
  }

  protected onGone(): void {
    const listener = this.#listener
    this.#listener = null
    if (listener !== null) queueMicrotask(() => listener.onGone())
  }
}
