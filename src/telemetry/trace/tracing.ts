import { randomUUID } from 'node:crypto'
import type { MeshKind } from '../../contracts/config-mesh.ts'
import type { TracingConfig } from '../../contracts/config-tracing.ts'
import type {
  AnswerParts,
  Attributes,
  RequestTrace,
  Signals,
  SpanData,
  SpanEvent,
  SpanLink,
  SpanSink,
  Tracing,
} from '../../contracts/trace.ts'
import type { ParentContext } from './context.ts'
import { carriedBaggage, carriedState } from './carry.ts'
import { chooseParent } from './context.ts'
import { newSpanId, newTraceId } from './ids.ts'
import { decide } from './sampler.ts'

export interface TracingParts {
  readonly sink: SpanSink
  /** Wall clock, epoch ms. */
  readonly now: () => number
}

/** Of one span; what comes after is counted by nobody, as it would only repeat. */
const MAX_EVENTS = 64
/** Of an answer that is kept for its content, bytes: no more is added to so much. */
export const MAX_ANSWER = 64 * 1024
/** Of each of an answer's last parts, bytes. */
const MAX_END = 2048
/** Where Envoy writes its decision into a request id: the digit that names the UUID's version. */
const DECISION_AT = 14
const NO_EVENTS: readonly SpanEvent[] = []
const NO_ATTRIBUTES: Attributes = {}
const NO_BUFFERS: readonly Buffer[] = []

/** What a configuration makes of every request, worked out once. */
class Rules {
  readonly config: TracingConfig
  readonly prefer: 'w3c' | 'b3'
  readonly b3: boolean
  readonly b3multi: boolean
  readonly baggage: ReadonlySet<string>
  readonly parts: TracingParts

  constructor(config: TracingConfig, kind: MeshKind, parts: TracingParts) {
    this.config = config
    this.parts = parts
    // Linkerd reads W3C first and rewrites what it has read; so do Istio's proxies with OpenTelemetry.
    const ofMesh = kind.startsWith('istio') && config.istioProvider === 'zipkin' ? 'b3' : 'w3c'
    this.prefer = config.parent === 'auto' ? ofMesh : config.parent
    this.b3 = config.inject.includes('b3')
    this.b3multi = config.inject.includes('b3multi')
    this.baggage = new Set(config.baggage)
  }
}

class Trace implements RequestTrace, AnswerParts {
  readonly traceId: string
  readonly spanId = newSpanId()
  readonly callSpanId: string
  readonly parentSpanId: string
  readonly traceState: string
  readonly sampled: boolean
  readonly link: SpanLink | null
  request: Attributes | null = null
  first: Buffer | null = null
  all: readonly Buffer[] = NO_BUFFERS
  readonly #rules: Rules
  readonly #parent: ParentContext | null
  readonly #signals: Signals
  #events: SpanEvent[] | null = null
  #kept: Buffer[] | null = null
  #keptBytes = 0
  /** A reason, a usage and an end of a stream come apart. */
  #last: Buffer | null = null
  #second: Buffer | null = null
  #third: Buffer | null = null

  constructor(rules: Rules, signals: Signals) {
    const { parent, other } = chooseParent(signals, rules.prefer)
    this.#rules = rules
    this.#parent = parent
    this.#signals = signals
    const joins = parent !== null && parent.traceId !== ''
    this.traceId = joins ? parent.traceId : newTraceId()
    this.parentSpanId = joins ? parent.spanId : ''
    // It belongs to the traceparent that it came with.
    this.traceState = joins && parent.form === 'w3c' ? carriedState(signals.tracestate) : ''
    this.sampled = decide(rules.config, parent, this.traceId)
    this.callSpanId = this.sampled ? newSpanId() : this.spanId
    this.link = other === null ? null : { traceId: other.traceId, spanId: other.spanId }
  }

  get content(): TracingConfig['content'] {
    return this.#rules.config.content
  }

  get events(): readonly SpanEvent[] {
    return this.#events ?? NO_EVENTS
  }

  get answer(): AnswerParts {
    return this
  }

  get last(): Buffer | null {
    const ends = [this.#third, this.#second, this.#last].filter((part) => part !== null)
    return ends.length === 0 ? null : Buffer.concat(ends.map((part) => part.subarray(-MAX_END)))
  }

  newSpanId(): string {
    return newSpanId()
  }

  #traceparent(spanId: string): string {
    const flags = this.#parent?.random === true ? (this.sampled ? '03' : '02') : this.sampled ? '01' : '00'
    return `00-${this.traceId}-${spanId}-${flags}`
  }

  injectVendor(to: string[], spanId: string): void {
    to.push('traceparent', this.#traceparent(spanId))
  }

  injectMesh(to: string[], spanId: string): void {
    const rules = this.#rules
    const signals = this.#signals
    to.push('traceparent', this.#traceparent(spanId))
    if (this.traceState !== '') to.push('tracestate', this.traceState)
    if (rules.b3 || signals.b3 !== undefined) this.#injectB3(to, spanId)
    if (rules.b3multi || signals.b3TraceId !== undefined || signals.b3Sampled !== undefined)
      this.#injectB3Multi(to, spanId)
    if (signals.baggage !== undefined) {
      const baggage = carriedBaggage(signals.baggage, rules.baggage)
      if (baggage !== '') to.push('baggage', baggage)
    }
    for (const part of signals.otherTracers) to.push(part)
  }

  /** As long as it came: a tracer of 64 bits would take the padded one for another trace. */
  get #b3TraceId(): string {
    return this.#parent?.short === true ? this.traceId.slice(16) : this.traceId
  }

  #injectB3(to: string[], spanId: string): void {
    const state = this.#parent?.debug === true ? 'd' : this.sampled ? '1' : '0'
    to.push('b3', `${this.#b3TraceId}-${spanId}-${state}-${this.callSpanId}`)
  }

  #injectB3Multi(to: string[], spanId: string): void {
    to.push('x-b3-traceid', this.#b3TraceId, 'x-b3-spanid', spanId, 'x-b3-parentspanid', this.callSpanId)
    // Debug implies the decision: B3 says not to send both.
    if (this.#parent?.debug === true) to.push('x-b3-flags', '1')
    else to.push('x-b3-sampled', this.sampled ? '1' : '0')
  }

  event(name: string, attributes: Attributes = NO_ATTRIBUTES): void {
    if (!this.sampled) return
    this.#events ??= []
    if (this.#events.length < MAX_EVENTS) this.#events.push({ name, at: this.#rules.parts.now(), attributes })
  }

  noteAnswer(bytes: Buffer): void {
    if (!this.sampled || bytes.length === 0) return
    if (this.first === null) this.first = bytes
    else {
      this.#third = this.#second
      this.#second = this.#last
      this.#last = bytes
    }
    if (this.content === 'off' || this.#keptBytes >= MAX_ANSWER) return
    if (this.#kept === null) {
      this.#kept = []
      this.all = this.#kept
    }
    this.#kept.push(bytes)
    this.#keptBytes += bytes.length
  }

  record(spans: readonly SpanData[]): void {
    this.#rules.parts.sink.write(spans)
  }
}

/** Traces as a configuration wants them, in a mesh of this kind. Holds nothing that must be closed. */
export function createTracing(config: TracingConfig, kind: MeshKind, parts: TracingParts): Tracing {
  const rules = new Rules(config, kind, parts)
  return {
    begin: (signals) => new Trace(rules, signals),
    mintId(trace) {
      const id = randomUUID()
      return trace.sampled ? `${id.slice(0, DECISION_AT)}9${id.slice(DECISION_AT + 1)}` : id
    },
  }
}
