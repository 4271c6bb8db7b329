import type { ClusterSource, EndpointSet, Picker, RemotePicker } from '../contracts/cluster.ts'
import type { Call, Upstream, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import { systemClock, type Clock } from '../core/clock.ts'
import { ClusterCall, type ClusterParts } from './cluster-call.ts'

export interface ClusterUpstreamOptions {
  readonly source: ClusterSource
  readonly picker: Picker
  /** Asked before `picker` is; null = none. Closed with this. */
  readonly remote: RemotePicker | null
  /** Connections to one member. address: `host:port`, IPv6 in brackets. */
  readonly connect: (address: string) => Upstream
  /** Value of `host`: that of the service, whichever of its addresses is called. */
  readonly host: string
  /** Ask for load reports with each answer. */
  readonly orca: boolean
  readonly clock?: Clock
}

/**
 * Many addresses behind one provider: each call goes to the one that the picker names. Members have their own connections,
 * made when one is first called; those of a member that has gone are closed once its calls have ended.
 */
export class ClusterUpstream implements Upstream {
  readonly #options: ClusterUpstreamOptions
  readonly #clock: Clock
  readonly #parts: ClusterParts
  readonly #members = new Map<string, Upstream>()
  readonly #unwatch: () => void
  #closed = false

  constructor(options: ClusterUpstreamOptions) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    const { source, picker, remote, host, orca } = options
    this.#parts = {
      source,
      picker,
      remote,
      now: this.#clock.monotonic,
      more: orca ? ['host', host, 'endpoint-load-metrics-format', 'JSON'] : ['host', host],
      of: (address) => this.#of(address),
    }
    this.#unwatch = source.watch((set) => this.#keep(set))
  }

  get picker(): Picker {
    return this.#options.picker
  }

  others(address: string): number {
    return this.#options.picker.usable(this.#clock.monotonic(), address)
  }

  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    const call = new ClusterCall(this.#parts, request, sink)
    call.start()
    return call
  }

  #of(address: string): Upstream {
    const upstream = this.#members.get(address)
    if (upstream === undefined) {
      const made = this.#options.connect(address)
      if (!this.#closed) this.#members.set(address, made)
      // A call that was only just given its address has it made, and nobody else will end it.
      else queueMicrotask(() => void made.close().catch(() => {}))
      return made
    }
    return upstream
  }

  #keep({ members }: EndpointSet): void {
    if (this.#members.size === 0) return
    const known = new Set(members.map(({ address }) => address))
    for (const [address, upstream] of this.#members) {
      if (known.has(address)) continue
      this.#members.delete(address)
      // Calls under way end by themselves; nobody waits for it.
      upstream.close().catch(() => {})
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#unwatch()
    this.#options.remote?.close()
    const all = [...this.#members.values()]
    this.#members.clear()
    await Promise.all(all.map((upstream) => upstream.close()))
  }
}
