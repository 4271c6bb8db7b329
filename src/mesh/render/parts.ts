import { createHash } from 'node:crypto'
import type { HeddleConfig, ProviderConfig } from '../../contracts/config.ts'
import { isLoopback } from '../../core/loopback.ts'
import { propagationOf } from '../rules.ts'

export type RenderTarget = 'istio' | 'linkerd' | 'envoy-gateway'

/** Where Heddle runs; what the configuration does not say. */
export interface Place {
  /** Of its Service, Deployment and label `app.kubernetes.io/name`. */
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
}

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [key: string]: unknown }
  readonly [key: string]: unknown
}

export interface Rendered {
  readonly manifests: readonly Manifest[]
  /** What the Deployment needs besides: for `kubectl patch deployment NAME --patch-file FILE`. */
  readonly patch: Manifest
  /** What the operator must know or do besides, one sentence each. */
  readonly notes: readonly string[]
}

/** A host that is called outside of the mesh. */
export interface Outside {
  readonly host: string
  /** Where Heddle dials. */
  readonly port: number
  readonly tls: boolean
  readonly mode: ProviderConfig['egress']['mode']
  readonly providers: readonly string[]
}

/** A Service of the mesh that is called. */
export interface Inside {
  readonly host: string
  readonly port: number
  readonly providers: readonly string[]
}

const portOf = (url: URL): number => Number(url.port) || (url.protocol === 'https:' ? 443 : 80)

const MAX_NAME = 50
const HASH = 8
const MAX_PORT_NAME = 15

/** A name that resources of Kubernetes may have (RFC 1123), another one for each text. */
export function resourceName(text: string): string {
  const name = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  if (name.length <= MAX_NAME) return name
  const hash = createHash('sha256').update(text).digest('hex').slice(0, HASH)
  return `${name.slice(0, MAX_NAME - HASH - 1).replace(/-+$/, '')}-${hash}`
}

/** Of a host outside; most are called on one port only. */
export const outsideName = ({ host, port }: Outside): string =>
  resourceName(port === 443 ? `llm-${host}` : `llm-${host}-${port}`)

const isAddress = (host: string): boolean => /^[\d.]+$|^\[/.test(host)

function grouped<T extends { readonly host: string; readonly port: number; readonly providers: readonly string[] }>(
  calls: readonly T[],
): readonly T[] {
  const byPlace = new Map<string, T>()
  for (const call of calls) {
    const key = `${call.host}:${call.port}`
    const known = byPlace.get(key)
    byPlace.set(key, known === undefined ? call : { ...known, providers: [...known.providers, ...call.providers] })
  }
  return [...byPlace.values()].toSorted((a, b) => a.host.localeCompare(b.host) || a.port - b.port)
}

export function outsideOf(config: HeddleConfig): readonly Outside[] {
  const calls = config.providers.flatMap((provider): readonly Outside[] => {
    const { name, type, baseUrl, egress } = provider
    if (provider.class === 'mesh' || type === 'sim') return []
    const proxied = egress.mode === 'connect-proxy' ? (egress.proxy?.url ?? null) : null
    const url = new URL(proxied ?? baseUrl)
    if (isLoopback(url.hostname)) return []
    const originated = egress.mode === 'mesh-originate'
    const port = originated && url.protocol === 'https:' ? 80 : portOf(url)
    const tls = !originated && url.protocol === 'https:'
    return [{ host: url.hostname, port, tls, mode: egress.mode, providers: [name] }]
  })
  return grouped(calls)
}

export function insideOf(config: HeddleConfig): readonly Inside[] {
  const calls = config.providers.flatMap((provider): readonly Inside[] => {
    if (provider.class === 'vendor' || provider.type === 'sim') return []
    const url = new URL(provider.baseUrl)
    return isLoopback(url.hostname) || isAddress(url.hostname)
      ? []
      : [{ host: url.hostname, port: portOf(url), providers: [provider.name] }]
  })
  return grouped(calls)
}

/** `name.namespace.svc.cluster.local` for any of the names by which a Service is called. */
export function fullName(host: string, namespace: string): string {
  const [service = '', space = namespace, ...rest] = host.split('.')
  return rest.length > 1 ? host : `${service}.${space}.svc.cluster.local`
}

/** Seconds, rounded up: what Kubernetes and the proxies count in. */
const seconds = (ms: number): number => Math.ceil(ms / 1000)

export interface DrainTimes {
  /** New requests are still taken for so long, then open ones may go on for so long. */
  readonly propagation: number
  readonly max: number
  /** All of it, and a little for the last bytes. */
  readonly grace: number
}

/** Seconds. inMesh: the manifests are for a mesh, whatever this machine is. */
export function drainTimes(config: HeddleConfig): DrainTimes {
  const asInMesh = config.mesh.kind === 'auto' || config.mesh.kind === 'none'
  const propagation = seconds(propagationOf(asInMesh ? { ...config, mesh: { ...config.mesh, kind: 'istio' } } : config))
  const max = seconds(config.server.drain.maxMs)
  return { propagation, max, grace: propagation + max + 10 }
}

/** A resource beside Heddle's own. */
export const named = (place: Place, kind: string, apiVersion: string, name: string, spec: object): Manifest => ({
  apiVersion,
  kind,
  metadata: { name, namespace: place.namespace },
  spec,
})

export const labels = (place: Place): Readonly<Record<string, string>> => ({ 'app.kubernetes.io/name': place.name })

/** Named so that Istio and Linkerd both see HTTP: Linkerd takes any value of appProtocol that it does not know for TCP. */
export const service = (config: HeddleConfig, place: Place, annotations: Record<string, string> = {}): Manifest => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: place.name,
    namespace: place.namespace,
    labels: labels(place),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  },
  spec: {
    selector: labels(place),
    ports: [
      { name: 'http-llm', appProtocol: 'http', port: 80, targetPort: config.server.port },
      // Or the clusters of proxies speak HTTP/1.1 to them, and every call of gRPC fails.
      ...policyPorts(config).map(({ name, port }) => ({
        name,
        appProtocol: config.server.policy?.tls === true ? 'grpc' : 'kubernetes.io/h2c',
        port,
        targetPort: port,
      })),
    ],
  },
})

/** Ports of gRPC by name, which Istio goes by as well. */
export function policyPorts({ server }: HeddleConfig): readonly { readonly name: string; readonly port: number }[] {
  const { policy } = server
  if (policy === null) return []
  const pickers = policy.pickers.map(({ port, provider }) => ({ name: pickerName(provider), port }))
  return [{ name: 'grpc-policy', port: policy.port }, ...pickers]
}

/** Fifteen characters are all that a port's name may have (RFC 6335 section 5.1). */
const pickerName = (provider: string): string => {
  const name = `grpc-${resourceName(provider)}`
  if (name.length <= MAX_PORT_NAME) return name
  return `grpc-p${createHash('sha256').update(provider).digest('hex').slice(0, HASH)}`
}

export const deployment = (
  config: HeddleConfig,
  place: Place,
  template: { readonly annotations: Record<string, string>; readonly labels?: Record<string, string> },
): Manifest => {
  const { grace } = drainTimes(config)
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: place.name, namespace: place.namespace },
    spec: {
      selector: { matchLabels: labels(place) },
      template: {
        metadata: { labels: { ...labels(place), ...template.labels }, annotations: template.annotations },
        spec: {
          serviceAccountName: place.serviceAccount,
          terminationGracePeriodSeconds: grace,
          containers: [
            {
              name: place.name,
              ports: [
                { name: 'http-llm', containerPort: config.server.port },
                ...policyPorts(config).map(({ name, port }) => ({ name, containerPort: port })),
              ],
              livenessProbe: { httpGet: { path: '/healthz/live', port: 'http-llm' } },
              readinessProbe: { httpGet: { path: '/healthz/ready', port: 'http-llm' }, periodSeconds: 2 },
              startupProbe: {
                httpGet: { path: '/healthz/live', port: 'http-llm' },
                periodSeconds: 1,
                failureThreshold: 30,
              },
              env: [
                { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
                { name: 'HEDDLE_TERMINATION_GRACE_SECONDS', value: String(grace) },
              ],
            },
          ],
        },
      },
    },
  }
}

export type Ports = readonly { readonly port: number; readonly protocol?: 'TCP' | 'UDP' }[]

/** Heddle is called on its own port and those of the proxy; it calls DNS, what is configured, and the control plane. */
export const networkPolicy = (
  config: HeddleConfig,
  place: Place,
  proxy: { readonly inbound: Ports; readonly outbound: Ports },
): Manifest => {
  const redis = config.ledger.redis === null ? [] : [{ port: redisPort(config) }]
  const outside = outsideOf(config).map(({ port, tls }) => (tls ? port : port === 80 ? 443 : port))
  const inside = insideOf(config).map(({ port }) => port)
  const asked = policyPorts(config).map(({ port }) => ({ port }))
  const called = [...new Set([...outside, ...inside])].toSorted((a, b) => a - b)
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: place.name, namespace: place.namespace },
    spec: {
      podSelector: { matchLabels: labels(place) },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        { ports: [{ port: config.server.port }, { port: config.server.adminPort }, ...asked, ...proxy.inbound] },
      ],
      egress: [
        {
          ports: [
            { port: 53, protocol: 'UDP' },
            { port: 53, protocol: 'TCP' },
          ],
        },
        { ports: [...called.map((port) => ({ port })), ...redis, ...proxy.outbound] },
      ],
    },
  }
}

const redisPort = ({ ledger }: HeddleConfig): number => {
  const [first = ''] = ledger.redis?.urls ?? []
  return URL.canParse(first) ? Number(new URL(first).port) || 6379 : 6379
}
