// Traces of a whole gateway: what callers send, what backends get, what a collector sees.
import { afterEach, beforeAll, afterAll, describe, expect, test } from 'vitest'
import type { IncomingHttpHeaders } from 'node:http'
import type { SeenSpan } from './kit/otlp-decode.ts'
import { A, H } from '../../src/telemetry/semconv.ts'
import { startOtlpSink } from './kit/otlp-sink.ts'
import type { OtlpSink } from './kit/otlp-sink.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import type { Script } from '../support/backend.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const SAMPLED = `00-${TRACE}-${SPAN}-01`
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[49][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

let sink: OtlpSink
beforeAll(async () => {
  sink = await startOtlpSink()
})
afterAll(() => sink.close())

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).toReversed()) await close()
  sink.clear()
})

/** A gateway that reads these variables, now and when it reloads, until the end of the test. */
async function gateway(yaml: string, env: Readonly<Record<string, string>> = {}, workers = 1): Promise<Gateway> {
  const all = { OTEL_EXPORTER_OTLP_ENDPOINT: sink.httpUrl, OTEL_BSP_SCHEDULE_DELAY: '30', ...env }
  open.push(async () => {
    for (const name of Object.keys(all)) delete process.env[name]
  })
  Object.assign(process.env, all)
  const made = await startGateway(yaml, { workers })
  open.push(() => made.stop())
  return made
}

/** A backend, and the headers of the requests it got. */
async function backend(script: Script) {
  const headers: IncomingHttpHeaders[] = []
  const made = await startBackend((res, n, req, body) => {
    headers.push(req.headers)
    script(res, n, req, body)
  })
  open.push(() => made.close())
  return { ...made, headers }
}

const answers: Script = (res) => sendJson(res, 200, CHAT_ANSWER)
const provider = (name: string, url: string, more = ''): string =>
  `  ${name}: { type: openai_compatible, base_url: "${url}", api_key: sk-upstream-${name}${more} }\n`

async function ask(to: Gateway, headers: Readonly<Record<string, string>> = {}, body: object = {}) {
  const answer = await fetch(`${to.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'the weft' }], ...body }),
  })
  return { status: answer.status, id: answer.headers.get('x-request-id') ?? '', text: await answer.text() }
}

const named = (spans: readonly SeenSpan[], name: string): SeenSpan => {
  const found = spans.find((span) => span.name === name)
  if (found === undefined) throw new Error(`no span ${name} among ${spans.map((span) => span.name).join()}`)
  return found
}

test('of several addresses the attempt’s span names the one that had the call', async () => {
  const { url } = await backend(answers)
  const port = Number(new URL(url).port)
  const to = await gateway(`providers:
  pods:
    type: openai_compatible
    base_url: http://models.internal/v1
    class: mesh
    discovery: { type: static, endpoints: ["127.0.0.1:${port}"] }
    balancing: { metrics: false }
models: { m: pods/m }
`)
  await ask(to, { traceparent: SAMPLED })
  const { attributes } = named(await sink.trace(TRACE, 3), 'POST')
  expect(attributes).toMatchObject({
    [A.serverAddress]: 'models.internal',
    'network.peer.address': '127.0.0.1',
    'network.peer.port': port,
  })
})

test('one request: SERVER, the call, the attempt, each below the one before, and the backend below the attempt', async () => {
  const { url, headers } = await backend(answers)
  const to = await gateway(`providers:\n${provider('llama', url, ', class: mesh')}models: { m: llama/m }\n`)
  await ask(
    to,
    { traceparent: SAMPLED, tracestate: 'a=1', 'x-request-id': 'my-id' },
    { temperature: 0.5, max_tokens: 7 },
  )
  const spans = await sink.trace(TRACE, 3)
  const server = named(spans, 'POST /v1/chat/completions')
  const call = named(spans, 'chat m')
  const attempt = named(spans, 'POST')
  expect([server.parentSpanId, call.parentSpanId, attempt.parentSpanId]).toEqual([SPAN, server.spanId, call.spanId])
  expect([server.kind, call.kind, attempt.kind]).toEqual(['server', 'client', 'client'])
  expect(headers[0]?.['traceparent']).toBe(`00-${TRACE}-${attempt.spanId}-01`)
  expect(headers[0]).toMatchObject({ tracestate: 'a=1', 'x-request-id': 'my-id' })
  expect(server.traceState).toBe('a=1')
  expect(server.start <= call.start && call.start <= attempt.start).toBe(true)
  expect(attempt.end <= call.end && call.end <= server.end).toBe(true)
  const port = Number(new URL(url).port)
  expect(call.attributes).toMatchObject({
    [A.operation]: 'chat',
    [A.provider]: 'llama',
    [A.requestModel]: 'm',
    [A.temperature]: 0.5,
    [A.maxTokens]: 7,
    [A.responseId]: 'chatcmpl-1',
    [A.responseModel]: 'm',
    [A.finishReasons]: ['stop'],
    [A.inputTokens]: 3,
    [A.outputTokens]: 2,
    [A.serverAddress]: '127.0.0.1',
    [A.serverPort]: port,
  })
  expect(server.attributes).toMatchObject({ [A.method]: 'POST', [A.status]: 200, [H.requestId]: 'my-id' })
  expect(attempt.attributes).toMatchObject({ [A.method]: 'POST', [A.status]: 200, [A.serverPort]: port })
  expect(spans.map((span) => span.status)).toEqual(['unset', 'unset', 'unset'])
  expect(server.resource['service.name']).toBe('heddle')
  expect(sink.tree(TRACE).split('\n')).toHaveLength(4)
})

const TWO = 'targets: [{ provider: one, model: m }, { provider: two, model: m, priority: 2 }]'

test('TR-3 a failed attempt and the next one each have a span; the decision is an event', async () => {
  const broken = await backend((res) => sendJson(res, 503, { error: { message: 'down' } }))
  const good = await backend(answers)
  const to = await gateway(
    `providers:\n${provider('one', broken.url)}${provider('two', good.url)}models: { m: { ${TWO} } }\n`,
  )
  await ask(to, { traceparent: SAMPLED })
  const spans = await sink.trace(TRACE, 4)
  const attempts = spans.filter((span) => span.name === 'POST')
  const resent = (span: SeenSpan): number => Number(span.attributes[A.resendCount] ?? 0)
  const [first, ...others] = attempts.toSorted((a, b) => resent(a) - resent(b))
  expect(first?.attributes).toMatchObject({ [A.status]: 503, [A.errorType]: '503', [H.target]: 'one/m' })
  expect(first?.attributes[A.resendCount]).toBeUndefined()
  expect(first?.status).toBe('error')
  expect(others.map(resent)).toEqual(others.map((_, i) => i + 1))
  expect(others.at(-1)?.status).toBe('unset')
  const events = named(spans, 'POST /v1/chat/completions').events.map(({ name }) => name)
  expect(events).toContain('heddle.route.chosen')
  expect(events).toContain('heddle.retry')
})

test('a hit of the cache is in the trace of its caller, and calls nobody', async () => {
  const good = await backend(answers)
  const to = await gateway(`providers:\n${provider('one', good.url)}models: { m: one/m }\ncache: {}\n`)
  await ask(to, {})
  await ask(to, { traceparent: SAMPLED })
  const spans = await sink.trace(TRACE, 1)
  const server = named(spans, 'POST /v1/chat/completions')
  expect(server.attributes).toMatchObject({ [H.cache]: 'hit', [A.status]: 200 })
  expect(server.events.map(({ name }) => name)).toContain('heddle.cache')
  expect(spans).toHaveLength(1)
})

test('TR-3 the loser of a hedge ends as cancelled, which is no error', async () => {
  const slow = await backend(() => {})
  const quick = await backend(answers)
  const to = await gateway(
    `providers:\n${provider('one', slow.url)}${provider('two', quick.url)}models: { m: { hedge: { after: 50ms, max_share: 100% }, ${TWO} } }\n`,
  )
  await ask(to, { traceparent: SAMPLED })
  const spans = await sink.trace(TRACE, 4)
  const loser = spans.find((span) => span.attributes[H.target] === 'one/m' && span.name === 'POST')
  expect(loser).toMatchObject({ status: 'unset', attributes: { [A.errorType]: 'cancelled' } })
  expect(spans.find((span) => span.attributes[H.hedge] === true)?.attributes[H.target]).toBe('two/m')
  expect(named(spans, 'POST /v1/chat/completions').events.map(({ name }) => name)).toContain('heddle.hedge')
})

test('TR-4 what is not sampled upstream makes no span, and the ids go on', async () => {
  const { url, headers } = await backend(answers)
  const to = await gateway(`providers:\n${provider('llama', url, ', class: mesh')}models: { m: llama/m }\n`)
  await ask(to, { traceparent: `00-${TRACE}-${SPAN}-00` })
  const sampled = TRACE.replace('4', '5')
  await ask(to, { traceparent: `00-${sampled}-${SPAN}-01` })
  await sink.trace(sampled, 3)
  expect(sink.spans.filter((span) => span.traceId === TRACE)).toEqual([])
  expect(headers[0]?.['traceparent']).toMatch(new RegExp(`^00-${TRACE}-(?!${SPAN})[0-9a-f]{16}-00$`))
})

test('TR-4 TR-5 a trace begun here is decided before it leaves, and the request id says so', async () => {
  const { url, headers } = await backend(answers)
  const yaml = `providers:\n${provider('llama', url, ', class: mesh')}models: { m: llama/m }\n`
  const yes = await gateway(yaml)
  const no = await gateway(yaml, { OTEL_TRACES_SAMPLER: 'parentbased_always_off' })
  const ids = [(await ask(yes)).id, (await ask(no)).id]
  expect(ids.map((id) => [UUID.test(id), id[14]])).toEqual([
    [true, '9'],
    [true, '4'],
  ])
  expect(headers.map((h) => h['x-request-id'])).toEqual(ids)
  expect(headers.map((h) => String(h['traceparent']).slice(-2))).toEqual(['01', '00'])
})

test('AC-TR-5 a vendor gets nothing of the caller, the mesh or the trace', async () => {
  const { url, headers } = await backend(answers)
  const told = await backend(answers)
  const to = await gateway(
    `providers:\n${provider('vendor', url, ', class: vendor')}${provider('told', told.url, ', class: vendor, propagate_trace: true')}models: { m: vendor/m, t: told/t }\ntracing: { inject: [b3, b3multi], baggage: [team] }\n`,
  )
  const from = {
    traceparent: SAMPLED,
    tracestate: 'a=1',
    baggage: 'team=red',
    b3: `${TRACE}-${SPAN}-1`,
    'x-b3-traceid': TRACE,
    'x-b3-spanid': SPAN,
    'x-b3-sampled': '1',
    'x-request-id': 'my-id',
    'x-forwarded-client-cert': 'By=spiffe://a;URI=spiffe://b',
    'l5d-client-id': 'x.y.serviceaccount.identity.linkerd.cluster.local',
    'l5d-dst-override': 'x',
    'x-envoy-attempt-count': '1',
    'x-envoy-expected-rq-timeout-ms': '20000',
    'x-envoy-decorator-operation': 'x',
    'x-jwt-payload': 'e30',
    'x-datadog-trace-id': '1',
    cookie: 'session=1',
  }
  await ask(to, from)
  await ask(to, from, { model: 't' })
  const ours = [
    'host',
    'connection',
    'user-agent',
    'content-type',
    'content-length',
    'accept',
    'accept-encoding',
    'authorization',
  ]
  expect(Object.keys(headers[0]!).filter((name) => !ours.includes(name))).toEqual([])
  const more = Object.keys(told.headers[0]!).filter((name) => !ours.includes(name))
  expect(more).toEqual(['traceparent'])
})

test('AC-TR-6 every emitted name is in the table, and none of content', async () => {
  const broken = await backend((res) => sendJson(res, 500, { error: { message: 'down' } }))
  const good = await backend((res, _n, req, body) => {
    if (!body.toString().includes('"stream":true')) return answers(res, 0, req, body)
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: {"id":"c2","model":"m","choices":[{"index":0,"delta":{"content":"wov"}}]}\n\n')
    res.end('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
  })
  const to = await gateway(
    `providers:\n${provider('one', broken.url)}${provider('two', good.url)}models: { m: { ${TWO} } }\n`,
  )
  await ask(to, { traceparent: SAMPLED }, { temperature: 1, stop: ['x'], seed: 3, service_tier: 'flex' })
  await ask(to, { traceparent: SAMPLED }, { stream: true })
  await fetch(`${to.url}/v1/nothing`, { headers: { traceparent: SAMPLED } })
  await to.stop()
  const table = new Set<string>([...Object.values(A), ...Object.values(H), 'count'])
  const names = new Set(
    sink.spans.flatMap((span) => [
      ...Object.keys(span.attributes),
      ...span.events.flatMap((event) => Object.keys(event.attributes)),
    ]),
  )
  expect([...names].filter((name) => !table.has(name))).toEqual([])
  expect(names).toContain(A.firstChunk)
  for (const name of [A.inputMessages, A.outputMessages, A.systemInstructions]) expect(names).not.toContain(name)
  expect(JSON.stringify(sink.spans, (_, v: unknown) => (typeof v === 'bigint' ? String(v) : v))).not.toContain('weft')
})

describe('content', () => {
  test('is on the call when it is asked for, without what looks like a secret', async () => {
    const { url } = await backend(answers)
    const yaml = (content: string) =>
      `providers:\n${provider('llama', url)}models: { m: llama/m }\ntracing: { content: ${content} }\n`
    const text = 'mail jane@example.com the key sk-abcdefghijkl'
    const to = await gateway(yaml('redacted'))
    await ask(to, { traceparent: SAMPLED }, { messages: [{ role: 'user', content: text }] })
    const call = named(await sink.trace(TRACE, 3), 'chat m')
    expect(call.attributes[A.inputMessages]).toContain('mail [email] the key [key]')
    expect(call.attributes[A.outputMessages]).toContain('woven')
    sink.clear()
    const before = (await to.state())['config']
    await to.reload(yaml('off'))
    await ask(to, { traceparent: SAMPLED })
    const spans = await sink.trace(TRACE, 3)
    expect(named(spans, 'chat m').attributes[A.inputMessages]).toBeUndefined()
    // Of the configuration that served it, not of the one that the process began with.
    const after = (await to.state())['config']
    expect(after).not.toEqual(before)
    expect(after).toMatchObject({ hash: named(spans, 'POST /v1/chat/completions').attributes[H.config] })
  })
})

test('several workers: all spans arrive, the last ones at the end of the process', async () => {
  const { url } = await backend(answers)
  const env = { OTEL_BSP_SCHEDULE_DELAY: '60000', OTEL_METRIC_EXPORT_INTERVAL: '60000' }
  const to = await gateway(`providers:\n${provider('llama', url)}models: { m: llama/m }\n`, env, 2)
  await Promise.all(Array.from({ length: 40 }, () => ask(to, { traceparent: SAMPLED, connection: 'close' })))
  await to.stop()
  expect(sink.spans).toHaveLength(120)
  const requests = sink.metrics.findLast((metric) => metric.name === 'heddle_requests_total')
  expect(requests?.points.reduce((sum, point) => sum + point.value, 0)).toBe(40)
  const durations = sink.metrics.findLast((metric) => metric.name === 'gen_ai.client.operation.duration')
  expect(durations?.points.reduce((sum, point) => sum + point.count, 0)).toBe(40)
})

test('exemplars: on OpenMetrics, of sampled requests', async () => {
  const { url } = await backend(answers)
  const to = await gateway(`providers:\n${provider('llama', url)}models: { m: llama/m }\n`)
  await ask(to, { traceparent: SAMPLED })
  const scrape = async (accept: string): Promise<string> =>
    (await fetch(`${to.adminUrl}/metrics`, { headers: { accept } })).text()
  expect(await scrape('application/openmetrics-text')).toMatch(
    new RegExp(
      `gen_ai_client_operation_duration_seconds_bucket\\{.*\\} 1 # \\{trace_id="${TRACE}",span_id="[0-9a-f]{16}"\\}`,
    ),
  )
  expect(await scrape('text/plain')).not.toContain('trace_id')
  expect(await to.metric('http_server_request_duration_seconds_count', { http_route: '/v1/chat/completions' })).toBe(1)
  expect(await to.metric('gen_ai_client_token_usage_sum', { gen_ai_token_type: 'input' })).toBe(3)
})

test('without an exporter nothing of it runs: contexts go to the mesh as they came', async () => {
  const { url, headers } = await backend(answers)
  const to = await gateway(`providers:\n${provider('llama', url, ', class: mesh')}models: { m: llama/m }\n`, {
    OTEL_EXPORTER_OTLP_ENDPOINT: '',
  })
  await ask(to, { traceparent: SAMPLED })
  expect(headers[0]?.['traceparent']).toBe(SAMPLED)
  expect(await to.metrics()).not.toContain('heddle_trace_spans')
})
