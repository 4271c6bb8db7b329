import { crc32 } from 'node:zlib'

/**
 * `application/vnd.amazon.eventstream` (smithy.io, "Amazon Event Stream"): messages of a prelude (length, length of the
 * headers, CRC of both), headers, a payload, and a CRC of all. All numbers are big-endian.
 */

export interface EventStreamMessage {
  /** Type of the event or of the exception; `error` for a message that is an error by itself. */
  readonly name: string
  /** The payload, JSON. */
  readonly data: string
  /** All of it, where the reader keeps that. */
  readonly bytes?: Buffer
}

export type EventStreamFault = 'event_too_large' | 'invalid_event'

const PRELUDE = 12
const CRC = 4
const LEAST = PRELUDE + CRC
/** The specification's greatest length of headers, bytes. */
const MAX_HEADERS = 128 * 1024
/** What is reserved for a message that is not there yet; grows as it comes, so that a length alone costs nothing. */
const FIRST_ROOM = 16 * 1024

/** Sizes of header values by their type: bool true, bool false, byte, short, integer, long; timestamp and uuid below. */
const SIZES: readonly number[] = [0, 0, 1, 2, 4, 8, -1, -1, 8, 16]
const BYTES = 6
const TEXT = 7

/** Reads messages out of bytes in any pieces. After a fault nothing more is read. */
export class EventStreamReader {
  readonly #bound: number
  readonly #keeps: boolean
  readonly #ready: EventStreamMessage[] = []
  #taken = 0
  #fault: EventStreamFault | null = null
  /** The beginning of a message that is not whole yet. */
  #part = Buffer.alloc(0)
  #filled = 0

  /** bound: greatest length of one message, bytes. keeps: messages come with their bytes. */
  constructor(bound: number, keeps = false) {
    this.#bound = bound
    this.#keeps = keeps
  }

  /** Bytes of an unfinished message are held. */
  get waits(): boolean {
    return this.#filled > 0
  }

  /** Messages that were whole before a fault can still be taken with next(). */
  push(chunk: Buffer): EventStreamFault | null {
    if (this.#fault !== null) return this.#fault
    let at = 0
    while (at < chunk.length && this.#fault === null) {
      at = this.#filled > 0 ? this.#complete(chunk, at) : this.#direct(chunk, at)
    }
    if (this.#fault !== null) this.#drop()
    return this.#fault
  }

  next(): EventStreamMessage | null {
    const message = this.#ready[this.#taken]
    if (message === undefined) {
      this.#ready.length = 0
      this.#taken = 0
      return null
    }
    this.#taken++
    return message
  }

  /** A message that lies whole in the chunk, without a copy; or keeps its beginning. Returns where reading goes on. */
  #direct(chunk: Buffer, at: number): number {
    const left = chunk.length - at
    if (left < PRELUDE) return this.#keep(chunk, at, chunk.length)
    const length = this.#length(chunk, at)
    if (length === 0) return chunk.length
    if (left < length) return this.#keep(chunk, at, chunk.length)
    this.#message(chunk, at, length)
    return at + length
  }

  /** More of the message that is held. */
  #complete(chunk: Buffer, at: number): number {
    if (this.#filled < PRELUDE) {
      const next = this.#keep(chunk, at, Math.min(chunk.length, at + PRELUDE - this.#filled))
      if (this.#filled === PRELUDE) this.#length(this.#part, 0)
      return next
    }
    const length = this.#part.readUInt32BE(0)
    const next = this.#keep(chunk, at, Math.min(chunk.length, at + length - this.#filled))
    if (this.#filled < length) return next
    this.#message(this.#part, 0, length)
    this.#drop()
    return next
  }

  #keep(chunk: Buffer, from: number, to: number): number {
    const wanted = this.#filled + to - from
    if (this.#part.length < wanted) {
      const larger = Buffer.allocUnsafe(Math.max(wanted, this.#part.length * 2, FIRST_ROOM))
      this.#part.copy(larger, 0, 0, this.#filled)
      this.#part = larger
    }
    chunk.copy(this.#part, this.#filled, from, to)
    this.#filled = wanted
    return to
  }

  #drop(): void {
    this.#filled = 0
    // One great message must not be held for the rest of a long stream.
    if (this.#part.length > FIRST_ROOM) this.#part = Buffer.alloc(0)
  }

  /** Length of the message by its prelude; 0 = a fault has been found. */
  #length(bytes: Buffer, at: number): number {
    const length = bytes.readUInt32BE(at)
    const headers = bytes.readUInt32BE(at + 4)
    if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32BE(at + 8)) return this.#fail('invalid_event')
    if (length > this.#bound) return this.#fail('event_too_large')
    if (length < LEAST || headers > MAX_HEADERS || headers > length - LEAST) return this.#fail('invalid_event')
    return length
  }

  #fail(fault: EventStreamFault): 0 {
    this.#fault = fault
    return 0
  }

  #message(bytes: Buffer, at: number, length: number): void {
    const end = at + length - CRC
    if (crc32(bytes.subarray(at, end)) !== bytes.readUInt32BE(end)) {
      this.#fail('invalid_event')
      return
    }
    const from = at + PRELUDE + bytes.readUInt32BE(at + 4)
    const headers = readHeaders(bytes, at + PRELUDE, from)
    if (headers === null) this.#fail('invalid_event')
    else {
      const message = named(headers, bytes.toString('utf8', from, end))
      this.#ready.push(this.#keeps ? { ...message, bytes: this.#bytesOf(bytes, at, length) } : message)
    }
  }

  /** What is put together here is used again for the next message. */
  #bytesOf(bytes: Buffer, at: number, length: number): Buffer {
    const message = bytes.subarray(at, at + length)
    return bytes === this.#part ? Buffer.from(message) : message
  }
}

interface Headers {
  kind: string
  event: string
  exception: string
  code: string
  message: string
}

const NAMES: ReadonlyMap<string, keyof Headers> = new Map([
  [':message-type', 'kind'],
  [':event-type', 'event'],
  [':exception-type', 'exception'],
  [':error-code', 'code'],
  [':error-message', 'message'],
])

function named(headers: Headers, payload: string): EventStreamMessage {
  if (headers.kind === 'error')
    return { name: 'error', data: JSON.stringify({ type: headers.code, message: headers.message }) }
  return { name: headers.kind === 'exception' ? headers.exception || 'exception' : headers.event, data: payload }
}

/** Those that say what the message is; null = they do not fit their place. */
function readHeaders(bytes: Buffer, from: number, to: number): Headers | null {
  const headers: Headers = { kind: 'event', event: '', exception: '', code: '', message: '' }
  let at = from
  while (at < to) {
    const type = at + 1 + bytes[at]!
    if (type >= to) return null
    const kind = bytes[type]!
    let size = SIZES[kind]
    if (size === undefined) return null
    let value = type + 1
    if (kind === BYTES || kind === TEXT) {
      if (value + 2 > to) return null
      size = bytes.readUInt16BE(value)
      value += 2
    }
    if (value + size > to) return null
    const field = kind === TEXT ? NAMES.get(bytes.toString('latin1', at + 1, type)) : undefined
    if (field !== undefined) headers[field] = bytes.toString('utf8', value, value + size)
    at = value + size
  }
  return headers
}

/** One message, as a backend sends it. name: of the event, or of the exception. data: JSON. */
export const encodeEventStream = (name: string, data: string, kind: 'event' | 'exception' = 'event'): Buffer =>
  encodeWith(eventStreamHeaders(name, kind), data)

/** Headers of all messages of one name: made once. */
export const eventStreamHeaders = (name: string, kind: 'event' | 'exception' = 'event'): Buffer =>
  Buffer.concat([
    textHeader(kind === 'event' ? ':event-type' : ':exception-type', name),
    textHeader(':content-type', 'application/json'),
    textHeader(':message-type', kind),
  ])

/** One message. headers: of eventStreamHeaders(). data: JSON. */
export function encodeWith(headers: Buffer, data: string): Buffer {
  const message = Buffer.allocUnsafe(LEAST + headers.length + Buffer.byteLength(data))
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(headers.length, 4)
  message.writeUInt32BE(crc32(message.subarray(0, 8)), 8)
  headers.copy(message, PRELUDE)
  message.write(data, PRELUDE + headers.length)
  message.writeUInt32BE(crc32(message.subarray(0, message.length - CRC)), message.length - CRC)
  return message
}

function textHeader(name: string, value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.from(`\0${name}\0\0\0`, 'latin1')
  head[0] = name.length
  head[name.length + 1] = TEXT
  head.writeUInt16BE(bytes.length, name.length + 2)
  return Buffer.concat([head, bytes])
}
