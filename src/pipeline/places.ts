/** What spans and metrics say of where a request went. */
import type { Operation, ProviderConfig } from '../contracts/config.ts'
import type { Exchange } from './exchange.ts'
import type { Snapshot } from './snapshot.ts'
import { OPERATIONS } from '../protocol/operations.ts'
import { providerName } from '../telemetry/semconv.ts'

export const operationName = (operation: Operation): string => OPERATIONS[operation].name

const MODEL_LISTS: ReadonlySet<string> = new Set(['/v1/models', '/models', '/v1beta/models', '/api/tags'])

/** Of the paths that Heddle knows; '' = nothing is there, so a stranger's path names no series and no span. */
export const httpRoute = (x: Exchange): string => {
  if (x.upstreamPath !== '') return OPERATIONS[x.operation].route
  return MODEL_LISTS.has(x.received.path) ? '/v1/models' : ''
}

const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'CONNECT',
  'TRACE',
])

/** HTTP/2 takes any token for a method: those that nobody knows are one (HTTP semantic conventions). */
export const methodName = ({ received: { method } }: Exchange): string => (METHODS.has(method) ? method : '_OTHER')

/** Where a provider is, worked out once a configuration. */
export interface Place {
  readonly provider: string
  readonly address: string
  readonly port: number
  /** Without query, name and password. */
  readonly url: string
}

const places = new WeakMap<Snapshot, Map<string, Place>>()

function placeOf(config: ProviderConfig): Place {
  const url = new URL(config.baseUrl)
  const port = Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
  return {
    provider: providerName(config.type, config.name),
    address: url.hostname,
    port,
    url: url.origin + url.pathname.replace(/\/+$/, ''),
  }
}

/** target: `provider/model`. Undefined = the configuration has no such provider. */
export function placeOfTarget(snapshot: Snapshot, target: string): Place | undefined {
  let known = places.get(snapshot)
  if (known === undefined) {
    known = new Map(snapshot.config.providers.map((provider) => [provider.name, placeOf(provider)]))
    places.set(snapshot, known)
  }
  return known.get(target.slice(0, target.indexOf('/')))
}

/** As the proxy in front says; a caller with a certificate came by our own TLS. */
export const schemeOf = ({ received }: Exchange): string =>
  received.peerIdentity?.source === 'mtls' || received.header('x-forwarded-proto') === 'https' ? 'https' : 'http'
