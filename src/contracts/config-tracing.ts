/** Where OTLP goes. Headers may hold secrets. */
export interface OtlpConfig {
  readonly protocol: 'grpc' | 'http/protobuf' | 'http/json'
  /** The whole URL of the signal, such as `http://collector:4318/v1/traces`; with gRPC the origin. */
  readonly endpoint: string
  readonly headers: Readonly<Record<string, string>>
  /** For one batch, all tries together. */
  readonly timeoutMs: number
  readonly compression: 'gzip' | 'none'
  /** PEM; null = the system's. */
  readonly ca: string | null
  /** PEM, shown to the collector; null = none. */
  readonly clientCert: { readonly cert: string; readonly key: string } | null
}

/** How spans are collected before they go out (OpenTelemetry's OTEL_BSP_* variables). */
export interface SpanBatchConfig {
  /** Spans that wait or are on their way, in the whole process; further ones are dropped and counted. */
  readonly maxQueue: number
  readonly maxBatch: number
  readonly delayMs: number
}

export interface TracingConfig {
  /** Which context is the parent when a request carries several; `auto` = the one that the mesh's own proxy writes. */
  readonly parent: 'auto' | 'w3c' | 'b3'
  /** Which tracer Istio's proxies run: it decides what `auto` means. */
  readonly istioProvider: 'otel' | 'zipkin'
  /** Sent to the mesh besides W3C, whether it came in or not. */
  readonly inject: readonly ('b3' | 'b3multi')[]
  /** Keys of W3C baggage that go on, to the mesh only. */
  readonly baggage: readonly string[]
  /** Prompts and answers on spans. */
  readonly content: 'off' | 'redacted' | 'full'
  /** 0..1: share of traces begun here that are sampled. A parent's decision is final. */
  readonly ratio: number
  /** `always_on` and the like without asking the parent. */
  readonly parentBased: boolean
  /** With `service.name`. */
  readonly resource: Readonly<Record<string, string>>
  /** null = no spans are made; contexts are passed on as they came. */
  readonly traces: OtlpConfig | null
  readonly batch: SpanBatchConfig
  readonly metrics: (OtlpConfig & { readonly intervalMs: number }) | null
  /** What the environment asks for and is not known here; logged at the start, nothing else follows from it. */
  readonly notes: readonly string[]
}
