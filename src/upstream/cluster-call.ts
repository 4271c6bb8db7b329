import type {
  ClusterSource,
  Member,
  Picked,
  PickedCall,
  Picker,
  PickHints,
  PickOptions,
  RemotePicked,
  RemotePicker,
} from '../contracts/cluster.ts'
import type {
  Call,
  PickFacts,
  Upstream,
  UpstreamFault,
  UpstreamHeaders,
  UpstreamRequest,
  UpstreamSink,
} from '../contracts/upstream.ts'
import { GatewayError } from '../core/errors.ts'

export interface ClusterParts {
  readonly source: ClusterSource
  readonly picker: Picker
  readonly remote: RemotePicker | null
  /** Clock.monotonic, ms. */
  readonly now: () => number
  /** Flat list that all requests get. */
  readonly more: readonly string[]
  readonly of: (address: string) => Upstream
}

/** Members that one call may try to connect to. */
const MAX_TRIES = 3
/** Nothing listens any more where nobody could be asked; these are of our own process. */
const OUR_OWN = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL'])
const NO_PICK: PickFacts = { model: '', promptTokens: 0, session: '', priority: 0 }

/** One call of a cluster: the member that it has now, and those that it had before, which could not be reached. */
export class ClusterCall implements Call, UpstreamSink {
  readonly #parts: ClusterParts
  readonly #sink: UpstreamSink
  /** Dropped with the head of the answer: nobody sends it again. */
  #request: UpstreamRequest | null
  #inner: Call | null = null
  #counted: PickedCall | null = null
  #tried: number[] | null = null
  /** What the remote picker has named, and what of it is left. */
  #named: RemotePicked | null = null
  #left: string[] = []
  #address = ''
  #status = 0
  #over = false
  #paused = false

  constructor(parts: ClusterParts, request: UpstreamRequest, sink: UpstreamSink) {
    this.#parts = parts
    this.#request = request
    this.#sink = sink
  }

  /** Faults are told later, never from here. */
  start(): void {
    const { remote, now, source } = this.#parts
    if (remote === null) {
      this.#pick()
      return
    }
    const { headers, more } = this.#request!
    const subset = new Set(source.set.members.map(({ address }) => address))
    remote
      .pick(this.#hints(), more === undefined ? headers : [...headers, ...more], { now: now(), subset })
      .then((named) => this.#take(named))
      .catch((error: unknown) => this.#refuse(error))
  }

  #take(named: RemotePicked): void {
    if (this.#over) {
      named.served('', 0)
      return
    }
    this.#named = named
    const request = this.#request!
    // Those that have failed the request before come last.
    const { failed = [] } = request.pick ?? NO_PICK
    this.#left = named.addresses.toSorted((a, b) => Number(failed.includes(a)) - Number(failed.includes(b)))
    this.#request = {
      ...request,
      body: named.body ?? request.body,
      more: [...(request.more ?? []), ...named.headers],
    }
    if (named.addresses.length === 0) this.#pick()
    else if (!this.#callNamed()) {
      const detail = 'none of the endpoints that were picked is a member any more'
      throw new GatewayError('upstream_unavailable', 'No endpoint of the model can take the request now.', { detail })
    }
  }

  #hints(): PickHints {
    const { pick = NO_PICK, body } = this.#request!
    const { model, promptTokens, session, priority } = pick
    return { model, body, promptTokens, session, priority }
  }

  #options(): PickOptions {
    const { explain = false, failed } = this.#request!.pick ?? NO_PICK
    const options = { now: this.#parts.now(), explain, ...(failed === undefined ? {} : { failed }) }
    return this.#tried === null ? options : { ...options, tried: this.#tried }
  }

  #pick(): void {
    let picked: Picked
    try {
      picked = this.#parts.picker.pick(this.#hints(), this.#options())
    } catch (error) {
      queueMicrotask(() => this.#refuse(error))
      return
    }
    this.#call(picked.members[0]!, picked)
  }

  /** The next of those that the remote picker has named. False = none of them is left. */
  #callNamed(): boolean {
    const { picker, source, now } = this.#parts
    for (let address = this.#left.shift(); address !== undefined; address = this.#left.shift()) {
      const member = source.set.members.find((one) => one.address === address)
      if (member === undefined) continue
      // Whether there is room was for the remote picker to say.
      const picked = picker.pick({ ...this.#hints(), priority: 0 }, { now: now(), subset: new Set([address]) })
      this.#call(member, picked)
      return true
    }
    return false
  }

  #call(member: Member, picked: Picked): void {
    ;(this.#tried ??= []).push(member.slot)
    this.#counted = this.#parts.picker.begin(member, picked, this.#parts.now())
    this.#send(member.address, picked.note)
  }

  #send(address: string, note: string): void {
    const request = this.#request!
    this.#address = address
    this.#sink.onEndpoint?.(address, note)
    if (this.#over) return
    const more = request.more === undefined ? this.#parts.more : [...request.more, ...this.#parts.more]
    this.#inner = this.#parts.of(address).call({ ...request, more }, this)
    if (this.#paused) this.#inner.pause()
  }

  // ── what the member's connection reports ──────────────────────────────────
  onHead(status: number, headers: UpstreamHeaders): void {
    this.#request = null
    this.#status = status
    this.#counted?.answered(headers, this.#parts.now())
    this.#served()
    this.#sink.onHead(status, headers)
  }

  onData(chunk: Buffer): void {
    if (this.#status !== 0) {
      if (this.#status > 0 && this.#status < 300) this.#counted?.began(this.#parts.now())
      // Once is enough: the clock is not read for each chunk.
      if (this.#status < 500) this.#status = -1
    }
    this.#sink.onData(chunk)
  }

  onEnd(): void {
    if (this.#over) return
    this.#over = true
    this.#end(this.#status >= 500 ? 'failed' : 'ok')
    this.#sink.onEnd()
  }

  onFault(fault: UpstreamFault): void {
    if (this.#over) return
    const { kind, detail } = fault
    const ours = OUR_OWN.has(detail)
    this.#end(ours || kind === 'aborted' ? 'neutral' : kind === 'connect' ? 'unreachable' : 'failed')
    // Nothing was sent: another may have it, at once.
    if (kind === 'connect' && !ours && this.#request !== null && this.#goOn()) return
    this.#over = true
    this.#served()
    this.#sink.onFault(this.#address === '' ? fault : { ...fault, detail: `${this.#address}: ${detail}` })
  }

  /** True = another member has the call. */
  #goOn(): boolean {
    if (this.#named !== null && this.#named.addresses.length > 0) return this.#callNamed()
    if (this.#tried!.length >= MAX_TRIES) return false
    let picked: Picked
    try {
      picked = this.#parts.picker.pick(this.#hints(), this.#options())
    } catch {
      return false
    }
    this.#call(picked.members[0]!, picked)
    return true
  }

  #end(outcome: Parameters<PickedCall['end']>[0]): void {
    this.#counted?.end(outcome, this.#parts.now())
    this.#counted = null
  }

  #served(): void {
    this.#named?.served(this.#status === 0 ? '' : this.#address, Math.max(0, this.#status))
    this.#named = null
  }

  /** No member could be chosen. */
  #refuse(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#served()
    const refusal = GatewayError.from(error)
    const detail = refusal.detail ?? refusal.message
    // Where nobody is left, the backend is down as a whole. A picker that turns a call away says nothing of the backend.
    const down = refusal.code === 'upstream_unavailable' && this.#parts.remote === null
    this.#sink.onFault(down ? { kind: 'connect', detail } : { kind: 'connect', detail, refusal })
  }

  // ── what the attempt wants ────────────────────────────────────────────────
  abort(blame = false): void {
    if (this.#over) return
    this.#over = true
    this.#end(blame ? 'failed' : 'neutral')
    this.#served()
    this.#inner?.abort()
  }

  pause(): void {
    this.#paused = true
    this.#inner?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#inner?.resume()
  }
}
