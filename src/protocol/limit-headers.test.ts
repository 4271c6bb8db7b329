import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseLimitHeaders } from './limit-headers.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const parse = (headers: Record<string, string>) =>
  parseLimitHeaders((name) => (Object.hasOwn(headers, name) ? headers[name] : undefined), NOW)
const xrl = (fields: Record<string, string>) =>
  parse(Object.fromEntries(Object.entries(fields).map(([name, value]) => [`x-ratelimit-${name}`, value])))

test('OpenAI and Groq: Go durations, a bucket that refills', () => {
  expect(
    xrl({
      'limit-requests': '5000',
      'remaining-requests': '4999',
      'reset-requests': '12ms',
      'limit-tokens': '160000',
      'remaining-tokens': '159976',
      'reset-tokens': '6m0.5s',
    }),
  ).toEqual({
    requests: { limit: 5000, remaining: 4999, resetMs: 12, refills: true },
    tokens: { limit: 160_000, remaining: 159_976, resetMs: 360_500, refills: true },
  })
})

test('Anthropic: RFC 3339', () => {
  const one = (name: string, remaining: string) => ({
    [`anthropic-ratelimit-${name}-limit`]: '1000',
    [`anthropic-ratelimit-${name}-remaining`]: remaining,
    [`anthropic-ratelimit-${name}-reset`]: '2026-11-22T12:00:30Z',
  })
  const state = (remaining: number) => ({ limit: 1000, remaining, resetMs: 30_000, refills: true })
  expect(parse({ ...one('requests', '9'), ...one('input-tokens', '8'), ...one('output-tokens', '7') })).toEqual({
    requests: state(9),
    inputTokens: state(8),
    outputTokens: state(7),
  })
})

test.each([
  [
    'Azure without reset',
    { 'remaining-requests': '9', 'remaining-tokens': '80' },
    { requests: [0, 9, 10_000], tokens: [0, 80, 10_000] },
  ],
  [
    'Cerebras',
    {
      'limit-requests-day': '1000',
      'remaining-requests-day': '5',
      'reset-requests-day': '3600.5',
      'limit-tokens-minute': '60000',
      'remaining-tokens-minute': '100',
      'reset-tokens-minute': '12',
    },
    { requests: [1000, 5, 3_600_500], tokens: [60_000, 100, 12_000] },
  ],
  ['Mistral', { 'limit-req-minute': '60', 'remaining-req-minute': '59' }, { requests: [60, 59, 10_000] }],
  ['Fireworks', { 'limit-tokens-prompt': '100', 'remaining-tokens-prompt': '7' }, { inputTokens: [100, 7, 10_000] }],
  ['plain seconds', { limit: '50', remaining: '0', reset: '24' }, { requests: [50, 0, 24_000] }],
  ['epoch seconds', { limit: '50', remaining: '1', reset: String(NOW / 1000 + 60) }, { requests: [50, 1, 60_000] }],
  ['epoch ms', { limit: '50', remaining: '1', reset: String(NOW + 2500) }, { requests: [50, 1, 2500] }],
  ['a reset in the past', { limit: '50', remaining: '1', reset: '1500000000' }, { requests: [50, 1, 0] }],
  [
    'the tightest of several',
    { 'remaining-tokens': '10', 'remaining-project-tokens': '3' },
    { tokens: [0, 3, 10_000] },
  ],
])('%s', (_name, fields, wanted) => {
  const found = Object.entries(xrl(fields) ?? {}).map(([kind, s]) => [kind, [s.limit, s.remaining, s.resetMs]])
  expect(Object.fromEntries(found)).toEqual(wanted)
})

test('Together and Mistral count tokens under names of their own', () => {
  expect(parse({ 'x-tokenlimit-limit': '9000', 'x-tokenlimit-remaining': '1', 'x-tokenlimit-reset': '2' })).toEqual({
    tokens: { limit: 9000, remaining: 1, resetMs: 2000, refills: false },
  })
  expect(
    parse({ 'ratelimitbysize-limit': '5', 'ratelimitbysize-remaining': '4', 'ratelimitbysize-reset': '3' }),
  ).toEqual({
    tokens: { limit: 5, remaining: 4, resetMs: 3000, refills: false },
  })
})

test('the IETF drafts', () => {
  const state = { limit: 100, remaining: 50, resetMs: 30_000, refills: false }
  expect(parse({ ratelimit: '"minute";r=50;t=30', 'ratelimit-policy': '"minute";q=100;w=60' })).toEqual({
    requests: state,
  })
  expect(parse({ ratelimit: 'limit=100, remaining=50, reset=30' })).toEqual({ requests: state })
  expect(parse({ 'ratelimit-limit': '100, 100;w=60', 'ratelimit-remaining': '50', 'ratelimit-reset': '30' })).toEqual({
    requests: state,
  })
  expect(
    parse({
      ratelimit: '"a";r=9;t=1, "b";r=70;t=30',
      'ratelimit-policy': '"a";q=10;qu="content-bytes", "b";q=99;qu="tokens"',
    }),
  ).toEqual({ tokens: { limit: 99, remaining: 70, resetMs: 30_000, refills: false } })
})

test('nothing said, nothing usable', () => {
  expect(parse({})).toBeNull()
  expect(xrl({ 'remaining-tokens': 'plenty', 'reset-tokens': '1s' })).toBeNull()
  expect(xrl({ 'remaining-tokens': '-5' })).toBeNull()
  expect(xrl({ 'remaining-tokens': '5', 'reset-tokens': 'soon' })).toBeNull()
})

const NAMES = ['x-ratelimit-', 'ratelimit-', 'anthropic-ratelimit-requests-', 'x-tokenlimit-']
const PARTS = ['limit', 'remaining', 'reset', 'limit-tokens', 'remaining-tokens', 'reset-tokens', 'policy']

test('whatever stands in the headers: never throws, and what it gives can be reckoned with', () => {
  const text = fc.oneof(
    fc.string(),
    fc.integer().map(String),
    fc.double().map(String),
    fc.stringMatching(/^[0-9.smhµ";=rtq, -]{0,40}$/),
  )
  const name = fc.oneof(
    fc.constant('ratelimit'),
    fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...PARTS)).map(([a, b]) => a + b),
  )
  fc.assert(
    fc.property(fc.dictionary(name, text), (headers) => {
      const found = parse(headers)
      if (found === null) return
      for (const { limit, remaining, resetMs } of Object.values(found)) {
        for (const n of [limit, remaining, resetMs]) expect(Number.isFinite(n) && n >= 0).toBe(true)
        expect(resetMs).toBeLessThanOrEqual(31 * 86_400_000)
      }
    }),
    { numRuns: 500 },
  )
})
