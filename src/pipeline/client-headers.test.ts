import { expect, test } from 'vitest'
import type { Exchange } from './exchange.ts'
import { addExchangeHeaders, dressHeaders } from './client-headers.ts'

const NOW = Date.parse('2026-02-03T04:05:06.700Z')

const exchange = (path: string, operation = 'chat', failed = 0): Exchange =>
  ({
    error: failed === 0 ? null : {},
    status: failed === 0 ? 200 : failed,
    id: 'req-1',
    operation,
    received: { path },
    services: { clock: { now: () => NOW } },
    snapshot: { policies: { mesh: { kind: 'none', serverTiming: false, orca: false } } },
  }) as unknown as Exchange

const OPENAI = [
  ['x-ratelimit-limit-requests', '60'],
  ['x-ratelimit-remaining-requests', '59'],
  ['x-ratelimit-reset-requests', '1s'],
  ['x-ratelimit-limit-tokens', '1000'],
  ['x-ratelimit-remaining-tokens', '900'],
  ['x-ratelimit-reset-tokens', '6m0s'],
].flat()

test('clients of the Messages API get limits and the id under the names of Anthropic', () => {
  const to = ['content-type', 'application/json', ...OPENAI]
  addExchangeHeaders(to, exchange('/v1/messages', 'messages'))
  expect(to).toEqual([
    'content-type',
    'application/json',
    'anthropic-ratelimit-requests-limit',
    '60',
    'anthropic-ratelimit-requests-remaining',
    '59',
    'anthropic-ratelimit-requests-reset',
    // Never before the limit is whole again: seconds are rounded up.
    '2026-02-03T04:05:08Z',
    'anthropic-ratelimit-tokens-limit',
    '1000',
    'anthropic-ratelimit-tokens-remaining',
    '900',
    'anthropic-ratelimit-tokens-reset',
    '2026-02-03T04:11:07Z',
    'request-id',
    'req-1',
  ])
})

test('errors of the Messages API have the id as well, whatever was read of the request', () => {
  expect(dressHeaders([], exchange('/v1/messages/count_tokens', 'passthrough'))).toEqual(['request-id', 'req-1'])
})

test('others keep the names of OpenAI', () => {
  const to = [...OPENAI]
  addExchangeHeaders(to, exchange('/v1/chat/completions'))
  expect(to).toEqual(OPENAI)
})

test('limits of an Anthropic backend are told to others in the words of OpenAI', () => {
  const to = ['x-request-id', 'req-1']
  for (const [kind, left] of [
    ['requests', 3],
    ['tokens', 40],
    ['input-tokens', 7],
  ])
    to.push(
      `anthropic-ratelimit-${kind}-limit`,
      '50',
      `anthropic-ratelimit-${kind}-remaining`,
      String(left),
      `anthropic-ratelimit-${kind}-reset`,
      '2026-02-03T04:06:07Z',
    )
  addExchangeHeaders(to, exchange('/v1/chat/completions'))
  expect(to).toEqual([
    'x-request-id',
    'req-1',
    'x-ratelimit-limit-requests',
    '50',
    'x-ratelimit-remaining-requests',
    '3',
    'x-ratelimit-reset-requests',
    '1m0.3s',
    'x-ratelimit-limit-tokens',
    '50',
    'x-ratelimit-remaining-tokens',
    '40',
    'x-ratelimit-reset-tokens',
    '1m0.3s',
  ])
})

test('names that only look like limits stay', () => {
  const to = ['x-ratelimit-limit', '1', 'x-ratelimit-limit-tokens-minute', '2', 'x-ratelimit-kind-tokens', '3']
  const before = [...to]
  dressHeaders(to, exchange('/v1/messages'))
  expect(to).toEqual([...before, 'request-id', 'req-1'])
})

test('SDKs of AWS are told which error it is', () => {
  const type = (path: string, status: number) => dressHeaders([], exchange(path, 'passthrough', status))
  expect(type('/passthrough/aws/model/m/converse-stream', 429)).toEqual(['x-amzn-errortype', 'ThrottlingException'])
  expect(type('/passthrough/aws/model/m/converse', 418)).toEqual(['x-amzn-errortype', 'ValidationException'])
  expect(type('/passthrough/aws/model/m/invoke', 502)).toEqual(['x-amzn-errortype', 'InternalServerException'])
  expect(type('/model/m/converse', 424)).toEqual([
    'x-amzn-errortype',
    'ModelErrorException',
    'x-amzn-requestid',
    'req-1',
  ])
  expect(dressHeaders([], exchange('/model/m/converse', 'converse'))).toEqual(['x-amzn-requestid', 'req-1'])
  expect(type('/passthrough/aws/models', 429)).toEqual([])
  expect(dressHeaders([], exchange('/passthrough/aws/model/m/converse', 'passthrough'))).toEqual([])
})
