import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GatewayError, ERROR_CODES } from '../core/errors.ts'
import { formField, replaceFormField } from './multipart.ts'
import { judgeAnswer, usageOf } from './openai/answer.ts'
import { errorEvent, errorHeaders, errorJson, responsesErrorEvent } from './openai/errors.ts'
import { joinDataLines } from './sse.ts'

describe('joinDataLines', () => {
  test.each([
    ['data: {\ndata: "a":1}\n\n', '{ "a":1}'],
    ['data:{\r\ndata:  "a":1}\r\n\r\n', '{  "a":1}'],
    ['data: {\rdata\rdata: }\r\r', '{  }'],
  ])('%j', (text, data) => {
    const lines = joinDataLines(Buffer.from(text)).toString().split('\n')
    expect(lines.at(-3)).toBe(`data: ${data}`)
    expect(lines.slice(-2)).toEqual(['', ''])
  })

  test('JSON over any number of lines means the same in one', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('\n', '\r\n'), (value, nl) => {
        const lines = JSON.stringify(value, null, 1).split('\n')
        const event = `event: x${nl}id: 1${nl}${lines.map((l) => `data: ${l}`).join(nl)}${nl}${nl}`
        const joined = joinDataLines(Buffer.from(event)).toString()
        expect(joined.startsWith('event: x\nid: 1\ndata: ')).toBe(true)
        expect(JSON.parse(joined.slice(joined.indexOf('data: ') + 6))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })
})

describe('formField', () => {
  const form = (boundary: string, parts: readonly (readonly [string, string])[]): Buffer =>
    Buffer.from(
      `${parts.map(([head, value]) => `--${boundary}\r\n${head}\r\n\r\n${value}\r\n`).join('')}--${boundary}--\r\n`,
    )
  const type = 'multipart/form-data; boundary=abc'

  test('finds the field, quoted or not, and not in a file', () => {
    const parts = [
      ['Content-Disposition: form-data; name="file"; filename="model"', 'name="model"'],
      ['content-type: text/plain\r\ncontent-disposition: form-data; name="notmodel"', 'no'],
      ['CONTENT-DISPOSITION: form-data; name="model"', 'whisper-1'],
    ] as const
    expect(formField(form('abc', parts), type, 'model')).toBe('whisper-1')
    expect(formField(form('a b', parts), 'multipart/form-data; boundary="a b"', 'model')).toBe('whisper-1')
    expect(formField(form('abc', [['content-disposition: form-data; name=model', 'x']]), type, 'model')).toBe('x')
    expect(formField(form('abc', parts.slice(0, 2)), type, 'model')).toBeUndefined()
    expect(formField(form('abc', parts), 'multipart/form-data', 'model')).toBeUndefined()
  })

  test('replaced, all other bytes stay', () => {
    const parts = (value: string) =>
      form('abc', [
        ['content-disposition: form-data; name="file"; filename="x"', '\u0000\r\n--ab'],
        ['content-disposition: form-data; name="model"', value],
      ])
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        (before, after) => {
          if (`${before}${after}`.includes('--abc')) return
          expect(replaceFormField(parts(before), type, 'model', after).equals(parts(after))).toBe(true)
        },
      ),
    )
    expect(replaceFormField(Buffer.from('x'), type, 'model', 'y').toString()).toBe('x')
  })

  test('no bytes break it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.string(), fc.constantFrom('--abc', '\r\n\r\n', '\r\n', 'name="model"', '; filename')), {
          maxLength: 20,
        }),
        (parts) => void formField(Buffer.from(parts.join('')), type, 'model'),
      ),
    )
  })

  test('values and the number of parts are bounded', () => {
    expect(
      formField(form('abc', [['content-disposition: form-data; name="model"', 'x'.repeat(5000)]]), type, 'model'),
    ).toHaveLength(1024)
    const many = Array.from({ length: 70 }, () => ['content-disposition: form-data; name="a"', 'b'] as const)
    expect(
      formField(form('abc', [...many, ['content-disposition: form-data; name="model"', 'x']]), type, 'model'),
    ).toBeUndefined()
  })
})

describe('answers', () => {
  test.each([
    ['chat', { choices: [{}] }, 'ok'],
    ['chat', { choices: [] }, 'invalid'],
    ['chat', { choices: {} }, 'invalid'],
    ['chat', {}, 'invalid'],
    ['chat', { error: null, choices: [{}] }, 'ok'],
    ['chat', { error: {}, choices: [{}] }, 'error'],
    ['chat', { error: 'x' }, 'error'],
    ['chat', { error: '' }, 'invalid'],
    ['embeddings', { data: [] }, 'ok'],
    ['responses', { output: [], error: null }, 'ok'],
    ['responses', { choices: [{}] }, 'invalid'],
  ] as const)('%s %j is %s', (operation, body, verdict) => {
    for (const text of [JSON.stringify(body), JSON.stringify(body, null, 2)])
      expect(judgeAnswer(operation, Buffer.from(text))).toBe(verdict)
  })

  test('usage of any dialect', () => {
    const usage = (u: unknown) => {
      const body = Buffer.from(JSON.stringify({ choices: [{}], usage: u }))
      judgeAnswer('chat', body)
      return usageOf(body)
    }
    expect(
      usage({ prompt_tokens: 3, completion_tokens: 2, prompt_tokens_details: { cached_tokens: 1 } }),
    ).toMatchObject({
      inputTokens: 3,
      outputTokens: 2,
      cachedInputTokens: 1,
      reasoningTokens: 0,
    })
    expect(usage({ input_tokens: 3, output_tokens: 2, output_tokens_details: { reasoning_tokens: 1 } })).toMatchObject({
      inputTokens: 3,
      outputTokens: 2,
      cachedInputTokens: 0,
      reasoningTokens: 1,
    })
    for (const none of [null, {}, [], 'x', { prompt_tokens: -1, completion_tokens: 'x' }])
      expect(usage(none)).toBeNull()
  })
})

describe('errors', () => {
  test('every code in the envelope has all keys, and its status is an error', () => {
    for (const code of Object.keys(ERROR_CODES) as (keyof typeof ERROR_CODES)[]) {
      const error = new GatewayError(code, 'Words.')
      const { error: body } = JSON.parse(errorJson(error, 'id')) as { error: Record<string, unknown> }
      expect(Object.keys(body).toSorted()).toEqual(['code', 'message', 'param', 'request_id', 'type'])
      expect(error.status).toBeGreaterThanOrEqual(400)
    }
  })

  test('an event is one event, whatever the message', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (message, detail) => {
        const error = new GatewayError('stream_interrupted', message, { detail })
        for (const text of [errorEvent(error, 'id'), responsesErrorEvent(error, 'id', 3)]) {
          expect(text.endsWith('\n\n') && !text.slice(0, -2).includes('\n\n')).toBe(true)
          const data = JSON.parse(text.slice(text.indexOf('data: ') + 6)) as {
            error?: { message: string }
            message?: string
          }
          expect(data.error?.message ?? data.message).toContain(message)
        }
      }),
    )
  })

  test('waiting: whole seconds up, never zero, and not at all when SDKs would not wait as long', () => {
    const headers = (ms: number) => errorHeaders(new GatewayError('upstream_rate_limited', 'm', { retryAfterMs: ms }))
    expect(headers(0)).toEqual(['retry-after', '1', 'retry-after-ms', '0'])
    expect(headers(1001)).toEqual(['retry-after', '2', 'retry-after-ms', '1001'])
    expect(headers(61_000)).toContain('x-should-retry')
    expect(errorHeaders(new GatewayError('upstream_auth', 'm'))).toEqual(['x-should-retry', 'false'])
    expect(errorHeaders(new GatewayError('invalid_request', 'm'))).toEqual([])
  })
})
