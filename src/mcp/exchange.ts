import type { HeaderList, Received, ReplyWriter } from '../contracts/http.ts'
import type { Principal } from '../contracts/identity.ts'
import type { RequestTrace, SpanData } from '../contracts/trace.ts'
import type { OpenExchange } from './side.ts'
import type { Snapshot } from '../pipeline/snapshot.ts'
import type { Services } from '../pipeline/services.ts'
import type { Client, Origin } from './client.ts'
import type { ClientStream } from './client-stream.ts'
import type { McpEndpoint } from './endpoint.ts'
import type { McpMetrics } from './metrics.ts'
import type { RoutedCall } from './routed-call.ts'
import type { Turn } from './turn.ts'
import type { View } from './shown.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { GatewayError } from '../core/errors.ts'
import { fitRequestId, requestId } from '../core/ids.ts'
import { OpenMember } from '../core/open-list.ts'
import { A } from '../telemetry/semconv.ts'
import { errorHeaders } from '../protocol/openai/errors.ts'
import { corsHeaders, isForeign, preflight } from './cors.ts'
import { rpcOf } from './faults.ts'
import { errorText, RpcFault, type RpcId } from './json-rpc.ts'
import { METADATA_PATH } from './metadata-path.ts'
import { Outlet } from './outlet.ts'
import { beginGet, beginPost, endSession } from './post.ts'
import { challengeOf, metadataOf } from './protected-resource.ts'

/** One HTTP request to the MCP endpoint, from its receipt to its end. It alone writes to the client. */
export class McpExchange extends OpenMember implements OpenExchange, Turn {
  readonly endpoint: McpEndpoint
  readonly services: Services
  readonly metrics: McpMetrics
  readonly received: Received
  readonly snapshot: Snapshot
  readonly requestId: string
  readonly trace: RequestTrace | null
  readonly spans: SpanData[] = []
  readonly origin: Origin
  readonly #reply: ReplyWriter
  principal: Principal = ANONYMOUS
  client: Client | null = null
  view: View
  outlet: Outlet | null = null
  stream: ClientStream | null = null
  /** What it waits for, to be left when the client goes. */
  readonly calls: RoutedCall[] = []
  /** Requests that have no answer yet. */
  readonly open = new Set<RpcId>()
  #over = false
  #status = 0

  constructor(endpoint: McpEndpoint, received: Received, reply: ReplyWriter) {
    super()
    this.endpoint = endpoint
    this.services = endpoint.services
    this.metrics = endpoint.metrics
    this.received = received
    this.#reply = reply
    this.snapshot = endpoint.services.current()
    this.snapshot.retain()
    this.view = { links: [], scope: '' }
    const { tracing } = this.snapshot.policies
    const id = fitRequestId(received.header('x-request-id'))
    const trace = tracing?.begin(received.signals, id) ?? null
    this.trace = trace
    this.requestId = id ?? (trace === null ? requestId(undefined) : tracing!.mintId(trace))
    this.origin = {
      requestId: this.requestId,
      trace: (to, mesh, spanId) => {
        if (trace === null) passOn(to, received)
        else if (mesh) trace.injectMesh(to, spanId || trace.spanId)
        else trace.injectVendor(to, spanId || trace.spanId)
      },
    }
  }

  now(): number {
    return this.services.clock.monotonic()
  }

  get over(): boolean {
    return this.#over
  }

  // ── life ──────────────────────────────────────────────────────────────────
  begin(): void {
    if (this.#over) return
    this.#guarded(() => {
      const { received, endpoint } = this
      const { path } = received
      if (isForeign(endpoint, received)) throw new GatewayError('permission_denied', 'This web origin may not call.')
      if (received.method === 'OPTIONS') {
        this.respond(204, preflight(received), '')
        return
      }
      if (path.startsWith(METADATA_PATH)) {
        this.#tellMetadata()
        return
      }
      const view = endpoint.viewOf(path)
      if (view === null) throw new GatewayError('not_found', 'No MCP server has this path.')
      this.view = view
      this.#identify()
    })
  }

  #tellMetadata(): void {
    const text = this.received.method === 'GET' ? metadataOf(this.endpoint, this.received) : null
    if (text === null) throw new GatewayError('not_found', 'There is nothing here.')
    this.respond(200, ['content-type', 'application/json', 'cache-control', 'no-store'], text)
  }

  #identify(): void {
    const { auth } = this.snapshot.policies
    if (auth === null) {
      this.#identified(ANONYMOUS)
      return
    }
    const principal = this.received.identity ?? auth.identify(this.received)
    if (principal instanceof Promise) principal.then((p) => this.#guarded(() => this.#identified(p)), this.#refuse)
    else this.#identified(principal)
  }

  #identified(principal: Principal): void {
    if (this.#over) return
    this.principal = principal
    switch (this.received.method) {
      case 'POST':
        beginPost(this)
        return
      case 'GET':
        beginGet(this)
        return
      case 'DELETE':
        endSession(this)
        return
      default:
        throw new GatewayError('method_not_allowed', `${this.received.method.slice(0, 20)} is not used here.`)
    }
  }

  readonly #refuse = (error: unknown): void => this.fail(GatewayError.from(error))

  #guarded(step: () => void): void {
    if (this.#over) return
    try {
      step()
    } catch (error) {
      this.refuse(error)
    }
  }

  /** Ends with a fault of the whole request, also of a message that is none. */
  refuse(error: unknown): void {
    if (!(error instanceof RpcFault)) {
      this.fail(GatewayError.from(error))
      return
    }
    if (this.#over || this.outlet !== null) return
    this.respond(
      error.status,
      ['content-type', 'application/json'],
      errorText(error.id, rpcOf(error, this.requestId, '')),
    )
  }

  fail(error: GatewayError): void {
    if (this.#over) return
    this.#log(error)
    if (this.outlet !== null) {
      this.#failOpen(error)
      return
    }
    const headers = errorHeaders(error)
    const told = error.code === 'unauthenticated' ? challengeOf(this.endpoint, this.received, headers) : headers
    if (error.code === 'method_not_allowed') told.push('allow', 'GET, POST, DELETE')
    const body = errorText(null, rpcOf(error, this.requestId, ''))
    this.respond(error.status, ['content-type', 'application/json', ...told], body)
  }

  /** Each request that still waits gets it. */
  #failOpen(error: GatewayError): void {
    for (const call of this.calls) call.fail(error)
    for (const id of this.open) {
      this.open.delete(id)
      this.outlet?.answer(errorText(id, rpcOf(error, this.requestId, '')))
    }
    this.stream?.end()
    this.outlet?.end()
    this.finish()
  }

  #log(error: GatewayError): void {
    if (error.code !== 'internal') return
    const cause = error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : undefined
    this.services.log('error', { request_id: this.requestId, path: this.received.path, cause }, error.message)
  }

  /** The whole answer. */
  respond(status: number, headers: HeaderList, body: string): void {
    if (this.#over) return
    this.#status = status
    this.#reply.send(status, [...headers, ...this.head()], body)
    this.finish()
  }

  /** Of each answer. */
  head(): HeaderList {
    return ['x-request-id', this.requestId, ...corsHeaders(this.endpoint, this.received)]
  }

  /** Makes the way out for so many answers. headers: beside those of each answer. */
  openOutlet(
    requests: number,
    batch: boolean,
    accepts: { json: boolean; stream: boolean },
    more: HeaderList = [],
  ): Outlet {
    const { heartbeatMs } = this.snapshot.config.server
    this.outlet = new Outlet(
      {
        reply: this.#reply,
        wheel: this.services.wheel,
        headers: [...this.head(), ...more],
        takesJson: accepts.json,
        takesStream: accepts.stream,
        heartbeatMs,
        stallMs: this.services.limits.clientStallMs,
        onSlow: (slow) => this.#onSlow(slow),
        onStalled: () => this.#onStalled(),
        onFirst: (status) => {
          this.#status = status
        },
        onEnded: () => this.finish(),
      },
      requests,
      batch,
    )
    return this.outlet
  }

  #onSlow(slow: boolean): void {
    for (const call of this.calls)
      if (slow) call.pause()
      else call.resume()
    this.stream?.onSlow(slow)
  }

  #onStalled(): void {
    this.#reply.destroy()
    this.onClientGone()
  }

  // ── the client's side ─────────────────────────────────────────────────────
  onDrain(): void {
    this.outlet?.onDrain()
  }

  onClientGone(): void {
    if (this.#over) return
    this.outlet?.close()
    for (const call of this.calls) call.abandon()
    this.stream?.end()
    this.finish()
  }

  /** Once; later calls do nothing. The answer has left, or nobody wants it. */
  finish(): void {
    if (this.#over) return
    this.#over = true
    this.outlet?.close()
    this.stream?.end()
    this.#access()
    if (this.trace?.sampled === true) this.trace.record([this.#span(this.trace), ...this.spans])
    this.snapshot.release()
  }

  #access(): void {
    if (!this.snapshot.config.server.log.access) return
    const { received, principal } = this
    const fields = {
      request_id: this.requestId,
      method: received.method,
      path: received.path.slice(0, 200),
      status: this.#status,
      ms: Math.round(this.now() - received.startedAt),
      key: principal.keyId,
      tenant: principal.tenant,
    }
    this.services.log('info', fields, 'mcp')
  }

  #span(trace: RequestTrace): SpanData {
    const { received } = this
    const endAt = this.services.clock.now()
    const route = this.view.scope === '' ? this.endpoint.config.path : `${this.endpoint.config.path}/{server}`
    const failed = this.#status >= 500
    return {
      traceId: trace.traceId,
      spanId: trace.spanId,
      parentSpanId: trace.parentSpanId,
      remoteParent: trace.parentSpanId !== '',
      traceState: trace.traceState,
      kind: 'server',
      name: `${METHODS.has(received.method) ? received.method : 'HTTP'} ${route}`,
      startAt: endAt - (this.now() - received.startedAt),
      endAt,
      attributes: {
        [A.method]: METHODS.has(received.method) ? received.method : '_OTHER',
        [A.route]: route,
        [A.status]: this.#status,
        'heddle.request_id': this.requestId,
        'heddle.key_id': this.principal.keyId,
        'heddle.tenant': this.principal.tenant,
      },
      events: [...trace.events],
      links: trace.link === null ? [] : [trace.link],
      error: failed ? '' : null,
    }
  }
}

const METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PUT', 'PATCH'])

/** No span of ours is made: the server goes on where the caller stopped. */
function passOn(to: string[], { signals }: Received): void {
  if (signals.traceparent !== undefined) to.push('traceparent', signals.traceparent)
  if (signals.tracestate !== undefined) to.push('tracestate', signals.tracestate)
}
