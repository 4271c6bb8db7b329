import type { Received } from '../contracts/http.ts'
import type { RouteMatch } from '../contracts/routing.ts'
import type { Exchange } from './exchange.ts'
import { GatewayError } from '../core/errors.ts'
import { readRequest } from '../protocol/openai/request.ts'
import { formField } from '../protocol/multipart.ts'
import { expectClearForm } from './form.ts'
import { methodsOf, type Endpoint } from './operation.ts'

/** Reads what the request says of itself. Throws GatewayError. */
export function prepare(x: Exchange, { operation, upstreamPath, url }: Extract<Endpoint, { kind: 'call' }>): void {
  const { received, services } = x
  x.operation = operation
  x.upstreamPath = upstreamPath
  if (received.method !== 'POST' && !methodsOf(received.path).includes(received.method))
    throw new GatewayError(
      'method_not_allowed',
      `The method ${received.method} is not used at ${received.path.slice(0, 200)}.`,
    )
  const type = received.header('content-type') ?? ''
  if (operation !== 'passthrough') {
    // Clients that send no type at all still mean JSON: there is nothing else it could be.
    if (type !== '' && !isJson(type))
      throw new GatewayError('unsupported_media_type', `The content type '${type.slice(0, 100)}' is not JSON.`)
    x.fields = readRequest(
      operation,
      received.body,
      { depth: services.limits.jsonDepth, keys: services.limits.jsonKeys },
      url,
    )
    x.stream = x.fields.stream
  } else if (received.body.length > 0 && isJson(type)) {
    x.fields = readRequest(operation, received.body, {
      depth: services.limits.jsonDepth,
      keys: services.limits.jsonKeys,
    })
  } else if (received.body.length > 0 && type.startsWith('multipart/form-data')) {
    expectClearForm(received.body, type)
    x.formModel = formField(received.body, type, 'model') ?? ''
  }
  if (x.trace?.sampled === true) x.snapshot.policies.tracing?.noteRequest(x)
}

const isJson = (type: string): boolean => {
  if (type === 'application/json') return true
  const bare = type.split(';', 1)[0]!.trim().toLowerCase()
  return bare === 'application/json' || (bare.startsWith('application/') && bare.endsWith('+json'))
}

/** The route of a request that has been read. Throws GatewayError. */
export function findRoute(x: Exchange): RouteMatch {
  const { table } = x.snapshot
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
