import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { AuthConfig, TenantConfig } from '../contracts/config-auth.ts'
import type { Authenticator, PeerIdentity, PeerSource, Principal } from '../contracts/identity.ts'
import type { Clock } from '../core/clock.ts'
import { compileRule } from './access.ts'
import { JwtVerifier } from './jwt.ts'
import type { Verified } from './jwt.ts'
import type { KeySets } from './key-set.ts'
import type { IdentityGate } from '../mesh/identity/gate.ts'
import { PeerClaims } from './peer-claims.ts'
import { Peers } from './peers.ts'
import { BARE_CALLER, Principals } from './principal.ts'
import { nobody, refused, signedForAws } from './refusal.ts'
import type { Revocations } from './revocations.ts'
import { importIssuerKey, isSignedBy, MAX_SIGNED_KEY_LENGTH, readSignedKey, SIGNED_KEY_PREFIX } from './signed-key.ts'
import { digestOf, StaticKeys } from './static-keys.ts'

/** What outlives one configuration. */
export interface AuthParts {
  readonly clock: Clock
  readonly revocations: Revocations
  readonly keySets: KeySets
  /** Of the same configuration: whose word on callers counts. By default what `peers` alone says. */
  readonly gate: IdentityGate
}

/** Verified tokens and signed keys that are remembered, at most. */
const MAX_REMEMBERED = 5000
const CLOCK_SKEW_MS = 60_000
const BEARER = 'bearer '
/** Signature Version 4, and 4A (AWS General Reference). */
const SIGNED_FOR_AWS = 'AWS4-'

/** A token that was accepted; jwt = what it stands on, null for a signed key. */
interface Remembered {
  readonly principal: Principal
  readonly jwt: Verified | null
}

const bearerOf = (authorization: string): string => {
  // Whoever signed it did so for AWS, with a secret that is not known here: the signature proves nothing.
  if (authorization.startsWith(SIGNED_FOR_AWS)) throw signedForAws()
  // The scheme's case does not count (RFC 9110 section 11.1).
  if (authorization.length <= BEARER.length || authorization.slice(0, BEARER.length).toLowerCase() !== BEARER) {
    throw refused('`authorization` is not `Bearer` and a key')
  }
  return authorization.slice(BEARER.length).trim()
}

/** The one credential of a request; null = none. Two that differ are refused: which one would count? */
const credentialOf = (from: PeerSource): string | null => {
  const authorization = from.header('authorization')
  // As the SDKs of Anthropic, Azure and Google send it.
  const xApiKey = from.header('x-api-key')
  const apiKey = from.header('api-key')
  const googleKey = from.header('x-goog-api-key')
  const bearer = authorization === undefined ? undefined : bearerOf(authorization)
  const token = bearer ?? xApiKey ?? apiKey ?? googleKey
  if (token === undefined) return null
  const differs = (other: string | undefined): boolean => other !== undefined && other !== token
  if (differs(xApiKey) || differs(apiKey) || differs(googleKey)) throw refused('two credentials that differ')
  if (token === '') throw refused('an empty key')
  return token
}

class CompiledAuthenticator implements Authenticator {
  readonly #parts: AuthParts
  readonly #principals: Principals
  readonly #keys: StaticKeys
  readonly #issuers: ReadonlyMap<string, KeyObject>
  readonly #jwt: JwtVerifier | null
  readonly #gate: IdentityGate
  readonly #peers: Peers
  readonly #peerClaims: PeerClaims | null
  readonly #anonymous: Principal | null
  readonly #revoked: ReadonlySet<string>
  readonly #unlist: () => void
  /** By the SHA-256 of the whole token: nothing shorter may stand for it. */
  readonly #remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED })

  constructor(config: AuthConfig, tenants: readonly TenantConfig[], parts: AuthParts) {
    this.#parts = parts
    this.#principals = new Principals(config.roles, tenants)
    this.#keys = new StaticKeys(config.keys, this.#principals)
    const issuers = config.signedKeys?.issuers ?? []
    this.#issuers = new Map(issuers.map(({ name, publicKey }) => [name, importIssuerKey(publicKey)]))
    const { clock, keySets, revocations } = parts
    this.#jwt = config.jwt.length === 0 ? null : new JwtVerifier(config.jwt, keySets, this.#principals, clock)
    const revoked = config.signedKeys?.revoked ?? []
    this.#revoked = new Set(revoked)
    this.#unlist = revocations.configure(revoked)
    this.#gate = parts.gate
    this.#peers = new Peers(config.peers, this.#principals)
    const claims = config.peers?.claims ?? null
    this.#peerClaims = claims === null ? null : new PeerClaims(claims, this.#principals)
    const { allowed, roles } = config.anonymous
    this.#anonymous = allowed ? this.#principals.make({ ...BARE_CALLER, kind: 'anonymous', keyId: '', roles }) : null
  }

  identify(from: PeerSource): Principal | Promise<Principal> {
    const token = credentialOf(from)
    const peer = this.#gate.identityOf(from)
    if (token === null) return this.#withoutToken(from, peer)
    const found = this.#byToken(token)
    if (peer === null) return found
    return found instanceof Promise
      ? found.then((principal) => this.#peers.join(principal, peer))
      : this.#peers.join(found, peer)
  }

  close(): void {
    this.#remembered.clear()
    this.#unlist()
    this.#jwt?.close()
  }

  #withoutToken(from: PeerSource, peer: PeerIdentity | null): Principal {
    const claims = this.#peerClaims === null ? null : this.#gate.claimsOf(from, peer)
    if (claims !== null) {
      const named = this.#valid(this.#peerClaims!.principalOf(claims, peer))
      // Bound by what the peer's entry allows, where that asks for more than being the peer.
      return peer === null ? named : this.#peers.join(named, peer)
    }
    const known = peer === null ? null : this.#peers.principalOf(peer)
    if (known !== null) return this.#valid(known)
    if (this.#anonymous === null || (peer !== null && this.#peers.wantsKey(peer)))
      throw nobody(`no credentials${this.#whyNot(from, peer)}`)
    return peer === null ? this.#anonymous : this.#peers.join(this.#anonymous, peer)
  }

  /** For the log; what a caller claimed in vain is not told. */
  #whyNot(from: PeerSource, peer: PeerIdentity | null): string {
    if (peer !== null)
      return this.#peers.wantsKey(peer)
        ? ', and the peer’s entry in `peers.map` asks for a key besides'
        : ', and the peer is not one of `peers.map`'
    const doubt = this.#gate.doubt(from)
    return doubt === '' ? '' : `, and ${doubt}`
  }

  #byToken(token: string): Principal | Promise<Principal> {
    const digest = digestOf(token)
    const key = this.#keys.find(digest)
    if (key !== null) {
      if (key.until <= this.#parts.clock.now())
        throw refused(`key ${key.principal.keyId}: this secret has been replaced`)
      return this.#valid(key.principal)
    }
    const remembered = this.#remembered.get(digest)
    if (remembered !== undefined) {
      if (isCurrent(remembered)) return this.#valid(remembered.principal)
      this.#remembered.delete(digest)
    }
    if (token.startsWith(SIGNED_KEY_PREFIX)) return this.#bySignedKey(token, digest)
    if (this.#jwt === null || !token.includes('.')) throw refused('no such key')
    return this.#jwt.verify(token).then((jwt) => {
      this.#remembered.set(digest, { principal: jwt.principal, jwt })
      return this.#valid(jwt.principal)
    })
  }

  #bySignedKey(token: string, digest: string): Principal {
    if (this.#issuers.size === 0 || token.length > MAX_SIGNED_KEY_LENGTH) throw refused('no such key')
    const read = readSignedKey(token)
    if (!read.ok) throw refused(`signed key: ${read.fault}`)
    const { key } = read
    const issuer = this.#issuers.get(key.issuer)
    if (issuer === undefined) throw refused('signed key: its issuer is none of the configured ones')
    if (!isSignedBy(read, issuer)) throw refused('signed key: the signature does not fit')
    const keyId = `${key.issuer}/${key.id}`
    if (key.issuedAt * 1000 > this.#parts.clock.now() + CLOCK_SKEW_MS) throw refused(`key ${keyId}: not yet valid`)
    const { tenant, team, user, roles, limits } = key
    const rules = [compileRule(`key ${keyId}`, key.grant)]
    const caller = { ...BARE_CALLER, tenant, team, user, roles, limits, rules, expiresAt: key.expiresAt * 1000 }
    const principal = this.#valid(this.#principals.make({ ...caller, kind: 'signed_key', keyId }))
    this.#remembered.set(digest, { principal, jwt: null })
    return principal
  }

  /** What can change from one request to the next, for every kind of principal. */
  #valid(principal: Principal): Principal {
    const { keyId, expiresAt } = principal
    if (expiresAt <= this.#parts.clock.now()) throw refused(`key ${keyId}: expired`)
    // Not together: a configuration that is tried and refused must revoke nothing, and give nothing back.
    if (this.#revoked.has(keyId) || this.#parts.revocations.has(keyId)) throw refused(`key ${keyId}: revoked`)
    return principal
  }
}

/** The key that a token was signed with is still one of its issuer's. */
const isCurrent = ({ jwt }: Remembered): boolean => jwt === null || jwt.keys.textOf(jwt.kid) === jwt.keyText

/**
 * Compiles who may call. Order: a key or token decides, and a bad one is refused whatever else is known; then the peer;
 * then nobody, if the configuration lets anonymous requests in. On a reload make the new one before the old one is closed: key
 * sets that both have then stay. close() forgets tokens and lets go of key sets; what is under way may still end.
 */
export const createAuthenticator = (
  config: AuthConfig,
  tenants: readonly TenantConfig[],
  parts: AuthParts,
): Authenticator & { close(): void } => new CompiledAuthenticator(config, tenants, parts)
