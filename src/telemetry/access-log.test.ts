import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { PeerIdentity } from '../contracts/identity.ts'
import type { AccessEntry } from './access-log.ts'
import { accessLine } from './access-log.ts'

const ENTRY: AccessEntry = {
  time: Date.UTC(2026, 10, 22, 11, 5, 9, 7),
  level: 'info',
  requestId: 'id',
  traceId: '',
  identity: null,
  method: 'POST',
  path: '/v1/chat/completions',
  operation: 'chat',
  peer: '127.0.0.1',
  model: 'm',
  route: 'm',
  target: 'p/m',
  answeredModel: 'm',
  simulated: false,
  stream: true,
  status: 200,
  code: '',
  detail: '',
  bytesIn: 10,
  bytesOut: 20,
  totalMs: 12.3456,
  firstByteMs: 2,
  upstreamMs: 1.5,
  attempts: [{ target: 'p/m', result: 'ok', status: 200, ms: 3, firstTokenMs: 1, hedge: false }],
  inputTokens: 1,
  outputTokens: 2,
  cachedInputTokens: 0,
  key: '',
  tenant: '',
  team: '',
  user: '',
  nanoUsd: 0,
  costNote: '',
  passedOver: null,
  wouldRefuse: [],
  cache: '',
}

test('who calls by certificate or mesh is told, whether a key came or not', () => {
  const known = {
    source: 'header',
    id: 'spiffe://td/ns/a/sa/b',
    trustDomain: 'td',
    namespace: 'a',
    serviceAccount: 'b',
  }
  const names = { peer_id: known.id, namespace: 'a', service_account: 'b', trust_domain: 'td' }
  const lineOf = (some: Partial<AccessEntry>) =>
    JSON.parse(accessLine({ ...ENTRY, ...some })) as Record<string, unknown>
  expect(lineOf({ identity: known as PeerIdentity })).toMatchObject(names)
  expect(lineOf({ identity: known as PeerIdentity, key: 'ci' })).toMatchObject({ ...names, key: 'ci' })
  const plain = lineOf({
    identity: { source: 'mtls', id: 'a.example', trustDomain: '', namespace: '', serviceAccount: '' },
  })
  expect(plain['peer_id']).toBe('a.example')
  expect(plain).not.toHaveProperty('namespace')
  expect(lineOf({ identity: null })).not.toHaveProperty('peer_id')
})

test('one line with what is known, and nothing that is not', () => {
  expect(JSON.parse(accessLine(ENTRY))).toEqual({
    time: '2026-11-22T11:05:09.007Z',
    level: 'info',
    msg: 'request',
    request_id: 'id',
    method: 'POST',
    path: '/v1/chat/completions',
    operation: 'chat',
    status: 200,
    model: 'm',
    target: 'p/m',
    stream: true,
    peer: '127.0.0.1',
    bytes_in: 10,
    bytes_out: 20,
    duration_ms: 12.35,
    first_byte_ms: 2,
    overhead_ms: 0.5,
    upstream_ms: 1.5,
    input_tokens: 1,
    output_tokens: 2,
    attempts: 1,
  })
})

test('who called, and what it cost', () => {
  const line = accessLine({
    ...ENTRY,
    key: 'ci',
    tenant: 'acme',
    team: 'search',
    user: 'ann"e',
    nanoUsd: 1_234_500,
    costNote: 'estimated',
    passedOver: [{ target: 'p/m', reason: 'quota' }],
    wouldRefuse: ['team_day'],
  })
  expect(JSON.parse(line)).toMatchObject({
    key: 'ci',
    tenant: 'acme',
    team: 'search',
    user: 'ann"e',
    cost_usd: 0.0012345,
    cost_note: 'estimated',
    passed_over: [{ target: 'p/m', reason: 'quota' }],
    would_refuse: ['team_day'],
  })
})

test('whatever clients, backends and operators call things, a line is one line of JSON that says so', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string(),
    fc.constantFrom('"', '\\', '\n', '\u2028', '\ud800', '","status":200,"x":"', '\u0000'),
  )
  const entry = fc.record({
    path: text,
    model: text,
    route: text,
    target: text,
    answeredModel: text,
    detail: text,
    key: text,
    tenant: text,
    team: text,
    user: text,
    results: fc.array(fc.record({ target: text, result: text }), { maxLength: 3 }),
  })
  fc.assert(
    fc.property(entry, fc.double({ min: 0, max: 1e9, noNaN: true }), ({ results, ...strings }, n) => {
      const attempts = results.map((r) => ({ ...r, status: 0, ms: n, firstTokenMs: -1, hedge: true }))
      const line = accessLine({ ...ENTRY, ...strings, attempts, totalMs: n, firstByteMs: n, upstreamMs: n })
      expect(line.endsWith('}\n')).toBe(true)
      expect(line.slice(0, -1)).not.toMatch(/[\n\r]/)
      const parsed = JSON.parse(line) as Record<string, unknown>
      expect([parsed['path'], parsed['status']]).toEqual([strings.path.slice(0, 300), 200])
      if (strings.model !== '') expect(parsed['model']).toBe(strings.model.slice(0, 300))
      if (results.length > 1)
        expect((parsed['attempts'] as { result: string }[]).map((a) => a.result)).toEqual(results.map((r) => r.result))
    }),
    { numRuns: 500 },
  )
})

test('the time is right on both sides of a second', () => {
  for (const time of [0, 999, 1000, 1_999, 1_700_000_000_000, 1_700_000_000_999, 1_699_999_999_999]) {
    expect((JSON.parse(accessLine({ ...ENTRY, time })) as { time: string }).time).toBe(new Date(time).toISOString())
  }
})

test('the trace of a request that is sampled, and of no other', () => {
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  expect(JSON.parse(accessLine({ ...ENTRY, traceId }))).toHaveProperty('trace_id', traceId)
  expect(JSON.parse(accessLine(ENTRY))).not.toHaveProperty('trace_id')
})

test('what the cache did for it, where there is one', () => {
  expect(JSON.parse(accessLine({ ...ENTRY, cache: 'semantic' }))).toHaveProperty('cache', 'semantic')
  expect(JSON.parse(accessLine(ENTRY))).not.toHaveProperty('cache')
})
