import type { Call, Upstream, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'

/** A call that waits for what will make it. */
class WaitingCall implements Call {
  #call: Call | null = null
  #aborted = false

  begin(upstream: Upstream, request: UpstreamRequest, sink: UpstreamSink): void {
    if (!this.#aborted) this.#call = upstream.call(request, sink)
  }

  fail(error: unknown, sink: UpstreamSink): void {
    if (!this.#aborted) sink.onFault({ kind: 'connect', detail: error instanceof Error ? error.message : 'unknown' })
  }

  abort(blame = false): void {
    this.#aborted = true
    this.#call?.abort(blame)
  }
  pause(): void {
    this.#call?.pause()
  }
  resume(): void {
    this.#call?.resume()
  }
}

/** Code that only some configurations need is loaded when one is compiled; calls that come before it wait. */
export class LazyUpstream implements Upstream {
  #upstream: Upstream | null = null
  readonly #loading: Promise<Upstream>

  constructor(load: () => Promise<Upstream>) {
    this.#loading = load().then((upstream) => (this.#upstream = upstream))
    this.#loading.catch(() => {})
  }

  call(request: UpstreamRequest, sink: UpstreamSink): Call {
    if (this.#upstream !== null) return this.#upstream.call(request, sink)
    const call = new WaitingCall()
    this.#loading.then(
      (upstream) => call.begin(upstream, request, sink),
      (error: unknown) => call.fail(error, sink),
    )
    return call
  }

  async close(): Promise<void> {
    await (await this.#loading).close()
  }
}
