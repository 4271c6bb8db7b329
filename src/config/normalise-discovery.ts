import type { z } from 'zod'
import type { DiscoveryConfig, HttpSource } from '../contracts/config-cluster.ts'
import { parseAddress } from '../core/host-port.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'
import type { discoverySchema } from './schema-discovery.ts'

type Entry = z.output<typeof discoverySchema>
type Of<T extends Entry['type']> = Extract<Entry, { type: T }>
/** Notes a fault at a place below `discovery`. */
type Fault = (path: Path, message: string) => void
type Env = ProviderContext['env']

const trimSlash = (url: string): string => url.replace(/\/+$/, '')

/** `discovery` of one provider; null = not given. path: of the provider's entry. */
export const toDiscovery = (entry: ProviderEntry, path: Path, context: ProviderContext): DiscoveryConfig | null => {
  const { discovery } = entry
  if (discovery === undefined) return null
  const fault: Fault = (below, message) =>
    void context.problems.push(context.map.problem([...path, 'discovery', ...below], message))
  if ('ca' in discovery) checkCa(discovery.ca, ['ca'], fault)
  if ('api' in discovery) checkCa(discovery.api?.ca, ['api', 'ca'], fault)
  return sourceOf(discovery, context.env, fault)
}

const checkCa = (ca: string | undefined, path: Path, fault: Fault): void => {
  if (ca === undefined || ca.includes('-----BEGIN CERTIFICATE-----')) return
  fault(path, 'must be PEM text; `${file:/path/ca.pem}` reads it from a file')
}

function sourceOf(entry: Entry, env: Env, fault: Fault): DiscoveryConfig {
  const onEmpty = entry.on_empty
  switch (entry.type) {
    case 'static':
      return { type: 'static', endpoints: toEndpoints(entry, fault), onEmpty }
    case 'dns':
      return { type: 'dns', name: entry.name, port: entry.port, ...toTtl(entry, fault), onEmpty }
    case 'dns_srv':
      return { type: 'dns_srv', name: entry.name, ...toTtl(entry, fault), onEmpty }
    case 'endpoint_slice': {
      const { namespace, name } = objectOf(entry.service, env, (message) => fault(['service'], message))
      return {
        type: 'endpoint_slice',
        namespace,
        service: name,
        port: String(entry.port ?? ''),
        ...toKube(entry, fault),
        onEmpty,
      }
    }
    case 'inference_pool': {
      const { namespace, name } = objectOf(entry.pool, env, (message) => fault(['pool'], message))
      return { type: 'inference_pool', namespace, name, ...toKube(entry, fault), onEmpty }
    }
    case 'consul':
      return { ...toConsul(entry, fault), onEmpty }
    case 'etcd':
      return { ...toEtcd(entry, fault), onEmpty }
    case 'xds':
      return { ...toXds(entry, env, fault), onEmpty }
  }
}

function toEndpoints(
  { endpoints }: Of<'static'>,
  fault: Fault,
): Extract<DiscoveryConfig, { type: 'static' }>['endpoints'] {
  const seen = new Set<string>()
  return endpoints.map((entry, i) => {
    const one = typeof entry === 'string' ? { address: entry, weight: 1, zone: '' } : entry
    const at: Path = typeof entry === 'string' ? ['endpoints', i] : ['endpoints', i, 'address']
    if (parseAddress(one.address) === null) fault(at, 'must be `host:port`, IPv6 in brackets')
    if (seen.has(one.address)) fault(at, 'stands here twice')
    seen.add(one.address)
    return one
  })
}

function toTtl(entry: Of<'dns' | 'dns_srv'>, fault: Fault) {
  if (entry.max_ttl < entry.min_ttl) fault(['max_ttl'], 'is below `min_ttl`')
  if (entry.min_ttl < 100) fault(['min_ttl'], 'must be at least `100ms`')
  return { servers: entry.servers, minTtlMs: entry.min_ttl, maxTtlMs: entry.max_ttl }
}

/** A name alone is in the namespace that the pod is in, where the variables of the chart or of a mesh say it. */
function objectOf(
  text: string,
  env: Env,
  fault: (message: string) => void,
): { readonly namespace: string; readonly name: string } {
  const at = text.indexOf('/')
  if (at >= 0) return { namespace: text.slice(0, at), name: text.slice(at + 1) }
  const namespace = env['POD_NAMESPACE'] ?? ''
  if (namespace === '') fault('needs its namespace: `namespace/name` (or environment variable POD_NAMESPACE)')
  return { namespace, name: text }
}

function toKube({ api, kubeconfig }: Of<'endpoint_slice' | 'inference_pool'>, fault: Fault) {
  if (api !== undefined && kubeconfig !== undefined) fault(['kubeconfig'], 'stands beside `api`; keep one of them')
  const token = api?.token ?? null
  const source: HttpSource | null = api === undefined ? null : { url: trimSlash(api.url), token, ca: api.ca ?? null }
  return { api: source, kubeconfig: kubeconfig ?? null }
}

function toConsul(entry: Of<'consul'>, fault: Fault) {
  const { url, service, tag, datacenter, namespace, token, ca, wait, passing_only: passingOnly } = entry
  if (wait < 1000 || wait > 600_000) fault(['wait'], 'must be from `1s` to `10m`')
  return {
    type: 'consul',
    url: trimSlash(url),
    service,
    tag: tag ?? null,
    datacenter: datacenter ?? null,
    namespace: namespace ?? null,
    token: token ?? null,
    ca: ca ?? null,
    waitMs: wait,
    passingOnly,
  } as const
}

function toEtcd({ urls, prefix, username, password, token, ca }: Of<'etcd'>, fault: Fault) {
  if ((username === undefined) !== (password === undefined)) fault([], 'needs `username` and `password` together')
  if (token !== undefined && username !== undefined) fault(['token'], 'stands beside `username`; keep one of them')
  return {
    type: 'etcd',
    urls: urls.map(trimSlash),
    prefix,
    username: username ?? null,
    password: password ?? null,
    token: token ?? null,
    ca: ca ?? null,
  } as const
}

function toXds(entry: Of<'xds'>, env: Env, fault: Fault) {
  const { server, cluster, tls, ca, node_id: id, node_cluster: nodeCluster } = entry
  if (!server.startsWith('unix:') && parseAddress(server) === null)
    fault(['server'], 'must be `host:port` or `unix:/path`')
  if (ca !== undefined && !tls) fault(['ca'], 'needs `tls: true`')
  return { type: 'xds', server, cluster, tls, ca: ca ?? null, nodeId: id ?? nodeIdOf(env), nodeCluster } as const
}

/** As Istio's proxies name themselves: kind, address, pod and namespace, DNS domain. */
function nodeIdOf(env: Env): string {
  const { POD_NAME: pod, POD_NAMESPACE: namespace, INSTANCE_IP: ip = env['POD_IP'] } = env
  if (pod === undefined || namespace === undefined) return 'heddle'
  return `sidecar~${ip ?? '127.0.0.1'}~${pod}.${namespace}~${namespace}.svc.cluster.local`
}
