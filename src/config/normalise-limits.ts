import type { LedgerConfig, LimitConfig } from '../contracts/config-limits.ts'
import type { Build } from './build.ts'

export const toLimits = (_build: Build): readonly LimitConfig[] => []
export const toLedger = (_build: Build): LedgerConfig => ({ redis: null, file: null, maxScopes: 32_768 })
