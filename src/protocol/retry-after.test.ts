import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseGoDuration, retryAfterMs } from './retry-after.ts'

const NOW = Date.UTC(2026, 0, 1)

test.each([
  ['1s', 1000],
  ['6m0s', 360_000],
  ['1h2m3.5s', 3_723_500],
  ['120ms', 120],
  ['1.5ms', 1.5],
  ['5µs', 0.005],
  ['', undefined],
  ['5', undefined],
  ['s', undefined],
  ['1 s', undefined],
  ['-1s', undefined],
])('Go duration %j', (text, ms) => {
  if (ms === undefined) expect(parseGoDuration(text)).toBeUndefined()
  else expect(parseGoDuration(text)).toBeCloseTo(ms)
})

test.each<[string, Readonly<Record<string, string>>, number | undefined]>([
  ['ms before seconds', { 'retry-after-ms': '15', 'retry-after': '2' }, 15],
  ['Azure’s', { 'x-ms-retry-after-ms': '15' }, 15],
  ['seconds', { 'retry-after': '2' }, 2000],
  ['parts of a second', { 'retry-after': '0.5' }, 500],
  ['a date', { 'retry-after': new Date(NOW + 5000).toUTCString() }, 5000],
  ['a date in the past', { 'retry-after': new Date(NOW - 5000).toUTCString() }, 0],
  ['a Go duration', { 'retry-after': '1m1s' }, 61_000],
  [
    'a reset header, if the limit is used up',
    { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '6m0s' },
    360_000,
  ],
  ['not if it is not', { 'x-ratelimit-remaining-requests': '1', 'x-ratelimit-reset-requests': '6m0s' }, undefined],
  [
    'the longer of two',
    {
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '1s',
      'x-ratelimit-remaining-tokens': '0',
      'x-ratelimit-reset-tokens': '2s',
    },
    2000,
  ],
  ['nonsense', { 'retry-after': 'soon' }, undefined],
  ['a number that is none', { 'retry-after': '9'.repeat(400) }, undefined],
  ['nothing', {}, undefined],
])('%s', (_name, headers, ms) => {
  expect(retryAfterMs(headers, null, NOW)).toBe(ms)
})

test('RetryInfo of Google, in a list or not', () => {
  const error = {
    error: {
      details: [{ '@type': 'other' }, { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3.5s' }],
    },
  }
  expect(retryAfterMs({}, error, NOW)).toBe(3500)
  expect(retryAfterMs({}, [error], NOW)).toBe(3500)
})

test('whatever a backend sends, the hint is a finite time or none', () => {
  const text = fc.oneof(fc.string(), fc.stringMatching(/^\d{1,400}(ms|s|h)?$/), fc.stringMatching(/^-?\d+\.?\d*e?\d*$/))
  const names = ['retry-after', 'retry-after-ms', 'x-ratelimit-remaining-tokens', 'x-ratelimit-reset-tokens']
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...names), text), fc.anything(), (headers, body) => {
      const ms = retryAfterMs(headers, body, NOW)
      expect(ms === undefined || (Number.isFinite(ms) && ms >= 0)).toBe(true)
    }),
    { numRuns: 500 },
  )
})
