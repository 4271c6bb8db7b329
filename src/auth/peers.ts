import { BlockList, isIPv4 } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { PeersConfig } from '../contracts/config-auth.ts'
import type { Received } from '../contracts/http.ts'
import type { PeerIdentity, PeerSource, Principal } from '../contracts/identity.ts'
import { compileRule } from './access.ts'
import type { Rule } from './access.ts'
import { compileGlobs } from './glob.ts'
import type { Matcher } from './glob.ts'
import { peerFromHeader } from './peer.ts'
import { BARE_CALLER, withPeer } from './principal.ts'
import type { Principals } from './principal.ts'

interface Entry {
  readonly config: PeersConfig['map'][number]
  readonly matches: Matcher
  readonly rule: Rule
}

/** Principals of that many peers, and of keys that come through them, are kept. */
const MAX_KEPT = 10_000

const toRanges = (trust: readonly string[]): BlockList => {
  const ranges = new BlockList()
  for (const range of trust) {
    const [address = '', bits] = range.split('/')
    const family = isIPv4(address) ? 'ipv4' : 'ipv6'
    if (bits === undefined) ranges.addAddress(address, family)
    else ranges.addSubnet(address, Number(bits), family)
  }
  return ranges
}

/**
 * Several lines of one name are one list (RFC 9110 section 5.3): a proxy that adds a line of its own behind the client's
 * must not have the client's believed. undefined = the source knows single values only.
 */
const joined = (from: PeerSource, name: string): string | undefined => {
  if (!('headers' in from)) return undefined
  const value = (from as Received).headers()[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Who the other end is, and what it may do without a key. */
export class Peers {
  readonly #header: string | null
  readonly #ranges: BlockList
  readonly #map: readonly Entry[]
  readonly #principals: Principals
  readonly #made = new LRUCache<string, Principal>({ max: MAX_KEPT })
  readonly #joined = new LRUCache<string, { readonly from: Principal; readonly to: Principal }>({ max: MAX_KEPT })

  /** config null: certificates are still told to policies, and open no door. */
  constructor(config: PeersConfig | null, principals: Principals) {
    this.#header = config?.header ?? null
    this.#ranges = toRanges(config?.trust ?? [])
    this.#principals = principals
    this.#map = (config?.map ?? []).map((entry) => ({
      config: entry,
      matches: compileGlobs([entry.id]),
      rule: compileRule(`peer ${entry.id}`, entry.grant),
    }))
  }

  /**
   * From a trusted address only the header counts: a certificate there is the proxy's own, and whoever came through the
   * proxy without an identity must not get that one. From elsewhere the header is ignored.
   */
  identityOf(from: PeerSource): PeerIdentity | null {
    if (this.#header === null) return from.peerIdentity
    const value = from.header(this.#header)
    if (value === undefined && from.peerIdentity === null) return null
    if (!this.#isTrusted(from.peer)) return from.peerIdentity
    return value === undefined ? null : peerFromHeader(this.#header, joined(from, this.#header) ?? value)
  }

  /** null = it is none that may call without a key. Throws for an unknown tenant. */
  principalOf(peer: PeerIdentity): Principal | null {
    if (this.#map.length === 0) return null
    const name = `${peer.source} ${peer.id}`
    const made = this.#made.get(name)
    if (made !== undefined) return made
    const entry = this.#map.find(({ matches }) => matches(peer.id))
    if (entry === undefined) return null
    const { tenant, team, user, roles, limits } = entry.config
    const caller = { ...BARE_CALLER, tenant, team, user, roles, limits, peer, rules: [entry.rule] }
    const principal = this.#principals.make({ ...caller, kind: 'peer', keyId: `peer:${peer.id}` })
    this.#made.set(name, principal)
    return principal
  }

  /** A key's principal as it comes through this peer: the same object for the same two. */
  join(principal: Principal, peer: PeerIdentity): Principal {
    const name = `${principal.kind} ${principal.keyId} ${peer.source} ${peer.id}`
    const joined = this.#joined.get(name)
    if (joined?.from === principal) return joined.to
    const to = withPeer(principal, peer)
    this.#joined.set(name, { from: principal, to })
    return to
  }

  #isTrusted(address: string): boolean {
    // A link-local address ends with its interface (RFC 4007 section 11), which BlockList does not take.
    const zone = address.indexOf('%')
    const bare = zone < 0 ? address : address.slice(0, zone)
    return this.#ranges.check(bare, isIPv4(bare) ? 'ipv4' : 'ipv6')
  }
}
