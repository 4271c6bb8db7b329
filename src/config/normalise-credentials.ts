import type { ProviderConfig } from '../contracts/config.ts'
import type { CredentialsConfig } from '../contracts/config-credentials.ts'
import type { ProviderEntry, ProviderContext } from './providers.ts'

export const toCredentials = (_entry: ProviderEntry, _context: ProviderContext): CredentialsConfig | null => null
export const toData = (_entry: ProviderEntry): ProviderConfig['data'] => ({ region: '', retention: null })
