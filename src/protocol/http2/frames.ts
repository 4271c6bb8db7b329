import { Code, ConnectionFault, DEFAULT_FRAME_SIZE, Flag, Frame, FRAME_HEAD } from './constants.ts'

/** Takes what a FrameReader has read. Bytes are views of what came: they are valid as long as they are kept. */
export interface FrameSink {
  /** A whole frame that is not DATA; its payload is `bytes` from `from` to `to`. */
  onFrame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number): void
  /** length: of the payload with its padding, which is what flow control counts. */
  onDataBegin(flags: number, id: number, length: number): void
  onDataPart(bytes: Buffer, from: number, to: number): void
  onDataEnd(): void
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

/**
 * Reads the client's side of a connection out of the pieces in which it comes (RFC 9113 3.4, 4.1). DATA goes on at once, piece by
 * piece; other frames are joined when they come in several, each byte copied once. Throws ConnectionFault.
 */
export class FrameReader {
  readonly #sink: FrameSink
  #preface = 0
  /** Head of a frame that came in pieces. */
  readonly #head = Buffer.alloc(FRAME_HEAD)
  #headBytes = 0
  #type = 0
  #flags = 0
  #id = 0
  /** Of a frame whose payload came in pieces. */
  #joined: Buffer | null = null
  #joinedBytes = 0
  /** Of a DATA frame: what is left of its content, and after it of its padding; -1 = not inside of one. */
  #content = -1
  #padding = 0
  #padLength = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** The client has shown that it speaks HTTP/2. */
  get begun(): boolean {
    return this.#preface === PREFACE.length
  }

  read(bytes: Buffer): void {
    let at = this.begun ? 0 : this.#readPreface(bytes)
    const end = bytes.length
    while (at < end) {
      if (this.#content >= 0) at = this.#readData(bytes, at)
      else if (this.#joined !== null) at = this.#join(bytes, at)
      else if (this.#headBytes === 0 && end - at >= FRAME_HEAD) at = this.#begin(bytes, at, bytes, at + FRAME_HEAD)
      else {
        const count = Math.min(FRAME_HEAD - this.#headBytes, end - at)
        bytes.copy(this.#head, this.#headBytes, at, at + count)
        this.#headBytes += count
        at += count
        if (this.#headBytes === FRAME_HEAD) {
          this.#headBytes = 0
          at = this.#begin(this.#head, 0, bytes, at)
        }
      }
    }
  }

  #readPreface(bytes: Buffer): number {
    const count = Math.min(PREFACE.length - this.#preface, bytes.length)
    if (PREFACE.compare(bytes, 0, count, this.#preface, this.#preface + count) !== 0)
      throw new ConnectionFault(Code.PROTOCOL_ERROR, 'no preface of HTTP/2')
    this.#preface += count
    return count
  }

  /** A head stands at `from` of `head`, its payload begins at `at` of `bytes`. Returns up to where it has read. */
  #begin(head: Buffer, from: number, bytes: Buffer, at: number): number {
    const length = (head[from]! << 16) | (head[from + 1]! << 8) | head[from + 2]!
    const type = head[from + 3]!
    const flags = head[from + 4]!
    const id = ((head[from + 5]! & 0x7f) << 24) | (head[from + 6]! << 16) | (head[from + 7]! << 8) | head[from + 8]!
    if (length > DEFAULT_FRAME_SIZE) throw new ConnectionFault(Code.FRAME_SIZE_ERROR, 'a frame that is too long')
    if (type === Frame.DATA) return this.#beginData(flags, id, length, at)
    if (bytes.length - at >= length) {
      this.#sink.onFrame(type, flags, id, bytes, at, at + length)
      return at + length
    }
    this.#type = type
    this.#flags = flags
    this.#id = id
    this.#joined = Buffer.allocUnsafe(length)
    this.#joinedBytes = 0
    return at
  }

  #join(bytes: Buffer, at: number): number {
    const joined = this.#joined!
    const count = Math.min(joined.length - this.#joinedBytes, bytes.length - at)
    bytes.copy(joined, this.#joinedBytes, at, at + count)
    this.#joinedBytes += count
    if (this.#joinedBytes === joined.length) {
      this.#joined = null
      this.#sink.onFrame(this.#type, this.#flags, this.#id, joined, 0, joined.length)
    }
    return at + count
  }

  #beginData(flags: number, id: number, length: number, at: number): number {
    this.#padLength = (flags & Flag.PADDED) !== 0
    if (this.#padLength && length === 0) throw new ConnectionFault(Code.FRAME_SIZE_ERROR, 'padding without a length')
    this.#sink.onDataBegin(flags, id, length)
    this.#content = length
    this.#padding = 0
    if (length === 0) this.#endData()
    return at
  }

  #readData(bytes: Buffer, from: number): number {
    let at = from
    if (this.#padLength) {
      this.#padLength = false
      this.#padding = bytes[at++]!
      this.#content -= 1 + this.#padding
      if (this.#content < 0) throw new ConnectionFault(Code.PROTOCOL_ERROR, 'more padding than frame')
    }
    const count = Math.min(this.#content, bytes.length - at)
    if (count > 0) {
      this.#content -= count
      this.#sink.onDataPart(bytes, at, at + count)
      at += count
    }
    if (this.#content === 0) {
      const skipped = Math.min(this.#padding, bytes.length - at)
      this.#padding -= skipped
      at += skipped
      if (this.#padding === 0) this.#endData()
    }
    return at
  }

  #endData(): void {
    this.#content = -1
    this.#sink.onDataEnd()
  }
}
