import { GRPC } from './status.ts'

export const PREFIX = 5
/** Pieces below this size are copied together: a view of one byte would cost a hundred, and may hold 64 KiB. */
const SMALL = 1024
const BLOCK = 4096

/** Bytes that came in pieces, until all are there. */
class Pieces {
  #list: Buffer[] = []
  #block: Buffer | null = null
  #used = 0
  length = 0

  add(piece: Buffer): void {
    this.length += piece.length
    if (piece.length >= SMALL && piece.length * 4 >= piece.buffer.byteLength) {
      this.#seal()
      this.#list.push(piece)
      return
    }
    let at = 0
    while (at < piece.length) {
      if (this.#block === null) {
        this.#block = Buffer.allocUnsafeSlow(Math.max(BLOCK, piece.length - at))
        this.#used = 0
      }
      const count = Math.min(piece.length - at, this.#block.length - this.#used)
      piece.copy(this.#block, this.#used, at, at + count)
      this.#used += count
      at += count
      if (this.#used === this.#block.length) this.#seal()
    }
  }

  #seal(): void {
    if (this.#block === null) return
    if (this.#used > 0) this.#list.push(this.#block.subarray(0, this.#used))
    this.#block = null
  }

  take(): Buffer {
    this.#seal()
    const whole = this.#list.length === 1 ? this.#list[0]! : Buffer.concat(this.#list)
    this.#list = []
    this.length = 0
    return whole
  }
}

/** Bytes of messages that are not complete, of all calls of a port. */
export interface Partial {
  bytes: number
}

export interface MessageLimits {
  /** Of one message. */
  readonly maxMessage: number
  /** Of all that are not complete. */
  readonly maxPartial: number
}

export interface MessageOwner {
  /** No message is wanted now, or any more. */
  readonly stopped: boolean
  onMessage(bytes: Buffer): void
  onBadMessage(code: number, message: string): void
}

/** Cuts what came into messages (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). A message in one piece is a view of it. */
export class MessageReader {
  readonly #owner: MessageOwner
  readonly #limits: MessageLimits
  readonly #partial: Partial
  #prefix = 0
  #flags = 0
  #length = 0
  #message: Pieces | null = null
  #held: Pieces | null = null

  constructor(owner: MessageOwner, limits: MessageLimits, partial: Partial) {
    this.#owner = owner
    this.#limits = limits
    this.#partial = partial
  }

  /** Something has come that is not told yet: the end has to wait, or comes too early. */
  get holds(): boolean {
    return this.#held !== null
  }

  get incomplete(): boolean {
    return this.#prefix > 0
  }

  push(chunk: Buffer): void {
    if (this.#held !== null) {
      this.#held.add(chunk)
      return
    }
    let at = 0
    while (at < chunk.length) {
      if (this.#owner.stopped) {
        this.#held = new Pieces()
        this.#held.add(chunk.subarray(at))
        return
      }
      if (this.#prefix < PREFIX) {
        const byte = chunk[at++]!
        if (this.#prefix === 0) this.#flags = byte
        else this.#length = this.#length * 256 + byte
        if (++this.#prefix === PREFIX && !this.#begin()) return
        continue
      }
      at = this.#take(chunk, at)
    }
  }

  /** A message whose length is known. False = it is none that is read. */
  #begin(): boolean {
    const { maxMessage } = this.#limits
    if (this.#flags !== 0) {
      const known = this.#flags === 1
      this.#owner.onBadMessage(
        known ? GRPC.UNIMPLEMENTED : GRPC.INTERNAL,
        known ? 'compressed messages are not read here' : 'a message of an unknown form',
      )
      return false
    }
    if (this.#length > maxMessage) {
      this.#owner.onBadMessage(GRPC.RESOURCE_EXHAUSTED, `the message is larger than ${maxMessage} bytes`)
      return false
    }
    if (this.#length === 0) this.#tell(EMPTY)
    return true
  }

  #take(chunk: Buffer, at: number): number {
    const have = this.#message?.length ?? 0
    const count = Math.min(this.#length - have, chunk.length - at)
    const piece = chunk.subarray(at, at + count)
    if (have + count === this.#length) {
      if (this.#message === null) this.#tell(piece)
      else {
        this.#message.add(piece)
        const whole = this.#message.take()
        this.#release(have)
        this.#tell(whole)
      }
    } else {
      this.#message ??= new Pieces()
      this.#message.add(piece)
      this.#partial.bytes += count
      if (this.#partial.bytes > this.#limits.maxPartial)
        this.#owner.onBadMessage(GRPC.RESOURCE_EXHAUSTED, 'too much is waited for already')
    }
    return at + count
  }

  #tell(bytes: Buffer): void {
    this.#prefix = 0
    this.#length = 0
    this.#owner.onMessage(bytes)
  }

  #release(bytes: number): void {
    this.#partial.bytes -= bytes
    this.#message = null
  }

  /** Messages are wanted again. */
  resume(): void {
    const held = this.#held
    if (held === null) return
    this.#held = null
    this.push(held.take())
  }

  /** The call is over. */
  close(): void {
    if (this.#message !== null) this.#release(this.#message.length)
    this.#held = null
  }
}

const EMPTY = Buffer.alloc(0)

/** A message with its prefix. */
export function frameOf(bytes: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafeSlow(PREFIX + bytes.length)
  framed[0] = 0
  framed.writeUInt32BE(bytes.length, 1)
  framed.set(bytes, PREFIX)
  return framed
}
