import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { classifyAnswer, classifyFault, cleanMessage, timeoutFailure } from './failure.ts'

const context = {
  statuses: [408, 425, 429, 500, 502, 503, 504, 529],
  now: 0,
  target: 'p/m',
  secrets: [] as readonly string[],
}
const error = (fields: object): object => ({ error: { message: 'm', ...fields } })
const judge = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}) => {
  const { kind, retryable, error: e, retryAfterMs } = classifyAnswer(status, headers, body, context)
  return [kind, retryable, e.status, e.code, retryAfterMs]
}

describe('what an answer means', () => {
  test.each<[string, number, unknown, unknown[]]>([
    ['500', 500, null, ['failure', true, 502, 'upstream_error', undefined]],
    ['501 is not worth another try', 501, null, ['failure', false, 502, 'upstream_error', undefined]],
    ['503', 503, '<html>', ['failure', true, 503, 'upstream_unavailable', undefined]],
    ['429', 429, error({}), ['busy', true, 429, 'upstream_rate_limited', undefined]],
    [
      '429 without quota',
      429,
      error({ code: 'insufficient_quota' }),
      ['dead', true, 429, 'upstream_rate_limited', 300_000],
    ],
    ['401', 401, error({}), ['dead', true, 502, 'upstream_auth', undefined]],
    ['402', 402, error({}), ['dead', true, 502, 'upstream_auth', undefined]],
    ['403', 403, error({}), ['dead', true, 502, 'upstream_auth', undefined]],
    ['404', 404, error({}), ['missing', true, 404, 'model_not_found', undefined]],
    ['400', 400, error({}), ['client', false, 400, 'invalid_request', undefined]],
    ['413', 413, error({}), ['client', false, 413, 'invalid_request', undefined]],
    [
      'context',
      400,
      error({ code: 'context_length_exceeded' }),
      ['context', false, 400, 'context_length_exceeded', undefined],
    ],
    [
      'context in words',
      400,
      error({ message: 'prompt is too long: 210000 tokens > 200000 maximum' }),
      ['context', false, 400, 'context_length_exceeded', undefined],
    ],
    ['content', 400, error({ code: 'content_filter' }), ['content', false, 400, 'content_filter', undefined]],
    ['redirect', 302, null, ['failure', true, 502, 'upstream_invalid_response', undefined]],
    ['not modified', 304, null, ['failure', true, 502, 'upstream_invalid_response', undefined]],
    [
      'Google refuses a key with 400',
      400,
      [
        {
          error: {
            code: 400,
            status: 'INVALID_ARGUMENT',
            message: 'API key not valid. Please pass a valid API key.',
            details: [{ reason: 'API_KEY_INVALID' }],
          },
        },
      ],
      ['missing', true, 502, 'upstream_auth', undefined],
    ],
    [
      'xAI refuses a key with 400',
      400,
      { code: 'Client specified an invalid argument', error: 'Incorrect API key provided: xa***xx.' },
      ['missing', true, 502, 'upstream_auth', undefined],
    ],
    [
      'a request error that quotes the client',
      400,
      error({ message: "Invalid value: 'overloaded, at capacity, UNAVAILABLE'" }),
      ['client', false, 400, 'invalid_request', undefined],
    ],
    [
      'Anthropic overloaded in 200',
      200,
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      ['failure', true, 503, 'upstream_unavailable', undefined],
    ],
    [
      'Google in 200',
      200,
      error({ code: 429, status: 'RESOURCE_EXHAUSTED' }),
      ['busy', true, 429, 'upstream_rate_limited', undefined],
    ],
    ['unknown error in 200', 200, error({ type: 'odd' }), ['failure', true, 502, 'upstream_error', undefined]],
    [
      'request error in 200',
      200,
      error({ type: 'invalid_request_error' }),
      ['client', false, 400, 'invalid_request', undefined],
    ],
  ])('%s', (_name, status, body, expected) => {
    expect(judge(status, body)).toEqual(expected)
  })

  test('an overload with a hint rests the target instead of counting against it', () => {
    expect(judge(503, null, { 'retry-after': '3' })).toEqual(['busy', true, 503, 'upstream_unavailable', 3000])
  })

  test('any body and any headers are judged, and an error status never becomes a good one', () => {
    const value = fc.oneof(
      fc.json().map((text) => JSON.parse(text) as unknown),
      fc.record({ error: fc.anything() }),
      fc.anything(),
    )
    fc.assert(
      fc.property(
        fc.integer({ min: 200, max: 599 }),
        value,
        fc.dictionary(fc.constantFrom('retry-after', 'retry-after-ms'), fc.string()),
        (status, body, headers) => {
          const failure = classifyAnswer(status, headers, body, context)
          expect(failure.error.status).toBeGreaterThanOrEqual(400)
          expect([401, 402, 403]).not.toContain(failure.error.status)
          expect(failure.reason).toMatch(/^[a-z0-9_]{1,64}$/)
          if (failure.retryAfterMs !== undefined)
            expect(Number.isFinite(failure.retryAfterMs) && failure.retryAfterMs >= 0).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('messages', () => {
  const letters = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
  const body = (min: number, max: number) =>
    fc.string({ unit: fc.constantFrom(...letters), minLength: min, maxLength: max })
  const known = fc.oneof(
    fc
      .tuple(
        fc.constantFrom('sk-', 'sk-proj-', 'sk-ant-api03-', 'gsk_', 'xai-', 'pplx-', 'hf_', 'r8_', 'nvapi-', 'csk-'),
        body(20, 60),
      )
      .map((p) => p.join('')),
    body(35, 35).map((t) => `AIza${t}`),
    fc.tuple(body(20, 30), body(20, 60), body(20, 40)).map(([a, b, c]) => `eyJ${a}.${b}.${c}`),
  )
  const around = fc.tuple(
    fc.string({ maxLength: 30 }),
    fc.constantFrom(' ', '"', "'", ': ', '(', '=', '\n', 'Bearer ', '`'),
    fc.constantFrom(' ', '.', '"', ')', ',', '', '\n'),
    fc.string({ maxLength: 30 }),
  )

  test('no key of a known form passes', () => {
    fc.assert(
      fc.property(known, around, (key, [before, open, close, after]) => {
        expect(cleanMessage(`${before}${open}${key}${close}${after}`)).not.toContain(key)
      }),
      { numRuns: 500 },
    )
  })

  test('the gateway’s own secrets do not pass, whatever they look like, nor a part that shows more than half', () => {
    const secret = fc
      .string({ unit: 'grapheme-ascii', minLength: 8, maxLength: 60 })
      .filter((s) => s.trim() === s && !'[redacted]'.includes(s))
    fc.assert(
      fc.property(secret, fc.nat(2100), fc.string({ maxLength: 30 }), (key, at, after) => {
        const cleaned = cleanMessage(`${'x '.repeat(at >> 1)}${key}${after}`, [key])
        expect(cleaned).not.toContain(key)
        if (at > 1500) expect(cleaned).not.toContain(key.slice(0, Math.ceil(key.length / 2) + 4))
      }),
      { numRuns: 300 },
    )
  })

  test.each([
    'http://10.0.0.3:8080/v1/x',
    '192.168.1.77',
    'llm-0.models.svc',
    'node7.internal:9000',
    'https://secret.example.com/path?x=1',
  ])('no host: %s', (host) => {
    expect(cleanMessage(`upstream ${host} said no`)).toBe('upstream [redacted] said no')
  })

  test.each([
    "This model's maximum context length is 128000 tokens.",
    "Invalid value: 'high'. Supported values are: 'low' and 'medium'.",
    'Unknown parameter: top_k. Version 1.2.3 of the API has no such field; see messages[0].content',
    'The api-version is missing',
  ])('what a client needs stays: %s', (text) => {
    expect(cleanMessage(text)).toBe(text)
  })

  test('bounded', () => {
    expect(cleanMessage('a'.repeat(1_000_000)).length).toBeLessThanOrEqual(2000)
  })

  test('a secret in an error body reaches neither client nor log', () => {
    for (const status of [200, 400, 401, 404, 422, 429, 500]) {
      const failure = classifyAnswer(
        status,
        {},
        error({ message: 'Incorrect key provided: my own odd key!', code: 'my own odd key!' }),
        { ...context, secrets: ['my own odd key!'] },
      )
      expect(
        `${failure.error.message} ${failure.error.detail} ${failure.error.publicCode} ${failure.error.param}`,
      ).not.toContain('odd key')
    }
  })
})

test('faults and timers say what happened and are worth another attempt', () => {
  expect(classifyFault({ kind: 'connect', detail: 'ECONNREFUSED' }, 'p/m')).toMatchObject({
    kind: 'failure',
    reason: 'connect',
    retryable: true,
    error: { code: 'upstream_unavailable' },
  })
  expect(classifyFault({ kind: 'reset', detail: 'x' }, 'p/m').error).toMatchObject({ code: 'upstream_error' })
  expect(timeoutFailure('idle', 'p/m')).toMatchObject({
    reason: 'idle_timeout',
    retryable: true,
    error: { code: 'upstream_timeout', status: 504 },
  })
})

describe('who failed', () => {
  const behind = (status: number, headers: Record<string, string>, proxyText: string | undefined) =>
    classifyAnswer(status, headers, null, { ...context, proxyText })
  const ENVOY = { server: 'envoy' }

  test('a full circuit is nobody’s fault: others are tried at once, the same not again', () => {
    const failure = behind(503, { ...ENVOY, 'x-envoy-overloaded': 'true' }, '')
    expect(failure).toMatchObject({ kind: 'busy', origin: 'mesh', errorType: 'mesh.overflow', sameAgain: false })
    expect(failure).toMatchObject({ reason: 'mesh_overflow', retryable: true })
    expect(failure.error.code).toBe('upstream_unavailable')
  })

  test('the same answer is the provider’s where no proxy of the mesh can stand, or where it bears the backend’s mark', () => {
    const bare = behind(503, { ...ENVOY, 'x-envoy-overloaded': 'true' }, undefined)
    expect(bare).toMatchObject({ origin: 'provider', errorType: '' })
    const marked = behind(503, { ...ENVOY, 'x-envoy-upstream-service-time': '4' }, '')
    expect(marked).toMatchObject({ origin: 'provider', errorType: '' })
  })

  test('timers are the provider’s, connections the network’s', () => {
    expect(timeoutFailure('first_token', 'p/m').origin).toBe('provider')
    expect(classifyFault({ kind: 'connect', detail: '' }, 'p/m').origin).toBe('network')
  })
})

test('Google tells of a prompt that is too long in words alone, and its code is the status', () => {
  const message = 'The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).'
  const google = (text: string) =>
    classifyAnswer(400, {}, error({ code: 400, message: text, status: 'INVALID_ARGUMENT' }), context)
  expect(google(message)).toMatchObject({ kind: 'context', error: { publicCode: 'context_length_exceeded' } })
  expect(google('no such field')).toMatchObject({ kind: 'client', error: { publicCode: 'invalid_request' } })
})

test('names that Anthropic puts deeper go on to the client', () => {
  const body = error({ type: 'not_found_error', details: { error_code: 'thread_not_found' } })
  expect(classifyAnswer(404, {}, body, context).error.publicCode).toBe('thread_not_found')
})

test.each([
  [{ code: 'invalid_encrypted_content', message: 'could not be verified' }, true],
  [{ message: 'messages.1.content.0: Invalid `signature` in `thinking` block' }, true],
  [{ message: 'messages.1.content.0: Invalid `data` in `redacted_thinking` block' }, true],
  [{ message: 'Corrupted thought signature.', status: 'INVALID_ARGUMENT' }, true],
  [{ message: 'Function call is missing a thought_signature in functionCall parts.' }, undefined],
  [{ message: 'Invalid signature of the request' }, undefined],
])('proofs that are not the backend’s own: %j', (fields, foreign) => {
  const { kind, foreignProof } = classifyAnswer(400, {}, error(fields), context)
  expect([kind, foreignProof]).toEqual(['client', foreign])
})
