/** Where the addresses behind a provider come from, and how calls are spread over them. Durations ms. */

export interface HttpSource {
  /** Of the registry's API, without a slash at its end. */
  readonly url: string
  /** Null = none. Secret. */
  readonly token: string | null
  /** PEM; null = the system's. */
  readonly ca: string | null
}

/** Where one cluster's endpoints come from. */
export type DiscoveryConfig = DiscoverySource & {
  /** When the registry says that there is none: `keep` the last ones that there were, or `drop` them. */
  readonly onEmpty: 'keep' | 'drop'
}

export type DiscoverySource =
  /** `host:port`, with a weight and a zone. */
  | {
      readonly type: 'static'
      readonly endpoints: readonly { readonly address: string; readonly weight: number; readonly zone: string }[]
    }
  /** A and AAAA records, asked for again when they expire (at least minTtl, at most maxTtl apart). */
  | {
      readonly type: 'dns'
      readonly name: string
      readonly port: number
      /** `ip:port`; empty = the system's. */
      readonly servers: readonly string[]
      readonly minTtlMs: number
      readonly maxTtlMs: number
    }
  | {
      readonly type: 'dns_srv'
      readonly name: string
      readonly servers: readonly string[]
      readonly minTtlMs: number
      readonly maxTtlMs: number
    }
  /** Kubernetes; api null = as inside of a pod, else as for a kubeconfig-less API server at a URL. */
  | {
      readonly type: 'endpoint_slice'
      readonly namespace: string
      readonly service: string
      /** Name or number; '' = the first. */
      readonly port: string
      readonly api: HttpSource | null
      /** kubeconfig file; null = in cluster. */
      readonly kubeconfig: string | null
    }
  /** Gateway API Inference Extension: pods by the pool's selector. */
  | {
      readonly type: 'inference_pool'
      readonly namespace: string
      readonly name: string
      readonly api: HttpSource | null
      readonly kubeconfig: string | null
    }
  | (HttpSource & {
      readonly type: 'consul'
      readonly service: string
      readonly tag: string | null
      readonly datacenter: string | null
      readonly namespace: string | null
      /** Longest blocking query. */
      readonly waitMs: number
      readonly passingOnly: boolean
    })
  /** v3 JSON gateway of etcd. Each key below prefix is an endpoint: value `host:port`, or JSON with address, weight, zone. */
  | (Omit<HttpSource, 'url'> & {
      readonly type: 'etcd'
      readonly urls: readonly string[]
      readonly prefix: string
      readonly username: string | null
      /** Secret. */
      readonly password: string | null
    })
  /** ADS: CDS and EDS. */
  | {
      readonly type: 'xds'
      /** `host:port` or `unix:PATH`. */
      readonly server: string
      readonly tls: boolean
      readonly ca: string | null
      readonly cluster: string
      readonly nodeId: string
      readonly nodeCluster: string
    }

export type ScorerName = 'prefix' | 'queue' | 'kv' | 'lora' | 'inflight' | 'latency' | 'zone'

/** Server whose names of metrics are read. */
export type Engine = 'auto' | 'vllm' | 'sglang' | 'triton' | 'tgi'

export interface BalancingConfig {
  /** `mesh`: calls go to the name in base_url, and the proxies choose. `gateway`: Heddle chooses an address. */
  readonly owner: 'gateway' | 'mesh'
  readonly policy: 'scored' | 'least_busy' | 'round_robin' | 'random'
  /** Share of each in the score; 0 = not looked at. */
  readonly scorers: Readonly<Record<ScorerName, number>>
  readonly prefix: {
    /** Bytes of the prompt that make one block. */
    readonly blockBytes: number
    /** Blocks that one endpoint is taken to remember; the metrics of vLLM say it better. */
    readonly blocksPerEndpoint: number
    /** Of a prompt no more than so many bytes are looked at. */
    readonly maxBytes: number
  }
  /** Null = not scraped. */
  readonly metrics: {
    readonly path: string
    readonly port: number | null
    readonly intervalMs: number
    readonly engine: Engine
  } | null
  /** Ask for load reports with each answer (ORCA). */
  readonly orca: boolean
  /** An endpoint with more waiting requests, or a fuller KV cache (0..1), gets nothing while another is below. */
  readonly saturation: { readonly queue: number; readonly kv: number }
  /** Ours; '' = not known. Endpoints in it score. */
  readonly zone: string
  /** The pool's own picker, asked for each call; null = Heddle picks itself. */
  readonly epp: EppConfig | null
}

export interface EppConfig {
  /** `host:port`. */
  readonly address: string
  readonly tls: boolean
  readonly ca: string | null
  /** In its certificate; null = the host of `address`. */
  readonly serverName: string | null
  /** What happens when it cannot be asked: Heddle picks itself, or the call fails with 503. */
  readonly failureMode: 'open' | 'close'
  readonly timeoutMs: number
}
