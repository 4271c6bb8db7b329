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

/** The part that one request has of a trace. Ids are lower-case hex: 32 and 16 characters (W3C Trace Context 2.2). */
export interface RequestTrace {
  readonly traceId: string
  /** Of Heddle's own span of the request. */
  readonly spanId: string
  /** False = ids are carried on, nothing is recorded. */
  readonly sampled: boolean
  /** Id of a span for one call of a backend. */
  newSpanId(): string
  /** Adds what a backend in the mesh needs to go on with the trace below that span, in every form wanted. */
  injectMesh(to: string[], spanId: string): void
  /** Adds `traceparent` alone: for vendors that are to be told. */
  injectVendor(to: string[], spanId: string): void
  /** A decision on the way, as an event of the request's span; nothing happens when it is not sampled. */
  event(name: string, attributes?: Readonly<Record<string, string | number | boolean>>): void
}

/** What a configuration asks of traces. */
export interface Tracing {
  /** Never throws, whatever the headers hold. requestId: as it came; undefined = none did, or it is not fit. */
  begin(signals: Signals, requestId: string | undefined): RequestTrace
  /** A request id for a request that came without one: UUIDv4 whose 14th digit follows Envoy's convention at the root of a trace. */
  mintId(trace: RequestTrace): string
}
