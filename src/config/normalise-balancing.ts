import type { BalancingConfig } from '../contracts/config-cluster.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'
import { balancingField } from './schema-balancing.ts'

type Parsed = NonNullable<ProviderEntry['balancing']>

/** Null without `discovery`. */
export function toBalancing(
  entry: ProviderEntry,
  baseUrl: string,
  path: Path,
  { map, problems }: ProviderContext,
): BalancingConfig | null {
  const report = (where: Path, message: string): void =>
    void problems.push(map.problem([...path, 'balancing', ...where], message, 'key'))
  if (entry.discovery === undefined) {
    if (entry.balancing !== undefined) report([], 'has no use without `discovery`: there is one address only')
    return null
  }
  // What holds when nothing is said stands in the schema, once.
  const balancing: Parsed = entry.balancing ?? balancingField.parse({})!
  const { policy, owner, prefix, metrics, saturation, zone } = balancing
  // Metrics are asked for in clear: at a port that speaks TLS that would be noise, and at a vendor's a nuisance.
  const unasked = metrics === false || (metrics.port === undefined && baseUrl.startsWith('https:'))
  if (prefix.block_bytes % 8 !== 0) report(['prefix', 'block_bytes'], 'must be a multiple of 8')
  if (policy === 'scored' && Object.values(balancing.scorers).every((weight) => weight === 0))
    report(['scorers'], 'nothing speaks for any endpoint: use `policy: random`')
  return {
    owner,
    policy,
    scorers: balancing.scorers,
    prefix: {
      blockBytes: prefix.block_bytes,
      blocksPerEndpoint: prefix.blocks_per_endpoint,
      maxBytes: prefix.max_bytes,
    },
    metrics:
      unasked || policy !== 'scored' || owner === 'mesh' || metrics.interval === 0
        ? null
        : {
            path: metrics.path,
            port: metrics.port ?? null,
            intervalMs: Math.max(50, metrics.interval),
            engine: metrics.engine,
          },
    orca: balancing.orca,
    saturation,
    zone: zone ?? '',
    epp: toEpp(balancing.epp, report),
  }
}

function toEpp(epp: Parsed['epp'], report: (where: Path, message: string) => void): BalancingConfig['epp'] {
  if (epp === undefined) return null
  if (epp.ca !== undefined && !epp.ca.includes('-----BEGIN CERTIFICATE-----'))
    report(['epp', 'ca'], 'must be PEM text; `${file:/path/ca.pem}` reads it from a file')
  if (epp.timeout === 0) report(['epp', 'timeout'], 'must be more than 0: each call waits for it')
  if (!epp.tls && (epp.ca !== undefined || epp.server_name !== undefined))
    report(['epp', 'tls'], '`ca` and `server_name` have no use without TLS')
  return {
    address: epp.address,
    tls: epp.tls,
    ca: epp.ca ?? null,
    serverName: epp.server_name ?? null,
    failureMode: epp.failure_mode,
    timeoutMs: epp.timeout,
  }
}
