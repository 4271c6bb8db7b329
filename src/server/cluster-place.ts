import type { HeddleConfig } from '../contracts/config.ts'
import type { ClusterHub, HubParts } from './cluster-hub.ts'
import type { Feed } from './messages.ts'
import { ownDiscovery } from '../mesh/discovery/key.ts'

/** The hub of clusters, or nothing: it is loaded when a provider first has `discovery`. */
export class ClusterPlace {
  readonly #parts: HubParts
  #hub: ClusterHub | null = null

  constructor(parts: HubParts) {
    this.#parts = parts
  }

  /** See ClusterHub.use. */
  async use(config: HeddleConfig, wait: boolean): Promise<Record<string, SharedArrayBuffer>> {
    if (this.#hub === null) {
      if (config.providers.every((provider) => ownDiscovery(provider) === null)) return {}
      const { ClusterHub } = await import('./cluster-hub.ts')
      this.#hub = new ClusterHub(this.#parts)
    }
    return this.#hub.use(config, wait)
  }

  /** See ClusterHub.settle. */
  async settle(config: HeddleConfig): Promise<void> {
    await this.#hub?.settle(config)
  }

  get feeds(): readonly Feed[] {
    return this.#hub?.feeds ?? []
  }

  forget(worker: number): void {
    this.#hub?.forget(worker)
  }

  state(): readonly object[] {
    return this.#hub?.state() ?? []
  }

  close(): void {
    this.#hub?.close()
  }
}
