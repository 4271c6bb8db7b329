import { LRUCache } from 'lru-cache'
import type { PeerEntryConfig, PeersConfig } from '../contracts/config-auth.ts'
import type { PeerIdentity, Principal } from '../contracts/identity.ts'
import { compileGlobs } from '../core/glob.ts'
import type { Matcher } from '../core/glob.ts'
import { bothAccess, compileRule } from './access.ts'
import type { Rule } from './access.ts'
import { BARE_CALLER, withPeer } from './principal.ts'
import type { Principals } from './principal.ts'
import { refused } from './refusal.ts'

interface Entry {
  readonly config: PeerEntryConfig
  readonly matches: (peer: PeerIdentity) => boolean
  readonly rule: Rule
}

/** Principals of that many peers, and of keys that come through them, are kept. */
const MAX_KEPT = 10_000

/** Names of an entry for the log: those of its selectors that are given. */
const nameOf = ({ id, trustDomain, namespace, serviceAccount }: PeerEntryConfig): string => {
  const given = [
    id,
    trustDomain === null ? null : `trust_domain=${trustDomain}`,
    namespace === null ? null : `namespace=${namespace}`,
    serviceAccount === null ? null : `service_account=${serviceAccount}`,
  ]
  return given.filter((part) => part !== null).join(' ')
}

/** What an identity does not say fits no pattern, not even `*`. */
const selector = (pattern: string | null): Matcher => {
  if (pattern === null) return () => true
  const matches = compileGlobs([pattern])
  return (value) => value !== '' && matches(value)
}

const toEntry = (config: PeerEntryConfig): Entry => {
  const [id, trustDomain, namespace, serviceAccount] = [
    selector(config.id),
    selector(config.trustDomain),
    selector(config.namespace),
    selector(config.serviceAccount),
  ]
  return {
    config,
    matches: (peer) =>
      id(peer.id) && trustDomain(peer.trustDomain) && namespace(peer.namespace) && serviceAccount(peer.serviceAccount),
    rule: compileRule(`peer ${nameOf(config)}`, config.grant),
  }
}

/** What two hold of one another. */
interface Kept {
  readonly from: Principal
  readonly to: Principal
}

/** What the other end may do without a key, and what a key may do that comes through it. */
export class Peers {
  readonly #map: readonly Entry[]
  readonly #principals: Principals
  readonly #made = new LRUCache<string, Principal>({ max: MAX_KEPT })
  readonly #joined = new LRUCache<string, Kept>({ max: MAX_KEPT })
  /** By the object, which is the same for a connection or a value of the header: no name need be put together. */
  #madeFor = new WeakMap<PeerIdentity, Principal>()
  #joinedFor = new WeakMap<PeerIdentity, Kept>()

  /** config null: identities are still told to policies, and open no door. */
  constructor(config: PeersConfig | null, principals: Principals) {
    this.#principals = principals
    this.#map = (config?.map ?? []).map(toEntry)
  }

  /** null = it is none that may call without a key. Throws for an unknown tenant. */
  principalOf(peer: PeerIdentity): Principal | null {
    const known = this.#madeFor.get(peer)
    if (known !== undefined) return known
    const entry = this.#entryOf(peer)
    if (entry === undefined || entry.config.alsoKey) return null
    const name = nameOfPeer(peer)
    let made = this.#made.get(name)
    if (made === undefined) this.#made.set(name, (made = this.#make(entry, peer)))
    this.#madeFor.set(peer, made)
    return made
  }

  /** The peer is one that a key is asked of besides. */
  wantsKey(peer: PeerIdentity): boolean {
    return this.#entryOf(peer)?.config.alsoKey === true
  }

  /**
   * A key's principal as it comes through this peer: the same object for the same two. Where the peer's entry asks for a
   * key, both must allow what is done, and a key of another tenant is refused: GatewayError `unauthenticated`.
   */
  join(principal: Principal, peer: PeerIdentity): Principal {
    const last = this.#joinedFor.get(peer)
    if (last?.from === principal) return last.to
    const name = `${principal.kind} ${principal.keyId} ${nameOfPeer(peer)}`
    let kept = this.#joined.get(name)
    if (kept?.from !== principal)
      this.#joined.set(name, (kept = { from: principal, to: this.#together(principal, peer) }))
    this.#joinedFor.set(peer, kept)
    return kept.to
  }

  #together(principal: Principal, peer: PeerIdentity): Principal {
    const entry = this.#entryOf(peer)
    const joined = withPeer(principal, peer)
    if (entry?.config.alsoKey !== true) return joined
    const bound = this.#make(entry, peer)
    if (bound.tenant !== '' && principal.tenant !== bound.tenant)
      throw refused(`key ${principal.keyId}: its tenant is not the one that its peer calls for`)
    const access = bothAccess(principal.access, bound.access)
    return { ...joined, access, limits: [...joined.limits, ...bound.limits] }
  }

  #entryOf(peer: PeerIdentity): Entry | undefined {
    return this.#map.find(({ matches }) => matches(peer))
  }

  #make({ config, rule }: Entry, peer: PeerIdentity): Principal {
    const { tenant, team, user, roles, limits } = config
    const caller = { ...BARE_CALLER, tenant, team, user, roles, limits, peer, rules: [rule] }
    return this.#principals.make({ ...caller, kind: 'peer', keyId: `peer:${peer.id}` })
  }
}

const nameOfPeer = ({ source, id }: PeerIdentity): string => `${source} ${id}`
