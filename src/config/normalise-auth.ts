import type { AuthConfig, TenantConfig } from '../contracts/config-auth.ts'
import type { Build } from './build.ts'

export const toAuth = (_build: Build): AuthConfig | null => null
export const toTenants = (_build: Build): readonly TenantConfig[] => []
