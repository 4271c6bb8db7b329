import type { DiscoveryConfig } from '../contracts/config-cluster.ts'

const MASK = '***'

const maskToken = <T extends { readonly token: string | null }>(source: T): T =>
  source.token === null ? source : { ...source, token: MASK }

/** Discovery fit for a dump: tokens and passwords for registries are `***`. */
export const maskDiscovery = (discovery: DiscoveryConfig | null): DiscoveryConfig | null => {
  if (discovery === null) return null
  switch (discovery.type) {
    case 'consul':
      return maskToken(discovery)
    case 'etcd':
      return { ...maskToken(discovery), password: discovery.password === null ? null : MASK }
    case 'endpoint_slice':
    case 'inference_pool':
      return discovery.api === null ? discovery : { ...discovery, api: maskToken(discovery.api) }
    default:
      return discovery
  }
}
