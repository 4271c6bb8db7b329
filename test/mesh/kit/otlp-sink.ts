import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import type { SeenMetric, SeenSpan } from './otlp-decode.ts'
import type { TreeSpan } from './trace-tree.ts'
import { metricsOfProto, spansOfJson, spansOfProto } from './otlp-decode.ts'
import { traceTree } from './trace-tree.ts'

export interface OtlpSink {
  /** `http://127.0.0.1:PORT`, for OTLP over HTTP; paths `/v1/traces` and `/v1/metrics`. */
  readonly httpUrl: string
  readonly httpPort: number
  /** `http://127.0.0.1:PORT`, for gRPC. */
  readonly grpcUrl: string
  readonly grpcPort: number
  readonly spans: readonly SeenSpan[]
  readonly metrics: readonly SeenMetric[]
  /** Requests in the order of their arrival. */
  readonly requests: readonly { readonly path: string; readonly headers: Readonly<Record<string, unknown>> }[]
  /** What the next HTTP requests are answered with, one after the other; then 200 again. */
  answerWith(statuses: readonly number[], headers?: Readonly<Record<string, string>>): void
  /** Resolves with the spans of a trace when there are so many; rejects after 10 s with what there was. */
  trace(traceId: string, count: number): Promise<readonly SeenSpan[]>
  /** Resolves when the condition holds for what has come. */
  until(condition: (sink: OtlpSink) => boolean, what?: string): Promise<void>
  tree(traceId: string): string
  clear(): void
  close(): Promise<void>
}

const PATIENCE_MS = 10_000
const raw = (bytes: Buffer): Buffer => bytes
const unary = (path: string) => ({
  path,
  requestStream: false,
  responseStream: false,
  requestSerialize: raw,
  requestDeserialize: raw,
  responseSerialize: raw,
  responseDeserialize: raw,
})

export const treeSpan = (span: SeenSpan): TreeSpan => ({
  ...span,
  service: String(span.resource['service.name'] ?? '?'),
})

/** A collector that keeps what it gets: OTLP over HTTP (protobuf and JSON, gzip) and over gRPC. */
export async function startOtlpSink(): Promise<OtlpSink> {
  const spans: SeenSpan[] = []
  const metrics: SeenMetric[] = []
  const requests: { path: string; headers: Readonly<Record<string, unknown>> }[] = []
  const waiting = new Set<() => void>()
  let answers: { statuses: number[]; headers: Readonly<Record<string, string>> } = { statuses: [], headers: {} }
  const take = (path: string, bytes: Buffer, json: boolean): void => {
    if (path.endsWith('/v1/metrics') || path.includes('MetricsService')) metrics.push(...metricsOfProto(bytes))
    else spans.push(...(json ? spansOfJson(bytes.toString()) : spansOfProto(bytes)))
    for (const look of waiting) look()
  }
  const http = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const path = req.url ?? ''
      requests.push({ path, headers: req.headers })
      const status = answers.statuses.shift() ?? 200
      const json = req.headers['content-type']?.includes('json') === true
      const type = json ? 'application/json' : 'application/x-protobuf'
      res.writeHead(status, { 'content-type': type, ...(status === 200 ? {} : answers.headers) })
      res.end(json ? '{}' : '')
      const body = Buffer.concat(chunks)
      if (status === 200) take(path, req.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body, json)
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const grpc = new Server({ 'grpc.max_receive_message_length': 64 * 1024 * 1024 })
  for (const service of ['trace.v1.TraceService', 'metrics.v1.MetricsService']) {
    const path = `/opentelemetry.proto.collector.${service}/Export`
    grpc.addService(
      { Export: unary(path) },
      {
        Export: (
          call: { request: Buffer; metadata: { getMap(): object } },
          done: (error: null, answer: Buffer) => void,
        ) => {
          requests.push({ path, headers: { ...call.metadata.getMap() } })
          take(path, call.request, false)
          done(null, Buffer.alloc(0))
        },
      },
    )
  }
  const grpcPort = await new Promise<number>((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
  const { port } = http.address() as AddressInfo
  const until: OtlpSink['until'] = (condition, what = 'what was waited for') =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!condition(sink)) return
        clearTimeout(timer)
        waiting.delete(look)
        resolve()
      }
      const timer = setTimeout(() => {
        waiting.delete(look)
        const names = spans.map(({ traceId, name }) => `${traceId.slice(0, 8)} ${name}`).join('; ')
        reject(new Error(`${what} did not come; ${spans.length} spans: ${names.slice(0, 2000)}`))
      }, PATIENCE_MS)
      waiting.add(look)
      look()
    })
  const of = (traceId: string): SeenSpan[] => spans.filter((span) => span.traceId === traceId)
  const sink: OtlpSink = {
    httpUrl: `http://127.0.0.1:${port}`,
    httpPort: port,
    grpcUrl: `http://127.0.0.1:${grpcPort}`,
    grpcPort,
    spans,
    metrics,
    requests,
    answerWith: (statuses, headers = {}) => {
      answers = { statuses: [...statuses], headers }
    },
    until,
    trace: async (traceId, count) => {
      await until(() => of(traceId).length >= count, `${count} spans of ${traceId}`)
      return of(traceId)
    },
    tree: (traceId) => traceTree(spans.map(treeSpan), traceId),
    clear: () => {
      spans.length = 0
      metrics.length = 0
      requests.length = 0
    },
    close: async () => {
      grpc.forceShutdown()
      http.closeAllConnections()
      await new Promise<void>((resolve) => http.close(() => resolve()))
    },
  }
  return sink
}
