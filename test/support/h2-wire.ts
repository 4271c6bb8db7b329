/** What tests say to a connection of HTTP/2 byte by byte, and what they hear. */
import { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { Flag, Frame, FRAME_HEAD } from '../../src/protocol/http2/constants.ts'
import { encodeHeaders } from '../../src/protocol/http2/hpack-encoder.ts'
import { writeFrameHead } from '../../src/protocol/http2/output.ts'
import type { Http2Options } from '../../src/protocol/http2/options.ts'
import { Session } from '../../src/protocol/http2/session.ts'
import type { Acceptor } from '../../src/protocol/http2/stream.ts'
import { HTTP2_DEFAULTS } from '../../src/protocol/http2/options.ts'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD + payload.length)
  writeFrameHead(bytes, 0, type, flags, id, payload.length)
  bytes.set(payload, FRAME_HEAD)
  return bytes
}

export const numbers = (...list: readonly number[]): Buffer => {
  const bytes = Buffer.alloc(list.length * 4)
  for (const [i, value] of list.entries()) bytes.writeUInt32BE(value >>> 0, i * 4)
  return bytes
}

export const settings = (...pairs: readonly (readonly [number, number])[]): Buffer => {
  const bytes = Buffer.alloc(pairs.length * 6)
  for (const [i, [id, value]] of pairs.entries()) {
    bytes.writeUInt16BE(id, i * 6)
    bytes.writeUInt32BE(value >>> 0, i * 6 + 2)
  }
  return frame(Frame.SETTINGS, 0, 0, bytes)
}

export const HELLO = Buffer.concat([PREFACE, settings()])
export const REQUEST = [':method', 'POST', ':scheme', 'http', ':path', '/x', ':authority', 'h']

export const head = (id: number, end: boolean, more: readonly string[] = []): Buffer =>
  frame(Frame.HEADERS, Flag.END_HEADERS | (end ? Flag.END_STREAM : 0), id, encodeHeaders([...REQUEST, ...more]))

export const data = (id: number, payload: Buffer | string, end = false): Buffer =>
  frame(Frame.DATA, end ? Flag.END_STREAM : 0, id, Buffer.from(payload))

export interface Heard {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly payload: Buffer
}

export function framesOf(bytes: Buffer): Heard[] {
  const found: Heard[] = []
  let at = 0
  while (bytes.length - at >= FRAME_HEAD) {
    const length = bytes.readUIntBE(at, 3)
    const payload = bytes.subarray(at + FRAME_HEAD, at + FRAME_HEAD + length)
    found.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, id: bytes.readUInt32BE(at + 5), payload })
    at += FRAME_HEAD + length
  }
  return found
}

/** As much of a socket as a session uses. What is written is taken by the kernel at once, unless it is `stuck`. */
export class FakeSocket extends EventEmitter {
  readonly written: Buffer[] = []
  stuck = false
  writableLength = 0
  destroyed = false
  ended = false

  get writableNeedDrain(): boolean {
    return this.writableLength > 65_536
  }

  write(bytes: Buffer): boolean {
    this.written.push(Buffer.from(bytes))
    if (this.stuck) this.writableLength += bytes.length
    return !this.writableNeedDrain
  }

  cork(): void {}
  uncork(): void {}

  end(): void {
    this.ended = true
  }

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.emit('close')
  }

  /** The peer reads what has waited. */
  drain(): void {
    this.stuck = false
    this.writableLength = 0
    this.emit('drain')
  }
}

/** A session over a socket that is none, in the hands of a test; so is its time. */
export class Rig {
  readonly socket = new FakeSocket()
  readonly session: Session
  now = 0
  gone = 0
  #heard = 0

  constructor(accept: Acceptor, options: Partial<Http2Options> = {}) {
    const all = { ...HTTP2_DEFAULTS, now: () => this.now, ...options }
    this.session = new Session(this.socket as unknown as Socket, all, accept, () => void this.gone++)
  }

  /** Bytes from the peer, in one piece. */
  say(...parts: readonly Buffer[]): void {
    this.socket.emit('data', Buffer.concat(parts))
  }

  get bytes(): Buffer {
    return Buffer.concat(this.socket.written)
  }

  /** What was written since the last question. */
  hear(): Heard[] {
    const all = framesOf(this.bytes)
    const fresh = all.slice(this.#heard)
    this.#heard = all.length
    return fresh
  }

  /** The code of its farewell; -1 = there was none. */
  get farewell(): number {
    const last = framesOf(this.bytes).findLast(({ type }) => type === Frame.GOAWAY)
    return last === undefined ? -1 : last.payload.readUInt32BE(4)
  }
}

export const resetsOf = (heard: readonly Heard[]): (readonly [number, number])[] =>
  heard.filter(({ type }) => type === Frame.RST_STREAM).map(({ id, payload }) => [id, payload.readUInt32BE(0)] as const)
