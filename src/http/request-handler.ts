import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { ServerConfig } from '../contracts/config.ts'
import type { Services } from '../pipeline/services.ts'
import { GatewayError } from '../core/errors.ts'
import { requestId } from '../core/ids.ts'
import { decodeBody, encodingOf } from '../core/decode.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { OpenList } from '../core/open-list.ts'
import { Exchange } from '../pipeline/exchange.ts'
import { errorHeaders } from '../protocol/openai/errors.ts'
import { endHeaders } from './drain-headers.ts'
import { cutBody, isCut } from '../pipeline/decision.ts'
import { errorBody } from '../pipeline/error-answer.ts'
import { AuthzReply, isAuthzQuestion, type AuthzParts } from './ext-authz.ts'
import { linger } from './linger.ts'
import { duplicateHeader } from '../pipeline/raw-received.ts'
import { NodeReceived } from './node-received.ts'
import type { OpenExchange, SideDoor } from './side-door.ts'
import { dropStalled, NodeReply } from './node-reply.ts'
import type { RealtimeMeter } from '../pipeline/realtime/meter.ts'
import type { UpgradeSide } from './data-listener.ts'
import { upgradesOf } from './upgrades.ts'
import { isUpload, NodeUpload } from './upload.ts'
import { answerProbe, isProbe, type ProbeFacts } from './probes.ts'

/** What the listener decides by before it reads a body. */
export interface Gate extends ProbeFacts {
  /** Answers say that their connection ends. */
  readonly draining: boolean
  /** No configuration serves yet. */
  readonly starting: boolean
  /** Why new requests are turned away (this instance begins, or is about to end); null = they are not. */
  refusal(): GatewayError | null
  /** Why new work is refused right now; null = it is taken. */
  overload(): string | null
}

export interface HandlerParts {
  readonly services: Services
  readonly limits: ServerConfig['limits']
  readonly gate: Gate
  /** Where proxies may ask whether a request may go on. Left out, or null = they may not. As long as the process runs. */
  readonly authz?: () => AuthzParts | null
  /** Another protocol with paths of its own. Left out, or null = there is none. Of the configuration that serves. */
  readonly side?: () => SideDoor | null
  /** Where sessions are counted; made with the first one. Left out: none are opened. */
  readonly meter?: () => RealtimeMeter
  /** Requests that never became an exchange, by error code. */
  refused(error: GatewayError): void
  /** +1 and -1 around each request that was not refused, its body's arrival included. */
  inflight(change: number): void
}

/** Reads requests and hands them to the pipeline. One for all connections of a worker. */
export class RequestHandler {
  readonly #parts: HandlerParts
  /** What has begun and whose answer has not left yet. */
  readonly #open = new OpenList<OpenExchange>()

  /** Who takes requests for WebSockets; null = nobody. */
  readonly upgrade: UpgradeSide | null

  constructor(parts: HandlerParts) {
    this.#parts = parts
    this.upgrade = upgradesOf(parts, (req, received) => this.#refusal(req, received), this.#open)
  }

  /** Takes one request of node:http or of node:http2's compatible interface. */
  readonly handle = (req: IncomingMessage, res: ServerResponse): void => {
    const { services, limits, gate } = this.#parts
    if (isProbe(req.url)) {
      this.#probe(req, res)
      return
    }
    // Nothing serves yet: there are no rules, and the request is turned away.
    const headers = gate.starting ? undefined : services.current().policies.headers
    const asks = isAuthzQuestion(req.url) && this.#parts.authz?.() != null
    const received = new NodeReceived(req, services.clock.monotonic(), headers, asks)
    const side = this.#parts.side?.() ?? null
    if (side !== null && !asks && side.takes(received.path)) received.side = side
    const refusal = this.#refusal(req, received)
    if (refusal !== null) {
      this.#refuse(req, res, received, refusal)
      return
    }
    this.#parts.inflight(1)
    res.on('close', () => {
      this.#parts.inflight(-1)
      received.gone = true
      const { exchange } = received
      if (exchange === null) return
      this.#open.remove(exchange)
      exchange.onClientGone()
    })
    const declared = received.header('content-length')
    if (
      declared === '0' ||
      (declared === undefined && received.header('transfer-encoding') === undefined && !isHttp2(req))
    ) {
      this.#begin(received, res)
      return
    }
    if (isUpload(received)) {
      this.#upload(req, res, received, Number(declared ?? -1))
      return
    }
    if (!this.#identify(req, res, received)) return
    if (received.header('expect') !== undefined) this.#continue(res, received)
    this.#read(req, res, received, limits.body)
  }

  /** The body goes on as it comes: nothing here judges it. */
  #upload(req: IncomingMessage, res: ServerResponse, received: NodeReceived, length: number): void {
    received.upload = new NodeUpload(req, res, length, received.header('expect') !== undefined)
    req.on('error', ignore)
    // What of it nobody wanted is on its way all the same, and would be taken for the next request.
    res.once('finish', () => {
      if (!req.complete) this.#dropBody(req, res)
    })
    this.#begin(received, res)
  }

  /** Nobody reads a body that came along, and nobody waits for those who do not read the answer. */
  #probe(req: IncomingMessage, res: ServerResponse): void {
    const { gate, limits } = this.#parts
    const withBody = bringsBody(req)
    if (withBody) this.#dropBody(req, res)
    else req.resume()
    answerProbe(req, res, gate, withBody)
    dropStalled(res, limits.clientStallMs)
  }

  /** A stranger's body is not read. False = answered. */
  #identify(req: IncomingMessage, res: ServerResponse, received: NodeReceived): boolean {
    const { auth } = this.#parts.services.current().policies
    if (auth === null) return true
    try {
      const identity = auth.identify(received)
      if (identity instanceof Promise)
        identity.catch((error: unknown) => {
          // With an exchange it is for that to answer: the body is here.
          if (received.exchange === null && !received.gone) this.#turnAway(req, res, received, error)
        })
      received.identity = identity
      received.identifiedBy = auth
      return true
    } catch (error) {
      this.#turnAway(req, res, received, error)
      return false
    }
  }

  /** The body may come, once it is known who sends it. */
  #continue(res: ServerResponse, received: NodeReceived): void {
    if (received.identity instanceof Promise)
      received.identity.then(() => {
        if (!received.gone && !res.headersSent) res.writeContinue()
      }, ignore)
    else res.writeContinue()
  }

  /** (The rest of) the body is not read. */
  #turnAway(req: IncomingMessage, res: ServerResponse, received: NodeReceived, error: unknown): void {
    if (res.headersSent) return
    req.removeAllListeners('data')
    req.removeAllListeners('end')
    this.#dropBody(req, res)
    this.#exchange(received, res, true).fail(GatewayError.from(error))
  }

  /** Ends everything that is open with this error: a stream gets it as an event. */
  failOpen(error: GatewayError): void {
    for (const exchange of this.#open.all()) exchange.fail(error)
  }

  #refusal(req: IncomingMessage, received: NodeReceived): GatewayError | null {
    const { limits, gate } = this.#parts
    const broken = unfitForHttp(req, received, limits.headerBytes)
    if (broken !== null) return broken
    const closed = gate.refusal()
    if (closed !== null) return closed
    const overload = gate.overload()
    if (overload !== null)
      return new GatewayError('overloaded', 'Heddle has more work than it can do well.', {
        retryAfterMs: 1000,
        detail: overload,
      })
    if (req.rawHeaders.length > limits.headerCount * 2)
      return new GatewayError('headers_too_large', `The request has more than ${limits.headerCount} headers.`)
    const twice = duplicateHeader(req.rawHeaders)
    if (twice !== null) return new GatewayError('invalid_request', `The header '${twice}' stands twice.`)
    if (isUpload(received)) return null
    if (Number(received.header('content-length') ?? 0) > limits.body) return tooLarge(limits.body)
    if (encodingOf(received.header('content-encoding')) === 'unknown') {
      return new GatewayError(
        'unsupported_media_type',
        `The content encoding '${(received.header('content-encoding') ?? '').slice(0, 50)}' is not known.`,
      )
    }
    return null
  }

  #read(req: IncomingMessage, res: ServerResponse, received: NodeReceived, maxBytes: number): void {
    let first: Buffer | null = null
    let rest: Buffer[] | null = null
    let size = 0
    if (isHttp2(req)) this.#boundBodyTime(req, res, received)
    req.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > maxBytes) {
        req.removeAllListeners('data')
        req.removeAllListeners('end')
        this.#refuse(req, res, received, tooLarge(maxBytes))
      } else if (first === null) first = chunk
      else if (rest === null) rest = [first, chunk]
      else rest.push(chunk)
    })
    req.on('end', () => {
      received.body = rest !== null ? Buffer.concat(rest, size) : (first ?? received.body)
      first = rest = null
      this.#decode(req, res, received)
    })
    // A client that leaves while it sends is no error of anybody.
    req.on('error', ignore)
  }

  /** HTTP/1.1 has Node's own request timeout. */
  #boundBodyTime(req: IncomingMessage, res: ServerResponse, received: NodeReceived): void {
    const { wheel } = this.#parts.services
    const timer = new CallbackTimer(() => {
      req.removeAllListeners('data')
      req.removeAllListeners('end')
      this.#refuse(req, res, received, new GatewayError('request_timeout', 'The request did not arrive in time.'))
    })
    wheel.arm(timer, this.#parts.limits.bodyTimeoutMs)
    req.on('end', () => wheel.disarm(timer))
    req.on('close', () => wheel.disarm(timer))
  }

  #decode(req: IncomingMessage, res: ServerResponse, received: NodeReceived): void {
    const encoding = encodingOf(received.header('content-encoding'))
    const { limits } = this.#parts
    if (encoding === null) {
      this.#begin(received, res)
      return
    }
    decodeBody(received.body, encoding, limits.decompressedBody, (error, body) => {
      if (error === null) {
        received.body = body
        this.#begin(received, res)
      } else if (error === 'too_large') this.#refuse(req, res, received, tooLarge(limits.decompressedBody, 'unpacked '))
      else
        this.#refuse(
          req,
          res,
          received,
          new GatewayError('invalid_request', `The body is not valid ${encoding}.`, { param: 'content-encoding' }),
        )
    })
  }

  #begin(received: NodeReceived, res: ServerResponse): void {
    if (received.gone || received.exchange !== null) return
    // The rules have changed while the body came: who it is now, and what that one may do, the new ones say.
    const { auth, headers } = this.#parts.services.current().policies
    if (received.identifiedBy !== auth) received.identity = null
    received.gate = headers
    const exchange = this.#exchange(received, res, false)
    if (received.asks && isCut(received)) exchange.fail(cutBody())
    else exchange.begin()
  }

  /** last: the connection ends with the answer. */
  #exchange(received: NodeReceived, res: ServerResponse, last: boolean): OpenExchange {
    const { services, gate, limits } = this.#parts
    // The rules may have changed while the body came.
    if (received.side !== null) received.side = this.#parts.side?.() ?? null
    if (received.side?.takes(received.path) === true) return this.#aside(received, received.side, res, last)
    const question = received.asks ? this.#question(res, last) : null
    const reply = question ?? new NodeReply(res, gate, last, limits.clientStallMs)
    const exchange = new Exchange(services, received, reply, question)
    reply.client = exchange
    if (received.upload !== undefined && reply instanceof NodeReply) reply.uploading = true
    received.exchange = exchange
    this.#open.add(exchange)
    return exchange
  }

  #aside(received: NodeReceived, side: SideDoor, res: ServerResponse, last: boolean): OpenExchange {
    const { gate, limits } = this.#parts
    const reply = new NodeReply(res, gate, last, limits.clientStallMs)
    const exchange = side.open(received, reply)
    reply.client = exchange
    received.exchange = exchange
    this.#open.add(exchange)
    return exchange
  }

  #question(res: ServerResponse, last: boolean): AuthzReply | null {
    const { gate, limits, authz } = this.#parts
    const parts = authz?.() ?? null
    return parts === null ? null : new AuthzReply([res, gate, last, limits.clientStallMs], parts)
  }

  /** (More of) the body will not be read: what is still on its way would be taken for the next request. */
  #dropBody(req: IncomingMessage, res: ServerResponse): void {
    if (isHttp2(req)) stopUpload(req, res as unknown as Http2ServerResponse)
    else {
      const { socket } = req
      socket.destroySoon = () => linger(socket, this.#parts.services.wheel)
    }
    req.on('error', ignore)
    req.resume()
  }

  /** Answers without reading (more of) the body. */
  #refuse(req: IncomingMessage, res: ServerResponse, received: NodeReceived, error: GatewayError): void {
    if (received.gone || received.exchange !== null) return
    this.#parts.refused(error)
    if (res.headersSent || res.destroyed) {
      res.destroy()
      return
    }
    const id = requestId(received.header('x-request-id'))
    const body = received.side?.errorBody(error, id) ?? errorBody(received.path, error, id)
    const headers = [
      'content-type',
      'application/json',
      'x-request-id',
      id,
      ...(received.path.startsWith('/v1/messages') ? ['request-id', id] : []),
      'content-length',
      String(Buffer.byteLength(body)),
      ...errorHeaders(error),
    ]
    headers.push(...endHeaders(this.#parts.gate, req, true))
    this.#dropBody(req, res)
    res.writeHead(error.status, headers)
    res.end(body)
  }
}

/** The HTTP/1.1 parser lets `HTTP/2.0` pass in a request line: the number alone does not tell. */
const isHttp2 = (req: IncomingMessage): boolean => req.httpVersionMajor === 2 && 'stream' in req

/** More than the head follows, or may. */
function bringsBody(req: IncomingMessage): boolean {
  if (isHttp2(req)) return !(req as unknown as Http2ServerRequest).stream.endAfterHeaders
  const { 'content-length': length = '0', 'transfer-encoding': coding } = req.headers
  return length !== '0' || coding !== undefined
}

/** Once the answer has left, the rest of the body is not wanted (RFC 9113 8.1). */
function stopUpload(req: IncomingMessage, res: Http2ServerResponse): void {
  const { stream } = res
  if (!req.complete) stream.once('finish', () => stream.close(NO_ERROR))
}

/** HTTP/2 only advises its peer of the limit (RFC 9113 6.5.2), and holds it to 64 KiB. */
function headBytes(raw: readonly string[]): number {
  let bytes = 0
  for (const text of raw) bytes += text.length
  return bytes
}

/** What the parser lets pass although the message is not one that two readers would understand alike. */
function unfitForHttp(req: IncomingMessage, received: NodeReceived, headerBytes: number): GatewayError | null {
  if (isHttp2(req))
    return headBytes(req.rawHeaders) > headerBytes
      ? new GatewayError('headers_too_large', `The headers are larger than ${headerBytes} bytes.`)
      : null
  if (req.httpVersionMajor !== 1)
    return new GatewayError('invalid_request', `HTTP/${req.httpVersion} is not spoken here.`)
  if (req.httpVersionMinor > 0 && received.header('host') === undefined)
    return new GatewayError('invalid_request', "The header 'host' is missing.")
  const coding = received.header('transfer-encoding')
  // The parser unpacks chunks only: with another coding below them the body would be taken for something it is not.
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked')
    return new GatewayError('invalid_request', `The transfer coding '${coding.slice(0, 50)}' is not known.`)
  const expected = received.header('expect')
  if (expected !== undefined && expected.toLowerCase() !== '100-continue')
    return new GatewayError('invalid_request', `The expectation '${expected.slice(0, 50)}' cannot be met.`, {
      status: 417,
    })
  return null
}

const ignore = (): void => {}
const NO_ERROR = 0

const tooLarge = (bytes: number, what = ''): GatewayError =>
  new GatewayError('payload_too_large', `The ${what}body is larger than ${bytes} bytes.`)
