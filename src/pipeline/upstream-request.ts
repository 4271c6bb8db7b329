import type { Operation } from '../contracts/config.ts'
import type { Asked, EmbedRequest, Wire } from '../contracts/dialect.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { Credential } from '../contracts/credentials.ts'
import type { Target } from '../contracts/routing.ts'
import type { UpstreamRequest } from '../contracts/upstream.ts'
import type { Exchange } from './exchange.ts'
import type { RequestFields } from '../protocol/openai/request.ts'
import { GatewayError } from '../core/errors.ts'
import { replaceFormField } from '../protocol/multipart.ts'
import { readEmbedRequest } from '../protocol/openai/embed.ts'
import { isRaw } from '../protocol/operations.ts'
import { asksForUsage, rewriteRequest } from '../protocol/openai/request.ts'
import { wireOf } from '../protocol/wires.ts'
import { bareBody } from './bare-body.ts'
import { continuationBody } from './continuation.ts'
import { belowBase, cleanQuery, PASSED } from './provider-path.ts'
import { prepareRerank } from './rerank-call.ts'
import { wireFor, wireTarget } from './translation.ts'

/** Client headers that mean something to a backend and carry no identity. */
const FORWARD = ['openai-beta', 'idempotency-key'] as const
/** The simulated backend takes its faults from these. */
const FORWARD_SIM = ['x-sim-fault', 'x-sim-seed'] as const
/** What a Messages client says of the version that it speaks. */
const FORWARD_MESSAGES = ['anthropic-beta', 'anthropic-version'] as const
const ANTHROPIC_VERSION = '2023-06-01'
const NONE: readonly string[] = []
const PROOFS: readonly string[] = ['messages.reasoning']

/** A call that is ready but for its credential. */
export interface PreparedCall {
  /** What its answer is translated from; null = it passes as it comes. */
  readonly wire: Wire | null
  readonly path: string
  /** The path is not below the provider's base path, but whole. */
  readonly full?: boolean
  readonly body: Buffer | null
  /** Heddle asks for the usage chunk itself: it is taken out again. */
  readonly includeUsage: boolean
  /** Parameters of the client that were left behind. */
  readonly dropped: readonly string[]
  /** Of the request, what its translated answer is read with. */
  readonly asked?: Asked | undefined
}

/**
 * continueFrom: text after which the answer goes on; null = from its beginning. Throws GatewayError when the target's wire
 * cannot say what the client asks for.
 */
export function prepareCall(
  x: Exchange,
  target: Target,
  model: string,
  continueFrom: string | null = null,
): PreparedCall {
  if (x.operation === 'rerank') return prepareRerank(x, target, model)
  const wire = wireFor(target.provider, x.operation)
  if (wire !== null && x.operation === 'embeddings') return embedCall(x, wire, target, model)
  if (wire !== null) {
    const { body, dropped, asked } = x.translation.to(wire, target, model, x.match!.route.unsupported, x.stripped)
    return { wire, path: wire.path(model, x.stream), body, includeUsage: false, dropped, asked }
  }
  const path = nativePath(x, target, model)
  const includeUsage = x.fields !== null && wantsUsage(x.operation, x.stream, target, x.fields)
  const bare = continueFrom === null ? bareBody(x, model, includeUsage) : null
  const body =
    bare ??
    (continueFrom === null
      ? bodyFor(x, model, includeUsage)
      : continuationBody(x.json(), continueFrom, model, includeUsage))
  const full = x.own?.whole === true
  return { wire, path, ...(full ? { full } : {}), body, includeUsage, dropped: bare === null ? NONE : PROOFS }
}

function embedCall(x: Exchange, wire: Wire, target: Target, model: string): PreparedCall {
  const embed = wire.embed!
  const request = purposed(x, readEmbedRequest(x.json()))
  const left = request.dimensions !== undefined && !embed.dimensions
  if (left && x.match!.route.unsupported === 'refuse')
    throw new GatewayError('unsupported_parameter', 'The backend of this model cannot shorten vectors.', {
      param: 'dimensions',
    })
  const body = embed.request(request, wireTarget(target, model))
  return {
    wire,
    path: embed.path(model),
    body: Buffer.from(JSON.stringify(body)),
    includeUsage: false,
    dropped: left ? ['dimensions'] : NONE,
  }
}

/** What the client's own form says that OpenAI's has no field for. */
function purposed({ embedding }: Exchange, request: EmbedRequest): EmbedRequest {
  return embedding === null || embedding.purpose === '' ? request : { ...request, purpose: embedding.purpose }
}

function nativePath(x: Exchange, { provider }: Target, model: string): string {
  if (x.operation === 'generate_content') {
    const path = wireOf('gemini.generate').path(model, x.stream)
    return x.counting ? path.replace(/:generateContent$/, ':countTokens') : path
  }
  if (x.operation === 'converse') return wireOf('bedrock.converse').path(model, x.stream)
  if (x.counting) return x.upstreamPath
  if (x.operation === 'realtime' && model !== '') return `${x.upstreamPath}?model=${encodeURIComponent(model)}`
  if (x.own?.whole === true) return x.upstreamPath
  if (x.own !== null) return belowBase(provider.basePath, x.upstreamPath)
  return provider.config.paths[x.operation] ?? x.upstreamPath
}

/** Heddle asks for the usage chunk itself: it may, the backend knows it, and the client did not. */
export function wantsUsage(operation: Operation, stream: boolean, target: Target, fields: RequestFields): boolean {
  return (
    stream &&
    (operation === 'chat' || operation === 'completions') &&
    target.provider.config.streamUsage &&
    !asksForUsage(fields)
  )
}

/** The received body with what must change for this target. */
export function spliceBody(fields: RequestFields, model: string, includeUsage: boolean): Buffer {
  const modelJson = model === fields.model || fields.modelStart < 0 ? null : Buffer.from(JSON.stringify(model))
  return rewriteRequest(fields, { modelJson, includeUsage })
}

function bodyFor(x: Exchange, model: string, includeUsage: boolean): Buffer | null {
  if (x.own !== null) return x.received.body.length === 0 ? null : x.received.body
  if (x.received.body.length === 0) return null
  if (x.fields === null) {
    if (x.formModel !== '' && model !== x.formModel)
      return replaceFormField(x.received.body, x.received.header('content-type') ?? '', 'model', model)
    return x.received.body
  }
  return spliceBody(x.fields, model, includeUsage)
}

/** With credential: what goes out. */
export function upstreamRequest(
  x: Exchange,
  target: Target,
  call: PreparedCall,
  credential: Credential | null,
): UpstreamRequest {
  const { provider } = target
  const { wire, body } = call
  const raw = isRaw(x.operation)
  const { method } = x.received
  const sent = raw ? queryOf(x, target) : ''
  const path = (call.full === true ? '' : provider.basePath) + withQuery(call.path, joinQuery(provider.query, sent))
  let headers = raw ? provider.rawHeaders : x.stream ? provider.streamHeaders : provider.jsonHeaders
  if (wire !== null && wire.headers.length > 0) headers = wireHeaders(headers, wire)
  if (x.own !== null) headers = ownHeaders(x, headers)
  // First, so that what it makes of the provider's list can be kept; no signature covers what follows.
  if (credential !== null) headers = credential.sign(headers, method, path, body)
  if (raw) {
    const type = x.received.header('content-type')
    if (type !== undefined && (body !== null || x.received.upload !== undefined))
      headers = [...headers, 'content-type', type]
  }
  const more: string[] = []
  for (const name of forwarded(x, target, wire)) {
    const value = x.received.header(name)
    if (value !== undefined) more.push(name, value)
  }
  if (speaksMessages(x, target, wire) && !more.includes('anthropic-version'))
    more.push('anthropic-version', ANTHROPIC_VERSION)
  const { upload } = x.received
  const request = { method, path, headers, body, longAnswer: x.stream, ...(upload === undefined ? {} : { upload }) }
  return more.length === 0 ? request : { ...request, more }
}

/** Anthropic's own API, as it comes from the client: also what of it Heddle knows nothing of. */
const speaksMessages = (x: Exchange, { provider }: Target, wire: Wire | null): boolean =>
  wire === null &&
  (x.operation === 'messages' || (x.operation === 'passthrough' && provider.config.wire === 'anthropic.messages'))

function forwarded(x: Exchange, target: Target, wire: Wire | null): readonly string[] {
  if (x.own !== null) return target.provider.config.type === 'sim' ? [...PASSED, ...FORWARD_SIM] : PASSED
  const names: readonly string[] = speaksMessages(x, target, wire) ? FORWARD_MESSAGES : FORWARD
  return target.provider.config.type === 'sim' ? [...names, ...FORWARD_SIM] : names
}

/** What of the client's query goes on. */
function queryOf(x: Exchange, target: Target): string {
  const { query } = x.received
  const { query: own } = target.provider
  if (x.operation !== 'realtime') return x.own === null ? query : cleanQuery(query, own)
  // There the model stands in the query: the target's own is in the path already.
  return cleanQuery(query, own, 'model')
}

/** Some APIs answer in the form that the client says it accepts. */
function ownHeaders(x: Exchange, headers: HeaderList): HeaderList {
  const accept = x.received.header('accept')
  return accept === undefined || accept === '*/*' ? headers : ['accept', accept, ...headers.slice(2)]
}

const lists = new WeakMap<HeaderList, Map<Wire, HeaderList>>()

/** A provider's list with the wire's own headers: made once, as signing keeps what it makes of a list. */
function wireHeaders(headers: HeaderList, wire: Wire): HeaderList {
  let byWire = lists.get(headers)
  if (byWire === undefined) lists.set(headers, (byWire = new Map()))
  let list = byWire.get(wire)
  if (list === undefined) byWire.set(wire, (list = [...headers, ...wire.headers]))
  return list
}

const withQuery = (path: string, query: string): string =>
  query === '' || !path.includes('?') ? path + query : `${path}&${query.slice(1)}`

const joinQuery = (own: string, client: string): string =>
  client === '' || client === '?' ? own : own === '' ? client : `${own}&${client.slice(1)}`
