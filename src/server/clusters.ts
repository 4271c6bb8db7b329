import type { BalancingConfig } from '../contracts/config-cluster.ts'
import type { ProviderConfig } from '../contracts/config.ts'
import type { ClusterSource, Picker, RemotePicker } from '../contracts/cluster.ts'
import type { Upstream } from '../contracts/upstream.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { Feeds } from './feeds.ts'
import type { SharedMemory } from './shared.ts'
import { clusterKey, ownDiscovery } from '../mesh/discovery/key.ts'
import { ClusterMemory, createPicker } from '../routing/balance/index.ts'
import { ClusterUpstream } from '../upstream/cluster-upstream.ts'

export interface ClusterKitParts {
  readonly feeds: Feeds
  readonly memory: SharedMemory['clusters']
  readonly place: WorkerPlace
}

/** Providers with several addresses, in one worker. Loaded when a configuration has one. */
export class ClusterKit {
  readonly #parts: ClusterKitParts

  constructor(parts: ClusterKitParts) {
    this.#parts = parts
  }

  /** Null = it is called by the host of its base_url. */
  source(provider: ProviderConfig): ClusterSource | null {
    const discovery = ownDiscovery(provider)
    if (discovery === null || provider.balancing === null) return null
    const key = clusterKey(discovery)
    const memory = this.#parts.memory[key]
    return memory === undefined ? null : this.#parts.feeds.cluster(key, memory)
  }

  picker(source: ClusterSource, balancing: BalancingConfig): Picker {
    return createPicker(source, balancing, this.#parts.place)
  }

  /** What its connections are shared by, as far as the cluster decides it. */
  keyOf(source: ClusterSource, { balancing }: ProviderConfig): string {
    const { seed } = new ClusterMemory(source.memory, this.#parts.place)
    return `${source.key} ${seed} ${JSON.stringify(balancing)}`
  }

  /** connect: to one `host:port`. host: that of base_url. */
  upstream(
    provider: ProviderConfig,
    source: ClusterSource,
    to: { readonly connect: (address: string) => Upstream; readonly host: string },
  ): Upstream {
    const balancing = provider.balancing!
    return new ClusterUpstream({
      ...to,
      source,
      picker: this.picker(source, balancing),
      remote: balancing.epp === null ? null : remotePicker(balancing.epp),
      orca: balancing.orca,
    })
  }
}

/** Loaded with the first call: grpc-js is large. */
function remotePicker(config: NonNullable<BalancingConfig['epp']>): RemotePicker {
  let loading: Promise<RemotePicker> | null = null
  const load = async (): Promise<RemotePicker> => {
    const { createEppClient } = await import('../upstream/epp-client.ts')
    return createEppClient(config)
  }
  return {
    async pick(...given) {
      return (await (loading ??= load())).pick(...given)
    },
    close() {
      loading?.then((picker) => picker.close()).catch(() => {})
    },
  }
}
