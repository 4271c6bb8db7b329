import type { McpServerConfig } from '../contracts/config-mcp.ts'
import type { Provider } from '../contracts/routing.ts'
import type { Services } from '../pipeline/services.ts'
import type { Client, Origin } from './client.ts'
import type { Envelope } from './envelope.ts'
import type { JsonObject } from './json-rpc.ts'
import type { ServerTicket } from './session-token.ts'
import type { McpState, ServerState } from './state.ts'
import type { McpMetrics } from './metrics.ts'
import { GatewayError } from '../core/errors.ts'
import { NO_ORIGIN } from './client.ts'
import { requestTo, ticketHeaders } from './envelope.ts'
import { Handshake } from './handshake.ts'
import { notificationText, RPC } from './json-rpc.ts'
import { MODERN } from './revisions.ts'
import { ServerCall, type CallListener } from './server-call.ts'
import { ServerError, ServerRefusal } from './server-error.ts'

export interface LinkParts {
  readonly config: McpServerConfig
  readonly provider: Provider
  readonly services: Services
  readonly state: McpState
  readonly metrics: McpMetrics
  /** Of one message of a server, bytes. */
  readonly maxBytes: number
  readonly version: string
}

/** Lists and handshakes are waited for so long at most, ms: one slow server must not hold up all others. */
const SMALL_MS = 10_000
/** A server that could not be reached is asked again after this, ms. */
const REST_MS = 2000
const EITHER = 'application/json, text/event-stream'

export interface SendOptions {
  readonly tenant: string
  readonly origin?: Origin
  /** Of the span that the request belongs to; left out = that of the origin. */
  readonly spanId?: string
  /** Ms; left out = the server's own. 0 = for ever. */
  readonly timeoutMs?: number
}

/** One server, as one configuration has it. */
export class Link {
  readonly name: string
  readonly config: McpServerConfig
  readonly state: ServerState
  readonly #parts: LinkParts
  readonly #path: string
  readonly #handshake: Handshake
  readonly #fixedSecrets: readonly string[]
  /** For requests of ours. */
  #nextId = 1

  constructor(parts: LinkParts) {
    this.#parts = parts
    this.config = parts.config
    this.name = parts.config.name
    this.state = parts.state.server(`${this.name} ${parts.config.provider.baseUrl}`)
    this.#path = parts.config.path + parts.provider.query
    this.#handshake = new Handshake(this, parts.version)
    this.#fixedSecrets = secretsOf(parts.config)
  }

  get provider(): Provider {
    return this.#parts.provider
  }

  newId(): string {
    return `heddle-${this.#nextId++}`
  }

  // ── HTTP ──────────────────────────────────────────────────────────────────
  /** Throws GatewayError when there is no credential that could be sent. */
  post({ body, headers }: Envelope, options: SendOptions, listener: CallListener): ServerCall {
    const own = ['content-type', 'application/json', 'accept', EITHER, ...headers]
    return this.#send('POST', own, Buffer.from(body), options, listener)
  }

  /** The stream on which a server sends what belongs to no request. resume: id of the last event that came. */
  listen(ticket: ServerTicket, resume: string, options: SendOptions, listener: CallListener): ServerCall {
    const own = ['accept', 'text/event-stream', ...ticketHeaders(ticket)]
    if (resume !== '') own.push('last-event-id', resume)
    return this.#send('GET', own, null, options, listener)
  }

  #send(
    method: string,
    own: readonly string[],
    body: Buffer | null,
    { tenant, origin = NO_ORIGIN, timeoutMs = this.config.timeoutMs, spanId = '' }: SendOptions,
    listener: CallListener,
  ): ServerCall {
    const { provider, services, maxBytes } = this.#parts
    // Without the provider's own `accept`.
    let headers: string[] = [...provider.rawHeaders.slice(2), ...own]
    const now = services.clock.monotonic()
    const credential = provider.credentials?.choose(tenant, now, provider.name) ?? null
    if (credential !== null) headers = credential.sign(headers, method, this.#path, body)
    const mesh = provider.config.class === 'mesh'
    const more: string[] = []
    if (mesh && origin.requestId !== '') more.push('x-request-id', origin.requestId)
    if (mesh || provider.config.propagateTrace) origin.trace(more, mesh, spanId)
    const request = { method, path: this.#path, headers, more, body, longAnswer: true }
    const secrets = [...(credential?.secrets ?? []), ...this.#fixedSecrets]
    const options = { wheel: services.wheel, timeoutMs, maxBytes, server: this.name, secrets }
    return new ServerCall(provider.upstream, request, options, {
      onMessage: (message, text) => listener.onMessage(message, text),
      onEnd: (fault) => {
        this.#judge(fault)
        listener.onEnd(fault)
      },
    })
  }

  #judge(fault: GatewayError | null): void {
    const { state } = this
    const bad = fault !== null && (fault.code === 'upstream_unavailable' || fault.code === 'upstream_timeout')
    if (bad && fault.code === 'upstream_unavailable') state.downUntil = this.now() + REST_MS
    if (!bad && state.downUntil > 0) state.downUntil = 0
    if (state.up === !bad) return
    const { services, metrics } = this.#parts
    const first = state.up === null
    state.up = !bad
    metrics.up(this.name, !bad)
    if (bad)
      services.log('warn', { server: this.name, error: fault.message, detail: fault.detail }, 'MCP server is down')
    else if (!first) services.log('info', { server: this.name }, 'MCP server is up again')
  }

  now(): number {
    return this.#parts.services.clock.monotonic()
  }

  // ── sessions ──────────────────────────────────────────────────────────────
  /** The session that the server has for a client; begun when there is none. Rejects with GatewayError. */
  ticketOf(client: Client): ServerTicket | Promise<ServerTicket> {
    const newer = this.#parts.state.ticket(client.key, this.name)
    const ticket = newer === undefined ? client.tickets[this.name] : newer
    return ticket ?? this.#begin(client)
  }

  /** The one that it has already; null = none. */
  knownTicket(client: Client): ServerTicket | null {
    const newer = this.#parts.state.ticket(client.key, this.name)
    return newer === undefined ? (client.tickets[this.name] ?? null) : newer
  }

  readonly #beginning = new Map<string, Promise<ServerTicket>>()

  #begin(client: Client): Promise<ServerTicket> {
    const { key } = client
    let beginning = this.#beginning.get(key)
    if (beginning === undefined) {
      beginning = this.begin(client)
        .then((ticket) => {
          this.#parts.state.putTicket(key, this.name, ticket)
          return ticket
        })
        .finally(() => this.#beginning.delete(key))
      this.#beginning.set(key, beginning)
    }
    return beginning
  }

  /** Begins a session, and leaves it to the caller to keep it. */
  async begin(client: Client): Promise<ServerTicket> {
    if (this.state.downUntil > this.now())
      throw new GatewayError('upstream_unavailable', `MCP server '${this.name}' cannot be reached.`, {
        retryAfterMs: this.state.downUntil - this.now(),
      })
    const ticket = await this.#handshake.begin(client)
    this.#parts.metrics.session(this.name, 'begun')
    return ticket
  }

  /** The server does not know the session any more. Another call may have noticed before. */
  forget(client: Client, ticket: ServerTicket): void {
    if (this.knownTicket(client) === ticket) {
      this.#parts.metrics.session(this.name, 'forgotten')
      this.#parts.state.putTicket(client.key, this.name, null)
    }
  }

  /** Ends the session at the server; nobody waits for it. */
  endSession(client: Client): void {
    const ticket = this.knownTicket(client)
    if (ticket === null || ticket.id === '') return
    try {
      this.#send('DELETE', ticketHeaders(ticket), null, { tenant: client.tenant, timeoutMs: SMALL_MS }, IGNORED)
    } catch {
      // No credential: the server ends it by itself.
    }
  }

  // ── requests of ours ──────────────────────────────────────────────────────
  /** Asks in the client's session. Rejects with GatewayError, or ServerError when the server answers with one. */
  async ask(client: Client, method: string, params: JsonObject, origin: Origin = NO_ORIGIN): Promise<JsonObject> {
    for (let tries = 0; ; tries++) {
      const ticket = await this.ticketOf(client)
      try {
        const { result } = await this.askWith(client, ticket, method, params, origin)
        return result
      } catch (error) {
        if (tries > 0 || !this.isForgotten(error, ticket)) throw error
        this.forget(client, ticket)
      }
    }
  }

  /** By its answer the server does not know the session (2025-11-25, transports: 404), or is not spoken with like that any more. */
  isForgotten(error: unknown, ticket: ServerTicket): boolean {
    if (!(error instanceof ServerRefusal)) return false
    const { httpStatus, rpc } = error
    const code = rpc?.kind === 'response' ? rpc.error?.code : undefined
    const isModern = ticket.revision === MODERN
    // Another server may stand there now, of another age.
    const wrongAge = isModern
      ? [400, 404, 405].includes(httpStatus) && (code === undefined || code === RPC.refused || code === RPC.noSession)
      : httpStatus === 400 && (code === RPC.version || code === RPC.headerMismatch)
    if (!wrongAge) return !isModern && ticket.id !== '' && httpStatus === 404
    this.state.modern = this.state.handshake = null
    return true
  }

  /** One request with a session that is at hand. */
  askWith(
    client: Client,
    ticket: ServerTicket,
    method: string,
    params: JsonObject,
    origin: Origin = NO_ORIGIN,
  ): Promise<{ readonly result: JsonObject; readonly sessionId: string }> {
    const id = this.newId()
    const timeoutMs = this.config.timeoutMs === 0 ? SMALL_MS : Math.min(SMALL_MS, this.config.timeoutMs)
    return new Promise((resolve, reject) => {
      let answered = false
      const call = this.post(
        requestTo(client, ticket, { id, method, params }),
        { tenant: client.tenant, origin, timeoutMs },
        {
          onMessage: (message) => {
            if (answered || message.kind !== 'response' || message.id !== id) return
            answered = true
            if (message.error !== null) reject(new ServerError(message.error))
            else resolve({ result: message.result!, sessionId: call.sessionId })
            if (call.streams) call.abort()
          },
          onEnd: (fault) => {
            if (answered) return
            answered = true
            reject(fault ?? new GatewayError('upstream_invalid_response', `MCP server '${this.name}' gave no answer.`))
          },
        },
      )
    })
  }

  /** Resolves when the server has it, or has not. */
  notify(client: Client, ticket: ServerTicket, method: string, params: JsonObject): Promise<void> {
    return ticket.revision === MODERN ? Promise.resolve() : this.pass(client, ticket, notificationText(method, params))
  }

  /** A message that goes to the server as it is: a notification, or an answer to what it has asked. As notify(). */
  pass(client: Client, ticket: ServerTicket, body: string): Promise<void> {
    return new Promise((resolve) => {
      const options = { tenant: client.tenant, timeoutMs: SMALL_MS }
      try {
        this.post({ body, headers: ticketHeaders(ticket) }, options, { onMessage: ignore, onEnd: () => resolve() })
      } catch {
        // No credential: there is nobody to tell.
        resolve()
      }
    })
  }
}

/** Values that its errors could quote; short ones are no secrets. */
function secretsOf({ provider: { apiKey, headers, query } }: McpServerConfig): readonly string[] {
  const values = [...Object.values(headers), ...Object.values(query)].filter((value) => value.length >= 12)
  return apiKey === null || apiKey.length < 4 ? values : [apiKey, ...values]
}

const ignore = (): void => {}
const IGNORED: CallListener = { onMessage: ignore, onEnd: ignore }
