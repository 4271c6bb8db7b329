import type { Resolver } from 'node:dns/promises'
import type { SrvRecord } from 'node:dns'
import type { Discovery, Endpoint } from '../../contracts/cluster.ts'
import type { DiscoveryConfig } from '../../contracts/config-cluster.ts'
import { isHost, isPort } from '../../core/host-port.ts'
import { deduped, endpointOf } from './address.ts'
import { addressesOf, dnsFault, isNoData, resolverOf, waitOf } from './dns-lookup.ts'
import { Loop, type DiscoveryParts, type Told } from './parts.ts'

type SrvConfig = Extract<DiscoveryConfig, { type: 'dns_srv' }>

type Known = Map<string, Map<4 | 6, readonly string[]>>

/** More targets than clusters can have members are not looked up. */
const MAX_TARGETS = 300
/** Lookups at a time. */
const AT_ONCE = 16
/** Weight 0 means hardly ever beside others (RFC 2782). */
const HARDLY = 0.01

const usable = ({ name, port }: SrvRecord): boolean => isPort(port) && isHost(name)

async function recordsOf(resolver: Resolver, name: string): Promise<readonly SrvRecord[]> {
  try {
    const records = await resolver.resolveSrv(name)
    // One record with the root as its target: the service is decidedly not there (RFC 2782).
    return records.filter((record) => record.name !== '' && record.name !== '.')
  } catch (error) {
    if (isNoData(error)) return []
    throw dnsFault(name, error)
  }
}

/** Records as endpoints, with the addresses of their targets. */
export function endpointsOfSrv(
  records: readonly SrvRecord[],
  addresses: ReadonlyMap<string, readonly string[]>,
): readonly Endpoint[] {
  const weighted = records.some(({ weight }) => weight > 0)
  const list = records.filter(usable).flatMap(({ name, port, priority, weight }) => {
    const hosts = addresses.get(name) ?? []
    // A target's weight is for all of its addresses.
    const share = (weight > 0 ? weight : weighted ? HARDLY : 1) / Math.max(1, hosts.length)
    return hosts.map((host) => endpointOf({ host, port }, { weight: share, priority, name }))
  })
  return deduped(list)
}

/**
 * SRV records and the addresses of their targets. They are asked for again when the first address expires: Node does not
 * tell the TTL of SRV records.
 */
export class DnsSrvDiscovery implements Discovery {
  readonly #config: SrvConfig
  readonly #parts: DiscoveryParts
  /** Of targets that could be looked up, by name and family. */
  #known: Known = new Map()
  #loop: Loop | null = null

  constructor(config: SrvConfig, parts: DiscoveryParts) {
    this.#config = config
    this.#parts = parts
  }

  start(on: Told): void {
    this.#loop = new Loop(this.#parts, on, (signal) => this.#look(on, signal))
  }

  close(): void {
    this.#loop?.close()
  }

  async #look(on: Told, signal: AbortSignal): Promise<number> {
    const resolver = resolverOf(this.#config.servers, signal)
    const all = await recordsOf(resolver, this.#config.name)
    const records = all.slice(0, MAX_TARGETS)
    const wrong = records.filter((record) => !usable(record)).length
    const addresses = new Map<string, readonly string[]>()
    const { ttl, failed } = await this.#lookUp(resolver, records.filter(usable), addresses)
    if (signal.aborted) return 0
    const endpoints = endpointsOfSrv(records, addresses)
    if (endpoints.length === 0 && failed !== null) throw failed
    if (records.length > 0 && wrong === records.length) throw dnsFault(this.#config.name, { code: 'EBADRESP' })
    on.endpoints(endpoints)
    if (failed !== null) on.skipped('not_found', failed.message)
    if (wrong > 0) on.skipped('invalid', `${wrong} records without a usable target`)
    if (all.length > records.length) on.skipped('too_large', `${all.length} records, ${MAX_TARGETS} are used`)
    return waitOf(failed === null && endpoints.length > 0 ? ttl : 0, this.#config)
  }

  async #lookUp(
    resolver: Resolver,
    records: readonly SrvRecord[],
    addresses: Map<string, readonly string[]>,
  ): Promise<{ readonly ttl: number; readonly failed: Error | null }> {
    const names = [...new Set(records.map((record) => record.name))]
    const known: Known = new Map()
    let ttl = Infinity
    let failed: Error | null = null
    const one = async (name: string): Promise<void> => {
      const families = this.#known.get(name) ?? new Map<4 | 6, readonly string[]>()
      known.set(name, families)
      try {
        const found = await addressesOf(resolver, name, families)
        addresses.set(name, found.hosts)
        ttl = Math.min(ttl, found.ttl)
      } catch (error) {
        // A target whose name cannot be looked up now keeps the addresses that it had.
        addresses.set(name, [...families.values()].flat())
        failed = error as Error
      }
    }
    for (let i = 0; i < names.length; i += AT_ONCE) await Promise.all(names.slice(i, i + AT_ONCE).map(one))
    this.#known = known
    return { ttl, failed }
  }
}
