import type { HeaderList, Received } from '../contracts/http.ts'
import type { Target } from '../contracts/routing.ts'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { Exchange } from './exchange.ts'
import type { Leases } from './leases.ts'
import { GatewayError } from '../core/errors.ts'

/** What a proxy is told of a request that may go on. */
export interface Decision {
  /** For the backend's side, flat; they take the place of the client's own of those names. */
  readonly request: HeaderList
  /** Taken off the request. */
  readonly remove: readonly string[]
  /** Added to the answer, flat. */
  readonly response: HeaderList
  /** For other filters and the log of the proxy. */
  readonly metadata: Readonly<Record<string, string | number>>
}

/** Headers in which clients show who they are to Heddle: nobody behind it may see them. */
export const CLIENT_KEYS: readonly string[] = [
  'authorization',
  'x-api-key',
  'api-key',
  'x-goog-api-key',
  'cookie',
  'proxy-authorization',
]

const headerText = (text: string): string => text.replaceAll(/[^\x20-\x7e]/g, '?')

/** What is known of a request for whose call somebody else is responsible. */
export function routeHeaders(x: Exchange, target: Target, model: string): HeaderList {
  const told = ['x-heddle-provider', headerText(target.provider.name), 'x-heddle-target', target.headerName]
  told.push('x-heddle-model', headerText(model), 'x-request-id', x.id)
  const { tenant, keyId } = x.principal
  if (tenant !== '') told.push('x-heddle-tenant', headerText(tenant))
  if (keyId !== '') told.push('x-heddle-key', headerText(keyId))
  return told
}

/** Names that only Heddle may set. */
export const OWN_ROUTE_HEADERS: readonly string[] = ['provider', 'target', 'model', 'tenant', 'key'].map(
  (name) => `x-heddle-${name}`,
)

/** With it whoever has it settles a call, and limits hold it for checked: only checks give it out. */
export const TICKET_HEADER = 'x-heddle-ticket'

/** By these proxies send a request elsewhere than their routes say: it is not for clients to give them. */
export const STEERING: readonly string[] = [
  'x-envoy-original-dst-host',
  'x-gateway-destination-endpoint',
  'l5d-dst-override',
]

const NOT_OF_CLIENTS: readonly string[] = [...OWN_ROUTE_HEADERS, TICKET_HEADER, ...STEERING]

/** Envoy says that it shows only part of the body. Its own line may stand beside one that the client has sent. */
export const isCut = (received: Received): boolean =>
  received.identityHeader('x-envoy-auth-partial-body')?.split('\n').includes('true') === true

/** A body that the proxy has cut cannot be judged. */
export const cutBody = (): GatewayError =>
  new GatewayError(
    'payload_too_large',
    'The body is larger than the proxy in front shows when it asks whether the request may go on.',
    { detail: 'x-envoy-auth-partial-body: raise max_request_bytes of with_request_body, or use ext_proc' },
  )

/** Settles the limits as configured, and says what the proxy should know. */
export function decisionOf(
  x: Exchange,
  target: Target,
  model: string,
  limits: PolicyServiceConfig['authz']['limits'],
  leases: Leases,
): Decision {
  const { principal, account } = x
  const response: HeaderList = ['x-request-id', x.id]
  account.lease?.addHeaders(response)
  const expected = account.expectedAt(target, model)
  const metadata: Record<string, string | number> = {
    request_id: x.id,
    model: x.match?.route.name ?? '',
    target: target.name,
    provider: target.provider.name,
    upstream_model: model,
    tenant: principal.tenant,
    team: principal.team,
    user: principal.user,
    key: principal.keyId,
    input_tokens: expected.inputTokens,
  }
  const { lease } = account
  account.lease = null
  if (lease !== null) {
    if (limits === 'settle')
      metadata['ticket'] = leases.keep({
        lease,
        expected,
        target,
        model,
        snapshot: x.snapshot,
        lesson: x.match === null ? null : account.lesson(x.match),
      })
    else lease.settle(expected)
  }
  const keyed = principal.kind !== 'anonymous'
  const request = routeHeaders(x, target, model)
  const forged = NOT_OF_CLIENTS.filter(
    (name) => !request.includes(name) && x.received.identityHeader(name) !== undefined,
  )
  return {
    request,
    remove: keyed ? [...CLIENT_KEYS, ...forged] : forged,
    response,
    metadata,
  }
}
