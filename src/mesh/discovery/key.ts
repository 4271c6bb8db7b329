import { createHash } from 'node:crypto'
import type { ProviderConfig } from '../../contracts/config.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'

/** Fields in the order of their names: two files that say the same ask for the same. */
const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, inner]) => [name, sorted(inner)] as const)
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/**
 * Names what a source asks for, credentials included: providers with the same key share one set of endpoints and their
 * memory, and a reload that changes nothing of it keeps both. 32 hex digits; not for logs, it is made from secrets too.
 */
export const clusterKey = (discovery: DiscoveryConfig): string =>
  createHash('sha256')
    .update(JSON.stringify(sorted(discovery)))
    .digest('hex')
    .slice(0, 32)

/** What Heddle finds and picks itself; null = calls go to the host of `base_url`. */
export const ownDiscovery = ({ discovery, balancing }: ProviderConfig): DiscoveryConfig | null =>
  balancing?.owner === 'mesh' ? null : discovery
