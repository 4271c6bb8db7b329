import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isDeeper, messageOf, parseExact, readParcel, RpcFault, type Parcel } from './json-rpc.ts'

const LIMITS = { message: 10_000, depth: 8, batch: 3 }
const read = (value: unknown): Parcel => readParcel(Buffer.from(JSON.stringify(value)), LIMITS)

describe('messages', () => {
  test('a request, a notification, an answer', () => {
    expect(read({ jsonrpc: '2.0', id: 1, method: 'm', params: { a: 1 } }).messages).toEqual([
      { kind: 'request', id: 1, method: 'm', params: { a: 1 } },
    ])
    expect(read({ jsonrpc: '2.0', method: 'm' }).messages).toEqual([{ kind: 'notification', method: 'm', params: {} }])
    expect(read({ jsonrpc: '2.0', id: 'x', result: {} }).messages).toEqual([
      { kind: 'response', id: 'x', result: {}, error: null },
    ])
    expect(read({ jsonrpc: '2.0', id: null, error: { code: -1, message: 'no' } }).messages[0]).toMatchObject({
      kind: 'response',
      id: null,
      error: { code: -1, message: 'no' },
    })
  })

  test('what is none names the id that it can', () => {
    expect(() => read({ jsonrpc: '2.0', id: 7, method: 1 })).toThrow(expect.objectContaining({ code: -32600, id: 7 }))
    expect(() => read({ jsonrpc: '2.0', id: 2 ** 60, method: 'm' })).toThrow(expect.objectContaining({ id: null }))
  })

  test('a batch is what its messages are, no more than allowed', () => {
    const ping = { jsonrpc: '2.0', method: 'm' }
    expect(read([ping, ping]).batch).toBe(true)
    expect(() => read([ping, ping, ping, ping])).toThrow(/more than 3/)
    expect(() => readParcel(Buffer.from(JSON.stringify([ping])), { ...LIMITS, batch: 0 })).toThrow(/no[t]? part/)
  })
})

test('whatever comes in is a message or a fault with a code, and nothing else is thrown', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((b) => Buffer.from(b)),
    fc.json({ maxDepth: 12 }).map((text) => Buffer.from(text)),
    fc
      .record(
        {
          jsonrpc: fc.constantFrom('2.0', '1.0', 2),
          id: fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.object()),
          method: fc.oneof(fc.string(), fc.integer()),
          params: fc.oneof(fc.object(), fc.array(fc.integer())),
          result: fc.object(),
          error: fc.object(),
        },
        { requiredKeys: [] },
      )
      .map((value) => Buffer.from(JSON.stringify(value))),
  )
  fc.assert(
    fc.property(bytes, (body) => {
      try {
        const { messages } = readParcel(body, LIMITS)
        expect(messages.length).toBeGreaterThan(0)
        for (const message of messages) expect(['request', 'notification', 'response']).toContain(message.kind)
      } catch (error) {
        expect(error).toBeInstanceOf(RpcFault)
        expect([-32700, -32600]).toContain((error as RpcFault).code)
      }
    }),
    { numRuns: 1000 },
  )
})

describe('depth', () => {
  const depthOf = (value: unknown): number =>
    typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0

  test('is that of the value, whatever its texts hold', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
        const body = Buffer.from(JSON.stringify(value))
        const depth = depthOf(value)
        expect(isDeeper(body, depth)).toBe(false)
        if (depth > 0) expect(isDeeper(body, depth - 1)).toBe(true)
      }),
    )
    for (const text of ['"[[["', '"\\"[[["', '"\\\\"', '["\\\\\\"[["]'])
      expect(isDeeper(Buffer.from(text), 1)).toBe(false)
    expect(isDeeper(Buffer.from('["\\\\",[[]]]'), 2)).toBe(true)
    expect(isDeeper(Buffer.from('"never ends'), 0)).toBe(false)
  })
})

describe('numbers', () => {
  test.each(['12345678901234567890', '1e400', '0.1000', '-0', '1.0', '1E5', '123456789.123456789123'])('%s', (text) => {
    const json = `{"a":[${text}],"b":"${text}"}`
    expect(JSON.stringify(parseExact(json))).toBe(json)
  })

  test('values are what JSON.parse says, and are written back alike', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const exact = JSON.stringify(parseExact(text))
        expect(JSON.parse(exact)).toEqual(JSON.parse(text))
      }),
    )
  })

  test('an id is a number only where a double holds it', () => {
    expect(messageOf(parseExact('{"jsonrpc":"2.0","id":12345678901234567890,"method":"m"}'))).toBeNull()
    expect(messageOf(parseExact('{"jsonrpc":"2.0","id":123456789012,"method":"m","params":{"x":0.10}}'))).toMatchObject(
      {
        id: 123_456_789_012,
      },
    )
  })
})
