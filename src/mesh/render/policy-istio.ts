/** What an ingress of Istio needs to ask the policy service, and models to be asked through it. */
import { stringify } from 'yaml'
import type { HeddleConfig } from '../../contracts/config.ts'
import type { PolicyServiceConfig } from '../../contracts/config-policy.ts'
import type { Manifest, Place } from './parts.ts'
import { labels, named, policyPorts } from './parts.ts'
import {
  extProcFilter,
  policyMode,
  rateLimitFilter,
  rateLimitRoute,
  withoutExtProc,
  withoutRateLimit,
  type PolicyMode,
} from './policy-envoy.ts'
import { policyNotes } from './policy-notes.ts'

/** Where Istio's own chart puts an ingress, and how it labels it. */
const INGRESS = { namespace: 'istio-ingress', labels: { istio: 'ingressgateway' } }
const CONTROL_PLANE = 'istio-system'
/** Routes of that name (`http[].name` of a VirtualService) lead to no model, and are left alone. */
const OTHER_ROUTES = 'no-llm'

const manager = (filter?: string): object => ({
  context: 'GATEWAY',
  listener: {
    filterChain: {
      filter: {
        name: 'envoy.filters.network.http_connection_manager',
        ...(filter === undefined ? {} : { subFilter: { name: filter } }),
      },
    },
  },
})

const beforeRouter = (value: object): object => ({
  applyTo: 'HTTP_FILTER',
  match: manager('envoy.filters.http.router'),
  patch: { operation: 'INSERT_BEFORE', value },
})

const onOtherRoutes = (typed_per_filter_config: object): object => ({
  applyTo: 'HTTP_ROUTE',
  match: { context: 'GATEWAY', routeConfiguration: { vhost: { route: { name: OTHER_ROUTES } } } },
  patch: { operation: 'MERGE', value: { typed_per_filter_config } },
})

const onAllRoutes = (typed_per_filter_config: object): object => ({
  applyTo: 'VIRTUAL_HOST',
  match: { context: 'GATEWAY' },
  patch: { operation: 'MERGE', value: { typed_per_filter_config } },
})

const envoyFilter = (name: string, priority: number, configPatches: readonly object[]): Manifest => ({
  apiVersion: 'networking.istio.io/v1alpha3',
  kind: 'EnvoyFilter',
  metadata: { name, namespace: INGRESS.namespace },
  spec: { workloadSelector: { labels: INGRESS.labels }, priority, configPatches },
})

const hostOf = ({ name, namespace }: Place): string => `${name}.${namespace}.svc.cluster.local`

/** Providers of external authorization, as MeshConfig has them. Its body must be whole: what is cut cannot be judged. */
function extensionProviders(config: HeddleConfig, place: Place, policy: PolicyServiceConfig): readonly object[] {
  const common = {
    service: hostOf(place),
    timeout: '1s',
    failOpen: false,
    statusOnError: '503',
    includeRequestBodyInCheck: {
      maxRequestBytes: config.server.limits.body,
      allowPartialMessage: false,
      packAsBytes: true,
    },
  }
  const http = { ...common, includeRequestBodyInCheck: { ...common.includeRequestBodyInCheck, packAsBytes: false } }
  return [
    { name: `${place.name}-grpc`, envoyExtAuthzGrpc: { ...common, port: policy.port } },
    {
      name: `${place.name}-http`,
      envoyExtAuthzHttp: {
        ...http,
        port: 80,
        pathPrefix: '/ext-authz',
        includeRequestHeadersInCheck: [
          'authorization',
          'api-key',
          'x-api-key',
          'x-goog-api-key',
          'content-type',
          'x-request-id',
          'traceparent',
        ],
        headersToUpstreamOnAllow: ['x-heddle-*', 'x-request-id'],
        headersToDownstreamOnDeny: ['content-type', 'retry-after', 'x-request-id', 'x-llm-*', 'x-ratelimit-*'],
      },
    },
  ]
}

function authz(config: HeddleConfig, place: Place, policy: PolicyServiceConfig): readonly Manifest[] {
  const name = `${place.name}-authz`
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `${place.name}-mesh-config`, namespace: CONTROL_PLANE },
      data: { mesh: stringify({ extensionProviders: extensionProviders(config, place, policy) }, { lineWidth: 0 }) },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name, namespace: INGRESS.namespace },
      spec: {
        selector: { matchLabels: INGRESS.labels },
        action: 'CUSTOM',
        provider: { name: `${place.name}-grpc` },
        rules: [{ to: [{ operation: { paths: ['/v1/*'] } }] }],
      },
    },
  ]
}

function filters(place: Place, policy: PolicyServiceConfig, mode: PolicyMode): readonly Manifest[] {
  const cluster = `outbound|${policy.port}||${hostOf(place)}`
  const processing = envoyFilter(`${place.name}-ext-proc`, 20, [
    beforeRouter(extProcFilter(cluster, mode !== 'decide')),
    onOtherRoutes(withoutExtProc),
  ])
  const limits = envoyFilter(`${place.name}-ratelimit`, 10, [
    beforeRouter(rateLimitFilter(cluster)),
    onAllRoutes(rateLimitRoute(mode === 'settle')),
    onOtherRoutes(withoutRateLimit),
  ])
  if (mode === 'decide') return [processing]
  if (mode === 'authz') return []
  const counts = mode === 'settle' && policy.services.includes('ext_proc')
  return counts ? [limits, processing] : [limits]
}

/** The policy service believes what it is told of callers, and may hand out keys: it is for the ingress alone. */
const ingressOnly = (config: HeddleConfig, place: Place): Manifest =>
  named(place, 'AuthorizationPolicy', 'security.istio.io/v1', `${place.name}-policy`, {
    selector: { matchLabels: labels(place) },
    action: 'DENY',
    rules: [
      {
        from: [{ source: { notNamespaces: [INGRESS.namespace] } }],
        to: [{ operation: { ports: policyPorts(config).map(({ port }) => String(port)) } }],
      },
    ],
  })

/** TLS of the port is not the mesh's: the proxies must be told. */
const ownTls = (config: HeddleConfig, place: Place, policy: PolicyServiceConfig): readonly Manifest[] =>
  policy.tls
    ? [
        {
          apiVersion: 'networking.istio.io/v1',
          kind: 'DestinationRule',
          metadata: { name: `${place.name}-policy`, namespace: INGRESS.namespace },
          spec: {
            host: hostOf(place),
            trafficPolicy: {
              portLevelSettings: [
                {
                  port: { number: policy.port },
                  tls:
                    config.server.tls?.svid === true
                      ? { mode: 'ISTIO_MUTUAL' }
                      : { mode: 'SIMPLE', sni: hostOf(place) },
                },
              ],
            },
          },
        },
      ]
    : []

export function policyIstio(config: HeddleConfig, place: Place, notes: string[]): readonly Manifest[] {
  const { policy } = config.server
  if (policy === null) return []
  const mode = policyMode(policy)
  notes.push(...policyNotes(config, policy, mode))
  notes.push(
    `What asks the policy service stands in the namespace \`${INGRESS.namespace}\` for pods with ${JSON.stringify(INGRESS.labels)}: change both where the ingress is another one.`,
    `Routes that lead to no model are left alone when they are called \`${OTHER_ROUTES}\` (\`http[].name\` of the VirtualService).`,
  )
  const asks = mode === 'authz' || mode === 'settle'
  if (asks)
    notes.push(
      `istiod reads the ConfigMap \`${place.name}-mesh-config\` when its environment says SHARED_MESH_CONFIG=${place.name}-mesh-config; else copy its \`extensionProviders\` into MeshConfig.`,
      `\`${place.name}-http\` asks in plain HTTP on the port of the API, for proxies without gRPC; one of both is enough.`,
    )
  return [
    ...(asks ? authz(config, place, policy) : []),
    ...filters(place, policy, mode),
    ingressOnly(config, place),
    ...ownTls(config, place, policy),
  ]
}
