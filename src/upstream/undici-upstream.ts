import { Pool } from 'undici'
import type { Dispatcher } from 'undici'
import type { Call, FaultKind, Upstream, UpstreamFault, UpstreamHeaders, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'

export interface UndiciUpstreamOptions {
  /** scheme://host:port, no path. */
  readonly origin: string
  readonly connections: number
  /** Ms; 0 = the system's own. */
  readonly connectTimeoutMs: number
  readonly tls: { readonly ca: string | null; readonly serverName: string | null; readonly rejectUnauthorized: boolean }
}

const CONNECT_CODES = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT', 'EMFILE', 'ENFILE', 'ENOENT', 'EACCES', 'EINVAL'])
const PROTOCOL = /^(HPE_|UND_ERR_(HEADERS_OVERFLOW|RES_|REQ_|INVALID))/
const TLS = /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|EPROTO)/

interface CodedError {
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
  else if (PROTOCOL.test(code)) kind = 'protocol'
  else if (TLS.test(code)) kind = 'tls'
  return { kind, detail: code === '' ? (first.message ?? 'unknown error') : code }
}

class DispatchCall implements Call, Dispatcher.DispatchHandler {
  readonly #sink: UpstreamSink
  #controller: Dispatcher.DispatchController | null = null
  #over = false

  constructor(sink: UpstreamSink) {
    this.#sink = sink
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // Aborted while it waited for a connection.
    if (this.#over) controller.abort(new Error('aborted'))
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: UpstreamHeaders): void {
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
    this.#over = true
    this.#sink.onFault(faultOf(error as CodedError))
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

export class UndiciUpstream implements Upstream {
  readonly #pool: Pool

  constructor(options: UndiciUpstreamOptions) {
    const { ca, serverName, rejectUnauthorized } = options.tls
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
      connect: {
        timeout: options.connectTimeoutMs,
        noDelay: true,
        rejectUnauthorized,
        ...(ca === null ? {} : { ca }),
        ...(serverName === null ? {} : { servername: serverName }),
      },
    })
  }

  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = new DispatchCall(sink)
    this.#pool.dispatch(
      { path: request.path, method: request.method as Dispatcher.HttpMethod, headers: request.headers, body: request.body },
      call,
    )
    return call
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }
}
