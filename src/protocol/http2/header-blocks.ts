import { Code, ConnectionFault, Flag, MAX_STREAM_ID } from './constants.ts'

type Whole = (id: number, flags: number, bytes: Buffer, from: number, to: number) => void

/** Parts of a head beyond the first one. */
const MAX_PARTS = 64

/** Puts the parts of a head together (RFC 9113 6.2, 6.10). Most come in one, which is read where it stands. */
export class HeaderBlocks {
  readonly #max: number
  readonly #whole: Whole
  /** The stream whose head is not complete; 0 = none. */
  open = 0
  /** Of the last head: its priority names its own stream (RFC 7540 5.3.1). */
  dependsOnItself = false
  #flags = 0
  #parts: Buffer[] = []
  #bytes = 0

  /** max: bytes of one head on the wire. */
  constructor(max: number, whole: Whole) {
    this.#max = max
    this.#whole = whole
  }

  /** A HEADERS frame. Throws ConnectionFault. */
  begin(id: number, flags: number, bytes: Buffer, from: number, to: number): void {
    if (id === 0) throw new ConnectionFault(Code.PROTOCOL_ERROR, 'a head of no stream')
    let start = from
    let end = to
    if (flags & Flag.PADDED) {
      if (start >= end) throw new ConnectionFault(Code.FRAME_SIZE_ERROR, 'padding without a length')
      end -= bytes[start++]!
    }
    this.dependsOnItself = false
    if (flags & Flag.PRIORITY) {
      if (to - start < 5) throw new ConnectionFault(Code.FRAME_SIZE_ERROR, 'a priority that is cut')
      this.dependsOnItself = (bytes.readUInt32BE(start) & MAX_STREAM_ID) === id
      start += 5
    }
    if (end < start) throw new ConnectionFault(Code.PROTOCOL_ERROR, 'more padding than frame')
    this.#measure(end - start)
    if (flags & Flag.END_HEADERS) {
      this.#bytes = 0
      this.#whole(id, flags, bytes, start, end)
      return
    }
    this.open = id
    this.#flags = flags
    this.#parts = [Buffer.from(bytes.subarray(start, end))]
  }

  /** A CONTINUATION frame of the open head. */
  go(flags: number, bytes: Buffer, from: number, to: number): void {
    this.#measure(to - from)
    if (this.#parts.length > MAX_PARTS) throw new ConnectionFault(Code.ENHANCE_YOUR_CALM, 'a head in too many parts')
    this.#parts.push(Buffer.from(bytes.subarray(from, to)))
    if ((flags & Flag.END_HEADERS) === 0) return
    const block = Buffer.concat(this.#parts)
    const id = this.open
    this.open = 0
    this.#parts = []
    this.#bytes = 0
    this.#whole(id, this.#flags, block, 0, block.length)
  }

  #measure(bytes: number): void {
    this.#bytes += bytes
    if (this.#bytes > this.#max) throw new ConnectionFault(Code.ENHANCE_YOUR_CALM, 'a head that does not end')
  }
}
