import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TreeSpan } from './trace-tree.ts'
import { traceTree } from './trace-tree.ts'

/** Zipkin's JSON v2, as far as it is used (zipkin.io/zipkin-api). Times are microseconds. */
interface ZipkinSpan {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly name?: string
  readonly kind?: string
  readonly timestamp?: number
  readonly duration?: number
  readonly shared?: boolean
  readonly localEndpoint?: { readonly serviceName?: string }
  readonly tags?: Readonly<Record<string, string>>
}

export interface SeenZipkinSpan extends TreeSpan {
  /** A server's span that has the id of its client's. */
  readonly shared: boolean
  readonly tags: Readonly<Record<string, string>>
}

export interface ZipkinSink {
  readonly port: number
  /** For Envoy's `collector_endpoint`. */
  readonly path: string
  readonly spans: readonly SeenZipkinSpan[]
  /** Resolves with the spans of a trace when there are so many; rejects after 10 s. */
  trace(traceId: string, count: number): Promise<readonly SeenZipkinSpan[]>
  tree(traceId: string): string
  clear(): void
  close(): Promise<void>
}

const PATIENCE_MS = 10_000

const seen = (span: ZipkinSpan): SeenZipkinSpan => {
  const start = BigInt(span.timestamp ?? 0) * 1000n
  return {
    traceId: span.traceId.padStart(32, '0'),
    spanId: span.id,
    parentSpanId: span.parentId ?? '',
    name: span.name ?? '',
    kind: (span.kind ?? 'internal').toLowerCase(),
    service: span.localEndpoint?.serviceName ?? '?',
    start,
    end: start + BigInt(span.duration ?? 0) * 1000n,
    shared: span.shared === true,
    tags: span.tags ?? {},
  }
}

/** A Zipkin that keeps what it gets. */
export async function startZipkinSink(): Promise<ZipkinSink> {
  const spans: SeenZipkinSpan[] = []
  const waiting = new Set<() => void>()
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      res.writeHead(202).end()
      spans.push(...(JSON.parse(Buffer.concat(chunks).toString()) as ZipkinSpan[]).map(seen))
      for (const look of waiting) look()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const of = (traceId: string): SeenZipkinSpan[] => spans.filter((span) => span.traceId === traceId)
  return {
    port: (server.address() as AddressInfo).port,
    path: '/api/v2/spans',
    spans,
    trace: (traceId, count) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (of(traceId).length < count) return
          clearTimeout(timer)
          waiting.delete(look)
          resolve(of(traceId))
        }
        const timer = setTimeout(() => {
          waiting.delete(look)
          reject(new Error(`${of(traceId).length} of ${count} spans of ${traceId} have come`))
        }, PATIENCE_MS)
        waiting.add(look)
        look()
      }),
    tree: (traceId) => traceTree(spans, traceId),
    clear: () => {
      spans.length = 0
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  }
}
