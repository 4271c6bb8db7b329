/**
 * Every name of OpenTelemetry's semantic conventions that Heddle writes, in one place: GenAI of v1.41.1, the last version
 * that has it (it moves to a repository of its own, which has no release), HTTP and the rest of v1.44.0. With
 * OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental the names are the same: newer ones are not settled.
 */
export const SCHEMA_URL = 'https://opentelemetry.io/schemas/1.41.1'

export const A = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  requestModel: 'gen_ai.request.model',
  requestStream: 'gen_ai.request.stream',
  maxTokens: 'gen_ai.request.max_tokens',
  temperature: 'gen_ai.request.temperature',
  topP: 'gen_ai.request.top_p',
  topK: 'gen_ai.request.top_k',
  seed: 'gen_ai.request.seed',
  stop: 'gen_ai.request.stop_sequences',
  frequencyPenalty: 'gen_ai.request.frequency_penalty',
  presencePenalty: 'gen_ai.request.presence_penalty',
  choices: 'gen_ai.request.choice.count',
  encodingFormats: 'gen_ai.request.encoding_formats',
  dimensions: 'gen_ai.embeddings.dimension.count',
  responseId: 'gen_ai.response.id',
  responseModel: 'gen_ai.response.model',
  finishReasons: 'gen_ai.response.finish_reasons',
  firstChunk: 'gen_ai.response.time_to_first_chunk',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheRead: 'gen_ai.usage.cache_read.input_tokens',
  cacheCreation: 'gen_ai.usage.cache_creation.input_tokens',
  reasoning: 'gen_ai.usage.reasoning.output_tokens',
  inputMessages: 'gen_ai.input.messages',
  outputMessages: 'gen_ai.output.messages',
  toolName: 'gen_ai.tool.name',
  toolType: 'gen_ai.tool.type',
  promptName: 'gen_ai.prompt.name',
  mcpMethod: 'mcp.method.name',
  mcpRevision: 'mcp.protocol.version',
  mcpUri: 'mcp.resource.uri',
  rpcId: 'jsonrpc.request.id',
  systemInstructions: 'gen_ai.system_instructions',
  tokenType: 'gen_ai.token.type',
  openaiApi: 'openai.api.type',
  openaiRequestTier: 'openai.request.service_tier',
  openaiResponseTier: 'openai.response.service_tier',
  errorType: 'error.type',
  serverAddress: 'server.address',
  serverPort: 'server.port',
  peerAddress: 'network.peer.address',
  peerPort: 'network.peer.port',
  clientAddress: 'client.address',
  method: 'http.request.method',
  status: 'http.response.status_code',
  route: 'http.route',
  resendCount: 'http.request.resend_count',
  requestSize: 'http.request.body.size',
  responseSize: 'http.response.body.size',
  path: 'url.path',
  scheme: 'url.scheme',
  urlFull: 'url.full',
  userAgent: 'user_agent.original',
} as const

/** Heddle's own: no convention has them. */
export const H = {
  /** Of the configuration that served the request. */
  config: 'heddle.config.hash',
  requestId: 'heddle.request_id',
  tenant: 'heddle.tenant',
  keyId: 'heddle.key_id',
  peer: 'heddle.peer',
  route: 'heddle.route',
  target: 'heddle.target',
  result: 'heddle.attempt.result',
  origin: 'heddle.failure.origin',
  hedge: 'heddle.attempt.hedge',
  proxyTime: 'heddle.proxy.upstream_time',
  costUsd: 'heddle.cost_usd',
  overhead: 'heddle.overhead',
  cache: 'heddle.cache',
  similarity: 'heddle.cache.similarity',
  confidence: 'heddle.cache.confidence',
  rule: 'heddle.rule',
  reason: 'heddle.reason',
} as const

/** What GenAI calls a provider, by the name of its preset; others go by their own name. */
const PROVIDERS: Readonly<Record<string, string>> = {
  anthropic: 'anthropic',
  azure: 'azure.ai.openai',
  bedrock: 'aws.bedrock',
  cohere: 'cohere',
  deepseek: 'deepseek',
  gemini: 'gcp.gemini',
  groq: 'groq',
  mistral: 'mistral_ai',
  openai: 'openai',
  perplexity: 'perplexity',
  vertex: 'gcp.vertex_ai',
  xai: 'x_ai',
}

/** type: of the provider's configuration; name: what the operator calls it, for those that no list has. */
export const providerName = (type: string, name: string): string =>
  PROVIDERS[type] ?? (type === 'openai_compatible' ? name : type)

/** Advised edges: GenAI metrics v1.41.1, HTTP metrics v1.44.0. Seconds and tokens. */
export const TOKEN_BOUNDS = [
  1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864,
] as const
export const HTTP_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] as const

/** Metrics that conventions name: as Prometheus has them, and as OpenTelemetry does. */
export const METRICS = {
  operationDuration: 'gen_ai_client_operation_duration_seconds',
  firstChunk: 'gen_ai_client_operation_time_to_first_chunk_seconds',
  tokenUsage: 'gen_ai_client_token_usage',
  serverDuration: 'http_server_request_duration_seconds',
} as const

export const OTEL_METRICS: Readonly<Record<string, { readonly name: string; readonly unit: string }>> = {
  [METRICS.operationDuration]: { name: 'gen_ai.client.operation.duration', unit: 's' },
  [METRICS.firstChunk]: { name: 'gen_ai.client.operation.time_to_first_chunk', unit: 's' },
  [METRICS.tokenUsage]: { name: 'gen_ai.client.token.usage', unit: '{token}' },
  [METRICS.serverDuration]: { name: 'http.server.request.duration', unit: 's' },
}

/** Name of a label for an attribute, as the Prometheus exporters of OpenTelemetry write it. */
export const labelOf = (attribute: string): string => attribute.replaceAll('.', '_')

/** Attributes of those metrics by their labels. */
export const LABELS: Readonly<Record<string, string>> = Object.fromEntries(
  [
    A.operation,
    A.provider,
    A.requestModel,
    A.tokenType,
    A.errorType,
    A.serverAddress,
    A.serverPort,
    A.method,
    A.route,
    A.status,
    A.scheme,
  ].map((attribute) => [labelOf(attribute), attribute]),
)
