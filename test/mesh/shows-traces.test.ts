// One trace a call, printed as a tree: with an Envoy in front of Heddle, one behind it, and one in front of each backend.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Script } from '../support/backend.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { chat } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import type { OtlpSink } from './kit/otlp-sink.ts'
import { startOtlpSink, treeSpan } from './kit/otlp-sink.ts'
import type { Proxy } from './kit/proxy.ts'
import type { TreeSpan } from './kit/trace-tree.ts'
import { traceTree } from './kit/trace-tree.ts'

const answering: Script = (res) => sendJson(res, 200, CHAT_ANSWER)
const failing: Script = (res) => sendJson(res, 500, { error: { message: 'broken' } })
const streaming: Script = (res) => {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const content of ['one ', 'trace'])
    res.write(`data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content } }] })}\n\n`)
  res.end('data: [DONE]\n\n')
}

describe.skipIf(envoy === null)('one trace', () => {
  let sink: OtlpSink
  const closers: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    sink = await startOtlpSink()
  })
  afterAll(() => sink.close())
  afterEach(async () => {
    for (const close of closers.splice(0).toReversed()) await close()
    sink.clear()
  })

  const proxies = async (service: string, list: readonly Omit<Proxy, 'tracer'>[]) => {
    const traced = list.map((proxy) => ({ ...proxy, tracer: { kind: 'otel' as const } }))
    const made = await startEnvoy(traced, { otlpPort: sink.httpPort, service })
    closers.push(() => made.stop())
    return made
  }

  /** A model with a target for each script, in order, all behind proxies of their own; resolves with the way in. */
  const mesh = async (scripts: readonly Script[]): Promise<string> => {
    const ports: number[] = []
    for (const script of scripts) {
      const backend = await startBackend(script)
      closers.push(() => backend.close())
      ports.push(Number(new URL(backend.url).port))
    }
    const names = ports.map((_, i) => `m${i}`)
    const inbound = await proxies(
      'backend',
      ports.map((port, i) => ({ name: names[i]!, to: [port], direction: 'inbound' })),
    )
    const outbound = await proxies(
      'heddle-sidecar-out',
      names.map((name) => ({ name, to: [inbound.port(name)], direction: 'outbound' })),
    )
    process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = sink.httpUrl
    process.env['OTEL_SERVICE_NAME'] = 'heddle'
    process.env['OTEL_BSP_SCHEDULE_DELAY'] = '100'
    const heddle = await startGateway(`server: { log: { level: silent, access: false }, drain: { propagation: 0 } }
mesh: { kind: istio, wait_for_proxy: 0 }
providers:
${names.map((name) => `  ${name}: { type: openai_compatible, base_url: "${outbound.url(name)}/v1", class: mesh }`).join('\n')}
models: { m: { targets: [${names.map((name, i) => `{ provider: ${name}, model: x, priority: ${i} }`).join(', ')}] } }
defaults: { retries: { backoff: { base: 1ms, max: 1ms } } }`).finally(() => {
      delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
      delete process.env['OTEL_SERVICE_NAME']
      delete process.env['OTEL_BSP_SCHEDULE_DELAY']
    })
    closers.push(() => heddle.stop())
    const front = await proxies('heddle-sidecar-in', [{ name: 'in', to: [heddle.port], direction: 'inbound' }])
    return front.url('in')
  }

  /** All spans of the only trace there is, once there are so many. */
  const spans = async (count: number): Promise<readonly TreeSpan[]> => {
    const end = performance.now() + 10_000
    while (sink.spans.length < count && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
    // What would be one too many has its time to come.
    await new Promise((resolve) => setTimeout(resolve, 300))
    return sink.spans.map(treeSpan)
  }

  const shape = (all: readonly TreeSpan[], parent = '', depth = 0): readonly string[] =>
    all
      .filter(({ parentSpanId }) => parentSpanId === parent)
      .toSorted((a, b) => Number(a.start - b.start))
      .flatMap((span) => {
        const name = span.service === 'heddle' ? `heddle ${span.name}` : span.service
        return [`${'  '.repeat(depth)}${name}`, ...shape(all, span.spanId, depth + 1)]
      })

  const PATH = ['heddle-sidecar-in', '  heddle POST /v1/chat/completions', '    heddle chat m']
  const ATTEMPT = ['      heddle POST', '        heddle-sidecar-out', '          backend']

  test.each([
    ['a JSON call', [answering], false, [...PATH, ...ATTEMPT]],
    ['a stream', [streaming], true, [...PATH, ...ATTEMPT]],
    ['a failover', [failing, answering], false, [...PATH, ...ATTEMPT, ...ATTEMPT]],
  ] as const)('%s', async (name, scripts, stream, tree) => {
    const url = await mesh(scripts)
    const reply = await chat(url, 'm', stream ? { stream: true } : {})
    expect(reply.status).toBe(200)
    const all = await spans(tree.length)
    process.stdout.write(`\n${name}\n${traceTree(all, all[0]?.traceId ?? '')}\n`)
    expect(new Set(all.map(({ traceId }) => traceId)).size).toBe(1)
    expect(shape(all)).toEqual(tree)
  })
})
