import type { Http2Stream } from './stream.ts'
import { OpenList } from '../../core/open-list.ts'
import {
  Code,
  ConnectionFault,
  DEFAULT_FRAME_SIZE,
  DEFAULT_WINDOW,
  Flag,
  Frame,
  FRAME_HEAD,
  MAX_WINDOW,
} from './constants.ts'
import { writeFrameHead, Output } from './output.ts'

/** A table size of 0 (RFC 7541 6.3): our blocks use none, and peers that allow less than the default must hear it (4.2). */
const NO_TABLE = 0x20

/**
 * The sending side of one connection: what may go out now does, the rest waits in its stream until windows or the socket
 * let it (RFC 9113 5.2).
 */
export class Sender {
  readonly out: Output
  /** Of the connection. */
  #window = DEFAULT_WINDOW
  /** The peer's settings. */
  initialWindow = DEFAULT_WINDOW
  maxFrame = DEFAULT_FRAME_SIZE
  /** The socket takes no more for now. */
  blocked = false
  shrinkTable = false
  /** Bytes that wait in streams. */
  queued = 0
  /** Streams that wait for the connection: its window or its socket. */
  /** The connection's window has grown, or its socket is free again. */
  #stirs = false
  readonly #waiting = new OpenList<Http2Stream>()

  constructor(out: Output) {
    this.out = out
  }

  #mayNow(stream: Http2Stream, bytes: number): boolean {
    return !this.blocked && stream.queue === null && bytes <= stream.sendWindow && bytes <= this.#window
  }

  headers(id: number, block: Buffer, end: boolean): void {
    if (!this.shrinkTable) {
      this.out.headers(id, block, end, this.maxFrame)
      return
    }
    this.shrinkTable = false
    this.out.headers(id, Buffer.concat([Buffer.of(NO_TABLE), block]), end, this.maxFrame)
  }

  /** A whole answer as one piece, where that is possible: false = nothing was done. bytes are copied. */
  whole(stream: Http2Stream, head: Buffer, bytes: Uint8Array, trailers: Buffer): boolean {
    const { length } = bytes
    const total = head.length + length + trailers.length + 3 * FRAME_HEAD
    if (total > Output.room || length > this.maxFrame || this.shrinkTable || !this.#mayNow(stream, length)) return false
    const slab = this.out.claim(total)
    let at = this.out.take(total)
    const { id } = stream
    writeFrameHead(slab, at, Frame.HEADERS, Flag.END_HEADERS, id, head.length)
    slab.set(head, (at += FRAME_HEAD))
    writeFrameHead(slab, (at += head.length), Frame.DATA, 0, id, length)
    slab.set(bytes, (at += FRAME_HEAD))
    writeFrameHead(slab, (at += length), Frame.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id, trailers.length)
    slab.set(trailers, at + FRAME_HEAD)
    this.#window -= length
    stream.sendWindow -= length
    return true
  }

  /** Sends, or keeps, bytes of a stream. False = some of it waits. */
  data(stream: Http2Stream, bytes: Buffer): boolean {
    if (bytes.length === 0) return stream.queue === null
    let rest = bytes
    if (stream.queue === null) {
      rest = this.#some(stream, bytes, Infinity)
      if (rest.length === 0) return true
      stream.queue = []
    }
    stream.queue.push(rest)
    this.queued += rest.length
    this.#await(stream)
    return false
  }

  /** Sends of the bytes what may go now, at most so many frames; returns the rest. */
  #some(stream: Http2Stream, bytes: Buffer, frames: number): Buffer {
    let at = 0
    for (let i = 0; i < frames && at < bytes.length && !this.blocked; i++) {
      const room = Math.min(bytes.length - at, stream.sendWindow, this.#window, this.maxFrame)
      if (room <= 0) break
      this.out.data(stream.id, bytes.subarray(at, at + room), false)
      at += room
      stream.sendWindow -= room
      this.#window -= room
      if (this.out.full) stream.session.push()
    }
    return at === 0 ? bytes : bytes.subarray(at)
  }

  /** Ends a stream whose queue is empty. trailers null = none. */
  finish(stream: Http2Stream, trailers: Buffer | null): void {
    if (trailers === null) this.out.data(stream.id, EMPTY, true)
    else this.headers(stream.id, trailers, true)
  }

  #await(stream: Http2Stream): void {
    if (stream.sendWindow > 0 && stream.nextOpen === null) this.#waiting.add(stream)
  }

  /** The stream is over: nothing of it is sent any more. */
  forget(stream: Http2Stream): void {
    this.#waiting.remove(stream)
    if (stream.queue === null) return
    for (const piece of stream.queue) this.queued -= piece.length
    stream.queue = null
  }

  // ── windows ───────────────────────────────────────────────────────────────
  /** Throws ConnectionFault when the window is larger than may be (6.9.1). */
  growConnection(bytes: number): void {
    this.#window += bytes
    if (this.#window > MAX_WINDOW) throw new ConnectionFault(Code.FLOW_CONTROL_ERROR, 'a window beyond the largest')
    this.#stirs = true
  }

  /** False = larger than may be. */
  growStream(stream: Http2Stream, bytes: number): boolean {
    stream.sendWindow += bytes
    if (stream.sendWindow > MAX_WINDOW) return false
    if (stream.queue !== null) this.#pump(stream, Infinity)
    return true
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE moves the windows of all streams, also below zero (6.9.2). */
  setInitialWindow(bytes: number, streams: readonly Http2Stream[]): void {
    const change = bytes - this.initialWindow
    this.initialWindow = bytes
    for (const stream of streams)
      if (!this.growStream(stream, change))
        throw new ConnectionFault(Code.FLOW_CONTROL_ERROR, 'a window beyond the largest')
  }

  /** The socket takes more. */
  unblock(): void {
    this.blocked = false
    this.#stirs = true
  }

  /** What the connection has kept back, now that it may go: a frame of each that waits, in turn, while something moves. */
  pump(): void {
    if (!this.#stirs) return
    this.#stirs = false
    let moved = true
    while (moved && this.#window > 0 && !this.blocked) {
      moved = false
      for (const stream of this.#waiting.all()) {
        if (this.#window <= 0 || this.blocked) return
        if (stream.nextOpen !== null && this.#pump(stream, 1)) moved = true
      }
    }
  }

  /** Returns whether anything was sent. */
  #pump(stream: Http2Stream, frames: number): boolean {
    const { queue } = stream
    if (queue === null) return false
    let left = frames
    let moved = false
    while (queue.length > 0 && left-- > 0) {
      const [first] = queue
      const rest = this.#some(stream, first!, frames === 1 ? 1 : Infinity)
      const sent = first!.length - rest.length
      if (sent === 0) break
      moved = true
      this.queued -= sent
      if (rest.length === 0) queue.shift()
      else queue[0] = rest
    }
    if (queue.length === 0) {
      this.#waiting.remove(stream)
      stream.queue = null
      stream.emptied()
    } else if (stream.sendWindow <= 0) this.#waiting.remove(stream)
    else this.#await(stream)
    return moved
  }
}

const EMPTY = Buffer.alloc(0)
