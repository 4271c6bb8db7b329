import type { Discovery } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { deduped, endpointOf } from './address.ts'
import { addressesOf, resolverOf, waitOf } from './dns-lookup.ts'
import { Loop, type DiscoveryParts, type Told } from './parts.ts'

type DnsConfig = Extract<DiscoveryConfig, { type: 'dns' }>

/** A and AAAA records of one name, asked for again when they expire. */
export class DnsDiscovery implements Discovery {
  readonly #config: DnsConfig
  readonly #parts: DiscoveryParts
  readonly #known = new Map<4 | 6, readonly string[]>()
  #loop: Loop | null = null

  constructor(config: DnsConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
  }

  start(on: Told): void {
    const { name, port, servers } = this.#config
    this.#loop = new Loop(this.#parts, on, async (signal) => {
      // Of each time: the system's servers change while the process runs.
      const found = await addressesOf(resolverOf(servers, signal), name, this.#known)
      if (signal.aborted) return 0
      on.endpoints(deduped(found.hosts.map((host) => endpointOf({ host, port }))))
      // Nobody is asked about again soon: somebody is missed by callers.
      return waitOf(found.hosts.length === 0 ? 0 : found.ttl, this.#config)
    })
  }

  close(): void {
    this.#loop?.close()
  }
}
