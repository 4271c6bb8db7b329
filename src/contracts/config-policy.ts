export type PolicyServiceName = 'authz' | 'ext_proc' | 'ratelimit' | 'epp'

/** The policy service: one gRPC port, on which proxies of a mesh ask for the decisions of this configuration. */
export interface PolicyServiceConfig {
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
  /** Path of a Unix socket beside the port; null = none. */
  readonly socket: string | null
  /** TLS, as `server.tls` has it. */
  readonly tls: boolean
  readonly services: readonly PolicyServiceName[]
  readonly authz: {
    /** A check takes from limits what its call is expected to use. */
    readonly limits: boolean
  }
  readonly extProc: {
    /** Calls get the provider's credentials. */
    readonly credentials: boolean
    /** Calls get the provider's path and host. */
    readonly rewrite: boolean
    /** Open streams per worker. */
    readonly maxStreams: number
  }
  /** What the rate limit service has taken waits so long for the end of its call, ms. */
  readonly settleMs: number
}
