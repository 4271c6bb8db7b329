import type { Operation } from './config.ts'
import type { LimitRule } from './config-limits.ts'

/** What a key, token or role may do. null = not restricted by this rule. Names are glob patterns with `*`. */
export interface GrantConfig {
  readonly models: readonly string[] | null
  readonly operations: readonly Operation[] | null
  readonly providers: readonly string[] | null
  /** Names of functions and built-in tool types that a request may offer to the model. */
  readonly tools: readonly string[] | null
  /** Targets must lie in one of these regions. */
  readonly regions: readonly string[] | null
  /** Targets must not keep prompts. */
  readonly noRetention: boolean
  /** CEL over the request and `principal`; the request is denied when it is not true. */
  readonly when: string | null
}

export interface KeyConfig {
  /** Public name: logs, limits and records show it. */
  readonly id: string
  /** Lower-case hex SHA-256 of the secrets that are valid: more than one while a key is being rotated. */
  readonly hashes: readonly { readonly sha256: string; /** Epoch ms; Infinity = no end. */ readonly until: number }[]
  readonly owner: string
  /** For usage records, such as a cost centre. */
  readonly labels: Readonly<Record<string, string>>
  readonly tenant: string
  readonly team: string
  readonly user: string
  readonly roles: readonly string[]
  readonly grant: GrantConfig
  readonly limits: readonly LimitRule[]
  /** Epoch ms; Infinity = never. */
  readonly expiresAt: number
}

/** Keys minted offline by `heddle key mint`: EdDSA (RFC 8037) signed tokens, checked with the public key alone. */
export interface SignedKeysConfig {
  readonly issuers: readonly { readonly name: string; /** JWK (RFC 7517), JSON text. */ readonly publicKey: string }[]
  /** Ids of keys that are no longer valid. */
  readonly revoked: readonly string[]
}

export interface JwtConfig {
  readonly name: string
  readonly issuer: string
  /** One of them must be in `aud`. */
  readonly audiences: readonly string[]
  readonly algorithms: readonly string[]
  readonly jwks:
    | {
        readonly kind: 'url'
        readonly url: string
        /** PEM. */
        readonly ca: string | null
        /** Files that are read anew for each fetch, as a platform replaces them: PEM, and a token sent as bearer. */
        readonly caFile: string | null
        readonly bearerFile: string | null
        /** Ms. Between fetches because of an unknown kid, and between regular refreshes. */
        readonly cooldownMs: number
        readonly refreshMs: number
      }
    | { readonly kind: 'inline'; /** JWK set, JSON text. */ readonly text: string }
  readonly clockToleranceMs: number
  /** Longest life of a token that is accepted (exp - iat); 0 = any. */
  readonly maxAgeMs: number
  /**
   * Claim that holds each property; dots step into objects, the longest name that is there first; null = not taken from
   * the token. What is taken from it and is not in it denies: no such role, no such model.
   */
  readonly claims: {
    readonly tenant: string | null
    readonly team: string | null
    readonly user: string | null
    readonly roles: string | null
    readonly models: string | null
    readonly limits: string | null
  }
  /** For every token of this issuer. */
  readonly tenant: string
  readonly roles: readonly string[]
  /** CEL over `principal`; a token for which it is not true is refused. */
  readonly require: string | null
}

/** How claims of a token that a proxy has verified make a caller. */
export interface PeerClaimsConfig {
  /** First part of the caller's id. */
  readonly name: string
  /** `iss` must be one of them; null = any, none included. */
  readonly issuers: readonly string[] | null
  readonly claims: JwtConfig['claims']
  /** For every such caller. */
  readonly tenant: string
  readonly roles: readonly string[]
  /** CEL over `principal`; a token for which it is not true is refused. */
  readonly require: string | null
}

/** Who may call without a key. All selectors that are given must fit; null = not given. They are globs. */
export interface PeerEntryConfig {
  /** PeerIdentity.id. */
  readonly id: string | null
  readonly trustDomain: string | null
  readonly namespace: string | null
  readonly serviceAccount: string | null
  /** Being this peer is not enough, a key or token is needed besides; and the entry restricts what that may do. */
  readonly alsoKey: boolean
  readonly tenant: string
  readonly team: string
  readonly user: string
  readonly roles: readonly string[]
  readonly grant: GrantConfig
  readonly limits: readonly LimitRule[]
}

/** Callers known by certificate, or by a header that a trusted peer has set. */
export interface PeersConfig {
  /** Header that carries the caller's identity; null = `mesh.identity` says which. */
  readonly header: string | null
  /** CIDR ranges whose header is believed. */
  readonly trust: readonly string[]
  /** First match wins. */
  readonly map: readonly PeerEntryConfig[]
  /** null = claims that a proxy gives are not used. */
  readonly claims: PeerClaimsConfig | null
}

export interface AuthConfig {
  /** Requests without credentials: refused, or anonymous with these roles. */
  readonly anonymous: { readonly allowed: boolean; readonly roles: readonly string[] }
  readonly keys: readonly KeyConfig[]
  readonly signedKeys: SignedKeysConfig | null
  readonly jwt: readonly JwtConfig[]
  readonly peers: PeersConfig | null
  readonly roles: Readonly<Record<string, GrantConfig>>
}

export interface TenantConfig {
  readonly name: string
  readonly grant: GrantConfig
  readonly limits: readonly LimitRule[]
  /** Share of a contended backend relative to other tenants; > 0. */
  readonly weight: number
  /** Waits before tenants of higher numbers when a backend is contended. */
  readonly priority: number
  /** For usage records; a key's own labels go before them. */
  readonly labels: Readonly<Record<string, string>>
  /** Provider name -> the tenant's own key: used for its requests instead of the provider's. */
  readonly credentials: Readonly<Record<string, string>>
}
