import type { SvidSource } from '../contracts/config-svid.ts'
import type { Upstream } from '../contracts/upstream.ts'
import { HeldPool, type Held } from '../core/held-pool.ts'
import { UndiciUpstream, type UndiciUpstreamOptions } from '../upstream/index.ts'

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

  acquire(options: UndiciUpstreamOptions): Held<Upstream> {
    return this.#pool.acquire(
      JSON.stringify(options),
      () => new UndiciUpstream({ ...options, identity: this.#identity }),
    )
  }

  /** Of many addresses. make: gets what connects to one origin, with everything else as in `options`. */
  acquireCluster(
    options: UndiciUpstreamOptions,
    { key, make }: { readonly key: string; readonly make: (connect: (origin: string) => Upstream) => Upstream },
  ): Held<Upstream> {
    return this.#pool.acquire(`${JSON.stringify(options)} ${key}`, () =>
      make((origin) => new UndiciUpstream({ ...options, origin, identity: this.#identity })),
    )
  }
}
