/**
 * Writes protocol buffers (protobuf.dev/programming-guides/encoding) into one growing buffer. By hand, because the spans
 * of a request are written in the thread that serves requests: there a general library's messages, classes and copies
 * cost more than the rest of the request.
 */

const SMALL = 40
const START_BYTES = 16 * 1024
const TWO_32 = 2 ** 32
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const varintSize = (n: number): number => (n < 0x80 ? 1 : n < 0x4000 ? 2 : n < 0x20_0000 ? 3 : n < 0x1000_0000 ? 4 : 5)

/** By character code of a hex digit. */
const NIBBLE = new Uint8Array(128)
for (let i = 0; i < 16; i++) NIBBLE[i.toString(16).charCodeAt(0)] = i

export class ProtoWriter {
  #buffer = Buffer.allocUnsafeSlow(START_BYTES)
  #view = new DataView(this.#buffer.buffer)
  #at = 0

  /** Bytes written so far. */
  get length(): number {
    return this.#at
  }

  /** Forgets what was written after a point that `length` once named. */
  truncate(length: number): void {
    this.#at = length
  }

  /** A copy of what was written; the writer begins anew. */
  take(): Uint8Array<ArrayBuffer> {
    // With memory of its own, which can be transferred, and not zeroed first.
    const bytes = Buffer.allocUnsafeSlow(this.#at)
    this.#buffer.copy(bytes, 0, 0, this.#at)
    this.#at = 0
    return bytes
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const next = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(next, 0, 0, this.#at)
    this.#buffer = next
    this.#view = new DataView(next.buffer)
  }

  /** Numbers from 0 up to 2^53. */
  #varint(value: number): void {
    let n = value
    while (n >= 0x80) {
      this.#buffer[this.#at++] = (n % 0x80) + 0x80
      n = Math.floor(n / 0x80)
    }
    this.#buffer[this.#at++] = n
  }

  #tag(field: number, type: number): void {
    this.#varint(field * 8 + type)
  }

  /** A message field: what is written until close() is its content. */
  open(field: number): number {
    this.#room(8)
    this.#tag(field, BYTES)
    // One byte is kept for the length; longer ones move the content.
    this.#at++
    return this.#at
  }

  close(start: number): void {
    const length = this.#at - start
    const size = varintSize(length)
    if (size > 1) {
      this.#room(size)
      this.#buffer.copyWithin(start - 1 + size, start, this.#at)
    }
    this.#at = start - 1
    this.#varint(length)
    this.#at = start - 1 + size + length
  }

  string(field: number, text: string): void {
    // No character takes more than three bytes of UTF-8.
    this.#room(text.length * 3 + 12)
    this.#tag(field, BYTES)
    if (text.length < SMALL && this.#ascii(text)) return
    const bytes = Buffer.byteLength(text)
    this.#varint(bytes)
    this.#at += this.#buffer.write(text, this.#at, bytes, 'utf8')
  }

  /** Short names and values are nearly always ASCII: a loop is faster than a call into the runtime. */
  #ascii(text: string): boolean {
    const { length } = text
    const buffer = this.#buffer
    const at = this.#at + 1
    for (let i = 0; i < length; i++) {
      const c = text.charCodeAt(i)
      if (c > 127) return false
      buffer[at + i] = c
    }
    buffer[this.#at] = length
    this.#at = at + length
    return true
  }

  /** Bytes given in hex, lower case. */
  hex(field: number, text: string): void {
    const length = text.length >> 1
    this.#room(length + 12)
    this.#tag(field, BYTES)
    this.#varint(length)
    for (let i = 0; i < text.length; i += 2)
      this.#buffer[this.#at++] = (NIBBLE[text.charCodeAt(i)]! << 4) | NIBBLE[text.charCodeAt(i + 1)]!
  }

  uint(field: number, value: number): void {
    this.#room(20)
    this.#tag(field, VARINT)
    this.#varint(value)
  }

  /** int64, negative ones in ten bytes as the format wants. */
  int(field: number, value: number): void {
    if (value >= 0) {
      this.uint(field, value)
      return
    }
    this.#room(20)
    this.#tag(field, VARINT)
    let n = BigInt.asUintN(64, BigInt(value))
    while (n >= 0x80n) {
      this.#buffer[this.#at++] = Number(n & 0x7fn) | 0x80
      n >>= 7n
    }
    this.#buffer[this.#at++] = Number(n)
  }

  double(field: number, value: number): void {
    this.#room(20)
    this.#tag(field, FIXED64)
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  fixed32(field: number, value: number): void {
    this.#room(12)
    this.#tag(field, FIXED32)
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  /** fixed64 of a number from 0 up, exact up to 2^53 and to 53 bits beyond. */
  fixed64(field: number, value: number): void {
    this.#room(20)
    this.#tag(field, FIXED64)
    const high = Math.floor(value / TWO_32)
    this.#view.setUint32(this.#at, value - high * TWO_32, true)
    this.#view.setUint32(this.#at + 4, high, true)
    this.#at += 8
  }

  /** Bytes that hold fields already. */
  raw(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#buffer.set(bytes, this.#at)
    this.#at += bytes.length
  }
}
