import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** How one request ended. `cut` = a stream that ended properly as HTTP but without `[DONE]`. */
export type Outcome = 'ok' | 'status' | 'reset' | 'cut'

interface Exchange {
  /** Intended start, microseconds of `performance.now()`. */
  readonly startedAt: number
  readonly stream: boolean
}

interface ClientEvents {
  onDone(client: SocketClient, outcome: Outcome, startedAt: number): void
  /** Events of a stream as they arrive. */
  onEvents(client: SocketClient, count: number): void
}

const HEAD_END = Buffer.from('\r\n\r\n')
const EVENT = Buffer.from('data: {')
const LENGTH = /\r\ncontent-length: *(\d+)/i
const CHUNKED_END = '\r\n0\r\n\r\n'
const TAIL = 48

/** One keep-alive connection with at most one request on it; reads no more of the answer than it must. */
export class SocketClient {
  readonly #port: number
  readonly #events: ClientEvents
  #socket: Socket | null = null
  #exchange: Exchange | null = null
  #head: Buffer | null = null
  #inBody = false
  #status = 0
  /** Body bytes to come; -1 = chunked. */
  #left = 0
  #tail = ''
  /** Events of the running stream so far. */
  events = 0

  constructor(port: number, events: ClientEvents) {
    this.#port = port
    this.#events = events
  }

  get busy(): boolean {
    return this.#exchange !== null
  }

  send(request: Buffer, startedAt: number, stream: boolean): void {
    this.#exchange = { startedAt, stream }
    this.#head = null
    this.#inBody = false
    this.#tail = ''
    this.events = 0
    this.#socket ??= this.#open()
    this.#socket.write(request)
  }

  close(): void {
    this.#exchange = null
    this.#socket?.destroy()
    this.#socket = null
  }

  #open(): Socket {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = null
      if (this.#exchange !== null) this.#finish('reset')
    })
    return socket
  }

  #onData(chunk: Buffer): void {
    if (this.#exchange === null) return
    if (this.#inBody) {
      this.#onBody(chunk)
      return
    }
    const data = this.#head === null ? chunk : Buffer.concat([this.#head, chunk])
    const end = data.indexOf(HEAD_END)
    if (end < 0) {
      this.#head = data
      return
    }
    const head = data.toString('latin1', 0, end)
    this.#status = Number(head.slice(9, 12))
    const length = LENGTH.exec(head)
    this.#left = length === null ? -1 : Number(length[1])
    this.#inBody = true
    this.#onBody(data.subarray(end + 4), data.length === end + 4)
  }

  #onBody(chunk: Buffer, empty = false): void {
    const exchange = this.#exchange
    if (exchange === null) return
    if (exchange.stream && !empty) this.#countEvents(chunk)
    let over: boolean
    if (this.#left >= 0) {
      this.#left -= chunk.length
      over = this.#left <= 0
      if (exchange.stream) this.#keepTail(chunk)
    } else {
      this.#keepTail(chunk)
      over = this.#tail.endsWith(CHUNKED_END)
    }
    if (!over) return
    if (this.#status !== 200) this.#finish('status')
    else this.#finish(exchange.stream && !this.#tail.includes('data: [DONE]') ? 'cut' : 'ok')
  }

  #keepTail(chunk: Buffer): void {
    const end = chunk.toString('latin1', Math.max(0, chunk.length - TAIL))
    this.#tail = end.length === TAIL ? end : (this.#tail + end).slice(-TAIL)
  }

  #countEvents(chunk: Buffer): void {
    let count = 0
    // A marker that is split between two reads shows where the last bytes of one meet the first of the next.
    const reach = EVENT.length - 1
    if ((this.#tail.slice(-reach) + chunk.toString('latin1', 0, reach)).includes('data: {')) count++
    for (let at = chunk.indexOf(EVENT); at >= 0; at = chunk.indexOf(EVENT, at + EVENT.length)) count++
    if (count === 0) return
    this.events += count
    this.#events.onEvents(this, count)
  }

  #finish(outcome: Outcome): void {
    const startedAt = this.#exchange?.startedAt ?? 0
    this.#exchange = null
    this.#events.onDone(this, outcome, startedAt)
  }
}
