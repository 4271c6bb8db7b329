import type { Socket } from 'node:net'
import type { Http2Options } from './options.ts'
import type { Acceptor, Http2Stream } from './stream.ts'
import { OpenMember } from '../../core/open-list.ts'
import { Abuse, ClosedStreams } from './abuse.ts'
import { Code, ConnectionFault, DEFAULT_WINDOW, Flag, Frame, MAX_STREAM_ID, MAX_WINDOW, Setting } from './constants.ts'
import { FrameReader } from './frames.ts'
import { Output } from './output.ts'
import { Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import { StreamTable } from './stream-table.ts'

/** Bytes that the peer has made us write and does not read. Data is held back long before. */
const MAX_UNREAD = 1024 * 1024
/** A peer that is told of the end hears of it before its connection is cut, ms. */
const LAST_WORDS_MS = 1000
/** No code of the RFC: nobody has reset it. */
const WELL = -1
const KEEPALIVE = Buffer.from('heddleka')
const DRAIN = Buffer.from('heddledr')

/** One connection of HTTP/2, the server's side. */
export class Session extends OpenMember {
  readonly options: Http2Options
  readonly sender: Sender
  readonly abuse: Abuse
  readonly streams = new StreamTable<Http2Stream>()
  readonly closedStreams = new ClosedStreams()
  /** Monotonic ms, of what came last. */
  now: number
  /** The peer has been told which stream was the last; later ones are not taken. */
  closing = false
  /** GOAWAY with an error is out, or the socket is gone. */
  dead = false
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #receiver: Receiver
  readonly #gone: (session: Session) => void
  readonly #startedAt: number
  #reading = false
  #flushes = false
  #draining = false
  #drainedAt = 0
  #asked = false
  #endsAt = Infinity

  /** gone: once, when the socket is closed. */
  constructor(socket: Socket, options: Http2Options, accept: Acceptor, gone: (session: Session) => void) {
    super()
    this.options = options
    this.#socket = socket
    this.#gone = gone
    this.now = this.#startedAt = options.now()
    this.sender = new Sender(new Output(socket))
    this.abuse = new Abuse(options.maxStreams)
    this.#receiver = new Receiver(this, accept)
    this.#reader = new FrameReader(this.#receiver)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => this.#drained())
    socket.on('end', () => this.destroy())
    socket.on('error', () => this.destroy())
    socket.on('close', () => this.#closed())
    this.#greet()
  }

  #greet(): void {
    const { maxStreams, streamWindow, maxHeaderList, connectionWindow } = this.options
    const settings: readonly (readonly [number, number])[] = [
      [Setting.MAX_CONCURRENT_STREAMS, maxStreams],
      [Setting.INITIAL_WINDOW_SIZE, streamWindow],
      [Setting.MAX_HEADER_LIST_SIZE, maxHeaderList],
    ]
    const payload = Buffer.alloc(settings.length * 6)
    for (const [i, [id, value]] of settings.entries()) {
      payload.writeUInt16BE(id, i * 6)
      payload.writeUInt32BE(value, i * 6 + 2)
    }
    const { out } = this.sender
    out.control(Frame.SETTINGS, 0, payload)
    if (connectionWindow > DEFAULT_WINDOW) out.numbers(Frame.WINDOW_UPDATE, 0, connectionWindow - DEFAULT_WINDOW)
    this.flush()
  }

  // ── in and out ────────────────────────────────────────────────────────────
  #read(chunk: Buffer): void {
    if (this.dead) return
    this.now = this.options.now()
    this.#asked = false
    this.#reading = true
    try {
      this.#reader.read(chunk)
    } catch (error) {
      if (!(error instanceof ConnectionFault)) this.options.onFault(error)
      this.#fail(error instanceof ConnectionFault ? error.code : Code.INTERNAL_ERROR)
    }
    this.#reading = false
    this.flush()
  }

  /** Something is to go out: with the end of what is being read, or of this turn. */
  wrote(): void {
    if (this.#reading || this.#flushes) return
    this.#flushes = true
    queueMicrotask(this.#flushLater)
  }

  readonly #flushLater = (): void => {
    this.#flushes = false
    this.flush()
  }

  flush(): void {
    this.sender.pump()
    this.push()
    if (this.closing && this.streams.count === 0 && !this.dead) this.#end()
  }

  /** Gives the socket what there is: what was held back stays so. */
  push(): void {
    const socket = this.#socket
    this.sender.out.flush()
    if (socket.destroyed) return
    this.sender.blocked = socket.writableNeedDrain
    if (socket.writableLength > MAX_UNREAD) this.destroy()
  }

  #drained(): void {
    this.sender.unblock()
    this.flush()
  }

  /** A handler has failed: that is our fault, and ends its own stream alone. */
  failed(stream: Http2Stream, error: unknown): void {
    this.options.onFault(error)
    if (!stream.closed) this.reset(stream, Code.INTERNAL_ERROR)
  }

  // ── streams ───────────────────────────────────────────────────────────────
  /** No stream is taken now; those that are open go on. */
  get isFull(): boolean {
    return this.streams.count >= this.options.maxStreams || this.sender.queued > this.options.maxQueued
  }

  /** One of its sides has ended. */
  ended(stream: Http2Stream): void {
    if (stream.closed || !stream.localEnded) return
    if (stream.remoteEnded) this.drop(stream, false, WELL)
    else {
      // An answer before the request's end: the rest is not wanted (RFC 9113 8.1).
      this.sender.out.numbers(Frame.RST_STREAM, stream.id, Code.NO_ERROR)
      this.drop(stream, true, WELL)
    }
  }

  /** Takes it out of the books. byUs: frames of it may be under way. code: of `StreamHandler.onClose`. */
  drop(stream: Http2Stream, byUs: boolean, code: number): void {
    if (stream.closed) return
    stream.closed = true
    this.sender.forget(stream)
    this.streams.remove(stream.id)
    this.closedStreams.add(stream.id, byUs)
    try {
      stream.handler.onClose(code)
    } catch (error) {
      this.options.onFault(error)
    }
  }

  reset(stream: Http2Stream, code: number): void {
    this.sender.out.numbers(Frame.RST_STREAM, stream.id, code)
    this.wrote()
    this.drop(stream, true, code)
  }

  /** The peer has broken the rules of a stream. */
  fault(stream: Http2Stream, code: number): void {
    if (stream.closed) return
    this.reset(stream, code)
    this.countReset()
  }

  /** A stream that was never taken up, or is long gone. */
  refuse(id: number, code: number): void {
    this.closedStreams.add(id, true)
    this.sender.out.numbers(Frame.RST_STREAM, id, code)
    this.countReset()
  }

  countReset(): void {
    if (!this.abuse.resets.take(this.now)) throw new ConnectionFault(Code.ENHANCE_YOUR_CALM, 'too many resets')
  }

  /** Room for what came on a stream, when that is worth a frame. */
  giveBack(stream: Http2Stream): void {
    const { owed } = stream
    if (stream.paused || stream.closed || stream.remoteEnded || owed * 2 < this.options.streamWindow) return
    stream.owed = 0
    stream.receiveWindow += owed
    this.sender.out.numbers(Frame.WINDOW_UPDATE, stream.id, owed)
    this.wrote()
  }

  // ── frames of the connection ──────────────────────────────────────────────
  onSettings(flags: number, id: number, bytes: Buffer, from: number, to: number): void {
    if (id !== 0) throw new ConnectionFault(Code.PROTOCOL_ERROR, 'settings of a stream')
    const acked = (flags & Flag.ACK) !== 0
    if (acked ? to !== from : (to - from) % 6 !== 0)
      throw new ConnectionFault(Code.FRAME_SIZE_ERROR, 'settings of a wrong length')
    if (acked) return
    let window = -1
    for (let at = from; at < to; at += 6) {
      const setting = bytes.readUInt16BE(at)
      const value = bytes.readUInt32BE(at + 2)
      if (setting === Setting.INITIAL_WINDOW_SIZE) window = value
      else this.#set(setting, value)
      if (window > MAX_WINDOW) throw new ConnectionFault(Code.FLOW_CONTROL_ERROR, 'a window beyond the largest')
    }
    // Before what the new window lets go.
    this.sender.out.control(Frame.SETTINGS, Flag.ACK, NOTHING)
    // Once a frame, however often it stands there: all open streams are gone through.
    if (window >= 0 && window !== this.sender.initialWindow) this.sender.setInitialWindow(window, this.streams.all())
  }

  #set(setting: number, value: number): void {
    const { sender } = this
    if (setting === Setting.MAX_FRAME_SIZE) {
      if (value < 16_384 || value > 0xff_ffff)
        throw new ConnectionFault(Code.PROTOCOL_ERROR, 'a frame size beyond bounds')
      sender.maxFrame = Math.min(value, MAX_FRAME)
    } else if (setting === Setting.HEADER_TABLE_SIZE) {
      if (value < 4096) sender.shrinkTable = true
    } else if (setting === Setting.ENABLE_PUSH && value > 1)
      throw new ConnectionFault(Code.PROTOCOL_ERROR, 'push neither on nor off')
  }

  onPing(acked: boolean, payload: Buffer): void {
    if (!acked) this.sender.out.control(Frame.PING, Flag.ACK, payload)
    else if (this.#draining && payload.equals(DRAIN)) this.#sayLast()
  }

  // ── life ──────────────────────────────────────────────────────────────────
  /** The peer opens its next streams elsewhere; those that are open, and under way, are served (RFC 9113 6.8). */
  drain(): void {
    if (this.#draining || this.dead) return
    this.#draining = true
    this.#drainedAt = this.options.now()
    const { out } = this.sender
    out.numbers(Frame.GOAWAY, 0, MAX_STREAM_ID, Code.NO_ERROR)
    // Its answer says that the first word has been heard: what comes later was sent later.
    out.control(Frame.PING, 0, DRAIN)
    this.flush()
  }

  #sayLast(): void {
    if (this.closing) return
    this.closing = true
    this.sender.out.numbers(Frame.GOAWAY, 0, this.#receiver.lastId, Code.NO_ERROR)
    this.wrote()
  }

  #end(): void {
    this.dead = true
    this.#endsAt = this.options.now() + LAST_WORDS_MS
    this.#socket.end()
  }

  #fail(code: number): void {
    if (this.dead) return
    this.sender.out.numbers(Frame.GOAWAY, 0, this.#receiver.lastId, code)
    this.sender.out.flush()
    this.#end()
    this.#resetAll(code)
  }

  #resetAll(code: number): void {
    for (const stream of this.streams.all()) this.drop(stream, false, code)
  }

  /** To be called every second or so. now: monotonic ms. */
  check(now: number): void {
    const { keepAliveMs, keepAliveTimeoutMs, prefaceMs } = this.options
    const silence = now - this.now
    // A peer that answers no pings.
    if (this.#draining && now - this.#drainedAt > LAST_WORDS_MS && !this.dead) this.#sayLast()
    if (now >= this.#endsAt || (!this.#receiver.settled && now - this.#startedAt > prefaceMs)) this.destroy()
    else if (this.dead || silence < keepAliveMs) return
    else if (silence >= keepAliveMs + keepAliveTimeoutMs) this.destroy()
    else if (!this.#asked) {
      this.#asked = true
      this.sender.out.control(Frame.PING, 0, KEEPALIVE)
      this.flush()
    }
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#socket.destroy()
  }

  #closed(): void {
    this.dead = true
    this.sender.out.drop()
    this.#resetAll(Code.CANCEL)
    this.#gone(this)
  }
}

const NOTHING = Buffer.alloc(0)
/** Larger frames of ours would keep others waiting. */
const MAX_FRAME = 65_536
