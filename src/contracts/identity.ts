import type { LimitRule } from './config-limits.ts'
import type { RequestFacts, Target } from './routing.ts'

/**
 * Who the other end of the connection is, as TLS or a trusted proxy says. Policies cannot tell which of them said it. Of
 * one identity there may be several objects, none of which ever changes.
 */
export interface PeerIdentity {
  readonly source: 'mtls' | 'header'
  /** SPIFFE id, else first DNS name, else common name. */
  readonly id: string
  /** '' = unknown. From a SPIFFE id of the form `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. */
  readonly trustDomain: string
  readonly namespace: string
  readonly serviceAccount: string
}

export type PrincipalKind = 'anonymous' | 'api_key' | 'signed_key' | 'jwt' | 'peer'

/** Who calls. Built once a key or token, shared by its requests, never changed. Holds no secret. */
export interface Principal {
  readonly kind: PrincipalKind
  /**
   * Never the secret. For logs, records, limits, revocation: the id of a key; `ISSUER/ID` of a signed key; `NAME:SUBJECT`
   * of a token; `peer:ID` of a peer; '' = anonymous. Ids of keys hold neither slash nor colon, so no two kinds collide.
   */
  readonly keyId: string
  /** '' = none. */
  readonly tenant: string
  readonly team: string
  readonly user: string
  readonly roles: readonly string[]
  readonly peer: PeerIdentity | null
  /** What it may do. */
  readonly access: Access
  /** Limits that the key or token itself carries; each counts for this key alone. */
  readonly limits: readonly LimitRule[]
  /** Of the tenant and the key, for usage records. */
  readonly labels: Readonly<Record<string, string>>
  /** Epoch ms; Infinity = never. */
  readonly expiresAt: number
  /**
   * What expressions see as `principal`: kind, key, tenant, team, user, roles, claims, and peer: id, namespace,
   * service_account, trust_domain, each '' when unknown.
   */
  readonly variables: Readonly<Record<string, unknown>>
}

/** A refusal: `rule` and `reason` are for the log and explain, never for the caller. */
export interface Denial {
  readonly rule: string
  readonly reason: string
}

export interface Access {
  /** Model (as asked), operation, tools and conditions of a request. null = allowed. */
  request(facts: RequestFacts): Denial | null
  /** One public model name: for lists. With the request: whether it could be made for that name, as by a fallback. */
  model(name: string, facts?: RequestFacts): Denial | null
  /**
   * One target: provider, region, retention. null = allowed. Of several roles only those count that allow the request
   * under the public name `model` (default: as sent); without `facts` nobody knows which, and all of them must allow.
   */
  target(target: Target, facts?: RequestFacts, model?: string): Denial | null
  /** target() never denies: nothing need be asked. */
  readonly anyTarget: boolean
}

/** What a listener knows of a connection. */
export interface PeerSource {
  /** Identity from the TLS client certificate, verified; null = none. */
  readonly peerIdentity: PeerIdentity | null
  /** Address of the other end. */
  readonly peer: string
  /**
   * Somebody else tells of the request, its peer's address included, which proxies may have from a header of the client:
   * by it nobody is believed.
   */
  readonly told?: boolean
  /** Never one of those that proxies speak of callers with, and those that steer proxies only where they are believed. */
  header(name: string): string | undefined
  /**
   * Any header as it came, for those alone who judge whether it is to be believed. Several lines are joined with a
   * newline, which no value can hold.
   */
  identityHeader(name: string): string | undefined
}

/** What of a request's headers may be seen by all who must not believe what callers say of themselves. Never throws. */
export interface HeaderGate {
  /** name: lower case. */
  shows(name: string, from: PeerSource): boolean
  /** Those that may be seen; the same object when none is hidden. */
  visible(
    all: Readonly<Record<string, string | string[] | undefined>>,
    from: PeerSource,
  ): Readonly<Record<string, string | string[] | undefined>>
}

/** Names the caller of a request. */
export interface Authenticator {
  /**
   * Synchronous whenever nothing must be computed or fetched that takes a promise. Throws, or rejects with, GatewayError
   * `unauthenticated`; its `detail` says which rule refused.
   */
  identify(from: PeerSource): Principal | Promise<Principal>
}
