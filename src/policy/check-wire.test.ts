import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf'
import type { Decision } from '../pipeline/decision.ts'
import {
  CheckRequestSchema,
  CheckResponseSchema,
  type AttributeContext_Peer,
  type CheckResponse,
} from '../protocol/grpc/gen/authz_pb.ts'
import { WireFault } from '../protocol/grpc/wire.ts'
import { frameCheck, readCheck, type CheckQuestion } from './check-wire.ts'
import { listOf } from './headers.ts'
import { addressOf, withoutPseudo } from './received.ts'

const expectedSource = (source: AttributeContext_Peer | undefined): { principal: string; peer: string } => {
  const address = source?.address?.address
  const peer = address?.case === 'socketAddress' ? addressOf(`${address.value.address}:0`) : ''
  return { principal: source?.principal ?? '', peer }
}

/** The same by the library, field by field. */
function expected(bytes: Uint8Array): CheckQuestion {
  const { attributes } = fromBinary(CheckRequestSchema, bytes)
  const http = attributes?.request?.http
  const map = Object.entries(http?.headers ?? {}).flatMap(([key, value]) => (key.startsWith(':') ? [] : [key, value]))
  return {
    method: http?.method ?? '',
    path: http?.path ?? '/',
    raw: http?.headerMap === undefined ? map : withoutPseudo(listOf(http.headerMap)),
    body: Buffer.from(http !== undefined && http.rawBody.length > 0 ? http.rawBody : (http?.body ?? '')),
    ...expectedSource(attributes?.source),
  }
}

/** Order of a map means nothing. */
const plain = ({ method, path, raw, body, principal, peer }: CheckQuestion, isMap: boolean): object => {
  const pairs = raw.flatMap((name, i) => (i % 2 === 0 ? [`${name}\0${raw[i + 1]}`] : []))
  return { method, path, pairs: isMap ? pairs.toSorted() : pairs, body: body.toString('hex'), principal, peer }
}

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ maxLength: 12 }))
const bytes = fc.uint8Array({ maxLength: 60 }).map((list) => Buffer.from(list))
const name = fc.oneof(fc.constantFrom(':path', ':method', 'authorization', 'content-type', 'x-a', ''), text)

const http = fc.record(
  {
    id: text,
    method: text,
    path: text,
    host: text,
    size: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    headers: fc.dictionary(name, text, { maxKeys: 90 }),
    body: text,
    rawBody: bytes,
    headerMap: fc.record({
      headers: fc.array(fc.record({ key: name, value: text, rawValue: bytes }), { maxLength: 6 }),
    }),
  },
  { requiredKeys: [] },
)
const source = fc.record(
  {
    principal: text,
    address: fc.oneof(
      fc.record({
        address: fc.record({ case: fc.constant('socketAddress' as const), value: fc.record({ address: text }) }),
      }),
      fc.record({ address: fc.record({ case: fc.constant('pipe' as const), value: fc.record({ path: text }) }) }),
    ),
  },
  { requiredKeys: [] },
)
const request = fc
  .record(
    {
      source,
      destination: source,
      request: fc.record({ http }, { requiredKeys: [] }),
      contextExtensions: fc.dictionary(text, text, { maxKeys: 3 }),
    },
    { requiredKeys: [] },
  )
  .map((attributes) => toBinary(CheckRequestSchema, create(CheckRequestSchema, { attributes })))

const isMap = (asked: Uint8Array): boolean =>
  fromBinary(CheckRequestSchema, asked).attributes?.request?.http?.headerMap === undefined

describe('what is read of a check', () => {
  test('is what the library reads', () => {
    fc.assert(
      fc.property(request, (asked) => {
        const map = isMap(asked)
        expect(plain(readCheck(Buffer.from(asked)), map)).toEqual(plain(expected(asked), map))
      }),
      { numRuns: 500 },
    )
  })

  test('messages of one field become one, as protobuf has it', () => {
    fc.assert(
      fc.property(request, request, (one, two) => {
        const both = Buffer.concat([one, two])
        const map = isMap(both)
        expect(plain(readCheck(both), map)).toEqual(plain(expected(both), map))
      }),
    )
  })

  test('of two headers of one name the later counts, among few and among many', () => {
    const build = (headers: Record<string, string>): Uint8Array =>
      toBinary(CheckRequestSchema, create(CheckRequestSchema, { attributes: { request: { http: { headers } } } }))
    for (const count of [1, 10, 200]) {
      const many = Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'one']))
      const both = Buffer.concat([build(many), build({ [`x-${count - 1}`]: 'two', 'x-0': 'three' })])
      expect(plain(readCheck(both), true)).toEqual(plain(expected(both), true))
      expect(readCheck(both).raw.length).toBe(count * 2)
    }
  })

  test('one that is cut is refused where the library refuses it', () => {
    const refuses = (read: () => unknown): boolean => {
      try {
        read()
        return false
      } catch {
        return true
      }
    }
    fc.assert(
      fc.property(request, fc.nat(), (asked, at) => {
        const cut = Buffer.from(asked).subarray(0, at % (asked.length + 1))
        expect(refuses(() => readCheck(cut))).toBe(refuses(() => fromBinary(CheckRequestSchema, cut)))
      }),
      { numRuns: 500 },
    )
  })

  test('one that is changed is read or refused: nothing else is thrown', () => {
    fc.assert(
      fc.property(request, fc.nat(), fc.integer({ min: 0, max: 255 }), (asked, at, byte) => {
        const broken = Buffer.from(asked)
        if (broken.length > 0) broken[at % broken.length] = byte
        try {
          readCheck(broken)
        } catch (error) {
          expect(error).toBeInstanceOf(WireFault)
        }
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['a number that does not end', '0affffffffffffffffffffff01'],
    ['a field beyond its message', '0a052202'],
    ['a field of no number', '00'],
    ['a group that does not end', '0b08'],
    ['a text that is no UTF-8', '0a08220612041202c328'],
  ])('%s is refused, as the library does', (_name, hex) => {
    const broken = Buffer.from(hex, 'hex')
    expect(() => readCheck(broken)).toThrow(WireFault)
    expect(() => fromBinary(CheckRequestSchema, broken)).toThrow(Error)
  })

  test('any bytes at all: a message or a WireFault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (any) => {
        try {
          readCheck(Buffer.from(any))
        } catch (error) {
          expect(error).toBeInstanceOf(WireFault)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('fields that are not known are skipped, whatever they are', () => {
    const asked = toBinary(
      CheckRequestSchema,
      create(CheckRequestSchema, { attributes: { request: { http: { method: 'GET', path: '/x' } } } }),
    )
    // 100: a varint, 101: 64 bits, 102: bytes, 103: 32 bits, 104: a group with a field in it.
    const unknown = Buffer.from('a00605a9060102030405060708b20601ffbd0601020304c3060801c406', 'hex')
    const all = Buffer.concat([unknown, asked, unknown])
    expect(readCheck(all)).toMatchObject({ method: 'GET', path: '/x' })
    expect(fromBinary(CheckRequestSchema, all).attributes?.request?.http?.path).toBe('/x')
  })
})

const pairs = fc
  .array(fc.tuple(fc.stringMatching(/^[a-z-]{1,20}$/), text), { maxLength: 12 })
  .map((list) => list.flat())
const decision: fc.Arbitrary<Decision> = fc.record({
  request: pairs,
  remove: fc.array(text, { maxLength: 5 }),
  response: pairs,
  metadata: fc.dictionary(text, fc.oneof(text, fc.double({ noNaN: true, noDefaultInfinity: true })), { maxKeys: 12 }),
})

const sent = (framed: Buffer): CheckResponse => {
  expect(framed[0]).toBe(0)
  expect(framed.readUInt32BE(1)).toBe(framed.length - 5)
  return fromBinary(CheckResponseSchema, framed.subarray(5))
}

/** As the library builds it, and through bytes: texts that are no Unicode are mended by both. */
const built = (answer: object): CheckResponse =>
  fromBinary(
    CheckResponseSchema,
    toBinary(CheckResponseSchema, create(CheckResponseSchema, answer as MessageInitShape<typeof CheckResponseSchema>)),
  )

const optionsOf = (list: readonly string[]) =>
  list.flatMap((key, i) =>
    i % 2 === 0 ? [{ header: { key, value: list[i + 1]! }, appendAction: 2, keepEmptyValue: false }] : [],
  )

describe('what is answered', () => {
  test('an allowance', () => {
    fc.assert(
      fc.property(decision, (allowed) => {
        const known = built({
          status: { code: 0 },
          httpResponse: {
            case: 'okResponse',
            value: {
              headers: optionsOf(allowed.request),
              headersToRemove: [...allowed.remove],
              responseHeadersToAdd: optionsOf(allowed.response),
            },
          },
          dynamicMetadata: { ...allowed.metadata },
        })
        expect(sent(frameCheck({ allowed }))).toEqual(known)
      }),
      { numRuns: 500 },
    )
  })

  test('a refusal', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 599 }), pairs, text, (status, headers, body) => {
        const known = built({
          status: { code: 7 },
          httpResponse: {
            case: 'deniedResponse',
            value: { status: { code: status }, headers: optionsOf(headers), body },
          },
        })
        expect(sent(frameCheck({ status, headers, body }))).toEqual(known)
      }),
    )
  })

  test('one that is larger than any before, and what breaks off in the middle', () => {
    const body = 'é'.repeat(300_000)
    const large = sent(frameCheck({ status: 403, headers: [], body }))
    expect(large.httpResponse.case === 'deniedResponse' && large.httpResponse.value.body === body).toBe(true)
    const metadata = { a: null } as unknown as Decision['metadata']
    expect(() => frameCheck({ allowed: { request: ['x-a', 'b'], remove: [], response: [], metadata } })).toThrow(
      TypeError,
    )
    const after = sent(frameCheck({ status: 401, headers: [], body: 'x' }))
    expect(after.httpResponse).toMatchObject({ case: 'deniedResponse', value: { body: 'x', headers: [] } })
  })
})
