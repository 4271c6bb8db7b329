import type { CallAccount } from './call-account.ts'
import type { Client } from './client.ts'
import type { Link } from './link.ts'
import type { CallListener, ServerCall } from './server-call.ts'
import type { ServerTicket } from './session-token.ts'
import type { Turn } from './turn.ts'
import { GatewayError } from '../core/errors.ts'
import { CallbackTimer } from '../core/wheel.ts'
import { logCallFault } from './call-log.ts'
import { requestTo } from './envelope.ts'
import { outcomeOf, rpcOf, type Outcome } from './faults.ts'
import {
  errorText,
  isObject,
  notificationText,
  resultText,
  type JsonObject,
  type RpcId,
  type RpcMessage,
  type RpcRequest,
  type RpcResponse,
} from './json-rpc.ts'
import { MODERN } from './revisions.ts'
import { ServerError, ServerRefusal } from './server-error.ts'
import { showResult } from './shown.ts'
import { fromServer, type Tokens } from './to-client.ts'

export interface RoutedRequest {
  readonly request: RpcRequest
  readonly link: Link
  /** As the server is asked. */
  readonly params: JsonObject
  readonly account: CallAccount
  /** Headers that repeat arguments: flat. */
  readonly more: readonly string[]
}

/** Ms between two requests for the rest of a stream, unless the server says. */
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000
const MAX_IDLE_RESUMES = 10

/** One request of a client that one server answers; what the server says meanwhile passes. */
export class RoutedCall {
  readonly key: string
  readonly #turn: Turn
  readonly #client: Client
  readonly #sent: RoutedRequest
  #call: ServerCall | null = null
  #ticket: ServerTicket | null = null
  /** As the server knows it. */
  #id: RpcId
  #begun = false
  #tries = 0
  #over = false
  /** The event after which the server was asked to go on, and how often it had nothing more. */
  #resumedAt = ''
  #idle = 0
  readonly #listener: CallListener = {
    onMessage: (message, text) => this.#onMessage(message, text),
    onEnd: (fault) => this.#onEnd(fault),
  }

  constructor(turn: Turn, client: Client, sent: RoutedRequest) {
    this.#turn = turn
    this.#client = client
    this.#sent = sent
    this.#id = sent.request.id
    this.key = `${client.key} ${JSON.stringify(sent.request.id)}`
  }

  start(): void {
    this.#turn.endpoint.running.add(this)
    const { link } = this.#sent
    try {
      const ticket = link.ticketOf(this.#client)
      if (ticket instanceof Promise) ticket.then((t) => this.#send(t), this.#refused)
      else this.#send(ticket)
    } catch (error) {
      this.fail(error)
    }
  }

  readonly #refused = (error: unknown): void => this.fail(error)

  #send(ticket: ServerTicket): void {
    if (this.#over) return
    const { link, request, params, more, account } = this.#sent
    const { origin } = this.#turn
    this.#ticket = ticket
    // Requests of several clients share the session: their own ids would collide there.
    const shared = this.#client.modern && ticket.revision !== MODERN
    this.#id = shared ? link.newId() : request.id
    const asked = { id: this.#id, method: request.method, params: shared ? this.#renamed(params) : params, more }
    try {
      this.#call = link.post(
        requestTo(this.#client, ticket, asked),
        { tenant: this.#client.tenant, origin, spanId: account.spanId },
        this.#listener,
      )
    } catch (error) {
      this.fail(error)
    }
  }

  #renamed(params: JsonObject): JsonObject {
    const { _meta: meta } = params
    if (!isObject(meta) || meta['progressToken'] === undefined) return params
    return { ...params, _meta: { ...meta, progressToken: this.#id } }
  }

  // ── what the server says ──────────────────────────────────────────────────
  #onMessage(message: RpcMessage, text: string): void {
    if (this.#over) return
    if (message.kind !== 'response') {
      this.#begun = true
      const { link } = this.#sent
      const tokens = this.#tokens()
      fromServer(this.#turn, { client: this.#client, link, ticket: this.#ticket!, message, text, tokens })
    } else if (message.id === this.#id) this.#answer(message, text)
  }

  /** What stands for the client's own progress token; null = that is what the server knows. */
  #tokens(): Tokens | null {
    if (this.#id === this.#sent.request.id) return null
    const { _meta: meta } = this.#sent.params
    return { sent: this.#id, own: isObject(meta) ? meta['progressToken'] : undefined }
  }

  #answer(message: RpcResponse, text: string): void {
    const { request, link } = this.#sent
    const { outlet, view } = this.#turn
    if (message.error !== null) {
      this.fail(new ServerError(message.error))
      return
    }
    const result = message.result!
    if (result['resultType'] === 'input_required' && !this.#client.modern) {
      this.fail(
        new GatewayError(
          'upstream_invalid_response',
          `MCP server '${link.name}' asks for input in a way that this client does not know.`,
        ),
      )
      return
    }
    const shown = view.scope === '' ? showResult(link.name, request.method, result) : null
    const full = this.#client.modern ? asModern(request.method, shown ?? result) : shown
    const changed = full !== null || message.id !== request.id
    this.#finish(result['isError'] === true ? 'tool_error' : 'ok')
    if (this.#call?.streams === true) this.#call.abort()
    outlet?.answer(changed ? resultText(request.id, full ?? result) : text)
  }

  #onEnd(fault: GatewayError | null): void {
    if (this.#over) return
    const { link } = this.#sent
    if (fault === null && this.#resume()) return
    if (fault === null) {
      this.fail(
        new GatewayError('upstream_error', `MCP server '${link.name}' ended its answer before it was complete.`),
      )
      return
    }
    if (!this.#begun && this.#tries === 0 && link.isForgotten(fault, this.#ticket!)) {
      this.#tries++
      link.forget(this.#client, this.#ticket!)
      this.start()
      return
    }
    this.fail(ownWords(fault, this.#id) ?? fault)
  }

  /** A server may leave a stream in the middle, and go on when it is asked for the rest (2025-11-25, transports). */
  #resume(): boolean {
    const { link } = this.#sent
    const { wheel } = this.#turn.services
    const last = this.#call
    const ticket = this.#ticket!
    const reached = last?.lastEventId || this.#resumedAt
    if (last === null || !last.streams || reached === '' || ticket.id === '') return false
    // The same event again: it has nothing more to say.
    this.#idle = reached === this.#resumedAt ? this.#idle + 1 : 0
    if (this.#idle > MAX_IDLE_RESUMES) return false
    this.#resumedAt = reached
    const waitMs = Math.min(MAX_RETRY_MS, last.retryMs < 0 ? RETRY_MS : last.retryMs)
    wheel.arm(
      new CallbackTimer(() => {
        if (this.#over) return
        try {
          const options = { tenant: this.#client.tenant, origin: this.#turn.origin }
          this.#call = link.listen(ticket, this.#resumedAt, options, this.#listener)
        } catch (error) {
          this.fail(error)
        }
      }),
      waitMs,
    )
    return true
  }

  // ── its end ───────────────────────────────────────────────────────────────
  fail(error: unknown): void {
    if (this.#over) return
    const { request, link } = this.#sent
    const { requestId, outlet } = this.#turn
    logCallFault(this.#turn, link.name, request.method, error)
    this.#finish(outcomeOf(error))
    this.#call?.abort()
    outlet?.answer(errorText(request.id, rpcOf(error, requestId, link.name)))
  }

  #finish(outcome: Outcome): void {
    this.#over = true
    this.#turn.endpoint.running.remove(this)
    this.#sent.account.finish(outcome)
  }

  /** The client has taken the request back: nothing is answered. */
  cancel(reason: string): void {
    if (this.#over) return
    this.#finish('client_closed')
    this.#tellServer(reason)
    this.#call?.abort()
    this.#turn.outlet?.drop()
  }

  /** The client is gone. With a session that is no cancellation (2025-11-25, transports); without one it is. */
  abandon(): void {
    if (this.#over) return
    this.#finish('client_closed')
    if (this.#client.modern) this.#tellServer('the client went away')
    this.#call?.abort()
  }

  #tellServer(reason: string): void {
    const ticket = this.#ticket
    // One without a session could not tell whose request it is; the end of the connection tells it.
    if (ticket === null || ticket.revision === MODERN || ticket.id === '') return
    const text = notificationText('notifications/cancelled', { requestId: this.#id, reason })
    void this.#sent.link.pass(this.#client, ticket, text)
  }

  pause(): void {
    this.#call?.pause()
  }

  resume(): void {
    this.#call?.resume()
  }
}

/** Servers of 2026-07-28 answer some requests with an error and a status: what they say is more than the status. */
function ownWords(fault: GatewayError, id: RpcId): ServerError | null {
  if (!(fault instanceof ServerRefusal) || (fault.httpStatus !== 400 && fault.httpStatus !== 404)) return null
  const { rpc } = fault
  return rpc?.kind === 'response' && rpc.id === id && rpc.error !== null ? new ServerError(rpc.error) : null
}

/** What 2026-07-28 wants in each result, of a server that speaks an older revision. */
function asModern(method: string, result: JsonObject): JsonObject | null {
  if (result['resultType'] !== undefined) return result
  const complete = { ...result, resultType: 'complete' }
  return method === 'resources/read' ? { ttlMs: 0, cacheScope: 'private', ...complete } : complete
}
