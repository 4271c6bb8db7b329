import type { SvidSource } from '../contracts/config-svid.ts'
import type { Upstream } from '../contracts/upstream.ts'
import { HeldPool, type Held } from '../core/held-pool.ts'
import type { MappedDialect, MappingConfig } from '../contracts/config-mapping.ts'
import { LazyUpstream } from '../upstream/grpc-lazy.ts'
import { UndiciUpstream, type UndiciUpstreamOptions } from '../upstream/index.ts'

/** Of a server that is called by gRPC. */
export interface GrpcSettings {
  readonly wire: MappedDialect
  readonly mapping: MappingConfig
  /** Longest answer, bytes. */
  readonly maxAnswer: number
  /** Told to the server, ms; 0 = none. */
  readonly deadlineMs: number
}

export interface PoolOptions extends UndiciUpstreamOptions {
  /** Left out: it is called by HTTP/1.1. */
  readonly grpc?: GrpcSettings
}

/** Connections live by what they connect to, not by configuration: an unrelated reload drops no warm connection. */
export class UpstreamPool {
  readonly #pool = new HeldPool<Upstream>((upstream) => {
    // Calls under way end by themselves; nobody waits for it.
    upstream.close().catch(() => {})
  })
  readonly #identity: SvidSource | null

  /** identity: of this workload, for connections that show it. */
  constructor(identity: SvidSource | null = null) {
    this.#identity = identity
  }

  acquire(options: PoolOptions): Held<Upstream> {
    return this.#pool.acquire(JSON.stringify(options), () => this.#make(options))
  }

  #make({ grpc, ...options }: PoolOptions): Upstream {
    if (grpc === undefined) return new UndiciUpstream({ ...options, identity: this.#identity })
    return new LazyUpstream(async () => {
      const { grpcUpstream } = await import('../upstream/grpc-servers.ts')
      return grpcUpstream(options, grpc)
    })
  }

  /** Of many addresses. make: gets what connects to one origin, with everything else as in `options`. */
  acquireCluster(
    options: PoolOptions,
    { key, make }: { readonly key: string; readonly make: (connect: (origin: string) => Upstream) => Upstream },
  ): Held<Upstream> {
    return this.#pool.acquire(`${JSON.stringify(options)} ${key}`, () =>
      make((origin) => this.#make({ ...options, origin })),
    )
  }
}
