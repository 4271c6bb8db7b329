import type { Socket } from 'node:net'
import { Flag, Frame, FRAME_HEAD } from './constants.ts'

const SLAB = 32_768
/** Slabs that wait for the next turn, of all connections of this thread: an idle connection has none. */
const free: Buffer[] = []
const MAX_FREE = 16
/** Payloads up to this size are copied beside their frame's head; larger ones are sent as they are. */
const COPIED = 2048
/** What is written in one turn goes out as one, unless it is more. */
const TURN = 65_536

/**
 * The bytes that go out. Frames are put side by side and leave with `flush`. What is given to `data` and `headers` must not change
 * afterwards.
 */
export class Output {
  readonly #socket: Socket
  #slab: Buffer | null = null
  #from = 0
  #at = 0
  readonly #pieces: Buffer[] = []
  #pieceBytes = 0

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Bytes that have not been given to the socket. */
  get size(): number {
    return this.#pieceBytes + this.#at - this.#from
  }

  get full(): boolean {
    return this.size >= TURN
  }

  /** A slab with room for so many bytes (at most `Output.room`), to be written from `claim`'s result on. */
  claim(bytes: number): Buffer {
    const slab = this.#slab
    if (slab !== null && slab.length - this.#at >= bytes) return slab
    this.#cut()
    this.#from = this.#at = 0
    return (this.#slab = free.pop() ?? Buffer.allocUnsafeSlow(SLAB))
  }

  /** Where the claimed bytes begin; they are taken by this. */
  take(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    return at
  }

  static readonly room = SLAB

  #cut(): void {
    const slab = this.#slab
    if (slab === null || this.#at === this.#from) return
    this.#push(slab.subarray(this.#from, this.#at))
    this.#from = this.#at
  }

  #push(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#pieceBytes += piece.length
  }

  #payload(bytes: Buffer): void {
    if (bytes.length <= COPIED) {
      const slab = this.claim(bytes.length)
      slab.set(bytes, this.take(bytes.length))
      return
    }
    this.#cut()
    this.#push(bytes)
  }

  #head(type: number, flags: number, id: number, length: number): void {
    const slab = this.claim(FRAME_HEAD)
    writeFrameHead(slab, this.take(FRAME_HEAD), type, flags, id, length)
  }

  /** A block of headers, in as many frames as it takes. */
  headers(id: number, block: Buffer, end: boolean, maxFrame: number): void {
    const flags = end ? Flag.END_STREAM : 0
    if (block.length <= maxFrame) {
      this.#head(Frame.HEADERS, flags | Flag.END_HEADERS, id, block.length)
      this.#payload(block)
      return
    }
    this.#head(Frame.HEADERS, flags, id, maxFrame)
    this.#payload(block.subarray(0, maxFrame))
    for (let at = maxFrame; at < block.length; at += maxFrame) {
      const part = block.subarray(at, at + maxFrame)
      this.#head(Frame.CONTINUATION, at + maxFrame >= block.length ? Flag.END_HEADERS : 0, id, part.length)
      this.#payload(part)
    }
  }

  data(id: number, bytes: Buffer, end: boolean): void {
    this.#head(Frame.DATA, end ? Flag.END_STREAM : 0, id, bytes.length)
    if (bytes.length > 0) this.#payload(bytes)
  }

  /** A frame of a few numbers of 32 bits: RST_STREAM, WINDOW_UPDATE and the like. */
  numbers(type: number, id: number, first: number, second = -1): void {
    const length = second < 0 ? 4 : 8
    const slab = this.claim(FRAME_HEAD + length)
    const at = this.take(FRAME_HEAD + length)
    writeFrameHead(slab, at, type, 0, id, length)
    slab.writeUInt32BE(first, at + FRAME_HEAD)
    if (second >= 0) slab.writeUInt32BE(second, at + FRAME_HEAD + 4)
  }

  /** A control frame of the connection; payload: at most 1 KiB, copied. */
  control(type: number, flags: number, payload: Uint8Array): void {
    const slab = this.claim(FRAME_HEAD + payload.length)
    const at = this.take(FRAME_HEAD + payload.length)
    writeFrameHead(slab, at, type, flags, 0, payload.length)
    slab.set(payload, at + FRAME_HEAD)
  }

  /** Gives all to the socket. */
  flush(): void {
    const socket = this.#socket
    if (this.size === 0) return
    if (socket.destroyed) {
      this.drop()
      return
    }
    this.#cut()
    const pieces = this.#pieces
    if (pieces.length === 1) socket.write(pieces[0]!)
    else {
      socket.cork()
      for (const piece of pieces) socket.write(piece)
      socket.uncork()
    }
    // The kernel has it all: the slab is free again. Otherwise it is the socket's until it is written.
    if (socket.writableLength === 0 && this.#slab !== null && free.length < MAX_FREE) free.push(this.#slab)
    this.drop()
  }

  drop(): void {
    this.#slab = null
    this.#from = this.#at = 0
    this.#pieces.length = 0
    this.#pieceBytes = 0
  }
}

/** RFC 9113 4.1. */
export function writeFrameHead(to: Buffer, at: number, type: number, flags: number, id: number, length: number): void {
  to[at] = length >>> 16
  to[at + 1] = length >>> 8
  to[at + 2] = length
  to[at + 3] = type
  to[at + 4] = flags
  to[at + 5] = id >>> 24
  to[at + 6] = id >>> 16
  to[at + 7] = id >>> 8
  to[at + 8] = id
}
