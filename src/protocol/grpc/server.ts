import type { Socket } from 'node:net'
import {
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescMethodBiDiStreaming,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageShape,
} from '@bufbuild/protobuf'
import type { RequestHead } from '../http2/head.ts'
import type { Http2Options } from '../http2/options.ts'
import type { Http2Stream } from '../http2/stream.ts'
import type { Codec, Method, StreamHandler, UnaryHandler } from './calls.ts'
import { TimerWheel } from '../../core/wheel.ts'
import { headerOf } from '../http2/head.ts'
import { Http2Server } from '../http2/server.ts'
import { StreamExchange, UnaryExchange, type CallPlace } from './exchange.ts'
import { frameOf, type MessageLimits } from './messages.ts'
import { failureOnly, GRPC, httpOnly } from './status.ts'
import { timeoutMs } from './timeout.ts'

export interface GrpcServerOptions extends MessageLimits, Partial<Http2Options> {}

/** What a head leads to. */
interface Route {
  readonly method: Method | null
  /** The answer to what is no call; null = it is one. */
  readonly refusal: Buffer | null
  readonly timeoutMs: number
}

const TYPE = /^application\/grpc(?:[+;]|$)/
const NO_SUCH = failureOnly(GRPC.UNIMPLEMENTED, 'there is no such method')
const NO_TIMEOUT = failureOnly(GRPC.INTERNAL, 'the timeout cannot be read')
const NO_GRPC = httpOnly(415)
const NO_POST = httpOnly(405)

/** Messages as the generated code has them. */
export const codecOf = <I extends DescMessage, O extends DescMessage>(
  input: I,
  output: O,
): Codec<MessageShape<I>, MessageShape<O>> => ({
  read: (bytes) => fromBinary(input, bytes),
  frame: (value) => frameOf(toBinary(output, value)),
})

/** The server's side of gRPC (grpc.io, PROTOCOL-HTTP2.md) on one port. Messages are not compressed, either way. */
export class GrpcServer {
  readonly #methods = new Map<string, Method>()
  readonly #place: CallPlace
  readonly #http2: Http2Server
  /** Proxies send the same head again and again. */
  #lastHead: RequestHead | null = null
  #lastRoute: Route | null = null

  constructor(options: GrpcServerOptions) {
    const { now, onFault } = options
    const wheel = now === undefined ? new TimerWheel() : new TimerWheel(now)
    const { maxMessage, maxPartial } = options
    this.#place = { wheel, limits: { maxMessage, maxPartial }, partial: { bytes: 0 }, onFault: onFault ?? (() => {}) }
    this.#http2 = new Http2Server((stream, head, ended) => this.#accept(stream, head, ended), options)
  }

  get connections(): number {
    return this.#http2.connections
  }

  /** service: its full name on the wire, such as `grpc.health.v1.Health`. codec: left out, that of the generated code. */
  unary<I extends DescMessage, O extends DescMessage>(
    service: string,
    { name, input, output }: DescMethodUnary<I, O>,
    handle: UnaryHandler<MessageShape<I>, MessageShape<O>>,
  ): void {
    this.unaryWith(service, name, codecOf(input, output), handle)
  }

  /** The same, with messages that are read and written by hand. */
  unaryWith<I, O>(service: string, name: string, codec: Codec<I, O>, handle: UnaryHandler<I, O>): void {
    this.#add(service, name, { unary: true, single: true, codec: codec as Codec<unknown, unknown>, handle } as Method)
  }

  streaming<I extends DescMessage, O extends DescMessage>(
    service: string,
    method: DescMethodServerStreaming<I, O> | DescMethodBiDiStreaming<I, O>,
    handle: StreamHandler<MessageShape<I>, MessageShape<O>>,
    codec: Codec<MessageShape<I>, MessageShape<O>> = codecOf(method.input, method.output),
  ): void {
    const single = (method as DescMethod).methodKind === 'server_streaming'
    this.#add(service, method.name, { unary: false, single, codec, handle })
  }

  #add(service: string, name: string, method: Method): void {
    this.#methods.set(`/${service}/${name}`, method)
  }

  #accept(stream: Http2Stream, head: RequestHead, ended: boolean): void {
    const route = head === this.#lastHead ? this.#lastRoute! : this.#routeOf(head)
    const { method, refusal } = route
    if (method === null) {
      stream.respond(refusal!, true)
      return
    }
    if (method.unary) stream.handler = new UnaryExchange(stream, method, this.#place, route.timeoutMs)
    else {
      const exchange = new StreamExchange(stream, method, this.#place, route.timeoutMs)
      stream.handler = exchange
      exchange.begin()
    }
    if (ended) stream.handler.onEnd(null)
  }

  #routeOf(head: RequestHead): Route {
    const route = this.#find(head)
    this.#lastHead = head
    this.#lastRoute = route
    return route
  }

  #find({ method: verb, path, headers }: RequestHead): Route {
    const refused = (refusal: Buffer): Route => ({ method: null, refusal, timeoutMs: Infinity })
    if (!TYPE.test(headerOf(headers, 'content-type') ?? '')) return refused(NO_GRPC)
    if (verb !== 'POST') return refused(NO_POST)
    const method = this.#methods.get(path)
    if (method === undefined) return refused(NO_SUCH)
    const ms = timeoutMs(headerOf(headers, 'grpc-timeout'))
    return Number.isNaN(ms) ? refused(NO_TIMEOUT) : { method, refusal: null, timeoutMs: ms }
  }

  /** Takes over a connected socket: HTTP/2 with prior knowledge, or a TLS socket whose ALPN is `h2`. */
  accept(socket: Socket): void {
    this.#http2.accept(socket)
  }

  /** Peers are told to make their next calls elsewhere; what is open goes on, at most maxMs. */
  drain(maxMs: number): void {
    this.#http2.drain(maxMs)
  }

  /** What is open is cut. */
  close(): void {
    this.#http2.close()
  }
}
