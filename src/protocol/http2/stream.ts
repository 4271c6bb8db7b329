import type { RequestHead } from './head.ts'
import type { Session } from './session.ts'
import { OpenMember } from '../../core/open-list.ts'
import { Code } from './constants.ts'

/** What a stream's events go to. After `onClose` nothing more is told. */
export interface StreamHandler {
  /** A view of what came: it is valid as long as it is kept, and keeps what it is a view of. */
  onData(chunk: Buffer): void
  /** The peer has nothing more to say. trailers: flat, null = none. */
  onEnd(trailers: readonly string[] | null): void
  /**
   * Once: it is over. code: why it was reset (RFC 9113 7), by the peer, with its connection, or by us; -1 = it has ended well. May be
   * told from inside of `respond`, `answer`, `end` and `reset`.
   */
  onClose(code: number): void
  /** What `write` has kept back is sent. */
  onDrain(): void
}

/** Takes new streams; `ended`: the head is all that comes. Must set `stream.handler` before it returns. */
export type Acceptor = (stream: Http2Stream, head: RequestHead, ended: boolean) => void

export const NOBODY: StreamHandler = { onData() {}, onEnd() {}, onClose() {}, onDrain() {} }

/** One exchange of a connection, as the server sees it. */
export class Http2Stream extends OpenMember {
  readonly id: number
  readonly session: Session
  handler: StreamHandler = NOBODY
  /** Both sides have ended, or it was reset. */
  closed = false
  // ── of the session, which keeps the state ─────────────────────────────────
  remoteEnded = false
  localEnded = false
  headSent = false
  sendWindow: number
  receiveWindow: number
  /** Bytes that came and whose room was not given back. */
  owed = 0
  paused = false
  /** What content-length has announced and has not come; -1 = nothing was. */
  expected = -1
  /** Data that waits for windows; null = none. */
  queue: Buffer[] | null = null
  #trailers: Buffer | null = null
  #ending = false
  #toldToWait = false

  constructor(session: Session, id: number, sendWindow: number, receiveWindow: number) {
    super()
    this.session = session
    this.id = id
    this.sendWindow = sendWindow
    this.receiveWindow = receiveWindow
  }

  /** The answer's head: a block by `encodeHeaders`. Once; end: there is nothing else. */
  respond(block: Buffer, end = false): void {
    if (this.closed || this.headSent) return
    this.headSent = true
    this.session.sender.headers(this.id, block, end)
    if (end) this.#finished()
    else this.session.wrote()
  }

  /** A whole answer. bytes may be used again after the call. */
  answer(head: Buffer, bytes: Uint8Array, trailers: Buffer): void {
    if (this.closed || this.headSent) return
    if (this.session.sender.whole(this, head, bytes, trailers)) {
      this.headSent = true
      this.#finished()
      return
    }
    this.respond(head)
    this.write(Buffer.from(bytes))
    this.end(trailers)
  }

  /** Part of the answer's body, which must not change any more. False = wait for `onDrain` with the next. */
  write(bytes: Buffer): boolean {
    if (this.closed || this.#ending || !this.headSent) return true
    const sent = this.session.sender.data(this, bytes)
    this.session.wrote()
    if (!sent) this.#toldToWait = true
    return sent
  }

  /** The answer is complete. trailers: a block by `encodeHeaders`, null = none. */
  end(trailers: Buffer | null): void {
    if (this.closed || this.#ending || !this.headSent) return
    this.#ending = true
    this.#trailers = trailers
    if (this.queue === null) this.#end()
    else this.session.wrote()
  }

  #end(): void {
    this.session.sender.finish(this, this.#trailers)
    this.#finished()
  }

  #finished(): void {
    this.#ending = true
    this.localEnded = true
    this.session.ended(this)
    this.session.wrote()
  }

  /** All that waited is sent. Of the sender. */
  emptied(): void {
    if (this.#ending) this.#end()
    else if (this.#toldToWait) {
      this.#toldToWait = false
      try {
        this.handler.onDrain()
      } catch (error) {
        this.session.failed(this, error)
      }
    }
  }

  // ── what the session tells ────────────────────────────────────────────────
  tellData(chunk: Buffer): void {
    try {
      this.handler.onData(chunk)
    } catch (error) {
      this.session.failed(this, error)
    }
  }

  tellEnd(trailers: readonly string[] | null): void {
    try {
      this.handler.onEnd(trailers)
    } catch (error) {
      this.session.failed(this, error)
    }
  }

  /** Ends it without an answer, or in the middle of one. */
  reset(code: number = Code.CANCEL): void {
    if (!this.closed) this.session.reset(this, code)
  }

  /** What comes is still told, but no more than the window that is open: the peer must wait. */
  pause(): void {
    this.paused = true
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.session.giveBack(this)
  }
}
