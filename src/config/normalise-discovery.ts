import type { DiscoveryConfig } from '../contracts/config-cluster.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'

export const toDiscovery = (_entry: ProviderEntry, _path: Path, _context: ProviderContext): DiscoveryConfig | null =>
  null
