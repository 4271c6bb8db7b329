import { expect, test } from 'vitest'
import type { UsageRecord } from '../contracts/usage.ts'
import { NO_USAGE } from '../protocol/usage.ts'
import { toLogRecord } from './otlp-sink.ts'
import { recordLine } from './record.ts'

const record: UsageRecord = {
  time: Date.UTC(2026, 10, 22, 13, 45, 1, 7),
  durationMs: 812.4,
  requestId: 'req-1',
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  tenant: 'acme',
  team: 'search',
  user: 'zoë "z"\n',
  keyId: 'k1',
  peer: 'spiffe://cluster.local/ns/web/sa/shop',
  namespace: 'web',
  serviceAccount: 'shop',
  trustDomain: 'cluster.local',
  model: 'fast',
  route: 'fast',
  provider: 'openai',
  target: 'openai/gpt-5-mini',
  modelAnswered: 'gpt-5-mini-2025-08-07',
  operation: 'chat',
  stream: true,
  status: 200,
  outcome: 'ok',
  usage: {
    ...NO_USAGE,
    inputTokens: 120,
    outputTokens: 30,
    cachedInputTokens: 64,
    cacheWrite1hTokens: 8,
    tier: 'flex',
  },
  charge: { nanoUsd: 1_234_567_891, estimated: false, priced: true },
  cached: false,
  attempts: [],
  wouldRefuse: [],
  labels: {},
}
const CHARGE = { nanoUsd: 5, estimated: true, priced: true }

test('a line is one JSON object, money is text to the last digit', () => {
  const line = recordLine(record)
  expect(line).not.toContain('\n')
  expect(JSON.parse(line)).toEqual({
    time: '2026-11-22T13:45:01.007Z',
    request_id: 'req-1',
    trace_id: record.traceId,
    tenant: 'acme',
    team: 'search',
    user: 'zoë "z"\n',
    key_id: 'k1',
    peer: record.peer,
    namespace: 'web',
    service_account: 'shop',
    trust_domain: 'cluster.local',
    model: 'fast',
    route: 'fast',
    provider: 'openai',
    target: 'openai/gpt-5-mini',
    model_answered: 'gpt-5-mini-2025-08-07',
    operation: 'chat',
    stream: true,
    status: 200,
    outcome: 'ok',
    duration_ms: 812,
    input_tokens: 120,
    output_tokens: 30,
    cached_input_tokens: 64,
    cache_write_1h_tokens: 8,
    tier: 'flex',
    cost_usd: '1.234567891',
    estimated: false,
    priced: true,
    cached: false,
  })
})

test('attempts, shadow limits and labels stand in it when there are any', () => {
  const attempts = [
    { target: 'a/m', result: 'timeout', usage: null, charge: CHARGE },
    { target: 'b/m', result: 'ok', usage: record.usage, charge: record.charge },
  ]
  const full = JSON.parse(
    recordLine({ ...record, attempts, wouldRefuse: ['rpm'], labels: { 'cost "center"': 'é' } }),
  ) as Record<string, unknown>
  expect(full['attempts']).toEqual([
    { target: 'a/m', result: 'timeout', cost_usd: '0.000000005', estimated: true, priced: true },
    expect.objectContaining({ target: 'b/m', result: 'ok', input_tokens: 120, cost_usd: '1.234567891' }),
  ])
  expect(full['would_refuse']).toEqual(['rpm'])
  expect(full['labels']).toEqual({ 'cost "center"': 'é' })
  expect(JSON.parse(recordLine({ ...record, attempts: attempts.slice(1) }))).not.toHaveProperty('attempts')
  expect(JSON.parse(recordLine({ ...record, attempts: attempts.slice(0, 1) }))).toHaveProperty('attempts')
})

test('OTLP: 64-bit integers are texts, a trace id only when it is one', () => {
  const log = toLogRecord(record)
  expect(log['timeUnixNano']).toBe(`${record.time}000000`)
  expect(log['traceId']).toBe(record.traceId)
  expect(log['attributes']).toContainEqual({ key: 'gen_ai.usage.input_tokens', value: { intValue: '120' } })
  expect(log['attributes']).toContainEqual({ key: 'heddle.cost_usd', value: { stringValue: '1.234567891' } })
  expect(log['attributes']).toContainEqual({ key: 'heddle.cost_nano_usd', value: { intValue: '1234567891' } })
  expect(toLogRecord({ ...record, traceId: 'nonsense' })).not.toHaveProperty('traceId')
})
