import type { Socket } from 'node:net'
import type { Acceptor } from './stream.ts'
import { everyUnref } from '../../core/every.ts'
import { OpenList } from '../../core/open-list.ts'
import { HTTP2_DEFAULTS, type Http2Options } from './options.ts'
import { Session } from './session.ts'

const CHECK_MS = 1000

/** All connections of one port. HTTP/2 with prior knowledge (RFC 9113 3.3), or what ALPN has chosen on a TLS socket. */
export class Http2Server {
  readonly #options: Http2Options
  readonly #accept: Acceptor
  readonly #sessions = new OpenList<Session>()
  #open = 0
  #stop: (() => void) | null = null
  #endsAt = Infinity

  constructor(accept: Acceptor, options: Partial<Http2Options> = {}) {
    this.#options = { ...HTTP2_DEFAULTS, ...options }
    this.#accept = accept
  }

  get connections(): number {
    return this.#open
  }

  /** Takes over a connected socket. */
  accept(socket: Socket): void {
    if (socket.destroyed) return
    // Answers are written whole: nothing is gained by holding them back.
    socket.setNoDelay(true)
    const session = new Session(socket, this.#options, this.#accept, this.#gone)
    this.#sessions.add(session)
    this.#open++
    this.#stop ??= everyUnref(() => this.#check(), CHECK_MS)
  }

  readonly #gone = (session: Session): void => {
    this.#sessions.remove(session)
    if (--this.#open > 0) return
    this.#stop?.()
    this.#stop = null
  }

  #check(): void {
    const now = this.#options.now()
    for (const session of this.#sessions.all())
      if (now >= this.#endsAt) session.destroy()
      else session.check(now)
  }

  /**
   * Peers are told to open their next streams elsewhere; what is open goes on, at most maxMs. Who comes again all the same is served as
   * long: told to go at once it would only come back.
   */
  drain(maxMs: number): void {
    this.#endsAt = this.#options.now() + maxMs
    for (const session of this.#sessions.all()) session.drain()
  }

  /** What is open is cut. */
  close(): void {
    for (const session of this.#sessions.all()) session.destroy()
  }
}
