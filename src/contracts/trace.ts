/**
 * What callers and proxies say of a request beside its content: traces, deadlines, attempts. Values as they came, not
 * judged; undefined = absent, or there twice where it may stand once.
 */
export interface Signals {
  readonly traceparent: string | undefined
  /** Several lines are one list. */
  readonly tracestate: string | undefined
  readonly baggage: string | undefined
  readonly b3: string | undefined
  readonly b3TraceId: string | undefined
  readonly b3SpanId: string | undefined
  readonly b3ParentSpanId: string | undefined
  readonly b3Sampled: string | undefined
  readonly b3Flags: string | undefined
  /** Contexts of other tracers, flat: name, value. Passed on to the mesh as they are. */
  readonly otherTracers: readonly string[]
  readonly expectedTimeoutMs: string | undefined
  readonly grpcTimeout: string | undefined
  readonly requestTimeoutMs: string | undefined
  /** Seconds, of the OpenAI and Anthropic SDKs. */
  readonly sdkTimeout: string | undefined
  readonly sdkReadTimeout: string | undefined
  readonly attemptCount: string | undefined
  readonly sdkRetryCount: string | undefined
}

export type AttributeValue = string | number | boolean | readonly string[]
export type Attributes = Readonly<Record<string, AttributeValue>>

export interface SpanEvent {
  readonly name: string
  /** Epoch ms, with a fraction. */
  readonly at: number
  readonly attributes: Attributes
}

export interface SpanLink {
  readonly traceId: string
  readonly spanId: string
}

/** One finished span, as it is exported. Only requests that are sampled have any. */
export interface SpanData {
  readonly traceId: string
  readonly spanId: string
  /** '' = the root of its trace. */
  readonly parentSpanId: string
  /** The parent is in another process. */
  readonly remoteParent: boolean
  /** W3C; '' = none. */
  readonly traceState: string
  readonly kind: 'internal' | 'server' | 'client'
  readonly name: string
  /** Epoch ms, with a fraction. */
  readonly startAt: number
  readonly endAt: number
  readonly attributes: Attributes
  readonly events: readonly SpanEvent[]
  readonly links: readonly SpanLink[]
  /** Null = its status is unset: it did not fail. Else what failed, '' = not said. */
  readonly error: string | null
}

/** Takes finished spans. Never throws, never waits; what it has no room for it drops and counts. */
export interface SpanSink {
  /** All spans of one request. */
  write(spans: readonly SpanData[]): void
}

/** The part that one request has of a trace. Ids are lower-case hex: 32 and 16 characters (W3C Trace Context 2.2). */
export interface RequestTrace {
  readonly traceId: string
  /** Of Heddle's own span of the request. */
  readonly spanId: string
  /** Of the span of the logical call: the parent of those of single calls of backends. */
  readonly callSpanId: string
  /** '' = the trace begins here. */
  readonly parentSpanId: string
  /** W3C, as it goes on; '' = none. */
  readonly traceState: string
  /** Another context came in that names another trace; null = none did. */
  readonly link: SpanLink | null
  /** False = ids are carried on, nothing is recorded. */
  readonly sampled: boolean
  /** Prompts and answers on spans. */
  readonly content: 'off' | 'redacted' | 'full'
  /** So far; of a request that is not sampled none. */
  readonly events: readonly SpanEvent[]
  /** What was read of the request while its body was there; null = nothing. */
  request: Attributes | null
  /** Parts of the answer as they went to the client: the first, the last, and with content all up to a bound. */
  readonly answer: AnswerParts
  /** Id of a span for one call of a backend. */
  newSpanId(): string
  /** Adds what a backend in the mesh needs to go on with the trace below that span, in every form wanted. */
  injectMesh(to: string[], spanId: string): void
  /** Adds `traceparent` alone: for vendors that are to be told. */
  injectVendor(to: string[], spanId: string): void
  /** A decision on the way, as an event of the request's span; nothing happens when it is not sampled. */
  event(name: string, attributes?: Attributes): void
  /** Bytes of the answer as they go to the client. Only of requests that are sampled; the bytes are not copied. */
  noteAnswer(bytes: Buffer): void
  /** Hands the finished spans on for export. */
  record(spans: readonly SpanData[]): void
}

export interface AnswerParts {
  readonly first: Buffer | null
  /** The ends of the last parts, one after the other; null = there was one part. */
  readonly last: Buffer | null
  /** All of it, up to a bound; empty unless content is wanted. */
  readonly all: readonly Buffer[]
}

/** What a configuration asks of traces. */
export interface Tracing {
  /** Never throws, whatever the headers hold. requestId: as it came; undefined = none did, or it is not fit. */
  begin(signals: Signals, requestId: string | undefined): RequestTrace
  /**
   * A request id for a request that came without one: a UUIDv4, in which the digit that names the version follows Envoy's
   * convention: `9` = the trace is sampled, `4` = it is not. Envoy decides by it whether spans survive.
   */
  mintId(trace: RequestTrace): string
}
