import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import type { HeaderList, ReplyWriter } from '../contracts/http.ts'
import type { SocketLink } from '../contracts/socket.ts'
import type { AttemptPlan } from '../pipeline/attempt.ts'
import type { Exchange } from '../pipeline/exchange.ts'
import type { RealtimeMeter } from '../pipeline/realtime/meter.ts'
import type { Services } from '../pipeline/services.ts'
import type { Usage } from '../contracts/usage.ts'
import type { ErrorCode, GatewayError } from '../core/errors.ts'
import { ERROR_CODES } from '../core/errors.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { RealtimeAttempt, type RealtimeOwner, type UpgradeDoor } from '../pipeline/realtime/attempt.ts'
import { keepUsage, nameModel } from '../pipeline/realtime/late.ts'
import { WsLink } from '../upstream/websocket-link.ts'
import { linger } from './linger.ts'

/** A client that does not answer our close is cut after this, ms. */
const CLOSING_MS = 1500
const BROKEN = 1011
/** RFC 6455 7.4.1, and the registry of IANA for 1012. */
const CLOSE_CODES: Readonly<Partial<Record<ErrorCode, number>>> = {
  budget_exceeded: 1008,
  rate_limited: 1008,
  permission_denied: 1008,
  draining: 1012,
}

/** An answer without an upgrade: the connection ends with it. */
export function writeAnswer(
  socket: Socket,
  status: number,
  headers: readonly string[],
  body: Buffer | string,
  { wheel }: Services,
): void {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]!}: ${headers[i + 1]!}\r\n`
  socket.write(`${head}content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`)
  socket.write(body)
  socket.resume()
  linger(socket, wheel)
}

/** Answers handshakes that have been looked at. */
export class Acceptor {
  readonly #server: WebSocketServer
  /** Of the handshake that is answered right now. */
  #headers: HeaderList = []
  #protocol = ''

  /** maxMessage: of clients, bytes. */
  constructor(maxMessage: number) {
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: maxMessage,
      // What is packed is small where it comes from and large here.
      perMessageDeflate: false,
      handleProtocols: () => (this.#protocol === '' ? false : this.#protocol),
    })
    this.#server.on('headers', (lines) => {
      for (let i = 0; i < this.#headers.length; i += 2) lines.push(`${this.#headers[i]!}: ${this.#headers[i + 1]!}`)
    })
  }

  /** null = the client is gone. */
  accept(
    req: IncomingMessage,
    socket: Socket,
    head: Buffer,
    options: { protocol: string; headers: HeaderList },
  ): WebSocket | null {
    this.#headers = options.headers
    this.#protocol = options.protocol
    let accepted: WebSocket | null = null
    this.#server.handleUpgrade(req, socket, head, (opened) => (accepted = opened))
    return accepted
  }
}

export interface UpgradeReplyParts {
  readonly req: IncomingMessage
  readonly socket: Socket
  /** What has come before the answer. */
  readonly early: () => Buffer
  readonly protocols: readonly string[]
  readonly acceptor: Acceptor
  readonly services: Services
  readonly meter: RealtimeMeter
}

/** The client's side of an upgrade: an error is answered like any, and 101 makes it an end of a session. */
export class UpgradeReply implements ReplyWriter, UpgradeDoor {
  readonly protocols: readonly string[]
  readonly meter: RealtimeMeter
  readonly maxMessage: number
  link: SocketLink | null = null
  exchange: Exchange | null = null
  readonly #parts: UpgradeReplyParts
  #attempt: RealtimeAttempt | null = null
  #ended = false

  constructor(parts: UpgradeReplyParts) {
    this.#parts = parts
    this.protocols = parts.protocols
    this.meter = parts.meter
    this.maxMessage = parts.services.limits.responseBody
  }

  get open(): boolean {
    return !this.#ended && !this.#parts.socket.destroyed
  }

  attempt(plan: AttemptPlan & { readonly owner: RealtimeOwner }): RealtimeAttempt {
    this.#attempt = new RealtimeAttempt(plan, this)
    return this.#attempt
  }

  keepUsage(attempt: RealtimeAttempt, usage: Usage): boolean {
    return this.exchange === null || keepUsage(this.exchange, attempt, usage)
  }

  nameModel(attempt: RealtimeAttempt, model: string): GatewayError | null {
    return this.exchange === null ? null : nameModel(this.exchange, attempt, model)
  }

  send(status: number, headers: HeaderList, body: Buffer | string): void {
    if (!this.open) return
    this.#ended = true
    this.#parts.early()
    writeAnswer(this.#parts.socket, status, headers, body, this.#parts.services)
  }

  /** The client offered it, and so did we: what the backend has chosen. Browsers close where they get none of theirs. */
  get #protocol(): string {
    const agreed = this.#attempt?.protocol ?? ''
    if (agreed !== '') return agreed
    return this.protocols.includes('realtime') ? 'realtime' : ''
  }

  head(_status: number, headers: HeaderList): void {
    if (!this.open) return
    const { req, socket, acceptor, early } = this.#parts
    // Of the message that has no body here.
    const own = [...headers]
    for (let i = own.length - 2; i >= 0; i -= 2) if (own[i]!.startsWith('content-')) own.splice(i, 2)
    const accepted = acceptor.accept(req, socket, early(), { protocol: this.#protocol, headers: own })
    if (accepted !== null) this.link = new WsLink(accepted)
  }

  flush(): void {}

  /** Messages go to the link itself: here they are only counted. */
  write(): boolean {
    return true
  }

  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#cutLater()
  }

  /** The session ends with what the exchange says. */
  destroy(): void {
    if (this.#ended) return
    this.#ended = true
    const { link, exchange } = this
    const error = exchange?.error ?? null
    if (link === null || error === null || error.code === 'client_closed') {
      link?.destroy()
      this.#parts.socket.destroy()
      return
    }
    if (this.#speaksEvents) link.send(Buffer.from(errorEvent(error, exchange!.id)), false)
    link.close(CLOSE_CODES[error.code] ?? BROKEN, error.message)
    this.#cutLater()
  }

  get #speaksEvents(): boolean {
    return /\/realtime\/?$/.test(this.exchange?.received.path ?? '')
  }

  #cutLater(): void {
    const { socket, services } = this.#parts
    const timer = new CallbackTimer(() => socket.destroy())
    services.wheel.arm(timer, CLOSING_MS)
    socket.once('close', () => services.wheel.disarm(timer))
  }
}

/** openai-openapi `RealtimeServerEventError`. */
const errorEvent = (error: GatewayError, id: string): string =>
  JSON.stringify({
    type: 'error',
    event_id: `event_${id}`,
    error: {
      type: ERROR_CODES[error.code].type,
      code: error.publicCode,
      message: error.message,
      param: error.param ?? null,
      event_id: null,
    },
  })
