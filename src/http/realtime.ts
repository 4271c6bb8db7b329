import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import type { Services } from '../pipeline/services.ts'
import type { RealtimeMeter } from '../pipeline/realtime/meter.ts'
import { GatewayError } from '../core/errors.ts'
import { requestId } from '../core/ids.ts'
import { isLoopback } from '../core/loopback.ts'
import { errorBody } from '../pipeline/error-answer.ts'
import { Exchange } from '../pipeline/exchange.ts'
import { errorHeaders } from '../protocol/openai/errors.ts'
import { NodeReceived } from './node-received.ts'
import { Acceptor, UpgradeReply, writeAnswer } from './realtime-reply.ts'
import type { HeaderGate } from '../contracts/identity.ts'

export interface UpgradeParts {
  readonly services: Services
  readonly meter: RealtimeMeter
  /** Why a request is turned away by its head; null = it is not. */
  refusal(req: IncomingMessage, received: NodeReceived): GatewayError | null
  refused(error: GatewayError): void
  /** +1 and -1 around each session, from its request to the end of its connection. */
  inflight(change: number): void
  /** What has begun is to be ended with the others. */
  add(exchange: Exchange): void
  remove(exchange: Exchange): void
}

const KEY = /^[+/0-9A-Za-z]{22}==$/
const KEY_PROTOCOL = 'openai-insecure-api-key.'
/** Subprotocols in which browsers send what other clients have headers for: nobody behind us gets them. */
const PRIVATE_PROTOCOLS = [KEY_PROTOCOL, 'openai-organization.', 'openai-project.'] as const
/** Nothing may come before the upgrade has been answered (RFC 6455 4.1); some of it is kept all the same, bytes. */
const MAX_EARLY = 64 * 1024

const protocolsOf = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '')

/** An upgrade, whose key may stand where browsers can put one: in a subprotocol, or for Gemini in the query. */
class UpgradeReceived extends NodeReceived {
  #browserKey(name: string): string | undefined {
    if (name === 'authorization') {
      const key = protocolsOf(super.header('sec-websocket-protocol')).find((one) => one.startsWith(KEY_PROTOCOL))
      return key === undefined ? undefined : `Bearer ${key.slice(KEY_PROTOCOL.length)}`
    }
    if (name !== 'x-goog-api-key' || !this.path.startsWith('/ws/')) return undefined
    return new URLSearchParams(this.query).get('key') ?? undefined
  }

  override header(name: string): string | undefined {
    return super.header(name) ?? this.#browserKey(name)
  }
}

const CREDENTIALS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key'] as const

/**
 * Any page that a browser shows may open WebSockets to any host, and no preflight asks first: where no key says that it
 * may, a page of somebody else's would use what this machine may use.
 */
function isForeignPage(received: NodeReceived, open: boolean): boolean {
  const origin = received.header('origin')
  if (origin === undefined) return false
  if (!open && CREDENTIALS.some((name) => received.header(name) !== undefined)) return false
  if (!URL.canParse(origin)) return true
  const { host, hostname } = new URL(origin)
  return host !== received.header('host') && !isLoopback(hostname.replace(/^\[|\]$/g, ''))
}

/** RFC 6455 4.2.1. */
function brokenHandshake(req: IncomingMessage): GatewayError | null {
  if (req.method !== 'GET') return new GatewayError('method_not_allowed', 'A WebSocket is opened with GET.')
  if (req.headers['sec-websocket-version'] !== '13')
    return new GatewayError('invalid_request', 'Only version 13 of the WebSocket protocol is spoken here.', {
      status: 426,
      headers: ['sec-websocket-version', '13'],
    })
  return KEY.test(req.headers['sec-websocket-key'] ?? '')
    ? null
    : new GatewayError('invalid_request', 'The header `sec-websocket-key` is missing or broken.')
}

/** Takes requests to open a WebSocket. Loaded with the first one. */
export class UpgradeHandler {
  readonly #parts: UpgradeParts
  readonly #acceptor: Acceptor

  constructor(parts: UpgradeParts) {
    this.#parts = parts
    this.#acceptor = new Acceptor(parts.services.limits.body)
  }

  take(req: IncomingMessage, socket: Duplex, head: Buffer, gate: HeaderGate | undefined): void {
    const parts = this.#parts
    const { services } = parts
    const received = new UpgradeReceived(req, services.clock.monotonic(), gate)
    const refusal = this.#refusal(req, received)
    if (refusal !== null) {
      this.#refuse(received, socket, refusal)
      return
    }
    const offered = protocolsOf(received.header('sec-websocket-protocol'))
    const protocols = offered.filter((one) => !PRIVATE_PROTOCOLS.some((prefix) => one.startsWith(prefix)))
    const reply = new UpgradeReply({
      req,
      socket: socket as Socket,
      early: earlyBytes(socket, head),
      protocols,
      acceptor: this.#acceptor,
      services,
      meter: this.#parts.meter,
    })
    const exchange = new Exchange(services, received, reply)
    exchange.upgrade = reply
    reply.exchange = exchange
    received.exchange = exchange
    parts.inflight(1)
    parts.add(exchange)
    socket.once('close', () => {
      parts.inflight(-1)
      received.gone = true
      parts.remove(exchange)
      // An open session hears of it from its own end, with the code.
      if (reply.link === null) exchange.onClientGone()
    })
    exchange.begin()
  }

  #refusal(req: IncomingMessage, received: NodeReceived): GatewayError | null {
    const refusal = this.#parts.refusal(req, received) ?? brokenHandshake(req)
    if (refusal !== null) return refusal
    return isForeignPage(received, this.#parts.services.current().policies.auth === null)
      ? new GatewayError('permission_denied', 'Pages of other sites may open no session here without a key.')
      : null
  }

  #refuse(received: NodeReceived, socket: Duplex, error: GatewayError): void {
    this.#parts.refused(error)
    const id = requestId(received.header('x-request-id'))
    const headers = ['content-type', 'application/json', 'x-request-id', id, ...errorHeaders(error)]
    writeAnswer(socket as Socket, error.status, headers, errorBody(received.path, error, id), this.#parts.services)
  }
}

/** Reads on, so that a client that leaves is noticed. Returns what gives back what has come. */
function earlyBytes(socket: Duplex, head: Buffer): () => Buffer {
  const chunks = [head]
  let bytes = head.length
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > MAX_EARLY) socket.destroy()
  }
  const onEnd = (): void => void socket.destroy()
  socket.on('data', onData)
  socket.on('end', onEnd)
  socket.resume()
  return () => {
    socket.off('data', onData)
    socket.off('end', onEnd)
    return Buffer.concat(chunks)
  }
}
