import type { PeerClaimsConfig } from '../contracts/config-auth.ts'
import type { PeerIdentity, Principal } from '../contracts/identity.ts'
import type { VerifiedClaims } from '../mesh/identity/gate.ts'
import { LRUCache } from 'lru-cache'
import { ClaimReader } from './claims.ts'
import type { Principals } from './principal.ts'
import { withPeer } from './principal.ts'
import { refused } from './refusal.ts'
import { decodeObject } from './strict-json.ts'
import type { JsonObject } from './strict-json.ts'

/** As of a token that comes with the request. */
const MAX_PAYLOAD = 8192
const MAX_CLAIM = 1024
const MAX_REMEMBERED = 5000

/** Lines of one header are joined with it: two values of one claim, of which nobody knows which one counts. */
const LINE = '\n'

const numberAt = (claims: JsonObject, name: string): number | undefined => {
  const value = claims[name]
  if (value === undefined) return undefined
  // As a header of its own it is text.
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  if (typeof number === 'number' && Number.isFinite(number)) return number
  throw refused(`the proxy’s claims: \`${name}\` is no time`)
}

/** Makes callers of the claims that a proxy gives of a token that it has verified. */
export class PeerClaims {
  readonly #config: PeerClaimsConfig
  readonly #reader: ClaimReader
  readonly #principals: Principals
  readonly #remembered = new LRUCache<string, Principal>({ max: MAX_REMEMBERED })

  constructor(config: PeerClaimsConfig, principals: Principals) {
    this.#config = config
    this.#reader = new ClaimReader(config)
    this.#principals = principals
  }

  /**
   * Whom the claims name, coming through that peer; the same object for the same two. Throws GatewayError
   * `unauthenticated` when they cannot be read or do not suffice. Whether the token has expired since the proxy looked is
   * for the caller to see: `expiresAt`.
   */
  principalOf({ payload, single }: VerifiedClaims, peer: PeerIdentity | null): Principal {
    const name = JSON.stringify([payload ?? null, peer?.source ?? '', peer?.id ?? '', ...single])
    const known = this.#remembered.get(name)
    if (known !== undefined) return known
    const made = this.#make(this.#claimsOf(payload, single))
    const principal = peer === null ? made : withPeer(made, peer)
    this.#remembered.set(name, principal)
    return principal
  }

  #claimsOf(payload: string | undefined, single: readonly string[]): JsonObject {
    const claims: [string, unknown][] = []
    for (let i = 0; i < single.length; i += 2) {
      const value = single[i + 1]!
      if (value.includes(LINE)) throw refused('the proxy’s claims: a claim stands twice')
      if (value.length > MAX_CLAIM) throw refused(`the proxy’s claims: a claim is longer than ${MAX_CLAIM} characters`)
      claims.push([single[i]!, value])
    }
    // Not by assignment: a claim may be called `__proto__`.
    if (payload === undefined) return Object.fromEntries(claims)
    if (payload.length > MAX_PAYLOAD) throw refused(`the proxy’s claims: longer than ${MAX_PAYLOAD} characters`)
    // Proxies write it with padding or without (RFC 4648 section 5).
    const read = decodeObject(payload.replace(/={1,2}$/, ''))
    if (read === null) throw refused('the proxy’s claims: not an object of JSON in base64url')
    return claims.length === 0 ? read : Object.fromEntries([...claims, ...Object.entries(read)])
  }

  #make(claims: JsonObject): Principal {
    const { issuers } = this.#config
    const { iss } = claims
    if (issuers !== null && (typeof iss !== 'string' || !issuers.includes(iss)))
      throw refused('the proxy’s claims: `iss` is none of the configured issuers')
    const expires = numberAt(claims, 'exp')
    const caller = this.#reader.callerOf(claims, expires === undefined ? Infinity : expires * 1000)
    if (this.#reader.namesTenant && this.#principals.hasTenants && caller.tenant === '')
      throw refused('the proxy’s claims name no tenant')
    const principal = this.#principals.make(caller)
    if (this.#reader.accepts(principal.variables)) return principal
    throw refused('the proxy’s claims: `require` is not true')
  }
}
