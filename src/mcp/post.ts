import type { McpExchange } from './exchange.ts'
import type { Client } from './client.ts'
import type { Session } from './session-token.ts'
import { GatewayError } from '../core/errors.ts'
import { beginStream } from './client-stream.ts'
import { dispatch } from './dispatch.ts'
import { decodedHeader, namedIn } from './envelope.ts'
import {
  isObject,
  readParcel,
  RPC,
  RpcFault,
  textIn,
  type JsonObject,
  type Parcel,
  type RpcRequest,
} from './json-rpc.ts'
import { hasBatches, META, MODERN, REVISIONS, UNSAID } from './revisions.ts'
import { callerOf } from './session-token.ts'
import { takeNotification, takeResponse } from './from-client.ts'

interface Accepts {
  readonly json: boolean
  readonly stream: boolean
}

/** Clients must list both (2025-11-25, transports); those that can only take one get that one. */
function acceptsOf(x: McpExchange): Accepts {
  const accept = (x.received.header('accept') ?? '*/*').toLowerCase()
  const any = accept.includes('*/*')
  return {
    json: any || accept.includes('application/json') || accept.includes('application/*'),
    stream: any || accept.includes('text/event-stream') || accept.includes('text/*'),
  }
}

const notAcceptable = (what: string): RpcFault =>
  new RpcFault(RPC.refused, `The client must accept ${what}.`, { status: 406 })

const unknownRevision = (asked: string, id: RpcRequest['id'] | null = null): RpcFault =>
  new RpcFault(RPC.version, 'Unsupported protocol version', {
    id,
    data: { supported: REVISIONS, requested: asked.slice(0, 64) },
  })

/** The session that a request names. Throws RpcFault when it is none of this caller's (404: the client begins another one). */
export function sessionOf(x: McpExchange): Session | null {
  const id = x.received.header('mcp-session-id')
  if (id === undefined) return null
  const session = x.endpoint.sealer.open(id, callerOf(x.principal))
  if (session !== null && session.scope === x.view.scope && !x.endpoint.state.hasEnded(session.nonce)) return session
  x.metrics.session('', 'unknown')
  throw new RpcFault(RPC.noSession, 'Session not found', { status: 404 })
}

export const clientOf = (x: McpExchange, session: Session): Client => ({
  key: session.nonce,
  modern: false,
  revision: session.revision,
  clientInfo: session.clientInfo,
  capabilities: session.capabilities,
  tickets: session.servers,
  tenant: x.principal.tenant,
})

const needsSession = (): RpcFault =>
  new RpcFault(RPC.refused, 'Bad Request: the header Mcp-Session-Id is required; begin with `initialize`.')

/** A message of a client: what it wants is answered with it. Throws GatewayError, RpcFault. */
export function beginPost(x: McpExchange): void {
  const accepts = acceptsOf(x)
  if (!accepts.json && !accepts.stream) throw notAcceptable('application/json and text/event-stream')
  const type = x.received.header('content-type') ?? ''
  if (!/^application\/json(?:\s*;|$)/i.test(type))
    throw new GatewayError('unsupported_media_type', 'The content type must be application/json.')
  const said = x.received.header('mcp-protocol-version')
  if (said !== undefined && !REVISIONS.includes(said)) throw unknownRevision(said)
  if (said === MODERN) {
    const { message, depth } = x.endpoint.config.limits
    beginModern(x, accepts, readParcel(x.received.body, { message, depth, batch: 0 }))
    return
  }
  beginOfSession(x, accepts, said ?? UNSAID)
}

function beginOfSession(x: McpExchange, accepts: Accepts, said: string): void {
  const { message, depth, batch } = x.endpoint.config.limits
  const session = sessionOf(x)
  const revision = session?.revision ?? said
  const parcel = readParcel(x.received.body, { message, depth, batch: hasBatches(revision) ? batch : 0 })
  if (session !== null) x.client = clientOf(x, session)
  const [first] = parcel.messages
  if (first?.kind === 'request' && metaOf(first.params)[META.revision] !== undefined && session === null)
    throw mismatch('MCP-Protocol-Version is missing, or is not that of the message', first.id)
  if (session === null && (parcel.batch || first?.kind !== 'request' || first.method !== 'initialize'))
    throw needsSession()
  answer(x, accepts, parcel)
}

function answer(x: McpExchange, accepts: Accepts, { messages, batch }: Parcel): void {
  const requests = messages.filter((message) => message.kind === 'request')
  if (batch && requests.some(({ method }) => method === 'initialize'))
    throw new RpcFault(RPC.invalid, '`initialize` is not part of a batch.')
  if (batch && new Set(requests.map(({ id }) => id)).size < requests.length)
    throw new RpcFault(RPC.invalid, 'Two requests of the batch have the same id.')
  if (requests.length > 0) x.openOutlet(requests.length, batch, accepts)
  x.received.releaseBody()
  for (const message of messages) {
    if (message.kind === 'notification') takeNotification(x, x.client!, message)
    else if (message.kind === 'response') takeResponse(x, x.client!, message)
    else dispatch(x, message)
  }
  if (requests.length === 0) x.respond(202, [], '')
}

// ── 2026-07-28 ──────────────────────────────────────────────────────────────
const metaOf = (params: JsonObject): JsonObject => (isObject(params['_meta']) ? params['_meta'] : {})

const mismatch = (what: string, id: RpcRequest['id']): RpcFault =>
  new RpcFault(RPC.headerMismatch, `Header mismatch: ${what}.`, { id })

/** Headers that repeat what the message says must repeat it (2026-07-28, streamable HTTP, server validation). */
function checkHeaders(x: McpExchange, { id, method, params }: RpcRequest): void {
  const told = x.received.header('mcp-method')
  if (told !== method) throw mismatch('Mcp-Method is missing, or is not the method of the message', id)
  const name = namedIn(method, params)
  if (name === null) return
  const header = x.received.header('mcp-name')
  if (header === undefined || decodedHeader(header) !== name)
    throw mismatch('Mcp-Name is missing, or is not the name in the message', id)
}

function beginModern(x: McpExchange, accepts: Accepts, { messages }: Parcel): void {
  const [message] = messages
  if (message === undefined || message.kind === 'response')
    throw new RpcFault(RPC.invalid, 'Clients send requests and notifications only.')
  if (message.kind === 'notification') {
    // None is defined for HTTP: closing the stream takes a request back.
    x.respond(202, [], '')
    return
  }
  const meta = metaOf(message.params)
  const revision = textIn(meta, META.revision)
  if (revision !== MODERN)
    throw mismatch('MCP-Protocol-Version is not the protocol version in `_meta` of the message', message.id)
  checkHeaders(x, message)
  const { clientInfo, clientCapabilities } = META
  const caller = callerOf(x.principal)
  x.client = {
    // All that this caller asks without a session shares what servers keep for one.
    key: `${caller} ${x.view.scope}`,
    modern: true,
    revision: MODERN,
    clientInfo: isObject(meta[clientInfo]) ? meta[clientInfo] : { name: 'unknown', version: '0' },
    capabilities: isObject(meta[clientCapabilities]) ? meta[clientCapabilities] : {},
    tickets: {},
    tenant: x.principal.tenant,
  }
  x.received.releaseBody()
  if (message.method === 'subscriptions/listen') {
    if (!accepts.stream) throw notAcceptable('text/event-stream')
    beginStream(x, x.client, message)
    return
  }
  x.openOutlet(1, false, accepts)
  dispatch(x, message)
}

// ── GET and DELETE ──────────────────────────────────────────────────────────
/** The stream for what servers say of their own accord. Throws RpcFault, GatewayError. */
export function beginGet(x: McpExchange): void {
  if (x.received.header('mcp-protocol-version') === MODERN)
    throw new GatewayError('method_not_allowed', 'Streams are opened with `subscriptions/listen`.')
  if (!acceptsOf(x).stream) throw notAcceptable('text/event-stream')
  const session = sessionOf(x)
  if (session === null) throw needsSession()
  x.client = clientOf(x, session)
  beginStream(x, x.client, null)
}

export function endSession(x: McpExchange): void {
  const session = sessionOf(x)
  if (session === null) throw needsSession()
  x.endpoint.state.end(session.nonce)
  x.metrics.session('', 'ended')
  x.endpoint.endStreams(session.nonce)
  const client = clientOf(x, session)
  for (const link of x.view.links) link.endSession(client)
  x.respond(200, [], '')
}
