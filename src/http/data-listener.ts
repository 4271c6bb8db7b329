import type { Socket } from 'node:net'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:http'
import { createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from 'node:http2'
import type { ServerConfig } from '../contracts/config.ts'
import { CallbackTimer, type TimerWheel } from '../core/wheel.ts'
import { GatewayError } from '../core/errors.ts'
import { requestId } from '../core/ids.ts'
import { errorJson } from '../protocol/openai/errors.ts'
import { boundEnd, linger } from './linger.ts'

/** No method of HTTP/1.1 begins like the HTTP/2 preface (RFC 9113 3.4): three bytes tell. */
const PREFACE = Buffer.from('PRI')
const NOTHING = Buffer.alloc(0)
const BACKLOG = 4096
const CHECK_MS = 1000
const HTTP2_STREAMS = 250
/** A peer that vanished without a word is noticed: connections may be kept for ever. */
export const ASK_PEER = { keepAlive: true, keepAliveInitialDelay: 60_000 } as const
/**
 * GOAWAY that forbids no stream which is on its way (RFC 9113 6.8): last stream id 2^31-1, no error. node:http2 has only
 * the final one, after which it drops in silence what the client sent before it knew.
 */
const SHUTDOWN_NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])

export interface UpgradeSide {
  wants(req: IncomingMessage): boolean
  take(req: IncomingMessage, socket: Socket, head: Buffer): void
}

export interface ListenerParts {
  readonly limits: ServerConfig['limits']
  /** Idle connections of clients are closed after this, ms; 0 = never. */
  readonly keepAliveMs: number
  readonly wheel: TimerWheel
  readonly handle: (req: IncomingMessage, res: ServerResponse) => void
  /** Where WebSockets are opened: which requests for it are taken, and who takes them. Left out: none are. */
  readonly upgrade?: UpgradeSide | null
  /** Messages that are not HTTP, or too slow, or too large: they never reach the handler. */
  readonly onClientError: (error: GatewayError) => void
}

/** HTTP/1.1 and HTTP/2 without TLS (prior knowledge) on one port: the first bytes of a connection tell which. */
export class DataListener {
  readonly #http1: Server
  readonly #http2: Http2Server
  readonly #keepAliveMs: number
  readonly #headerMs: number
  readonly #wheel: TimerWheel
  /** With the connection below each. */
  readonly #sessions = new Map<ServerHttp2Session, Socket>()
  /** Connections that have not sent their first bytes. */
  readonly #silent = new Set<Socket>()
  /** The connection that becomes a session right now. */
  #handing: Socket | null = null
  #ending = false

  constructor(parts: ListenerParts) {
    const { limits } = parts
    this.#keepAliveMs = parts.keepAliveMs
    this.#headerMs = limits.headerTimeoutMs
    this.#wheel = parts.wheel
    this.#http1 = createServer(
      {
        noDelay: true,
        ...ASK_PEER,
        // 0 = Node arms no timer, and its check of slow requests counts from a request's first byte: idle ones stay.
        keepAliveTimeout: parts.keepAliveMs,
        headersTimeout: limits.headerTimeoutMs,
        requestTimeout: limits.headerTimeoutMs + limits.bodyTimeoutMs,
        connectionsCheckingInterval: CHECK_MS,
        maxHeaderSize: limits.headerBytes,
        // Node's own refusal has no body: the handler's has the envelope.
        requireHostHeader: false,
        // Reads that come in one packet are rare: a larger buffer only costs memory on each open stream.
        highWaterMark: 65536,
        // An upgrade that nobody asked for is answered as the plain request it also is (RFC 9110 7.8).
        shouldUpgradeCallback: (req) => parts.upgrade?.wants(req) === true,
      },
      parts.handle,
    )
    // Above this Node drops headers in silence; the handler refuses a little earlier, and says so.
    this.#http1.maxHeadersCount = limits.headerCount + 16
    this.#http1.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
      answerClientError(error, socket, parts),
    )
    this.#http1.on('connect', (_req: IncomingMessage, socket: Socket) => {
      socket.on('error', () => socket.destroy())
      socket.resume()
      answerRaw(new GatewayError('method_not_allowed', 'This is no proxy: CONNECT is not used here.'), socket, parts)
    })
    // The handler decides whether the body may come; these listeners keep Node from deciding before it.
    this.#http1.on('checkContinue', parts.handle)
    this.#http1.on('checkExpectation', parts.handle)
    this.#http1.on('upgrade', (req: IncomingMessage, socket: Socket, head: Buffer) =>
      parts.upgrade?.take(req, socket, head),
    )
    this.#http2 = createHttp2Server(
      { settings: { maxConcurrentStreams: HTTP2_STREAMS, maxHeaderListSize: limits.headerBytes } },
      parts.handle as never,
    )
    this.#http2.on('checkContinue', parts.handle as never)
    this.#http2.on('session', (session) => this.#keepSession(session, this.#handing!))
    this.#http2.on('sessionError', () => {})
    this.#splitConnections(limits.headerTimeoutMs)
  }

  #keepSession(session: ServerHttp2Session, socket: Socket): void {
    this.#sessions.set(session, socket)
    let streams = 0
    session.on('stream', (stream) => {
      streams++
      stream.once('close', () => streams--)
    })
    const end = (): void => {
      session.close()
      boundEnd(socket, this.#wheel)
    }
    // A quiet session with open streams waits for a backend, whose timers rule.
    if (this.#keepAliveMs > 0)
      session.setTimeout(this.#keepAliveMs, () => {
        if (streams === 0) end()
      })
    else this.#boundFirst(session, end)
    session.once('close', () => this.#sessions.delete(session))
    // Not before our SETTINGS, which must come first (RFC 9113 3.4).
    if (this.#ending && !isEncrypted(socket)) session.once('stream', () => socket.write(SHUTDOWN_NOTICE))
  }

  /** What is kept for ever must have been used once: who never begins a request is as slow as one who never ends it. */
  #boundFirst(session: ServerHttp2Session, end: () => void): void {
    const unused = new CallbackTimer(end)
    this.#wheel.arm(unused, this.#headerMs)
    session.once('stream', () => this.#wheel.disarm(unused))
    session.once('close', () => this.#wheel.disarm(unused))
  }

  /** Takes a connection that another listener has accepted. */
  accept(socket: Socket): void {
    this.#http1.emit('connection', socket)
  }

  #splitConnections(firstBytesMs: number): void {
    const [toHttp1] = this.#http1.listeners('connection') as ((socket: Socket) => void)[]
    this.#http1.removeAllListeners('connection')
    this.#http1.on('connection', (socket: Socket) => {
      this.#silent.add(socket)
      socket.setTimeout(firstBytesMs, () => socket.destroy())
      const onError = (): void => void socket.destroy()
      const onClose = (): void => void this.#silent.delete(socket)
      socket.on('error', onError)
      socket.on('close', onClose)
      let first: Buffer = NOTHING
      const onData = (chunk: Buffer): void => {
        first = first.length === 0 ? chunk : Buffer.concat([first, chunk])
        const seen = Math.min(first.length, PREFACE.length)
        const isHttp2 = first.compare(PREFACE, 0, seen, 0, seen) === 0
        if (isHttp2 && seen < PREFACE.length) return
        this.#silent.delete(socket)
        socket.pause()
        socket.setTimeout(0)
        socket.removeAllListeners('timeout')
        socket.off('data', onData)
        socket.off('error', onError)
        socket.off('close', onClose)
        socket.unshift(first)
        if (isHttp2) {
          // The session reads what was unshifted by itself; resuming the socket would throw it away.
          this.#handing = socket
          this.#http2.emit('connection', socket)
          // From then on the session reads below the socket, and only the end passes through it: a paused socket would
          // never tell, and the calls of a client that is gone would go on.
          socket.once('end', () => socket.destroy())
          setImmediate(() => socket.resume())
          return
        }
        toHttp1!.call(this.#http1, socket)
        socket.resume()
      }
      socket.on('data', onData)
    })
  }

  /** Resolves with the port. reusePort: several workers listen on one port (Linux SO_REUSEPORT). */
  listen(port: number, host: string, reusePort: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#http1.once('error', reject)
      this.#http1.listen({ port, host, backlog: BACKLOG, reusePort }, () => {
        this.#http1.off('error', reject)
        const address = this.#http1.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  /**
   * HTTP/2 clients are told to open another connection. Nothing is closed and nothing is lost: a proxy in front may be
   * sending on a connection that is idle as we see it, and would take its end for a failed request.
   */
  beginEnd(): void {
    if (this.#ending) return
    this.#ending = true
    for (const [session, socket] of this.#sessions) {
      // Node's TLS takes one write at a time, the session's own: a second one would end the process.
      if (isEncrypted(socket)) session.close()
      else socket.write(SHUTDOWN_NOTICE)
    }
  }

  /** No new connections; idle ones close, the others with their answer. Resolves when the last one is gone. */
  close(): Promise<void> {
    this.#ending = true
    for (const session of this.#sessions.keys()) session.close()
    this.#http1.closeIdleConnections()
    for (const socket of this.#silent) socket.destroy()
    return new Promise((resolve) => {
      this.#http1.close(() => resolve())
    })
  }

  /** What is still open is cut. */
  destroy(): void {
    for (const session of this.#sessions.keys()) session.destroy()
    this.#http1.closeAllConnections()
  }
}

const isEncrypted = (socket: Socket): boolean => 'encrypted' in socket && socket.encrypted === true

const TIMEOUT_CODES = new Set(['ERR_HTTP_REQUEST_TIMEOUT'])
const REASONS: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
}
/** Answered here: what their clients still send is read and thrown away. */
const refused = new WeakSet<Socket>()

/** Node answers parser errors with an empty body: ours have the envelope as all others. */
function answerClientError(error: NodeJS.ErrnoException, socket: Socket, parts: ListenerParts): void {
  if (refused.has(socket)) return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  refused.add(socket)
  let gatewayError: GatewayError
  if (error.code === 'HPE_HEADER_OVERFLOW')
    gatewayError = new GatewayError(
      'headers_too_large',
      `The headers are larger than ${parts.limits.headerBytes} bytes.`,
    )
  else if (TIMEOUT_CODES.has(error.code ?? ''))
    gatewayError = new GatewayError('request_timeout', 'The request did not arrive in time.')
  else
    gatewayError = new GatewayError('invalid_request', 'This is not a valid HTTP/1.1 message.', { detail: error.code })
  answerInTurn(gatewayError, socket, parts)
}

/** Whole requests that came before on the connection (pipelined) get their answers first: answers have no other order. */
function answerInTurn(error: GatewayError, socket: Socket, parts: ListenerParts): void {
  if (socket.destroyed) return
  const current = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage
  if (current?.req.complete === true) current.once('finish', () => setImmediate(answerInTurn, error, socket, parts))
  else if (current?.headersSent === true) socket.destroy()
  else answerRaw(error, socket, parts)
}

/** An error without a request to answer: written straight to the connection, which then ends. */
function answerRaw(error: GatewayError, socket: Socket, parts: ListenerParts): void {
  refused.add(socket)
  parts.onClientError(error)
  const id = requestId(undefined)
  const body = errorJson(error, id)
  socket.write(
    `HTTP/1.1 ${error.status} ${REASONS[error.status] ?? 'Error'}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-request-id: ${id}\r\nconnection: close\r\n\r\n${body}`,
  )
  linger(socket, parts.wheel)
}
