import type { Discovery, Endpoint } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { parseAddress } from '../../core/host-port.ts'
import { deduped, endpointOf } from './address.ts'
import type { Told } from './parts.ts'

type StaticConfig = Extract<DiscoveryConfig, { type: 'static' }>

/** What the configuration says, told once. */
export class StaticDiscovery implements Discovery {
  readonly #endpoints: readonly Endpoint[]
  #closed = false

  constructor({ endpoints }: StaticConfig) {
    this.#endpoints = deduped(
      endpoints.flatMap(({ address, weight, zone }) => {
        const at = parseAddress(address)
        return at === null ? [] : [endpointOf(at, { weight, zone })]
      }),
    )
  }

  start(on: Told): void {
    queueMicrotask(() => {
      if (!this.#closed) on.endpoints(this.#endpoints)
    })
  }

  close(): void {
    this.#closed = true
  }
}
