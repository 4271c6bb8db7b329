import type { BalancingConfig } from '../contracts/config-cluster.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'

export const toBalancing = (_entry: ProviderEntry, _path: Path, _context: ProviderContext): BalancingConfig | null =>
  null
