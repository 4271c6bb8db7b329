import type { Received } from '../contracts/http.ts'
import type { JsonObject } from '../contracts/canonical.ts'
import type { Denial } from '../contracts/identity.ts'
import type { RouteMatch } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'
import { GatewayError } from '../core/errors.ts'
import { onlyBedrock } from '../protocol/bedrock/only-bedrock.ts'
import { readRequest, type JsonLimits } from '../protocol/openai/request.ts'
import { isRaw } from '../protocol/operations.ts'
import { readRerank } from '../protocol/rerank.ts'
import { formField } from '../protocol/multipart.ts'
import { embedClient } from './embed-clients.ts'
import { expectClearForm } from './form.ts'
import { methodsOf, type Endpoint } from './operation.ts'
import { namesTwo } from './provider-path.ts'

/** Reads what the request says of itself. Throws GatewayError. */
export function prepare(x: Exchange, endpoint: Extract<Endpoint, { kind: 'call' }>): void {
  const { operation, upstreamPath, own } = endpoint
  const { received } = x
  x.own = own ?? null
  x.counting = endpoint.counts === true
  x.operation = operation
  x.upstreamPath = upstreamPath
  if (received.method !== 'POST' && !methodsOf(received.path).includes(received.method))
    throw new GatewayError(
      'method_not_allowed',
      `The method ${received.method} is not used at ${received.path.slice(0, 200)}.`,
    )
  x.formModel = endpoint.named ?? ''
  if (isRaw(operation)) readRaw(x)
  else readCall(x, endpoint)
  if (x.own !== null && namesTwo(x.own, x.fields?.model ?? x.formModel))
    throw new GatewayError('invalid_request', 'The path and the body name different models.', { param: 'model' })
  if (x.trace?.sampled === true) x.snapshot.policies.tracing?.noteRequest(x)
}

const limitsOf = ({ services: { limits } }: Exchange): JsonLimits => ({
  depth: limits.jsonDepth,
  keys: limits.jsonKeys,
})

function readCall(x: Exchange, { operation, url, embeds }: Extract<Endpoint, { kind: 'call' }>): void {
  const { received } = x
  const type = received.header('content-type') ?? ''
  // Clients that send no type at all still mean JSON: there is nothing else it could be.
  if (type !== '' && !isJson(type))
    throw new GatewayError('unsupported_media_type', `The content type '${type.slice(0, 100)}' is not JSON.`)
  if (embeds === undefined)
    // Requests to count may hold a whole request of the other kind within.
    x.fields = readRequest(x.counting && url !== undefined ? 'passthrough' : operation, received.body, limitsOf(x), url)
  else {
    const sent = readRequest('passthrough', received.body, limitsOf(x))
    x.embedding = embedClient(embeds, sent.json as JsonObject, url?.model ?? '')
    x.fields = readRequest(operation, Buffer.from(JSON.stringify(x.embedding.request)), limitsOf(x))
  }
  x.stream = !x.counting && x.fields.stream
  if (operation === 'converse') x.nativeOnly = onlyBedrock(received.body, x.fields)
  if (operation === 'rerank') x.ranking = readRerank(x.fields.json)
}

function readRaw(x: Exchange): void {
  const { received } = x
  const type = received.header('content-type') ?? ''
  if (received.body.length === 0) return
  if (isJson(type)) {
    x.fields = readRequest(x.operation, received.body, limitsOf(x))
    const spoken = x.operation === 'speech' ? x.fields.json['input'] : undefined
    if (typeof spoken === 'string') x.characters = [...spoken].length
  } else if (type.startsWith('multipart/form-data')) {
    expectClearForm(received.body, type)
    x.formModel = formField(received.body, type, 'model') ?? ''
  }
}

/**
 * A provider's own path may be one of a call that has a name here: who may not make that call may not make it there
 * either. null = it may.
 */
export function asElsewhere(x: Exchange): Denial | null {
  const as = x.own?.as ?? null
  if (as === null) return null
  x.operation = as
  const denial = x.principal.access.request(x)
  x.operation = 'passthrough'
  return denial
}

const isJson = (type: string): boolean => {
  if (type === 'application/json') return true
  const bare = type.split(';', 1)[0]!.trim().toLowerCase()
  return bare === 'application/json' || (bare.startsWith('application/') && bare.endsWith('+json'))
}

/** The route of a request that has been read. Throws GatewayError. */
export function findRoute(x: Exchange): RouteMatch {
  const { table } = x.snapshot
  if (x.own !== null) {
    const { provider } = x.own
    const own = table.defaultRoute(provider)
    if (own === null) throw new GatewayError('not_found', `There is no provider '${provider.slice(0, 100)}'.`)
    const { credentials } = own.targets[0]!.provider.config
    if (x.received.upload !== undefined && credentials?.kind === 'aws')
      throw new GatewayError('unsupported_media_type', 'What goes to this provider is signed whole: send JSON.')
    return { route: own, asked: x.model, wildcard: x.model.slice(provider.length + 1) }
  }
  if (x.model !== '') {
    const match = table.match(x.model)
    if (match !== null) return match
    throw new GatewayError('model_not_found', `The model '${x.model.slice(0, 200)}' does not exist.`, {
      param: 'model',
    })
  }
  const wanted = x.received.header('x-heddle-provider')
  const route = table.defaultRoute(wanted)
  if (route === null) {
    if (wanted !== undefined)
      throw new GatewayError('invalid_request', `There is no provider '${wanted.slice(0, 100)}'.`, {
        param: 'x-heddle-provider',
      })
    throw new GatewayError('not_found', `No configured provider takes ${x.received.path.slice(0, 200)}.`)
  }
  return { route, asked: '', wildcard: '' }
}

/** As conditions see them: several of one name as one list. */
export const singleHeaders = (received: Received): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(received.headers()).map(([k, v]) => [k, Array.isArray(v) ? v.join(', ') : (v ?? '')]),
  )
