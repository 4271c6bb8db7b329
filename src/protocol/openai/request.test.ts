import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Operation } from '../../contracts/config.ts'
import { asksForUsage, readRequest, rewriteRequest } from './request.ts'

const LIMITS = { depth: 64, keys: 10_000 }
const read = (body: string | Buffer, operation: Operation = 'chat') => readRequest(operation, Buffer.from(body), LIMITS)
const thrown = (run: () => unknown): unknown => {
  try {
    run()
  } catch (error) {
    return error
  }
  return undefined
}

// No key that ends with a backslash: after one, JSON.parse of V8 14.x takes a key that ends with a quote for it.
const keys = fc.constantFrom(
  'temperature',
  'user',
  'metadata',
  'a b',
  '\\x',
  '"',
  'ü',
  'modelx',
  'xmodel',
  'streams',
  'tools',
  'n',
)
const values = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }).map((v) => JSON.parse(JSON.stringify(v)) as unknown),
  fc.string(),
  fc.constantFrom('"model":"x"', '{"stream_options":null}', '}', ',"model":'),
)
const spaces = fc.constantFrom('', ' ', '\n', '\t ', '\r\n')
const options = fc.constantFrom(
  undefined,
  null,
  {},
  { include_usage: false },
  { include_usage: true },
  { include_obfuscation: true, 'ü"': [1] },
)

/** A chat request as text, with its keys in any order and blanks anywhere: JSON.stringify would know only one form. */
const bodies = fc
  .record({
    more: fc.dictionary(keys, values, { maxKeys: 6 }),
    model: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }),
    options,
    stream: fc.constantFrom(undefined, true, false, null),
    blank: spaces,
    order: fc.nat(1000),
  })
  .map(({ more, model, options: given, stream, blank, order }) => {
    const all = Object.entries({
      ...more,
      model,
      messages: [{ role: 'user', content: 'x' }],
      ...(stream === undefined ? {} : { stream }),
      ...(given === undefined ? {} : { stream_options: given }),
    }).filter(([k]) => k !== '__proto__')
    const turned = [...all.slice(order % all.length), ...all.slice(0, order % all.length)]
    const text = `${blank}{${blank}${turned.map(([k, v]) => `${JSON.stringify(k)}${blank}:${blank}${JSON.stringify(v)}`).join(`${blank},${blank}`)}${blank}}${blank}`
    return { text, value: Object.fromEntries(turned) }
  })
  // A lone surrogate is no UTF-8: it would be another text on the wire. And one key is refused.
  .filter(({ text }) => text.isWellFormed() && !text.includes('__proto__'))

describe('rewriting', () => {
  test('changes the model and the usage option, and means the same otherwise', () => {
    fc.assert(
      fc.property(
        bodies,
        fc.option(fc.string({ minLength: 1 })),
        fc.boolean(),
        ({ text, value }, model, includeUsage) => {
          const fields = read(text)
          expect(fields.model).toBe(value['model'])
          const out = rewriteRequest(fields, {
            modelJson: model === null ? null : Buffer.from(JSON.stringify(model)),
            includeUsage,
          })
          const expected = {
            ...value,
            ...(model === null ? {} : { model }),
            ...(includeUsage
              ? { stream_options: { ...(value['stream_options'] as object | null), include_usage: true } }
              : {}),
          }
          expect(JSON.parse(out.toString())).toEqual(expected)
          // And what was written is read again as what it should be.
          expect(read(out).model).toBe(model ?? value['model'])
          if (includeUsage) expect(asksForUsage(read(out))).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })

  test('every byte outside of what must change stays', () => {
    fc.assert(
      fc.property(bodies, fc.string({ minLength: 1 }), ({ text }, model) => {
        const fields = read(text)
        const out = rewriteRequest(fields, { modelJson: Buffer.from(JSON.stringify(model)), includeUsage: false })
        const body = Buffer.from(text)
        const head = body.subarray(0, fields.modelStart)
        const tail = body.subarray(fields.modelEnd)
        expect(out.subarray(0, head.length).equals(head)).toBe(true)
        expect(out.subarray(out.length - tail.length).equals(tail)).toBe(true)
        expect(out.subarray(head.length, out.length - tail.length).toString()).toBe(JSON.stringify(model))
      }),
      { numRuns: 300 },
    )
  })

  test('nothing to change: the same buffer', () => {
    const fields = read('{"model":"a","messages":[]}')
    expect(rewriteRequest(fields, { modelJson: null, includeUsage: false })).toBe(fields.body)
    expect(rewriteRequest(fields, { modelJson: Buffer.from('"a"'), includeUsage: false })).toBe(fields.body)
  })
})

describe('reading', () => {
  test('what planning needs', () => {
    const fields = read(
      JSON.stringify({
        model: 'm',
        stream: true,
        max_completion_tokens: 7,
        tools: [],
        messages: [
          {
            role: 'user',
            content: [
              { type: 'image_url', image_url: {} },
              { type: 'input_audio', input_audio: {} },
            ],
          },
        ],
        response_format: { type: 'json_schema' },
      }),
    )
    expect(fields).toMatchObject({
      model: 'm',
      stream: true,
      maxTokens: 7,
      tools: true,
      vision: true,
      audio: true,
      jsonSchema: true,
    })
    const plain = read(
      JSON.stringify({
        model: 'm',
        messages: [{ role: 'user', content: '"image_url": "tools" json_schema' }],
        max_tokens: null,
        tools: null,
      }),
    )
    expect(plain).toMatchObject({
      stream: false,
      maxTokens: 0,
      tools: false,
      vision: false,
      audio: false,
      jsonSchema: false,
    })
    expect(read('{"model":"\\u00fc\\n","messages":[]}').model).toBe('ü\n')
  })

  test.each<[Operation, string, string, string | undefined]>([
    ['chat', '', 'invalid_json', undefined],
    ['chat', '{', 'invalid_json', undefined],
    ['chat', '[]', 'invalid_request', undefined],
    ['chat', 'null', 'invalid_request', undefined],
    ['chat', '{"model":"m"}', 'invalid_request', 'messages'],
    ['chat', '{"messages":[]}', 'invalid_request', 'model'],
    ['chat', '{"model":"","messages":[]}', 'invalid_request', 'model'],
    ['chat', '{"model":5,"messages":[]}', 'invalid_request', 'model'],
    ['chat', `{"model":"${'x'.repeat(600)}","messages":[]}`, 'invalid_request', 'model'],
    ['chat', '{"model":"m","messages":[],"stream":"yes"}', 'invalid_request', 'stream'],
    ['chat', '{"model":"m","messages":[],"stream_options":[]}', 'invalid_request', 'stream_options'],
    ['chat', '{"model":"m","model":"n","messages":[]}', 'invalid_json', 'model'],
    ['chat', '{"model":"m","\\u006dodel":"n","messages":[]}', 'invalid_json', '\\u006dodel'],
    ['chat', '{"model":"m","messages":[{"a":1,"a":2}]}', 'invalid_json', 'a'],
    ['chat', '{"model":"m","messages":[],"__proto__":{}}', 'invalid_json', undefined],
    ['chat', `{"model":"m","messages":${'['.repeat(100)}${']'.repeat(100)}}`, 'invalid_json', undefined],
    ['chat', '{"model":"m","messages":[]} x', 'invalid_json', undefined],
    ['chat', '{"model":"m","messages":[],}', 'invalid_json', undefined],
    ['chat', '{"model":"m","messages":[NaN]}', 'invalid_json', undefined],
    ['embeddings', '{"model":"m"}', 'invalid_request', 'input'],
    ['completions', '{"model":"m","prompt":5}', 'invalid_request', 'prompt'],
    ['responses', '{"model":"m","input":{}}', 'invalid_request', 'input'],
  ])('%s refuses %s', (operation, body, code, param) => {
    const error = thrown(() => read(body, operation)) as { code: string; param?: string; status: number }
    expect([error.code, error.status]).toEqual([code, 400])
    if (param !== undefined) expect([param, undefined]).toContain(error.param)
  })

  test('invalid UTF-8 is refused, wherever it stands', () => {
    const bad = Buffer.concat([
      Buffer.from('{"model":"m","messages":["'),
      Buffer.from([0xc3, 0x28]),
      Buffer.from('"]}'),
    ])
    expect(thrown(() => read(bad))).toMatchObject({ code: 'invalid_json' })
  })

  test('takes what JSON.parse takes and nothing else, but for duplicates and depth', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json({ maxDepth: 4 }),
          fc.string(),
          fc.json().map((t) => t.slice(0, -1)),
          fc.tuple(fc.json(), fc.string({ maxLength: 2 })).map((p) => p.join('')),
        ),
        (text) => {
          let valid = true
          try {
            JSON.parse(text)
          } catch {
            valid = false
          }
          const error = thrown(() => read(`{"model":"m","messages":[${text}]}`)) as
            | { code?: string; message?: string }
            | undefined
          const inList = (() => {
            try {
              JSON.parse(`[${text}]`)
              return true
            } catch {
              return false
            }
          })()
          if (!valid && !inList) expect(error?.code).toBe('invalid_json')
          else if (error !== undefined) expect(error.message).toMatch(/twice|__proto__|UTF-8|keys|levels/)
        },
      ),
      { numRuns: 500 },
    )
  })
})
