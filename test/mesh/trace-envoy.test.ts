// AC-TR-1 to AC-TR-4: Heddle between two real Envoys, as in a mesh: one in front of it, one behind.
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { IncomingHttpHeaders } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { startGateway } from '../support/gateway.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import type { RunningEnvoy } from './kit/envoy.ts'
import type { Tracer } from './kit/proxy.ts'
import { startOtlpSink, treeSpan } from './kit/otlp-sink.ts'
import type { OtlpSink } from './kit/otlp-sink.ts'
import { ancestors, traceTree } from './kit/trace-tree.ts'
import type { TreeSpan } from './kit/trace-tree.ts'
import { startZipkinSink } from './kit/zipkin-sink.ts'
import type { ZipkinSink } from './kit/zipkin-sink.ts'

const PATIENCE_MS = 10_000
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[49][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

let otlp: OtlpSink
let zipkin: ZipkinSink
beforeAll(async () => {
  otlp = await startOtlpSink()
  zipkin = await startZipkinSink()
})
afterAll(() => Promise.all([otlp.close(), zipkin.close()]))

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
  otlp.clear()
  zipkin.clear()
})

interface Options {
  /** Null = no proxy in front. */
  readonly front: Tracer | null
  readonly behind: Tracer
  readonly tracing?: string
  readonly kind?: 'istio' | 'linkerd'
  /** Takes the request id away between Heddle and its proxy. */
  readonly strip?: boolean
}

/** Passes everything on but `x-request-id`. */
async function stripper(to: number): Promise<number> {
  const server = createServer((req, res) => {
    const { 'x-request-id': _, ...headers } = req.headers
    const forward = request({ host: '127.0.0.1', port: to, method: req.method, path: req.url, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(res)
    })
    forward.on('error', () => res.destroy())
    req.pipe(forward)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(
    () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(resolve)
      }),
  )
  return (server.address() as AddressInfo).port
}

async function mesh({ front, behind, tracing = '', kind = 'istio', strip = false }: Options) {
  const seen: IncomingHttpHeaders[] = []
  const backend = await startBackend((res, _n, req) => {
    seen.push(req.headers)
    sendJson(res, 200, CHAT_ANSWER)
  })
  open.push(() => backend.close())
  const sinks = { otlpPort: otlp.httpPort, zipkinPort: zipkin.port }
  const proxy = async (name: 'in' | 'out', to: number, tracer: Tracer): Promise<RunningEnvoy> => {
    const direction = name === 'in' ? ('inbound' as const) : ('outbound' as const)
    const running = await startEnvoy([{ name, to: [to], direction, tracer }], { ...sinks, service: `proxy-${name}` })
    open.push(() => running.stop())
    return running
  }
  const behindIt = await proxy('out', Number(new URL(backend.url).port), behind)
  const next = strip ? await stripper(behindIt.port('out')) : behindIt.port('out')
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: otlp.httpUrl,
    OTEL_BSP_SCHEDULE_DELAY: '100',
    OTEL_SERVICE_NAME: 'heddle',
  }
  Object.assign(process.env, env)
  const gateway = await startGateway(
    `server: { log: { level: silent, access: false }, drain: { propagation: 0 } }\nproviders: { llama: { type: openai_compatible, base_url: "http://127.0.0.1:${next}/v1", api_key: sk-x, class: mesh, egress: { plaintext_key: true } } }\nmodels: { m: llama/m }\nmesh: { kind: ${kind}, wait_for_proxy: 0 }\ntracing: { ${tracing} }\n`,
    { workers: 1 },
  ).finally(() => {
    for (const name of Object.keys(env)) delete process.env[name]
  })
  open.push(() => gateway.stop())
  const url = front === null ? gateway.url : (await proxy('in', gateway.port, front)).url('in')
  return {
    seen,
    ask: async (headers: Readonly<Record<string, string>> = {}): Promise<number> => {
      const answer = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: '{"model":"m","messages":[{"role":"user","content":"x"}]}',
      })
      await answer.arrayBuffer()
      return answer.status
    },
  }
}

/** What all sinks have, in one form. */
const allSpans = (): TreeSpan[] => [...otlp.spans.map(treeSpan), ...zipkin.spans]

/** Resolves with the spans of the trace when there are so many; what there is when they do not come. */
async function spansOf(traceId: string, count: number): Promise<TreeSpan[]> {
  const until = performance.now() + PATIENCE_MS
  for (;;) {
    const spans = allSpans().filter((span) => span.traceId === traceId)
    if (spans.length >= count || performance.now() > until) return spans
    await new Promise((resolve) => void setTimeout(resolve, 20))
  }
}

const w3cOf = (headers: IncomingHttpHeaders | undefined): readonly string[] =>
  String(headers?.['traceparent']).split('-')

const CHAIN = ['proxy-out', 'heddle POST', 'heddle chat m', 'heddle POST /v1/chat/completions', 'proxy-in']

/** From the span that the backend was given up to the root. */
const chainOf = (spans: readonly TreeSpan[], spanId: string): readonly string[] =>
  ancestors(spans, spanId).map(({ service, name }) => (service === 'heddle' ? `heddle ${name}` : service))

/** With the tree for whoever reads the failure. */
function expectChain(spans: readonly TreeSpan[], spanId: string): void {
  const chain = chainOf(spans, spanId)
  const tree = chain.join() === CHAIN.join() ? '' : traceTree(spans, spans[0]?.traceId ?? '')
  expect({ chain, tree }).toEqual({ chain: CHAIN, tree: '' })
}

describe.skipIf(envoy === null)('Heddle between two Envoys', () => {
  test('AC-TR-1 OpenTelemetry: one trace, each span below the one before', async () => {
    const { ask, seen } = await mesh({ front: { kind: 'otel' }, behind: { kind: 'otel' } })
    expect(await ask()).toBe(200)
    const [, traceId = '', spanId = '', flags] = w3cOf(seen[0])
    const spans = await spansOf(traceId, 5)
    expectChain(spans, spanId)
    expect(flags).toBe('01')
    expect(new Set(allSpans().map((span) => span.traceId))).toEqual(new Set([traceId]))
  })

  test.each([
    ['USE_B3', 'zipkin'],
    ['USE_B3_WITH_W3C_PROPAGATION', 'zipkin-w3c'],
  ] as const)('AC-TR-1 Zipkin, %s: one trace, each span below the one before', async (_name, kind) => {
    const { ask, seen } = await mesh({ front: { kind }, behind: { kind }, tracing: 'istio_provider: zipkin' })
    expect(await ask()).toBe(200)
    const traceId = String(seen[0]?.['x-b3-traceid'])
    const spans = await spansOf(traceId, 5)
    expectChain(spans, String(seen[0]?.['x-b3-spanid']))
    expect(seen[0]?.['x-b3-sampled']).toBe('1')
  })

  test('AC-TR-1 a caller that traces is the root of it all', async () => {
    const { ask, seen } = await mesh({ front: { kind: 'otel' }, behind: { kind: 'otel' } })
    await ask({ traceparent: `00-${TRACE}-${SPAN}-01` })
    const [, traceId, spanId = ''] = w3cOf(seen[0])
    expect(traceId).toBe(TRACE)
    const spans = await spansOf(TRACE, 5)
    const path = ancestors(spans, spanId)
    expect(path.map(({ service }) => service)).toEqual(['proxy-out', 'heddle', 'heddle', 'heddle', 'proxy-in'])
    expect(path.at(-1)?.parentSpanId).toBe(SPAN)
  })

  const REQUESTS = 1000
  const AT_A_TIME = 20

  /** Sampling of 1 % in both proxies, as Istio has it: how many traces have how many spans. */
  async function sampled(strip: boolean): Promise<ReadonlyMap<string, number>> {
    const rare = { kind: 'otel', sampling: 1 } as const
    const { ask } = await mesh({ front: rare, behind: rare, strip })
    for (let i = 0; i < REQUESTS; i += AT_A_TIME)
      expect(await Promise.all(Array.from({ length: AT_A_TIME }, () => ask()))).toEqual(
        Array.from({ length: AT_A_TIME }, () => 200),
      )
    const counts = (): ReadonlyMap<string, number> =>
      allSpans().reduce((map, { traceId }) => map.set(traceId, (map.get(traceId) ?? 0) + 1), new Map<string, number>())
    // Until nothing more comes.
    for (let before = -1, quiet = 0; quiet < 4;) {
      const now = allSpans().length
      quiet = now === before ? quiet + 1 : 0
      before = now
      await new Promise((resolve) => void setTimeout(resolve, 250))
    }
    return counts()
  }

  test('AC-TR-2 at 1 % of 1,000 requests a trace has all its spans or none', async () => {
    const counts = await sampled(false)
    expect(counts.size).toBeGreaterThan(0)
    expect(counts.size).toBeLessThan(60)
    expect([...counts.values()].filter((count) => count !== 5)).toEqual([])
  })

  test('AC-TR-2 the control: without the request id traces break', async () => {
    const counts = await sampled(true)
    expect([...counts.values()].some((count) => count !== 5)).toBe(true)
  })

  test('AC-TR-3 in a Zipkin mesh a stale traceparent is linked, not followed', async () => {
    const zipkinMesh = { kind: 'zipkin' } as const
    const { ask, seen } = await mesh({ front: zipkinMesh, behind: zipkinMesh, tracing: 'istio_provider: zipkin' })
    await ask({ traceparent: `00-${TRACE}-${SPAN}-01` })
    const traceId = String(seen[0]?.['x-b3-traceid'])
    expect(traceId).not.toBe(TRACE)
    const spans = await spansOf(traceId, 5)
    expectChain(spans, String(seen[0]?.['x-b3-spanid']))
    const server = otlp.spans.find(({ kind }) => kind === 'server')
    expect(server?.traceId).toBe(traceId)
    expect(server?.links).toEqual([{ traceId: TRACE, spanId: SPAN }])
    expect(otlp.spans.filter((span) => span.traceId === TRACE)).toEqual([])
    // What goes on in W3C is the same trace.
    expect(w3cOf(seen[0])[1]).toBe(traceId)
  })

  test('AC-TR-4 the request id is the one that came in, byte for byte, and a UUIDv4 when none did', async () => {
    const { ask, seen } = await mesh({ front: { kind: 'otel' }, behind: { kind: 'otel' } })
    const id = 'a8d1c0de-1234-9abc-8def-0123456789ab'
    await ask({ 'x-request-id': id })
    await ask()
    expect(seen[0]?.['x-request-id']).toBe(id)
    expect(seen[1]?.['x-request-id']).toMatch(UUID)
  })

  test('TR-5 a request id minted here keeps a sampled trace alive in a proxy that samples 1 %', async () => {
    const { ask, seen } = await mesh({ front: null, behind: { kind: 'otel', sampling: 1 } })
    for (let i = 0; i < 30; i++) await ask()
    expect(seen.map((headers) => w3cOf(headers)[3])).toEqual(Array.from({ length: 30 }, () => '01'))
    for (const headers of seen) expect(headers['x-request-id']).toMatch(UUID)
    seen.length = 0
    // The control: an id that says otherwise, as a proxy that did not sample would have written it.
    for (let i = 0; i < 30; i++)
      await ask({ 'x-request-id': `a8d1c0de-1234-4abc-8def-0123456789${String(i).padStart(2, '0')}` })
    expect(seen.filter((headers) => w3cOf(headers)[3] === '00').length).toBeGreaterThan(20)
  })
})
