// The pool alone: the package's front door also loads fetch, caches and WebSockets (45 ms, 8 MB), which nothing here uses.
import Pool from 'undici/lib/dispatcher/pool.js'
import { kClients } from 'undici/lib/dispatcher/pool-base.js'
import type { Dispatcher } from 'undici'
import { systemClock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { connectorFor, type Connector, type ProxyOptions, type TlsOptions } from './connectors.ts'
import type { Origination } from './origination.ts'
import { EGRESS_REFUSED, PEER_REFUSED } from './refused.ts'
import type { SvidSource } from '../contracts/config-svid.ts'
import type {
  Call,
  FaultKind,
  Upstream,
  UpstreamFault,
  UpstreamHeaders,
  UpstreamRequest,
  UpstreamSink,
} from '../contracts/upstream.ts'

export interface UndiciUpstreamOptions {
  /** scheme://host:port, no path. */
  readonly origin: string
  readonly connections: number
  /** Ms; 0 = the system's own. */
  readonly connectTimeoutMs: number
  readonly tls: TlsOptions
  /** HTTP proxy that connections go through; left out = none. */
  readonly proxy?: ProxyOptions | null
  /** What each connection must prove before a request is sent on it; left out = nothing. */
  readonly origination?: Origination | null
  /** The network in between sees everything: requests with credentials are not sent. */
  readonly clear?: boolean
  /** Ms; left out = five minutes. */
  readonly maxAgeMs?: number
  /** Of `tls.svid`; left out = there is none. */
  readonly identity?: SvidSource | null
}

/**
 * A connection is not used for longer than this, ms: a busy one would else keep for ever to the address that it was made
 * to, whatever DNS says since, and to what was proved of it.
 */
const MAX_AGE_MS = 300_000

/** Smaller bodies are not worth the iterator's detour (about 20 µs). */
const LET_GO_BYTES = 16 * 1024

/**
 * undici keeps a request's body until its answer is complete. For a stream that is minutes, and the prompt may be most
 * of what the stream costs in memory: handed over piece by piece, it is free once sent.
 */
function* handOver(holder: { body: Buffer | null }): Generator<Buffer> {
  const { body } = holder
  holder.body = null
  yield body!
}

const CONNECT_CODES = new Set([
  EGRESS_REFUSED,
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'UND_ERR_CONNECT_TIMEOUT',
  'ETIMEDOUT',
  'EMFILE',
  'ENFILE',
  'ENOENT',
  'EACCES',
  'EINVAL',
])
const PROTOCOL = /^(HPE_|UND_ERR_(HEADERS_OVERFLOW|RES_|REQ_|INVALID))/
const TLS = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO)/

interface CodedError {
  readonly name?: string
  readonly code?: string
  readonly message?: string
  readonly errors?: readonly CodedError[]
}

function faultOf(error: CodedError): UpstreamFault {
  // Happy eyeballs wraps the errors of each address: the first speaks for all.
  const first = error.code === undefined && error.errors?.[0] !== undefined ? error.errors[0] : error
  const code = first.code ?? ''
  let kind: FaultKind = 'reset'
  if (CONNECT_CODES.has(code)) kind = 'connect'
  else if (PROTOCOL.test(code) || first.name === 'HTTPParserError') kind = 'protocol'
  else if (TLS.test(code) || code === PEER_REFUSED) kind = 'tls'
  const told = code === '' || code === EGRESS_REFUSED || code === PEER_REFUSED
  return { kind, detail: told ? (first.message ?? 'unknown error') : code }
}

class DispatchCall implements Call, Dispatcher.DispatchHandler {
  readonly #sink: UpstreamSink
  #controller: Dispatcher.DispatchController | null = null
  #over = false
  /** Inside dispatch(): the caller does not have this call yet. */
  starting = true

  constructor(sink: UpstreamSink) {
    this.#sink = sink
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // Aborted while it waited for a connection.
    if (this.#over) controller.abort(new Error('aborted'))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
    // Two dozen Buffers, and the packet that they are cut from: nobody reads them, and a stream may stay open for long.
    controller.rawHeaders = null
    // 1xx is not the answer (RFC 9110 15.2): taking it for one would leave the real answer for the next client.
    if (status < 200 || this.#over) return
    this.#sink.onHead(status, headers)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#over) this.#sink.onData(chunk)
  }

  onResponseEnd(): void {
    if (this.#over) return
    this.#over = true
    this.#sink.onEnd()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#over) return
    if (this.starting) {
      // Told now, the failure would come before the call it is of.
      queueMicrotask(() => this.onResponseError(_controller, error))
      return
    }
    this.#over = true
    this.#sink.onFault(faultOf(error))
  }

  /** Fails without having been sent. */
  refuse(detail: string): void {
    queueMicrotask(() => {
      if (this.#over) return
      this.#over = true
      this.#sink.onFault({ kind: 'protocol', detail })
    })
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#controller?.abort(new Error('aborted'))
  }

  pause(): void {
    this.#controller?.pause()
  }

  resume(): void {
    this.#controller?.resume()
  }
}

/** A call of what is loaded with the first of its kind. */
class LateCall implements Call {
  #call: Call | null = null
  #aborted = false

  begin<T extends Call>(call: T, open: (call: T) => void): void {
    if (this.#aborted) return
    this.#call = call
    open(call)
  }

  abort(): void {
    this.#aborted = true
    this.#call?.abort()
  }

  pause(): void {
    this.#call?.pause()
  }

  resume(): void {
    this.#call?.resume()
  }
}

const BAD_PATH = /[^\x21-\xff]/
const BAD_VALUE = /[^\t\x20-\x7e\x80-\xff]/
const NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const OF_THE_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'expect',
  'trailer',
])

/** The header that cannot be sent, such as a key with a line break in it; null = all can (RFC 9110 5.5). */
function unsendable(headers: readonly string[]): string | null {
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    if (!NAME.test(name) || BAD_VALUE.test(headers[i + 1]!) || OF_THE_CONNECTION.has(name.toLowerCase())) return name
  }
  return null
}

const KEY_HEADERS = new Set([
  'authorization',
  'api-key',
  'x-api-key',
  'x-goog-api-key',
  'cookie',
  'proxy-authorization',
])

function holdsKey(headers: readonly string[]): boolean {
  for (let i = 0; i < headers.length; i += 2) if (KEY_HEADERS.has(headers[i]!.toLowerCase())) return true
  return false
}

/** A connection as undici's pool keeps it: one whose `ttl` lies far back is replaced when the pool next passes by it. */
interface Aged {
  ttl?: number
  /** Clock.monotonic, ms. */
  heddleBornAt?: number
}

const clientsOf = (pool: Pool): readonly Aged[] =>
  (pool as unknown as { readonly [kClients]: readonly Aged[] })[kClients]

/**
 * Lets connections grow old. undici itself would ask the clock for each connection that it passes by while it looks for a
 * free one: with many at work that is a fortieth of a request. So it is told of none before its time has come. Returns what
 * ends it.
 */
function letAge(pool: Pool, maxAgeMs: number): () => void {
  pool.on('connect', (_origin, targets) => {
    const client = targets.at(-1) as Aged | undefined
    if (client !== undefined) Object.assign(client, { ttl: 0, heddleBornAt: systemClock.monotonic() })
  })
  return everyUnref(
    () => {
      const born = systemClock.monotonic() - maxAgeMs
      for (const client of clientsOf(pool)) if ((client.heddleBornAt ?? Infinity) < born) client.ttl = 1
    },
    Math.max(20, maxAgeMs / 10),
  )
}

/** A new SVID makes all connections old that showed the one before. Returns what ends it. */
const ageWith = (pool: Pool, identity: SvidSource): (() => void) =>
  identity.watchSvid(() => {
    for (const client of clientsOf(pool)) client.ttl = 1
  })

export class UndiciUpstream implements Upstream {
  readonly #pool: Pool
  readonly #origin: string
  readonly #connect: Connector
  readonly #stopAging: () => void
  readonly #stopRotating: (() => void) | null
  /** Header lists that have been looked at: a provider's is the same for all its requests. */
  readonly #sendable = new WeakSet<readonly string[]>()

  readonly #clear: boolean

  constructor(options: UndiciUpstreamOptions) {
    const { proxy = null, origination = null, clear = false, maxAgeMs = MAX_AGE_MS, identity = null } = options
    this.#clear = clear
    this.#origin = options.origin
    this.#connect = connectorFor({
      tls: options.tls,
      timeoutMs: options.connectTimeoutMs,
      proxy,
      origination,
      identity,
    })
    this.#pool = new Pool(options.origin, {
      connections: options.connections,
      pipelining: 1,
      allowH2: false,
      // The attempt's own timers rule; a second clock here would only cut long streams.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 30_000,
      keepAliveMaxTimeout: 600_000,
      maxHeaderSize: 32 * 1024,
      clientTtl: maxAgeMs,
      connect: this.#connect as never,
    })
    this.#stopAging = letAge(this.#pool, maxAgeMs)
    this.#stopRotating = options.tls.svid === true && identity !== null ? ageWith(this.#pool, identity) : null
  }

  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = new DispatchCall(sink)
    const refusal = this.#refusal(request)
    if (refusal !== null) {
      call.refuse(refusal)
      return call
    }
    if (request.socket !== undefined) return this.#openSocket(request, sink)
    let body: Dispatcher.DispatchOptions['body'] = request.body
    let { headers } = request
    if (request.more !== undefined) headers = [...headers, ...request.more]
    if (request.longAnswer === true && request.body !== null && request.body.length > LET_GO_BYTES) {
      headers = [...headers, 'content-length', String(request.body.length)]
      // Typed for streams only, but any iterable is taken (undici Request, `isIterable`).
      body = handOver({ body: request.body }) as never
    }
    const { upload } = request
    if (upload !== undefined) {
      if (upload.length >= 0) headers = [...headers, 'content-length', String(upload.length)]
      body = upload as never
    }
    this.#pool.dispatch({ path: request.path, method: request.method, headers, body }, call)
    call.starting = false
    return call
  }

  /** Beside the pool: a WebSocket has its connection for itself. */
  #openSocket(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = new LateCall()
    const parts = { origin: this.#origin, connect: this.#connect, faultOf }
    import('./websocket.ts').then(
      ({ SocketCall }) => call.begin(new SocketCall(sink), (socket) => socket.open(request, parts)),
      (error: unknown) => sink.onFault({ kind: 'protocol', detail: String(error) }),
    )
    return call
  }

  /**
   * Why the request cannot be sent at all. To be known before undici does: a request that it refuses leaves the
   * connection which it was meant for marked as busy for good.
   */
  #refusal({ path, headers, more }: UpstreamRequest): string | null {
    if (BAD_PATH.test(path)) return 'path cannot be sent'
    const bad = more === undefined ? null : unsendable(more)
    if (bad !== null) return `header '${bad}' cannot be sent`
    if (this.#sendable.has(headers)) return null
    const name = unsendable(headers)
    if (name !== null) return `header '${name}' cannot be sent`
    if (this.#clear && holdsKey(headers)) return 'a key would cross the network in clear: see `egress`'
    this.#sendable.add(headers)
    return null
  }

  async close(): Promise<void> {
    this.#stopAging()
    this.#stopRotating?.()
    await this.#pool.close()
  }
}
