import type { AuthConfig, TenantConfig } from '../contracts/config-auth.ts'

const MASK = '***'

/**
 * Without the hashes of keys. A hash of a long random key gives nothing away, but one of a key that somebody made up can
 * be tried out at leisure.
 */
export const maskAuth = (auth: AuthConfig | null): AuthConfig | null =>
  auth === null
    ? null
    : {
        ...auth,
        keys: auth.keys.map((key) => ({ ...key, hashes: key.hashes.map((hash) => ({ ...hash, sha256: MASK })) })),
      }

/** Without the tenants' own provider keys. */
export const maskTenants = (tenants: readonly TenantConfig[]): readonly TenantConfig[] =>
  tenants.map((tenant) => ({
    ...tenant,
    credentials: Object.fromEntries(Object.keys(tenant.credentials).map((provider) => [provider, MASK])),
  }))
