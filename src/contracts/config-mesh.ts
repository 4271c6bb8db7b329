import type { SvidConfig } from './config-svid.ts'

export type MeshKind = 'none' | 'istio' | 'istio-ambient' | 'linkerd'

/** How the process behaves among the proxies of a service mesh. */
export interface MeshConfig {
  /** `auto`: looked for at the start when the process runs in Kubernetes; before anything serves, what was found stands here. */
  readonly kind: MeshKind | 'auto'
  /** Hold outbound work (not the listener) until the proxy is ready, at most so long, ms; 0 = do not wait. */
  readonly waitForProxyMs: number
  readonly identity: MeshIdentityConfig
  /** This workload's own certificate, where no sidecar has one; null = none. */
  readonly svid: SvidConfig | null
  readonly retries: {
    /** Who tries a failed call again: Heddle, or the mesh (then Heddle only fails over to other targets). */
    readonly owner: 'gateway' | 'mesh'
    /** Tell proxies in front that a final answer is not to be asked for again (`x-envoy-ratelimited`). */
    readonly veto: boolean
  }
  /** `mesh-safe`: a provider's 5xx goes out as 424, so that outlier detection does not eject a healthy gateway. `auto`: so in a mesh. */
  readonly providerFailure: 'passthrough' | 'mesh-safe' | 'auto'
  /** Send `l5d-*` request headers; Linkerd's control plane must allow them. */
  readonly linkerdHeaders: boolean
  /** Answers tell how busy we are (ORCA, `endpoint-load-metrics`), for proxies that weigh their endpoints. */
  readonly orca: boolean
  /** When a job of ours ends, end the pod's proxy as well, so that the pod can complete. */
  readonly proxyShutdown: boolean
}

export interface MeshIdentityConfig {
  /**
   * Whose identity headers are believed. none: nobody's. loopback-sidecar: the pod's own proxy, by its address, in a mesh.
   * mtls: peers whose certificate our own TLS listener has verified, and who are one of `forwarders`. attested: anybody who can connect (the operator
   * states that only a waypoint can). cidr: these ranges.
   */
  readonly trust: 'none' | 'loopback-sidecar' | 'mtls' | 'attested' | 'cidr'
  readonly cidrs: readonly string[]
  /** With `mtls`: identities (globs) that may speak for others. Of all others the certificate itself counts. */
  readonly forwarders: readonly string[]
  /**
   * SPIFFE ids (globs) of this workload, or of the proxy that writes the header: `By` of x-forwarded-client-cert must be
   * one. Empty = not checked.
   */
  readonly ownPrincipals: readonly string[]
  /** Header with the payload of a token that the proxy has verified (base64url JSON), lower case; null = none. */
  readonly payloadHeader: string | null
  /** Claim -> header (lower case) in which the proxy gives it. */
  readonly claimHeaders: Readonly<Record<string, string>>
  /** Callers (globs over their ids) for whom these two are believed; `*` = also for those without an identity. */
  readonly claimsFrom: readonly string[]
}
