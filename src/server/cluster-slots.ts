import type { Endpoint, Member } from '../contracts/cluster.ts'
import { formatAddress } from '../core/host-port.ts'

/**
 * Places of members in the memory of their cluster. An address keeps its place while it is a member; a place that is free
 * again is the last to be used, so that what is still measured of the member before does not count for another.
 */
export class ClusterSlots {
  readonly #free: number[]
  readonly #taken = new Map<string, number>()
  readonly #reset: (slot: number) => void

  /** reset: a place gets another member. */
  constructor(size: number, reset: (slot: number) => void) {
    this.#free = Array.from({ length: size }, (_, slot) => slot)
    this.#reset = reset
  }

  /**
   * The members of a set, by address. When there are more than places, those that are members already stay, then those of
   * a better priority, and ready ones before draining ones. left: how many have no place.
   */
  assign(endpoints: readonly Endpoint[]): { readonly members: readonly Member[]; readonly left: number } {
    const wanted = new Map(endpoints.map((endpoint) => [formatAddress(endpoint.host, endpoint.port), endpoint]))
    for (const [address, slot] of this.#taken) {
      if (wanted.has(address)) continue
      this.#taken.delete(address)
      this.#free.push(slot)
    }
    const added = [...wanted].filter(([address]) => !this.#taken.has(address)).sort(better)
    for (const [address] of added) {
      const slot = this.#free.shift()
      if (slot === undefined) break
      this.#taken.set(address, slot)
      this.#reset(slot)
    }
    const members = [...this.#taken].map(([address, slot]) => ({ ...wanted.get(address)!, slot, address }))
    members.sort((a, b) => (a.address < b.address ? -1 : 1))
    return { members, left: wanted.size - members.length }
  }
}

type Addressed = readonly [string, Endpoint]

const better = ([a, one]: Addressed, [b, other]: Addressed): number => {
  if (one.state !== other.state) return one.state === 'ready' ? -1 : 1
  return one.priority - other.priority || (a < b ? -1 : 1)
}
