import { LRUCache } from 'lru-cache'
import type { HeaderGate, PeerIdentity, PeerSource } from '../../contracts/identity.ts'
import { compileGlobs } from '../../core/glob.ts'
import type { Matcher } from '../../core/glob.ts'
import { AddressRanges } from './addresses.ts'
import { L5D_CLIENT_ID, readPeerHeader, XFCC } from './peer-header.ts'
import type { Testimony } from './peer-header.ts'
import type { IdentityRules } from './rules.ts'
import { VisibleHeaders } from './visible.ts'

/** Values of the identity header that are remembered: one a caller and certificate. */
const MAX_REMEMBERED = 5000
/** Longer ones hold certificates: to look for them would cost as much as to read them. */
const MAX_REMEMBERED_LENGTH = 4096

/** What callers try where no header is believed. */
const FAMILIAR: readonly string[] = [XFCC, L5D_CLIENT_ID]

interface Remembered extends Testimony {
  /** `By` is one of the own principals, or nobody asks. */
  readonly byOwn: boolean
}

/** What a proxy says of a token that it has verified. */
export interface VerifiedClaims {
  /** base64url JSON; undefined = that header did not come. */
  readonly payload: string | undefined
  /** Flat: claim, value. */
  readonly single: readonly string[]
}

/**
 * Decides whose word on callers counts, and what of a request's headers others may see. Compiled once a configuration.
 * Never throws.
 */
export class IdentityGate {
  /** What of a request's headers others may see. */
  readonly headers: HeaderGate
  readonly #rules: IdentityRules
  readonly #addresses: AddressRanges | null
  readonly #forwarders: Matcher | null
  readonly #anyone: boolean
  readonly #own: Matcher | null
  readonly #claimsFrom: Matcher
  readonly #claimHeaders: readonly (readonly [claim: string, header: string])[]
  readonly #remembered = new LRUCache<string, Remembered>({ max: MAX_REMEMBERED })

  constructor(rules: IdentityRules) {
    const { trust, ownPrincipals, claimsFrom, claimHeaders } = rules
    this.#rules = rules
    this.headers = new VisibleHeaders(rules, (from) => this.believes(from))
    this.#addresses = trust.kind === 'addresses' ? new AddressRanges(trust.ranges) : null
    this.#forwarders = trust.kind === 'forwarders' ? compileGlobs(trust.ids) : null
    this.#anyone = trust.kind === 'anyone'
    this.#own = ownPrincipals.length === 0 ? null : compileGlobs(ownPrincipals)
    this.#claimsFrom = compileGlobs(claimsFrom)
    this.#claimHeaders = Object.entries(claimHeaders)
  }

  /** Some header may hold claims of a token that a proxy has verified. */
  get takesClaims(): boolean {
    return this.#rules.payloadHeader !== null || this.#claimHeaders.length > 0
  }

  /** Whether what this peer says of callers counts. */
  believes(from: PeerSource): boolean {
    if (this.#addresses !== null) return from.told !== true && this.#addresses.has(from.peer)
    if (this.#forwarders !== null) return from.peerIdentity !== null && this.#forwarders(from.peerIdentity.id)
    return this.#anyone
  }

  /**
   * From one who is believed only the header counts: a certificate there is the proxy's own, and whoever came through the
   * proxy without an identity must not get that one. From all others the header says nothing, and the certificate counts.
   */
  identityOf(from: PeerSource): PeerIdentity | null {
    const { header } = this.#rules
    if (header === null || !this.believes(from)) return from.peerIdentity
    const value = from.identityHeader(header)
    if (value === undefined) return null
    const said = this.#read(header, value)
    return said.identity !== null && this.#speaksToUs(said, from) ? said.identity : null
  }

  /** Why a caller without an identity has none, for the log; '' = nothing claimed one. Holds nothing of the claim. */
  doubt(from: PeerSource): string {
    const header = this.#rules.header ?? FAMILIAR.find((name) => from.identityHeader(name) !== undefined)
    const value = header === undefined ? undefined : from.identityHeader(header)
    if (header === undefined || value === undefined) return ''
    if (this.#rules.header === null || !this.believes(from)) return `\`${header}\` from ${from.peer} is not believed`
    const said = this.#read(header, value)
    if (said.identity === null) return `\`${header}\` ${said.fault}`
    return this.#speaksToUs(said, from) ? '' : `\`By\` in \`${header}\` is none of \`mesh.identity.own_principals\``
  }

  /** peer: identityOf(from). null = no such header came, or it is not believed of that caller. */
  claimsOf(from: PeerSource, peer: PeerIdentity | null): VerifiedClaims | null {
    if (!this.takesClaims || !this.believes(from) || !this.#claimsFrom(peer?.id ?? '')) return null
    const { payloadHeader } = this.#rules
    const payload = payloadHeader === null ? undefined : from.identityHeader(payloadHeader)
    const single: string[] = []
    for (const [claim, header] of this.#claimHeaders) {
      const value = from.identityHeader(header)
      if (value !== undefined) single.push(claim, value)
    }
    return payload === undefined && single.length === 0 ? null : { payload, single }
  }

  #read(header: string, value: string): Remembered {
    if (value.length > MAX_REMEMBERED_LENGTH) return this.#judge(header, value)
    let said = this.#remembered.get(value)
    if (said === undefined) this.#remembered.set(value, (said = this.#judge(header, value)))
    return said
  }

  #judge(header: string, value: string): Remembered {
    const said = readPeerHeader(header, value)
    return { ...said, byOwn: header !== XFCC || this.#own === null || said.by.some(this.#own) }
  }

  /**
   * An element whose `By` is somebody else was written for somebody else, and has only been carried here. A forwarder
   * writes its own identity there.
   */
  #speaksToUs({ by, byOwn }: Remembered, from: PeerSource): boolean {
    if (this.#forwarders === null) return byOwn
    if (by.length === 0) return this.#own === null || byOwn
    return by.includes(from.peerIdentity?.id ?? '') || (this.#own !== null && byOwn)
  }
}
