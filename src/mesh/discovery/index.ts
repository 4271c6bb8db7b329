import type { Discovery } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import type { DiscoveryParts } from './parts.ts'

export type { DiscoveryParts } from './parts.ts'
export { clusterKey, ownDiscovery } from './key.ts'

/** The source that the configuration names; what it needs is loaded now, and nothing of the others. */
export async function createDiscovery(config: DiscoveryConfig, parts: DiscoveryParts): Promise<Discovery> {
  switch (config.type) {
    case 'static':
      return new (await import('./static.ts')).StaticDiscovery(config)
    case 'dns':
      return new (await import('./dns.ts')).DnsDiscovery(config, parts)
    case 'dns_srv':
      return new (await import('./dns-srv.ts')).DnsSrvDiscovery(config, parts)
    case 'endpoint_slice':
      return new (await import('./endpoint-slice.ts')).EndpointSliceDiscovery(config, parts)
    case 'inference_pool':
      return new (await import('./inference-pool.ts')).InferencePoolDiscovery(config, parts)
    case 'consul':
      return new (await import('./consul.ts')).ConsulDiscovery(config, parts)
    case 'etcd':
      return new (await import('./etcd.ts')).EtcdDiscovery(config, parts)
    case 'xds':
      return new (await import('./xds.ts')).XdsDiscovery(config, parts)
  }
}
