import type { IOtlpExportDelegate } from '@opentelemetry/otlp-exporter-base'
import type { ISerializer } from '@opentelemetry/otlp-transformer'
import type { OtlpConfig } from '../../contracts/config-tracing.ts'

/** Carries encoded requests to a collector. */
export interface Transport {
  /** Resolves with what went wrong and how much of it was refused; error null = it arrived. Never rejects. */
  send(request: Uint8Array): Promise<{ readonly error: string | null; readonly rejected: number }>
  close(): Promise<void>
}

export type Signal = 'traces' | 'metrics'

/** Exports of one signal under way at a time. */
export const CONCURRENCY = 4

const SERVICES = {
  traces: ['TraceExportService', '/opentelemetry.proto.collector.trace.v1.TraceService/Export'],
  metrics: ['MetricsExportService', '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'],
} as const

interface PartialAnswer {
  readonly partialSuccess?: { readonly rejectedSpans?: unknown; readonly rejectedDataPoints?: unknown } | undefined
}

type Bytes = ISerializer<Uint8Array, PartialAnswer>
type Delegate = IOtlpExportDelegate<Uint8Array>

/** The library counts items for metrics of its own, which Heddle does not collect. */
const UNCOUNTED = { name: 'span', countItems: () => 0 } as const

/**
 * The official exporters' transports: connections, compression, timeouts, and trying again as OTLP wants it (429, 502, 503,
 * 504 and gRPC's transient codes, Retry-After, growing pauses). They are loaded here, and only the one that is used.
 */
export async function createTransport(config: OtlpConfig, signal: Signal, version: string): Promise<Transport> {
  let rejected = 0
  const answers = await answersOf(config, signal)
  const bytes: Bytes = {
    serializeRequest: (request) => request,
    deserializeResponse(data) {
      const answer = answers.deserializeResponse(data) as PartialAnswer
      const { rejectedSpans, rejectedDataPoints } = answer.partialSuccess ?? {}
      rejected = Math.max(0, Number(rejectedSpans ?? rejectedDataPoints ?? 0)) || 0
      return answer
    },
  }
  const userAgent = `heddle/${version}`
  const delegate =
    config.protocol === 'grpc'
      ? await grpcDelegate(config, signal, bytes, userAgent)
      : await httpDelegate(config, bytes, userAgent)
  return {
    send: (request) =>
      new Promise((resolve) => {
        delegate.export(request, ({ error }) => {
          // The answer is read in the same turn as this is called.
          resolve({ error: error === undefined ? null : error.message || 'not taken', rejected })
          rejected = 0
        })
      }),
    close: () => delegate.shutdown(),
  }
}

async function answersOf({ protocol }: OtlpConfig, signal: Signal) {
  const all = await import('@opentelemetry/otlp-transformer')
  if (protocol === 'http/json') return signal === 'traces' ? all.JsonTraceSerializer : all.JsonMetricsSerializer
  return signal === 'traces' ? all.ProtobufTraceSerializer : all.ProtobufMetricsSerializer
}

async function httpDelegate(config: OtlpConfig, bytes: Bytes, userAgent: string): Promise<Delegate> {
  const { createOtlpHttpExportDelegate, httpAgentFactoryFromOptions } =
    await import('@opentelemetry/otlp-exporter-base/node-http')
  const json = config.protocol === 'http/json'
  const headers = { ...config.headers, 'content-type': json ? 'application/json' : 'application/x-protobuf' }
  const options = {
    url: config.endpoint,
    headers: async () => ({ ...headers }),
    agentFactory: httpAgentFactoryFromOptions({ keepAlive: true, ...tlsOf(config) }),
    timeoutMillis: config.timeoutMs,
    concurrencyLimit: CONCURRENCY,
    compression: config.compression,
    userAgent,
  }
  return createOtlpHttpExportDelegate(options, bytes, 'otlp_http_exporter', UNCOUNTED, undefined)
}

const tlsOf = ({ ca, clientCert }: OtlpConfig) => ({
  ...(ca === null ? {} : { ca }),
  ...(clientCert === null ? {} : { cert: clientCert.cert, key: clientCert.key }),
})

async function grpcDelegate(config: OtlpConfig, signal: Signal, bytes: Bytes, userAgent: string): Promise<Delegate> {
  const { createOtlpGrpcExportDelegate, createEmptyMetadata, createInsecureCredentials, createSslCredentials } =
    await import('@opentelemetry/otlp-grpc-exporter-base')
  const { protocol, host } = new URL(config.endpoint)
  const { ca, clientCert } = config
  const pem = (text: string | undefined): Buffer | undefined => (text === undefined ? undefined : Buffer.from(text))
  const options = {
    url: host,
    metadata: () => {
      const metadata = createEmptyMetadata()
      for (const [name, value] of Object.entries(config.headers)) metadata.set(name, value)
      return metadata
    },
    credentials: () =>
      protocol === 'https:'
        ? createSslCredentials(pem(ca ?? undefined), pem(clientCert?.key), pem(clientCert?.cert))
        : createInsecureCredentials(),
    timeoutMillis: config.timeoutMs,
    concurrencyLimit: CONCURRENCY,
    compression: config.compression,
    userAgent,
  }
  const [name, path] = SERVICES[signal]
  return createOtlpGrpcExportDelegate(options, bytes, 'otlp_grpc_exporter', UNCOUNTED, undefined, name, path)
}
