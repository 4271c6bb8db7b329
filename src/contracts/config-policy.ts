export type PolicyServiceName = 'authz' | 'ext_proc' | 'ratelimit'

/** The policy service: a gRPC port on which proxies of a mesh ask for the decisions of this configuration. */
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
    /**
     * What a check takes of limits. off: nothing. estimate: what its call is expected to use, for good. settle: the same,
     * until the rate limit service is told what was used.
     */
    readonly limits: 'off' | 'estimate' | 'settle'
  }
  readonly extProc: {
    /** Calls get the provider's credentials. */
    readonly credentials: boolean
    /** Calls get the provider's path and host. */
    readonly rewrite: boolean
    /** Open streams per worker. */
    readonly maxStreams: number
  }
  /** What a check has taken waits so long for the end of its call, ms. */
  readonly settleMs: number
  /** Ports on which inference gateways ask for an endpoint of one provider. */
  readonly pickers: readonly {
    readonly port: number
    readonly provider: string
    /** Priority of each objective; below 0 a request may be refused when all endpoints are saturated. */
    readonly objectives: Readonly<Record<string, number>>
  }[]
}
