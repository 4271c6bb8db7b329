import { isIP } from 'node:net'
import type { MappedDialect, MappingConfig, StepConfig } from '../contracts/config-mapping.ts'
import type { Upstream } from '../contracts/upstream.ts'
import type { BreakerConfig, HeddleConfig, ProviderConfig } from '../contracts/config.ts'
import type { Provider } from '../contracts/routing.ts'
import type { HealthTable } from '../routing/health.ts'
import type { ClusterKit } from './clusters.ts'
import type { GrpcSettings, UpstreamPool } from './upstream-pool.ts'
import { createCredentials, CredentialShare } from '../providers/credentials/index.ts'
import { isLoopback } from '../core/loopback.ts'
import { isMapped } from '../protocol/templates/wires.ts'
import { LazyUpstream } from '../upstream/grpc-lazy.ts'
import { staysOnLoopback } from '../config/loopback-only.ts'
import { SIM_BASE_URL } from '../config/sim-url.ts'
import type { Policies } from '../pipeline/policies.ts'
import { Snapshot } from '../pipeline/snapshot.ts'
import { RouteTable } from '../routing/table.ts'

export interface CompileParts {
  readonly pool: UpstreamPool
  readonly health: HealthTable
  /** Slot of each target in the health table, by slotKey(). */
  readonly slots: Readonly<Record<string, number>>
  /** Where the built-in simulated backend listens; null = it does not run. */
  readonly simUrl: string | null
  /** Epoch ms. */
  readonly now: number
  readonly version: string
  readonly policies: Policies
  /** Of the worker: what is renewed lives over reloads. Left out: a new one. */
  readonly credentials?: CredentialShare
  /** For providers with several addresses; null = there is none. */
  readonly clusters?: ClusterKit | null
  /**
   * Somebody else calls what the configuration names: each is compiled for it, and released with the snapshot, of which it
   * is told. Left out: nobody does.
   */
  readonly also?: (
    compile: (provider: ProviderConfig) => Provider,
    held: (() => void)[],
  ) => (snapshot: Snapshot) => void
}

/** Health belongs to what is called: another address or key name is another target, a new weight is not. */
export const slotKey = (provider: ProviderConfig, target: string): string => `${provider.baseUrl} ${target}`

/** All keys that a configuration needs slots for. */
export function slotKeys(config: HeddleConfig): string[] {
  const byName = new Map(config.providers.map((p) => [p.name, p]))
  const keys = config.providers.map((p) => slotKey(p, `${p.name}/*`))
  for (const model of config.models)
    for (const t of model.targets) keys.push(slotKey(byName.get(t.provider)!, `${t.provider}/${t.model ?? '*'}`))
  return [...new Set(keys)]
}

/** Turns a configuration into what serves. Throws when a connection's settings cannot be used (a bad CA file). */
export function compileSnapshot(config: HeddleConfig, parts: CompileParts): Snapshot {
  const held: (() => void)[] = [() => parts.policies.close()]
  const share = parts.credentials ?? new CredentialShare()
  const release = (): void => {
    for (const drop of held.splice(0)) drop()
  }
  try {
    const configs = new Map(config.providers.map((p) => [p.name, p] as const))
    const compile = (provider: ProviderConfig): Provider => {
      const upstream = upstreamOf(provider, config, parts, held)
      const { host } = baseUrlOf(provider, parts.simUrl)
      const credentials = createCredentials(provider, config.tenants, share, host)
      if (credentials !== null) held.push(() => credentials.close())
      return compileProvider(provider, { upstream, credentials }, parts)
    }
    const table = new RouteTable(config, {
      provider: compile,
      health(target: string, rules: { readonly breaker: BreakerConfig }) {
        const provider = configs.get(target.slice(0, target.indexOf('/')))!
        return parts.health.slot(parts.slots[slotKey(provider, target)]!, rules.breaker)
      },
    })
    const attach = parts.also?.(compile, held)
    const snapshot = new Snapshot(config, table, parts.policies, parts.now, release)
    attach?.(snapshot)
    return snapshot
  } catch (error) {
    release()
    throw error
  }
}

/** held: what releases it. */
function upstreamOf(
  provider: ProviderConfig,
  config: HeddleConfig,
  parts: CompileParts,
  held: (() => void)[],
): Upstream {
  const { pipeline } = provider
  if (pipeline === undefined) {
    const lease = acquire(provider, config, parts)
    held.push(() => lease.release())
    return lease.value
  }
  const steps = pipeline.steps.map((step) => {
    const lease = parts.pool.acquire(stepKey(step, provider, config))
    held.push(() => lease.release())
    return { config: step, upstream: lease.value }
  })
  const maxAnswer = config.server.limits.responseBody
  return new LazyUpstream(async () => {
    const { PipelineUpstream } = await import('../upstream/pipeline-upstream.ts')
    return new PipelineUpstream({ steps, agent: `heddle/${parts.version}`, maxAnswer })
  })
}

function stepKey(
  { origin, tls, transport, server, inMesh, timeoutMs }: StepConfig,
  provider: ProviderConfig,
  config: HeddleConfig,
): Parameters<UpstreamPool['acquire']>[0] {
  return {
    origin,
    connections: provider.maxConnections,
    connectTimeoutMs: config.defaults.timeouts.connectMs,
    tls,
    ...(transport === 'grpc' && server !== null
      ? { grpc: { ...grpcSettings(server.wire, server.mapping, config), deadlineMs: timeoutMs } }
      : {}),
    ...(origin.startsWith('http:') && !inMesh && !isLoopback(new URL(origin).hostname) ? { clear: true } : {}),
  }
}

/** The server gives up when every attempt has: whichever route has the longest says how long that is. */
function grpcSettings(wire: MappedDialect, mapping: MappingConfig, config: HeddleConfig): GrpcSettings {
  const limits = [config.defaults, ...config.models].map(({ timeouts }) => timeouts.attemptMs || timeouts.totalMs)
  return {
    wire,
    mapping,
    maxAnswer: config.server.limits.responseBody,
    deadlineMs: limits.includes(0) ? 0 : Math.max(...limits),
  }
}

function acquire(
  provider: ProviderConfig,
  config: HeddleConfig,
  parts: CompileParts,
): ReturnType<UpstreamPool['acquire']> {
  const options = upstreamKey(provider, config, parts.simUrl)
  const source = parts.clusters?.source(provider) ?? null
  if (source === null) return parts.pool.acquire(options)
  const url = baseUrlOf(provider, parts.simUrl)
  // Whichever address is called, it must show the service's certificate.
  const tls = {
    ...options.tls,
    serverName: options.tls.serverName ?? (isIP(bare(url.hostname)) === 0 ? url.hostname : null),
  }
  return parts.pool.acquireCluster(
    { ...options, tls },
    {
      key: parts.clusters!.keyOf(source, provider),
      make: (connect) =>
        parts.clusters!.upstream(provider, source, {
          host: url.host,
          connect: (address) => connect(`${url.protocol}//${address}`),
        }),
    },
  )
}

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '')

/** Where calls go. In clear to the proxy of the mesh, which knows the provider by its name on port 80. */
function baseUrlOf(provider: ProviderConfig, simUrl: string | null): URL {
  const url = new URL(provider.baseUrl === SIM_BASE_URL && simUrl !== null ? simUrl : provider.baseUrl)
  if (provider.egress.mode === 'mesh-originate') url.protocol = 'http:'
  return url
}

/** The key crosses a network in clear, and nobody has said that this is meant. */
function inClear(provider: ProviderConfig, url: URL): boolean {
  const { class: kind, egress } = provider
  if (url.protocol !== 'http:' || kind === 'mesh' || egress.plaintextKey) return false
  if (staysOnLoopback(provider, url.hostname)) return false
  return egress.mode === 'direct-tls' || egress.mode === 'connect-proxy'
}

function upstreamKey(
  provider: ProviderConfig,
  config: HeddleConfig,
  simUrl: string | null,
): Parameters<UpstreamPool['acquire']>[0] {
  const url = baseUrlOf(provider, simUrl)
  const { mode, proxy } = provider.egress
  return {
    origin: url.origin,
    connections: provider.maxConnections,
    connectTimeoutMs: config.defaults.timeouts.connectMs,
    tls: provider.tls,
    ...(mode === 'connect-proxy' ? { proxy } : {}),
    // Models are listed to those who have a key.
    ...(mode === 'mesh-originate'
      ? { origination: { host: url.host, path: `${url.pathname.replace(/\/+$/, '')}/models` } }
      : {}),
    ...(inClear(provider, url) ? { clear: true } : {}),
    ...(provider.transport === 'grpc' && provider.mapping !== undefined && isMapped(provider.wire)
      ? { grpc: grpcSettings(provider.wire, provider.mapping, config) }
      : {}),
  }
}

function compileProvider(
  provider: ProviderConfig,
  { upstream, credentials }: Pick<Provider, 'upstream' | 'credentials'>,
  parts: CompileParts,
): Provider {
  const url = baseUrlOf(provider, parts.simUrl)
  const fixed = [
    'user-agent',
    `heddle/${parts.version}`,
    'accept-encoding',
    'identity',
    ...Object.entries(provider.headers).flat(),
  ]
  const query = new URLSearchParams(provider.query).toString()
  return {
    name: provider.name,
    config: provider,
    upstream,
    credentials,
    basePath: url.pathname.replace(/\/+$/, ''),
    query: query === '' ? '' : `?${query}`,
    jsonHeaders: ['content-type', 'application/json', 'accept', 'application/json', ...fixed],
    streamHeaders: ['content-type', 'application/json', 'accept', 'text/event-stream', ...fixed],
    rawHeaders: ['accept', '*/*', ...fixed],
  }
}
