import type { create } from '@bufbuild/protobuf'
import type { PolicyServiceConfig } from '../contracts/config-policy.ts'
import type { HeaderList } from '../contracts/http.ts'
import type { Target } from '../contracts/routing.ts'
import type { UpstreamRequest } from '../contracts/upstream.ts'
import type { EndpointChoice } from './endpoint.ts'
import type { ProcessingResponseSchema } from '../protocol/grpc/gen/ext_proc_pb.ts'
import { CLIENT_KEYS, OWN_ROUTE_HEADERS, STEERING } from '../pipeline/decision.ts'
import { partsOf } from './ext-proc-reply.ts'
import { XFCC } from '../mesh/identity/peer-header.ts'
import { findHeader, headerOptions, namesOf } from './headers.ts'

export type ResponseInit = Parameters<typeof create<typeof ProcessingResponseSchema>>[1]

export interface CallParts {
  readonly config: PolicyServiceConfig['extProc']
  readonly target: Target
  readonly request: UpstreamRequest
  /** As the client sent them, with method, path and the like. */
  readonly given: HeaderList
  /** What says where the call goes, and for whom. */
  readonly route: HeaderList
  readonly choice: EndpointChoice | null
}

/** What proxies need for themselves, or write again on the way out. */
const staysWithProxy = (name: string): boolean =>
  name.startsWith(':') ||
  (name.startsWith('x-envoy-') && !STEERING.includes(name)) ||
  (name.startsWith('x-forwarded-') && name !== XFCC) ||
  name === 'x-request-id'

/** The head of the call as Heddle would make it: nothing of the client's own goes on. */
export function callHead({ config, target, request, given, route, choice }: CallParts): ResponseInit {
  const set: HeaderList = []
  if (config.rewrite) {
    set.push(':path', request.path, ':authority', new URL(target.provider.config.baseUrl).host)
    if (request.method !== findHeader(given, ':method')) set.push(':method', request.method)
  }
  const keys = config.credentials ? null : new Set(CLIENT_KEYS)
  const wanted = [...request.headers, ...(request.more ?? []), ...(choice?.header ?? [])]
  for (let i = 0; i < wanted.length; i += 2) {
    const name = wanted[i]!.toLowerCase()
    if (keys === null || !keys.has(name)) set.push(name, wanted[i + 1]!)
  }
  set.push(...route)
  const kept = namesOf(set)
  const gone = [...namesOf(given), ...OWN_ROUTE_HEADERS].filter((name) => !kept.has(name) && !staysWithProxy(name))
  const headerMutation = { setHeaders: headerOptions(set, 'bytes'), removeHeaders: gone }
  return {
    response: { case: 'requestHeaders', value: { response: { headerMutation, clearRouteCache: true } } },
    ...(choice === null ? {} : { dynamicMetadata: choice.metadata }),
  }
}

/** The body in parts, and what ends it: trailers, where the client sends some. */
export function* callBody(body: Buffer, trailers: boolean): Generator<ResponseInit> {
  const parts = [...partsOf(body)]
  for (const [i, part] of parts.entries()) {
    const value = { body: part, endOfStream: i === parts.length - 1 && !trailers }
    const bodyMutation = { mutation: { case: 'streamedResponse' as const, value } }
    yield { response: { case: 'requestBody', value: { response: { bodyMutation } } } }
  }
  if (trailers) yield { response: { case: 'requestTrailers', value: {} } }
}
