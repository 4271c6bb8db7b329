import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2'
import type { Call, Upstream, UpstreamFault, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { GrpcCodec } from '../protocol/templates/grpc-codec.ts'
import { GatewayError } from '../core/errors.ts'
import { frameOf } from '../protocol/grpc/messages.ts'
import { GrpcConnection, type GrpcConnectionOptions } from './grpc-connection.ts'
import { grpcHeaders, holdsKey } from './grpc-headers.ts'
import { callFault, connectFault, failureAnswer, plainHeaders } from './grpc-status.ts'

export interface GrpcUpstreamOptions extends GrpcConnectionOptions {
  readonly codec: GrpcCodec
  /** Longest answer, bytes. */
  readonly maxAnswer: number
  /** Told to the server with each call, ms; 0 = only what the call itself says. */
  readonly deadlineMs: number
  /** The network in between sees everything: requests with credentials are not sent. */
  readonly clear?: boolean
}

const PREFIX = 5
const CANCEL = 8

/** One call (grpc.io, PROTOCOL-HTTP2.md): one message there, one message back. */
class GrpcCall implements Call {
  readonly #sink: UpstreamSink
  readonly #options: GrpcUpstreamOptions
  readonly #connection: GrpcConnection
  #stream: ClientHttp2Stream | null = null
  #over = false
  #error: Error | null = null
  #head: (IncomingHttpHeaders & IncomingHttpStatusHeader) | null = null
  #trailers: IncomingHttpHeaders | null = null
  #chunks: Buffer[] = []
  #bytes = 0

  constructor(options: GrpcUpstreamOptions, connection: GrpcConnection, sink: UpstreamSink) {
    this.#options = options
    this.#connection = connection
    this.#sink = sink
  }

  /** Fails without having been sent; told later, as the caller must have the call first. */
  refuse(fault: UpstreamFault): void {
    queueMicrotask(() => this.#fail(fault))
  }

  start(headers: Record<string, string>, message: Buffer): void {
    const { ready } = this.#connection
    if (ready !== null) {
      this.#send(ready, headers, message)
      return
    }
    this.#connection.connect().then(
      (session) => this.#send(session, headers, message),
      (error: Error) => this.#fail(connectFault(error)),
    )
  }

  #send(session: ClientHttp2Session, headers: Record<string, string>, message: Buffer): void {
    if (this.#over) return
    let stream: ClientHttp2Stream
    try {
      stream = session.request(headers)
    } catch {
      // It went away between two events: nothing has been sent.
      this.refuse({ kind: 'connect', detail: 'the connection has just been closed' })
      return
    }
    this.#stream = stream
    stream.on('response', (head) => {
      this.#head = head
    })
    stream.on('trailers', (trailers) => {
      this.#trailers = trailers
    })
    stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    stream.on('error', (error: Error) => {
      this.#error = error
    })
    stream.on('close', () => this.#onClose())
    stream.end(message)
  }

  #onData(chunk: Buffer): void {
    if (this.#over) return
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    const first = this.#chunks[0]!
    const claimed = first.length >= PREFIX ? first.readUInt32BE(1) : 0
    if (
      this.#bytes > this.#options.maxAnswer + PREFIX ||
      (this.#head?.[':status'] === 200 && claimed > this.#options.maxAnswer)
    ) {
      this.#fail({ kind: 'protocol', detail: 'the answer is larger than `limits.response_body`' })
      this.#stream?.close(CANCEL)
    }
  }

  #onClose(): void {
    if (this.#over) return
    const head = this.#head
    const status = head?.[':status'] ?? 0
    const body = Buffer.concat(this.#chunks)
    this.#chunks = []
    if (head === null) this.#fail(callFault(this.#error, this.#stream!.rstCode ?? 0))
    else if (status !== 200) this.#answer(status, plainHeaders(head), body)
    else this.#judge(head, body)
  }

  #judge(head: IncomingHttpHeaders, body: Buffer): void {
    // An answer without messages has its status in the head (PROTOCOL-HTTP2.md, "Trailers-Only").
    const last = this.#trailers ?? head
    const code = last['grpc-status']
    if (typeof code !== 'string' || !/^\d{1,2}$/.test(code)) {
      const grpc = head['content-type']?.startsWith('application/grpc') === true
      if (!grpc) this.#fail({ kind: 'protocol', detail: 'the server does not speak gRPC' })
      else this.#fail(callFault(this.#error, this.#stream!.rstCode ?? 0))
      return
    }
    const headers = plainHeaders(head, this.#trailers)
    if (code === '0') this.#read(headers, body)
    else {
      const said = last['grpc-message']
      const { status, body: told } = failureAnswer(Number(code), typeof said === 'string' ? said : '')
      this.#answer(status, headers, told)
    }
  }

  #read(headers: ReturnType<typeof plainHeaders>, body: Buffer): void {
    let json: string
    try {
      if (body.length < PREFIX || body[0] !== 0 || body.readUInt32BE(1) !== body.length - PREFIX)
        throw new RangeError('it is not one message')
      json = this.#options.codec.answer(body.subarray(PREFIX))
    } catch (error) {
      // Of the library too the words are of the form, never of the content.
      const why = error instanceof Error ? error.message : 'unknown'
      this.#fail({ kind: 'protocol', detail: `the answer cannot be read: ${why}` })
      return
    }
    this.#answer(200, headers, Buffer.from(json))
  }

  #answer(status: number, headers: ReturnType<typeof plainHeaders>, body: Buffer): void {
    const sink = this.#sink
    sink.onHead(status, headers)
    if (!this.#over && body.length > 0) sink.onData(body)
    if (this.#over) return
    this.#over = true
    sink.onEnd()
  }

  #fail(fault: UpstreamFault): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onFault(fault)
  }

  abort(blame = false): void {
    if (this.#over) return
    this.#over = true
    const stream = this.#stream
    if (stream === null) return
    const { session } = stream
    stream.close(CANCEL)
    // undefined once the stream is gone.
    if (blame && session !== undefined) this.#connection.suspect(session as ClientHttp2Session)
  }

  // An answer is bounded, and told at once.
  pause(): void {}
  resume(): void {}
}

/**
 * Backends that are called by gRPC: what a wire says in JSON is told in the server's messages, and its answer again as JSON.
 * Each call is unary. Calls share one connection, which is made anew after five minutes, as those of UndiciUpstream are.
 */
export class GrpcUpstream implements Upstream {
  readonly #options: GrpcUpstreamOptions
  readonly #connection: GrpcConnection

  constructor(options: GrpcUpstreamOptions) {
    this.#options = options
    this.#connection = new GrpcConnection(options)
  }

  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = new GrpcCall(this.#options, this.#connection, sink)
    const { codec, clear = false, origin, deadlineMs } = this.#options
    try {
      if (request.method !== 'POST' || request.body === null)
        throw new GatewayError('unsupported_parameter', 'The backend of this model cannot be called so.')
      if (clear && holdsKey(request)) {
        call.refuse({ kind: 'protocol', detail: 'a key would cross the network in clear: see `egress`' })
        return call
      }
      const headers = grpcHeaders(request, { path: codec.method, authority: new URL(origin).host, deadlineMs })
      if (typeof headers === 'string') call.refuse({ kind: 'protocol', detail: headers })
      else call.start(headers, frameOf(codec.request(request.path, request.body)))
    } catch (error) {
      const refusal = GatewayError.from(error)
      call.refuse({ kind: 'protocol', detail: refusal.detail ?? refusal.code, refusal })
    }
    return call
  }

  close(): Promise<void> {
    return this.#connection.close()
  }
}
