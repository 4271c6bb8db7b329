import type { TenantConfig } from '../../contracts/config-auth.ts'
import type { ProviderConfig } from '../../contracts/config.ts'
import type { Credentials } from '../../contracts/credentials.ts'
import { FileKey } from './file-key.ts'
import { NoKey, SingleKey } from './fixed.ts'
import { KeyPool } from './pool.ts'
import { Renewal, type Obtain } from './renewal.ts'
import type { Held } from '../../core/held-pool.ts'
import { CredentialShare } from './share.ts'
import { TenantKey, TenantKeys } from './tenant-keys.ts'

export { CredentialShare }

/**
 * What authenticates the calls of one provider; null = it wants nothing. host: as the backend sees it (`host` header),
 * which signatures cover. What signs or fetches tokens is loaded when it is configured, not before. close() gives
 * back what the share holds.
 */
export function createCredentials(
  provider: ProviderConfig,
  tenants: readonly TenantConfig[],
  share: CredentialShare,
  host: string,
): Credentials | null {
  const own = new Map<string, Held<TenantKey>>()
  for (const { name, credentials } of tenants) {
    const key = Object.hasOwn(credentials, provider.name) ? credentials[provider.name] : undefined
    if (key === undefined) continue
    const identity = ['tenant', provider.baseUrl, provider.auth, name, key]
    own.set(
      name,
      share.acquire(identity, () => new TenantKey(name, provider.auth, key)),
    )
  }
  const base = baseCredentials(provider, share, host)
  if (own.size > 0) return new TenantKeys(own, base ?? { value: new NoKey(), release: () => {} })
  return base === null ? null : new Leased(base)
}

/** Closing it gives the lease back instead of closing what others may hold too. */
class Leased implements Credentials {
  readonly #lease: Held<Credentials>
  readonly choose: Credentials['choose']

  constructor(lease: Held<Credentials>) {
    this.#lease = lease
    this.choose = lease.value.choose.bind(lease.value)
  }
  close(): void {
    this.#lease.release()
  }
}

function baseCredentials(provider: ProviderConfig, share: CredentialShare, host: string): Held<Credentials> | null {
  const { apiKey, auth, credentials, name } = provider
  if (credentials === null)
    return apiKey === null || auth === 'none' ? null : { value: new SingleKey(auth, apiKey), release: () => {} }
  return share.acquire<Credentials>([name, host, auth, credentials], () => {
    const renewed = (obtain: Obtain): Credentials => {
      const renewal = new Renewal(`${credentials.kind} credentials of provider ${name}`, share, obtain)
      share.expect(renewal.first)
      return renewal
    }
    switch (credentials.kind) {
      case 'pool':
        return new KeyPool(name, auth, credentials.keys)
      case 'file':
        return new FileKey(credentials.path, auth, share)
      case 'aws':
        return renewed(async () => (await import('./aws.ts')).obtainAws(credentials, host, share))
      case 'google':
        return renewed(async () => (await import('./google.ts')).obtainGoogle(credentials, share))
      case 'azure':
        return renewed(async () => (await import('./azure.ts')).obtainAzure(credentials, share))
    }
  })
}
