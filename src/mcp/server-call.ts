import type { Call, UpstreamFault, UpstreamHeaders, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { Upstream } from '../contracts/upstream.ts'
import { GatewayError } from '../core/errors.ts'
import { WheelTimer, type TimerWheel } from '../core/wheel.ts'
import { messageOf, parseExact, type RpcMessage } from './json-rpc.ts'
import { ServerRefusal } from './server-error.ts'
import { SseReader } from './sse-reader.ts'

/** Who waits for what a server answers. Each call ends with one onEnd. */
export interface CallListener {
  onMessage(message: RpcMessage, text: string): void
  /** fault null = the answer is complete, as far as HTTP goes. */
  onEnd(fault: GatewayError | null): void
}

export interface CallOptions {
  readonly wheel: TimerWheel
  /** Ms without a message of the server; 0 = for ever. */
  readonly timeoutMs: number
  /** Of one message, bytes. */
  readonly maxBytes: number
  readonly server: string
  /** Cut out of whatever the server says. */
  readonly secrets: readonly string[]
}

const headerOf = (headers: UpstreamHeaders, name: string): string => {
  const value = headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}

type Mode = 'head' | 'sse' | 'json' | 'refused' | 'ignored'

const REFUSAL_BYTES = 64 * 1024

/** One HTTP request to a server, and the messages in its answer. */
export class ServerCall extends WheelTimer implements UpstreamSink {
  readonly #options: CallOptions
  readonly #listener: CallListener
  #call: Call | null = null
  #mode: Mode = 'head'
  #status = 0
  #chunks: Buffer[] = []
  #size = 0
  #reader: SseReader | null = null
  #over = false
  /** Of the answer's head; '' = none. */
  sessionId = ''
  /** Of the last event of a stream; '' = none. */
  get lastEventId(): string {
    return this.#reader?.lastId ?? ''
  }
  get retryMs(): number {
    return this.#reader?.retryMs ?? -1
  }
  #retryAfterMs: number | undefined
  /** The answer is a stream: there may be more than one message. */
  get streams(): boolean {
    return this.#mode === 'sse'
  }

  constructor(upstream: Upstream, request: UpstreamRequest, options: CallOptions, listener: CallListener) {
    super()
    this.#options = options
    this.#listener = listener
    this.#arm()
    this.#call = upstream.call(request, this)
  }

  #arm(): void {
    if (this.#options.timeoutMs > 0) this.#options.wheel.arm(this, this.#options.timeoutMs)
  }

  override onTimer(): void {
    const { server, timeoutMs } = this.#options
    this.#fail(
      new GatewayError('upstream_timeout', `MCP server '${server}' did not answer within ${timeoutMs} ms.`),
      true,
    )
  }

  /** Nothing is told any more. */
  abort(): void {
    if (this.#over) return
    this.#finish()
    this.#call?.abort()
  }

  pause(): void {
    if (!this.#over) this.#call?.pause()
  }

  resume(): void {
    if (!this.#over) this.#call?.resume()
  }

  #finish(): void {
    this.#over = true
    this.#options.wheel.disarm(this)
    this.#chunks = []
  }

  #fail(error: GatewayError, blame: boolean): void {
    if (this.#over) return
    this.#finish()
    this.#call?.abort(blame)
    this.#listener.onEnd(error)
  }

  // ── what the server sends ─────────────────────────────────────────────────
  onHead(status: number, headers: UpstreamHeaders): void {
    this.#status = status
    this.sessionId = headerOf(headers, 'mcp-session-id')
    const type = headerOf(headers, 'content-type').toLowerCase()
    if (status < 200 || status > 299) {
      this.#mode = 'refused'
      const seconds = Number(headerOf(headers, 'retry-after') || Number.NaN)
      if (Number.isFinite(seconds) && seconds >= 0) this.#retryAfterMs = Math.min(seconds, 86_400) * 1000
    } else if (type.startsWith('text/event-stream')) {
      this.#mode = 'sse'
      this.#reader = new SseReader(this.#options.maxBytes, ({ data }) => this.#text(data))
    } else if (status === 202 || status === 204) this.#mode = 'ignored'
    else if (type.startsWith('application/json')) this.#mode = 'json'
    else this.#mode = 'ignored'
  }

  onData(chunk: Buffer): void {
    if (this.#over || this.#mode === 'ignored') return
    if (this.#mode === 'sse') {
      // Also a comment shows that the server is there.
      this.#arm()
      if (!this.#reader!.push(chunk)) this.#tooLarge()
      return
    }
    this.#size += chunk.length
    const max = this.#mode === 'refused' ? REFUSAL_BYTES : this.#options.maxBytes
    if (this.#size <= max) this.#chunks.push(chunk)
    else if (this.#mode === 'refused') this.#refuse(null)
    else this.#tooLarge()
  }

  onEnd(): void {
    if (this.#over) return
    if (this.#mode === 'json') this.#text(Buffer.concat(this.#chunks).toString())
    else if (this.#mode === 'refused') {
      this.#refuse(this.#parse(this.#clean(Buffer.concat(this.#chunks).toString())))
      return
    }
    if (this.#over) return
    this.#finish()
    this.#listener.onEnd(null)
  }

  onFault({ kind, detail, refusal }: UpstreamFault): void {
    if (this.#over || kind === 'aborted') return
    const { server } = this.#options
    const code = kind === 'connect' || kind === 'tls' ? 'upstream_unavailable' : 'upstream_error'
    const what = code === 'upstream_unavailable' ? 'cannot be reached' : 'broke off its answer'
    this.#fail(refusal ?? new GatewayError(code, `MCP server '${server}' ${what}.`, { detail }), false)
  }

  #tooLarge(): void {
    const { server, maxBytes } = this.#options
    const error = `MCP server '${server}' sent a message of more than ${maxBytes} bytes.`
    this.#fail(new GatewayError('upstream_invalid_response', error), true)
  }

  #refuse(rpc: RpcMessage | null): void {
    this.#fail(new ServerRefusal(this.#options.server, this.#status, rpc, this.#retryAfterMs), false)
  }

  #clean(text: string): string {
    let clean = text
    for (const secret of this.#options.secrets) if (clean.includes(secret)) clean = clean.replaceAll(secret, '***')
    return clean
  }

  #parse(text: string): RpcMessage | null {
    try {
      return messageOf(parseExact(text))
    } catch {
      return null
    }
  }

  #text(raw: string): void {
    const text = this.#clean(raw)
    if (text.startsWith('[')) {
      this.#batch(text)
      return
    }
    const message = this.#parse(text)
    if (message !== null) this.#listener.onMessage(message, text)
    else this.#malformed()
  }

  /** Of revision 2025-03-26. */
  #batch(text: string): void {
    let values: unknown
    try {
      values = parseExact(text)
    } catch {
      this.#malformed()
      return
    }
    for (const value of values as unknown[]) {
      if (this.#over) return
      const message = messageOf(value)
      if (message === null) this.#malformed()
      else this.#listener.onMessage(message, JSON.stringify(value))
    }
  }

  #malformed(): void {
    const { server } = this.#options
    const error = `MCP server '${server}' sent something that is no JSON-RPC message.`
    this.#fail(new GatewayError('upstream_invalid_response', error), true)
  }
}
