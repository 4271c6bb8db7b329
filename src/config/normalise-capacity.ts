import type { CapacityConfig } from '../contracts/capacity.ts'
import type { ProviderEntry } from './providers.ts'

export const toCapacity = (_entry: ProviderEntry): CapacityConfig | null => null
