import { createHash } from 'node:crypto'
import type { HeddleConfig, ProviderConfig, ServerConfig } from '../contracts/config.ts'
import { maskLedger, maskUsage } from './mask-accounts.ts'
import { maskAuth, maskTenants } from './mask-auth.ts'
import { maskCredentials } from './mask-credentials.ts'
import { maskDiscovery } from './mask-discovery.ts'
import { maskEgress } from './mask-egress.ts'
import { maskMapping, maskPipeline } from './mask-pipeline.ts'
import { maskMcp } from './mask-mcp.ts'
import { maskCache } from './mask-cache.ts'
import { maskResponses } from './mask-responses.ts'
import { maskTracing } from './mask-tracing.ts'

const MASK = '***'

/** Of provider headers and query parameters only these are surely no secrets. */
const PUBLIC_NAMES = new Set(['api-version', 'anthropic-version', 'http-referer', 'x-title', 'accept-language'])

const maskValues = (values: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, PUBLIC_NAMES.has(name) ? value : MASK]))

const maskProvider = (provider: ProviderConfig): ProviderConfig => ({
  ...provider,
  apiKey: provider.apiKey === null ? null : MASK,
  headers: maskValues(provider.headers),
  query: maskValues(provider.query),
  credentials: maskCredentials(provider.credentials),
  egress: maskEgress(provider.egress),
  discovery: maskDiscovery(provider.discovery),
  ...(provider.mapping === undefined ? {} : { mapping: maskMapping(provider.mapping) }),
  ...(provider.pipeline === undefined ? {} : { pipeline: maskPipeline(provider.pipeline) }),
})

const maskServer = (server: ServerConfig): ServerConfig => ({
  ...server,
  tls: server.tls === null ? null : { ...server.tls, key: MASK },
  adminToken: server.adminToken === null ? null : MASK,
})

/** The configuration fit for a dump, a log or the admin API: keys, header and query values are `***`. */
export const maskedConfig = (config: HeddleConfig): HeddleConfig => ({
  ...config,
  server: maskServer(config.server),
  providers: config.providers.map(maskProvider),
  auth: maskAuth(config.auth),
  tenants: maskTenants(config.tenants),
  ledger: maskLedger(config.ledger),
  usage: maskUsage(config.usage),
  mcp: maskMcp(config.mcp, maskProvider),
  tracing: maskTracing(config.tracing),
  responses: maskResponses(config.responses),
  cache: maskCache(config.cache),
})

/** See `HeddleConfig.hash`. Names a configuration in logs and metrics without giving a secret away. */
export const hashConfig = (config: Omit<HeddleConfig, 'hash'>): string => {
  // Which pod this is is no setting: replicas that serve the same must be seen to.
  const tracing = { ...config.tracing, resource: {} }
  const { hash: _, ...rest } = maskedConfig({ ...config, tracing, hash: '' })
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex').slice(0, 16)
}
