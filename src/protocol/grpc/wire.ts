import { isUtf8 } from 'node:buffer'
import { PREFIX } from './messages.ts'

/** Wire types (protobuf.dev, Encoding). */
export const Wire = { VARINT: 0, BYTES: 2 } as const

/** Bytes that are no message of Protocol Buffers. */
export class WireFault extends Error {}

const MAX_GROUPS = 100
const EMPTY = Buffer.alloc(0)

/**
 * Reads a message's fields by hand, for the few whose reading by the library costs more than what is done with them. A field of another
 * wire type than it should have is skipped, as if it were unknown. Throws WireFault.
 */
export class WireReader {
  #bytes: Buffer
  #at: number
  /** Where the message ends that is being read. */
  #end: number
  /** Of the field at hand. */
  no = 0
  wire = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#at = 0
    this.#end = bytes.length
  }

  /** Goes to the next field; false = the message has no more. */
  next(): boolean {
    if (this.#at >= this.#end) return false
    const tag = this.varint()
    this.no = tag >>> 3
    this.wire = tag & 7
    if (this.no === 0 || tag > 0xffff_ffff) throw new WireFault('a field of no number')
    return true
  }

  /** Of up to 64 bits, of which the lower 53 count. */
  varint(): number {
    const bytes = this.#bytes
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.#end) break
      const byte = bytes[this.#at++]!
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new WireFault('a number that does not end')
  }

  /** Length of what follows, which ends inside of the message. */
  #length(): number {
    const length = this.varint()
    if (length > this.#end - this.#at) throw new WireFault('a field beyond its message')
    return length
  }

  bytes(): Buffer {
    const length = this.#length()
    const from = this.#at
    this.#at += length
    return length === 0 ? EMPTY : this.#bytes.subarray(from, this.#at)
  }

  /** Must be UTF-8. */
  text(): string {
    const length = this.#length()
    const from = this.#at
    this.#at += length
    const text = this.#bytes.toString('utf8', from, this.#at)
    if (text.includes('\ufffd') && !isUtf8(this.#bytes.subarray(from, this.#at)))
      throw new WireFault('a text that is no UTF-8')
    return text
  }

  /** Bytes of a text, which must be UTF-8. */
  textBytes(): Buffer {
    const bytes = this.bytes()
    if (!isUtf8(bytes)) throw new WireFault('a text that is no UTF-8')
    return bytes
  }

  /** Goes into the message of this field; its result is for `leave`. */
  enter(): number {
    const length = this.#length()
    const outer = this.#end
    this.#end = this.#at + length
    return outer
  }

  leave(outer: number): void {
    this.#end = outer
  }

  /** The field is of no interest. */
  skip(depth = 0): void {
    const { no, wire } = this
    if (wire === 0) this.varint()
    else if (wire === 2) {
      const length = this.#length()
      this.#at += length
    } else if (wire === 1 || wire === 5) {
      this.#at += wire === 1 ? 8 : 4
      if (this.#at > this.#end) throw new WireFault('a field beyond its message')
    } else if (wire === 3 && depth < MAX_GROUPS) {
      while (this.next() && this.wire !== 4) this.skip(depth + 1)
      if (this.wire !== 4 || this.no !== no) throw new WireFault('a group that does not end')
    } else throw new WireFault('a field of no type')
  }
}

const FIRST = 8192
/** Larger buffers are not kept for the next message. */
const KEPT = 256 * 1024
/** Up to this length a loop is quicker than a call into the runtime. */
const SHORT = 32

/**
 * Writes a message from its end to its beginning, so that the length of each part is known when it is written: fields in descending
 * order, and lists from behind.
 */
export class WireWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST)
  #at = FIRST

  /** Begins a message; what is left of one that was broken off is gone. */
  begin(): void {
    this.#at = this.#bytes.length
  }

  #claim(count: number): void {
    if (count <= this.#at) return
    const old = this.#bytes
    const used = old.length - this.#at
    const bytes = Buffer.allocUnsafeSlow(Math.max(old.length * 2, used + count))
    old.copy(bytes, bytes.length - used, this.#at)
    this.#bytes = bytes
    this.#at = bytes.length - used
  }

  /** Where the part to be written ends; for `close`. */
  mark(): number {
    return this.#bytes.length - this.#at
  }

  /** Makes what was written since the mark the message of a field. */
  close(no: number, mark: number): void {
    this.#varint(this.#bytes.length - this.#at - mark)
    this.#tag(no, Wire.BYTES)
  }

  #tag(no: number, wire: number): void {
    this.#varint((no << 3) | wire)
  }

  /** An unsigned number of up to 32 bits. */
  #varint(value: number): void {
    this.#claim(5)
    const bytes = this.#bytes
    if (value < 0x80) {
      bytes[--this.#at] = value
      return
    }
    let count = 1
    for (let rest = value >>> 7; rest > 0; rest >>>= 7) count++
    this.#at -= count
    let rest = value
    for (let i = 0; i < count; i++, rest >>>= 7) bytes[this.#at + i] = i < count - 1 ? (rest & 0x7f) | 0x80 : rest
  }

  /** 0 is left out, as everywhere in proto3. value: unsigned, up to 32 bits. */
  number(no: number, value: number): void {
    if (value === 0) return
    this.#varint(value)
    this.#tag(no, Wire.VARINT)
  }

  double(no: number, value: number): void {
    this.#claim(8)
    this.#at -= 8
    this.#bytes.writeDoubleLE(value, this.#at)
    this.#tag(no, 1)
  }

  /** always: also when it is empty, as in a oneof or a list. */
  text(no: number, text: string, always = false): void {
    const { length } = text
    if (length === 0 && !always) return
    const written = length <= SHORT ? this.#short(text) : -1
    if (written < 0) {
      const size = Buffer.byteLength(text)
      this.#claim(size)
      this.#at -= size
      this.#bytes.write(text, this.#at, size, size === length ? 'latin1' : 'utf8')
      this.#varint(size)
    } else this.#varint(written)
    this.#tag(no, Wire.BYTES)
  }

  /** Returns -1 when it is more than ASCII. */
  #short(text: string): number {
    const { length } = text
    this.#claim(length)
    const bytes = this.#bytes
    const from = this.#at - length
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return -1
      bytes[from + i] = code
    }
    this.#at = from
    return length
  }

  /** One byte a character, as headers have it. */
  latin1(no: number, text: string): void {
    const { length } = text
    if (length === 0) return
    this.#claim(length)
    this.#at -= length
    this.#bytes.write(text, this.#at, length, 'latin1')
    this.#varint(length)
    this.#tag(no, Wire.BYTES)
  }

  /** always: also when it is empty. */
  data(no: number, data: Uint8Array, always = false): void {
    if (data.length === 0 && !always) return
    this.#claim(data.length)
    this.#at -= data.length
    this.#bytes.set(data, this.#at)
    this.#varint(data.length)
    this.#tag(no, Wire.BYTES)
  }

  /** The message with its prefix, as a view that the next message overwrites. */
  frame(): Buffer {
    const length = this.#bytes.length - this.#at
    this.#claim(PREFIX)
    this.#at -= PREFIX
    const bytes = this.#bytes
    bytes[this.#at] = 0
    bytes.writeUInt32BE(length, this.#at + 1)
    const framed = bytes.subarray(this.#at)
    if (bytes.length > KEPT) this.#bytes = Buffer.allocUnsafeSlow(FIRST)
    this.#at = this.#bytes.length
    return framed
  }

  /** The same as bytes of its own. */
  ownFrame(): Buffer {
    const framed = this.frame()
    return Buffer.from(framed)
  }
}
