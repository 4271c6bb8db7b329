import { networkInterfaces } from 'node:os'
import { BlockList, isIP, isIPv4 } from 'node:net'

/** From where sidecars connect: loopback, and 127.0.0.6, which Istio's inbound listener binds to. */
const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', '127.0.0.6']

/** Variables that a pod's own address is put into by the downward API. */
const POD_IP: readonly string[] = ['HEDDLE_POD_IP', 'POD_IP']

/**
 * Addresses from which the pod's own proxy may come: loopback, and the pod's own, which Linkerd's proxy dials. env: of
 * the process. interfaces: as of node:os.
 */
export const sidecarAddresses = (
  env: Readonly<Record<string, string | undefined>> = process.env,
  interfaces: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): readonly string[] => {
  const given = POD_IP.map((name) => env[name]?.trim() ?? '').filter((address) => isIP(address) !== 0)
  const own = Object.values(interfaces).flatMap((all) => (all ?? []).map(({ address }) => withoutZone(address)))
  return [...new Set([...LOOPBACK, ...given, ...own])]
}

/** A link-local address ends with its interface (RFC 4007 section 11), which BlockList does not take. */
const withoutZone = (address: string): string => {
  const zone = address.indexOf('%')
  return zone < 0 ? address : address.slice(0, zone)
}

/** Answers that are kept; a proxy's addresses are few, and a stranger's are not worth more. */
const MAX_KEPT = 4096

/** Whether addresses lie in a list of CIDR ranges and single addresses. IPv4 in IPv6 (`::ffff:10.0.0.1`) is IPv4. */
export class AddressRanges {
  readonly #ranges = new BlockList()
  readonly #known = new Map<string, boolean>()

  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const [address = '', bits] = range.split('/')
      const family = isIPv4(address) ? 'ipv4' : 'ipv6'
      if (bits === undefined) this.#ranges.addAddress(address, family)
      else this.#ranges.addSubnet(address, Number(bits), family)
    }
  }

  /** False for what is no address. */
  has(address: string): boolean {
    // BlockList takes some microseconds for each question.
    let known = this.#known.get(address)
    if (known === undefined) {
      if (this.#known.size >= MAX_KEPT) this.#known.clear()
      this.#known.set(address, (known = this.#look(withoutZone(address))))
    }
    return known
  }

  #look(address: string): boolean {
    const family = isIP(address)
    return family !== 0 && this.#ranges.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}
