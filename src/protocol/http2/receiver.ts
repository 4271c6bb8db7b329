import type { FrameSink } from './frames.ts'
import type { RequestHead } from './head.ts'
import type { Session } from './session.ts'
import type { Acceptor } from './stream.ts'
import { Code, ConnectionFault, DEFAULT_WINDOW, Flag, Frame, MAX_STREAM_ID } from './constants.ts'
import { HeaderBlocks } from './header-blocks.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { encodeHeaders } from './hpack-encoder.ts'
import { Http2Stream } from './stream.ts'

const TOO_LARGE = encodeHeaders([':status', '431', 'content-length', '0'])

const wrong = (message: string): ConnectionFault => new ConnectionFault(Code.PROTOCOL_ERROR, message)
const wrongSize = (): ConnectionFault => new ConnectionFault(Code.FRAME_SIZE_ERROR, 'a frame of a wrong length')

/** The states of a connection's streams as the peer's frames move them (RFC 9113 5.1, 6). */
export class Receiver implements FrameSink {
  readonly #session: Session
  readonly #accept: Acceptor
  readonly #decoder: HpackDecoder
  readonly #blocks: HeaderBlocks
  #lastId = 0
  #settled = false
  /** Room of the connection: what is left of it, and what is to be given back. */
  #window: number
  #owed = 0
  /** The stream of the DATA frame that is being read; null = nobody's. */
  #data: Http2Stream | null = null
  #dataEnds = false

  constructor(session: Session, accept: Acceptor) {
    this.#session = session
    this.#accept = accept
    const { maxHeaderList, connectionWindow } = session.options
    this.#decoder = new HpackDecoder(maxHeaderList)
    this.#blocks = new HeaderBlocks(maxHeaderList * 2, (id, flags, bytes, from, to) =>
      this.#onHead(id, flags, bytes, from, to),
    )
    this.#window = Math.max(connectionWindow, DEFAULT_WINDOW)
  }

  /** The highest stream that was taken up. */
  get lastId(): number {
    return this.#lastId
  }

  /** The peer's first frame has come. */
  get settled(): boolean {
    return this.#settled
  }

  onFrame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    if (this.#session.dead) return
    this.#check(type, id)
    switch (type) {
      case Frame.HEADERS:
        this.#session.abuse.idle.give(1)
        this.#blocks.begin(id, flags, bytes, from, to)
        break
      case Frame.CONTINUATION:
        this.#idle()
        this.#blocks.go(flags, bytes, from, to)
        break
      case Frame.PRIORITY:
        this.#onPriority(id, bytes, from, to)
        break
      case Frame.RST_STREAM:
        this.#onReset(id, bytes, from, to)
        break
      case Frame.SETTINGS:
        this.#idle()
        this.#settled = true
        this.#session.onSettings(flags, id, bytes, from, to)
        break
      case Frame.PUSH_PROMISE:
        throw wrong('a client that pushes')
      case Frame.PING:
        if (id !== 0) throw wrong('a ping of a stream')
        if (to - from !== 8) throw wrongSize()
        this.#idle()
        this.#session.onPing((flags & Flag.ACK) !== 0, bytes.subarray(from, to))
        break
      case Frame.GOAWAY:
        if (id !== 0) throw wrong('a farewell of a stream')
        if (to - from < 8) throw wrongSize()
        // It takes no streams of ours, and we open none. Its own may still come.
        this.#idle()
        break
      case Frame.WINDOW_UPDATE:
        this.#onWindow(id, bytes, from, to)
        break
      default:
        this.#idle()
    }
  }

  /** What may stand at this place. */
  #check(type: number, id: number): void {
    if (!this.#settled && type !== Frame.SETTINGS) throw wrong('no settings at the beginning')
    const open = this.#blocks.open
    if (open !== 0 && (type !== Frame.CONTINUATION || id !== open)) throw wrong('a frame inside of a head')
    if (open === 0 && type === Frame.CONTINUATION) throw wrong('a continuation of nothing')
  }

  #idle(): void {
    const { abuse, now } = this.#session
    if (!abuse.idle.take(now)) throw new ConnectionFault(Code.ENHANCE_YOUR_CALM, 'too many frames that say nothing')
  }

  // ── heads ─────────────────────────────────────────────────────────────────
  #onHead(id: number, flags: number, bytes: Buffer, from: number, to: number): void {
    const session = this.#session
    const open = session.streams.get(id)
    const ended = (flags & Flag.END_STREAM) !== 0
    if (open !== null) {
      this.#onTrailers(open, ended, bytes, from, to)
      return
    }
    const decoded = this.#decoder.decode(bytes, from, to)
    if ((id & 1) === 0) throw wrong('a stream of an even number')
    if (id <= this.#lastId) {
      const how = session.closedStreams.how(id)
      if (how === 2) return
      throw how === 1
        ? new ConnectionFault(Code.STREAM_CLOSED, 'a head of a closed stream')
        : wrong('a stream goes back')
    }
    this.#lastId = id
    // It was told that nothing more is taken: it will ask elsewhere.
    if (session.closing) {
      session.closedStreams.add(id, true)
      return
    }
    if (this.#blocks.dependsOnItself) session.refuse(id, Code.PROTOCOL_ERROR)
    else if (session.isFull) session.refuse(id, Code.REFUSED_STREAM)
    else if (decoded.tooLarge) {
      session.sender.headers(id, TOO_LARGE, true)
      if (!ended) session.refuse(id, Code.NO_ERROR)
      else session.closedStreams.add(id, false)
    } else if (decoded.head === null) session.refuse(id, Code.PROTOCOL_ERROR)
    else {
      const { head } = decoded
      const stream = new Http2Stream(session, id, session.sender.initialWindow, session.options.streamWindow)
      stream.expected = head.contentLength
      stream.remoteEnded = ended
      session.streams.add(stream)
      if (ended && head.contentLength > 0) session.reset(stream, Code.PROTOCOL_ERROR)
      else this.#begin(stream, head, ended)
    }
  }

  #begin(stream: Http2Stream, head: RequestHead, ended: boolean): void {
    try {
      this.#accept(stream, head, ended)
    } catch (error) {
      this.#session.failed(stream, error)
    }
  }

  #onTrailers(stream: Http2Stream, ended: boolean, bytes: Buffer, from: number, to: number): void {
    const { head } = this.#decoder.decode(bytes, from, to, true)
    if (stream.remoteEnded) this.#session.fault(stream, Code.STREAM_CLOSED)
    else if (!ended || head === null) this.#session.fault(stream, Code.PROTOCOL_ERROR)
    else this.#end(stream, head.headers)
  }

  #end(stream: Http2Stream, trailers: readonly string[] | null): void {
    if (stream.expected > 0) {
      this.#session.fault(stream, Code.PROTOCOL_ERROR)
      return
    }
    stream.remoteEnded = true
    stream.tellEnd(trailers)
  }

  // ── data ──────────────────────────────────────────────────────────────────
  onDataBegin(flags: number, id: number, length: number): void {
    const session = this.#session
    if (session.dead) return
    this.#check(Frame.DATA, id)
    this.#dataEnds = (flags & Flag.END_STREAM) !== 0
    this.#data = null
    const stream = session.streams.get(id)
    if (stream === null && (id === 0 || id > this.#lastId)) throw wrong('data of no stream')
    this.#window -= length
    if (this.#window < 0) throw new ConnectionFault(Code.FLOW_CONTROL_ERROR, 'more than the window of the connection')
    this.#owed += length
    this.#giveBack()
    if (length === 0 && !this.#dataEnds) this.#idle()
    else session.abuse.idle.give(1)
    if (stream === null) {
      // What was under way when we reset it is dropped; else the peer has lost count.
      if (session.closedStreams.how(id) !== 2) session.refuse(id, Code.STREAM_CLOSED)
      return
    }
    if (stream.remoteEnded) {
      session.fault(stream, Code.STREAM_CLOSED)
      return
    }
    stream.receiveWindow -= length
    stream.owed += length
    if (stream.receiveWindow < 0) session.fault(stream, Code.FLOW_CONTROL_ERROR)
    else this.#data = stream
  }

  /** Of the connection: at once, streams hold back their own. */
  #giveBack(): void {
    const { connectionWindow } = this.#session.options
    if (this.#owed * 2 < connectionWindow) return
    this.#session.sender.out.numbers(Frame.WINDOW_UPDATE, 0, this.#owed)
    this.#window += this.#owed
    this.#owed = 0
  }

  onDataPart(bytes: Buffer, from: number, to: number): void {
    const stream = this.#data
    if (stream === null || stream.closed) return
    if (stream.expected >= 0) {
      stream.expected -= to - from
      if (stream.expected < 0) {
        this.#session.fault(stream, Code.PROTOCOL_ERROR)
        return
      }
    }
    stream.tellData(bytes.subarray(from, to))
  }

  onDataEnd(): void {
    const stream = this.#data
    this.#data = null
    if (stream === null || stream.closed) return
    if (this.#dataEnds) this.#end(stream, null)
    else this.#session.giveBack(stream)
  }

  // ── of streams ────────────────────────────────────────────────────────────
  #onPriority(id: number, bytes: Buffer, from: number, to: number): void {
    if (id === 0) throw wrong('a priority of no stream')
    this.#idle()
    const stream = this.#session.streams.get(id)
    const size = to - from !== 5
    if (!size && (bytes.readUInt32BE(from) & MAX_STREAM_ID) !== id) return
    // Obsolete (RFC 9113 5.3.2), but not beyond its form.
    if (stream !== null) this.#session.fault(stream, size ? Code.FRAME_SIZE_ERROR : Code.PROTOCOL_ERROR)
    else if (id > this.#lastId) throw size ? wrongSize() : wrong('a stream that depends on itself')
    else if (size) this.#session.refuse(id, Code.FRAME_SIZE_ERROR)
  }

  #onReset(id: number, bytes: Buffer, from: number, to: number): void {
    if (to - from !== 4) throw wrongSize()
    if (id === 0 || id > this.#lastId) throw wrong('a reset of no stream')
    const session = this.#session
    const stream = session.streams.get(id)
    if (stream === null) {
      this.#idle()
      return
    }
    if (!stream.headSent) session.countReset()
    session.drop(stream, false, bytes.readUInt32BE(from))
  }

  #onWindow(id: number, bytes: Buffer, from: number, to: number): void {
    if (to - from !== 4) throw wrongSize()
    this.#idle()
    const session = this.#session
    const more = bytes.readUInt32BE(from) & MAX_STREAM_ID
    if (id === 0) {
      if (more === 0) throw wrong('a window that does not grow')
      session.sender.growConnection(more)
      return
    }
    if (id > this.#lastId) throw wrong('a window of no stream')
    const stream = session.streams.get(id)
    if (stream === null) return
    if (more === 0) session.fault(stream, Code.PROTOCOL_ERROR)
    else if (!session.sender.growStream(stream, more)) session.fault(stream, Code.FLOW_CONTROL_ERROR)
  }
}
