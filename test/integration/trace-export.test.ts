// The telemetry thread, its transports and its collectors, without a gateway around them.
import { describe, expect, test } from 'vitest'
import type { OtlpConfig, TracingConfig } from '../../src/contracts/config-tracing.ts'
import type { SpanData } from '../../src/contracts/trace.ts'
import { TelemetryHost } from '../../src/telemetry/otlp/host.ts'
import { SpanQueue } from '../../src/telemetry/otlp/span-queue.ts'
import { DURATION_BOUNDS, MetricRegistry } from '../../src/telemetry/metrics.ts'
import { METRICS } from '../../src/telemetry/semconv.ts'
import { startOtlpSink } from '../mesh/kit/otlp-sink.ts'
import type { OtlpSink } from '../mesh/kit/otlp-sink.ts'
import { closedAfterEach } from '../support/closing.ts'

const SPAN: SpanData = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  parentSpanId: '1111111111111111',
  remoteParent: true,
  traceState: '',
  kind: 'server',
  name: 'POST /v1/chat/completions',
  startAt: 1_795_366_800_123,
  endAt: 1_795_366_800_456,
  attributes: { 'http.request.method': 'POST', 'http.response.status_code': 200 },
  events: [],
  links: [],
  error: null,
}
const spans = (n: number): SpanData[] => Array.from({ length: n }, (_, i) => ({ ...SPAN, name: `span ${i}` }))

const open = closedAfterEach()

const sink = async (): Promise<OtlpSink> => {
  const made = await startOtlpSink()
  open.push(() => made.close())
  return made
}

const otlp = (protocol: OtlpConfig['protocol'], endpoint: string, more: Partial<OtlpConfig> = {}): OtlpConfig => ({
  protocol,
  endpoint,
  headers: { authorization: 'Bearer collector-token' },
  timeoutMs: 5000,
  compression: 'none',
  ca: null,
  clientCert: null,
  ...more,
})

interface Log {
  readonly level: string
  readonly fields: object
  readonly message: string
}

function start(config: Partial<TracingConfig>) {
  const logs: Log[] = []
  const host = new TelemetryHost(
    {
      parent: 'auto',
      istioProvider: 'otel',
      inject: [],
      baggage: [],
      content: 'off',
      ratio: 1,
      parentBased: true,
      resource: { 'service.name': 'gateway' },
      traces: null,
      batch: { maxQueue: 1000, maxBatch: 100, delayMs: 50 },
      metrics: null,
      notes: [],
      ...config,
    },
    {
      version: '1.2.3',
      instance: 'pod-1',
      now: () => Date.now(),
      log: (level, fields, message) => void logs.push({ level, fields, message }),
    },
  )
  open.push(() => host.close(2000))
  return { host, logs }
}

describe('spans arrive', () => {
  test.each(['http/protobuf', 'http/json', 'grpc'] as const)('by %s', async (protocol) => {
    const to = await sink()
    const { host } = start({
      traces: otlp(protocol, protocol === 'grpc' ? to.grpcUrl : `${to.httpUrl}/v1/traces`, { compression: 'gzip' }),
    })
    const queue = new SpanQueue(host.link())
    queue.write([SPAN])
    queue.flush()
    await host.flush(5000)
    expect(to.spans).toHaveLength(1)
    const [seen] = to.spans
    expect(seen).toMatchObject({
      traceId: SPAN.traceId,
      spanId: SPAN.spanId,
      parentSpanId: SPAN.parentSpanId,
      kind: 'server',
      name: SPAN.name,
      start: 1_795_366_800_123_000_064n,
      attributes: SPAN.attributes,
      scope: 'heddle',
      resource: { 'service.name': 'gateway', 'service.version': '1.2.3', 'service.instance.id': 'pod-1' },
    })
    expect(to.requests[0]?.headers['authorization']).toBe('Bearer collector-token')
    expect([host.counts.queued, host.counts.exported, host.counts.dropped]).toEqual([0, 1, 0])
    queue.close()
  })

  test('from several threads’ queues, all of them, in batches', async () => {
    const to = await sink()
    const { host } = start({ traces: otlp('http/protobuf', `${to.httpUrl}/v1/traces`) })
    const queues = [host.link(), host.link(), host.link()].map((link) => new SpanQueue(link))
    for (let i = 0; i < 50; i++) for (const queue of queues) queue.write(spans(4))
    for (const queue of queues) queue.flush()
    await host.flush(5000)
    expect(to.spans).toHaveLength(600)
    expect(to.requests.length).toBeLessThan(20)
    for (const queue of queues) queue.close()
  })

  test('without a flush, by the clock alone', async () => {
    const to = await sink()
    const { host } = start({ traces: otlp('http/protobuf', `${to.httpUrl}/v1/traces`) })
    const queue = new SpanQueue(host.link())
    queue.write([SPAN])
    expect(await to.trace(SPAN.traceId, 1)).toHaveLength(1)
    queue.close()
  })
})

describe('a collector that fails', () => {
  test('is asked again when it says that it may be', async () => {
    const to = await sink()
    const { host, logs } = start({ traces: otlp('http/protobuf', `${to.httpUrl}/v1/traces`) })
    to.answerWith([503, 429], { 'retry-after': '0' })
    const queue = new SpanQueue(host.link())
    queue.write([SPAN])
    queue.flush()
    await host.flush(8000)
    expect(to.requests).toHaveLength(3)
    expect(to.spans).toHaveLength(1)
    expect(logs).toEqual([])
    queue.close()
  })

  test('costs its spans, which are counted, and one line in the log each way', async () => {
    const to = await sink()
    const { host, logs } = start({ traces: otlp('http/protobuf', `${to.httpUrl}/v1/traces`) })
    to.answerWith([400, 400])
    const queue = new SpanQueue(host.link())
    for (const n of [2, 3, 1]) {
      queue.write(spans(n))
      queue.flush()
      await host.flush(5000)
    }
    const registry = new MetricRegistry()
    host.register(registry)
    const dropped = registry.snapshot().find(({ name }) => name === 'heddle_trace_spans_dropped_total')
    expect(dropped?.samples.map(({ labels, value }) => [labels['reason'], value])).toEqual([
      ['queue_full', 0],
      ['not_taken', 5],
    ])
    expect(host.counts.exported).toBe(1)
    expect(logs.map(({ level, message }) => [level, message])).toEqual([
      ['warn', 'telemetry cannot be exported'],
      ['info', 'telemetry is exported again'],
    ])
    expect(JSON.stringify(logs)).not.toContain('collector-token')
    queue.close()
  })

  test('that is away never makes the queue grow without bound', async () => {
    const { host } = start({
      traces: otlp('http/protobuf', 'http://127.0.0.1:9/v1/traces', { timeoutMs: 30_000 }),
      batch: { maxQueue: 100, maxBatch: 50, delayMs: 20 },
    })
    const queue = new SpanQueue(host.link())
    for (let i = 0; i < 100; i++) {
      queue.write(spans(10))
      queue.flush()
    }
    expect(host.counts.queued).toBe(100)
    expect(host.counts.dropped).toBe(900)
    queue.close()
  })
})

test('metrics arrive under their conventional names, all other families under their own', async () => {
  const to = await sink()
  const { host } = start({
    metrics: { ...otlp('http/protobuf', `${to.httpUrl}/v1/metrics`), intervalMs: 60_000 },
  })
  const registry = new MetricRegistry()
  registry.counter('heddle_requests_total', 'Requests.', { model: 'm' }).add(3)
  registry.gauge('heddle_inflight_requests', 'Open.').set(2)
  const labels = { gen_ai_operation_name: 'chat', server_port: '443' }
  registry.histogram(METRICS.operationDuration, 'Calls.', DURATION_BOUNDS, labels).observe(0.05)
  host.exportMetrics(async () => registry.snapshot())
  await host.flush(5000)
  const by = Object.fromEntries(to.metrics.map((metric) => [metric.name, metric]))
  expect(by['heddle_requests_total']).toMatchObject({ kind: 'sum', points: [{ value: 3, attributes: { model: 'm' } }] })
  expect(by['heddle_inflight_requests']).toMatchObject({ kind: 'gauge', points: [{ value: 2 }] })
  expect(by['gen_ai.client.operation.duration']).toMatchObject({
    kind: 'histogram',
    unit: 's',
    resource: { 'service.name': 'gateway' },
    points: [
      {
        attributes: { 'gen_ai.operation.name': 'chat', 'server.port': 443 },
        bounds: [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92],
        buckets: [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        count: 1,
        sum: 0.05,
      },
    ],
  })
})
