import { Code, ConnectionFault } from './constants.ts'
import { fieldOf, HeadBuilder, type RequestHead } from './head.ts'
import { DEFAULT_TABLE_SIZE, DynamicTable, STATIC_COUNT, STATIC_TABLE, type Field } from './hpack-table.ts'
import { huffmanText } from './huffman.ts'

/** What a block of headers was. */
export interface Decoded {
  /** Null = malformed, or too large. */
  readonly head: RequestHead | null
  /** More than the settings allow (SETTINGS_MAX_HEADER_LIST_SIZE). */
  readonly tooLarge: boolean
  /** Why it is malformed. */
  readonly fault: string
}

const STATIC_FIELDS: readonly Field[] = STATIC_TABLE.map(([name, value]) => fieldOf(name, value))
/** Longest block that is remembered. */
const REMEMBERED = 512

/**
 * HPACK (RFC 7541), the receiving side of one connection. Every block must come through here in the order of the wire, whatever
 * becomes of its stream: the table is shared. Throws ConnectionFault (COMPRESSION_ERROR).
 */
export class HpackDecoder {
  readonly #table = new DynamicTable()
  readonly #maxList: number
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #end = 0
  /** Proxies send the same head again and again, in the same few bytes: the last one that changed nothing in the table. */
  #last: Decoded | null = null
  readonly #lastBytes = Buffer.alloc(REMEMBERED)
  #lastLength = 0

  /** maxList: largest list of fields, as RFC 7541 4.1 counts. */
  constructor(maxList: number) {
    this.#maxList = maxList
  }

  get tableSize(): number {
    return this.#table.size
  }

  /** trailers: they may have no pseudo-headers. */
  decode(block: Buffer, from: number, to: number, trailers = false): Decoded {
    const last = this.#last
    if (last !== null && !trailers && this.#isLast(block, from, to)) return last
    this.#bytes = block
    this.#at = from
    this.#end = to
    const builder = new HeadBuilder(trailers)
    let size = 0
    let changes = false
    let fields = false
    while (this.#at < this.#end) {
      const byte = block[this.#at]!
      if (byte >= 0x80) {
        const field = this.#indexed(this.#integer(7))
        size += field.size
        if (size <= this.#maxList) builder.add(field)
      } else if (byte >= 0x20 && byte < 0x40) {
        if (fields) throw new ConnectionFault(Code.COMPRESSION_ERROR, 'a table size after a field')
        this.#resize()
        changes = true
        continue
      } else {
        const adds = byte >= 0x40
        const field = this.#literal(this.#integer(adds ? 6 : 4))
        size += field.size
        if (adds) {
          this.#table.add(field)
          changes = true
        }
        if (size <= this.#maxList) builder.add(field)
      }
      fields = true
    }
    this.#bytes = EMPTY
    const tooLarge = size > this.#maxList
    const head = tooLarge ? null : builder.finish()
    const decoded = { head, tooLarge, fault: builder.fault }
    if (changes) this.#last = null
    else if (!trailers && head !== null && to - from <= REMEMBERED) this.#remember(decoded, block, from, to)
    return decoded
  }

  #isLast(block: Buffer, from: number, to: number): boolean {
    const length = to - from
    if (length !== this.#lastLength) return false
    const bytes = this.#lastBytes
    for (let i = 0; i < length; i++) if (bytes[i] !== block[from + i]) return false
    return true
  }

  #remember(decoded: Decoded, block: Buffer, from: number, to: number): void {
    block.copy(this.#lastBytes, 0, from, to)
    this.#lastLength = to - from
    this.#last = decoded
  }

  #indexed(index: number): Field {
    const field =
      index > STATIC_COUNT ? this.#table.at(index - STATIC_COUNT - 1) : index > 0 ? STATIC_FIELDS[index - 1] : undefined
    if (field === undefined) throw new ConnectionFault(Code.COMPRESSION_ERROR, 'an index of nothing')
    return field
  }

  #literal(index: number): Field {
    const name = index === 0 ? this.#string() : this.#indexed(index).name
    return fieldOf(name, this.#string())
  }

  #resize(): void {
    const size = this.#integer(5)
    if (size > DEFAULT_TABLE_SIZE) throw new ConnectionFault(Code.COMPRESSION_ERROR, 'a table larger than allowed')
    this.#table.resize(size)
  }

  /** RFC 7541 5.1; larger than anything that is meant is an error (7.4). */
  #integer(prefix: number): number {
    const mask = (1 << prefix) - 1
    const first = this.#next() & mask
    if (first < mask) return first
    let value = mask
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#next()
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw new ConnectionFault(Code.COMPRESSION_ERROR, 'a number that is too large')
  }

  #next(): number {
    if (this.#at >= this.#end) throw new ConnectionFault(Code.COMPRESSION_ERROR, 'a block that ends early')
    return this.#bytes[this.#at++]!
  }

  #string(): string {
    const packed = this.#at < this.#end && this.#bytes[this.#at]! >= 0x80
    const length = this.#integer(7)
    const from = this.#at
    const to = from + length
    if (to > this.#end) throw new ConnectionFault(Code.COMPRESSION_ERROR, 'a string beyond its block')
    this.#at = to
    return packed ? huffmanText(this.#bytes, from, to) : this.#bytes.toString('latin1', from, to)
  }
}

const EMPTY = Buffer.alloc(0)
