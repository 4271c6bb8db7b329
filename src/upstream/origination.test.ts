import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AnswerReader, notOriginated } from './origination.ts'

const headers = (more: Record<string, string> = {}): ReadonlyMap<string, string> =>
  new Map(Object.entries({ 'x-envoy-upstream-service-time': '12', 'content-type': 'application/json', ...more }))

test.each([200, 400, 401, 403, 404, 405])('the vendor’s own %i, through a proxy, proves it', (status) => {
  expect(notOriginated({ status, headers: headers(), body: '{"error":{"message":"Incorrect API key"}}' })).toBeNull()
})

test.each([
  ['a redirect to https', 301, headers({ location: 'https://api.test/' }), ''],
  ['a redirect, past the mesh', 308, new Map(), ''],
  ['the right status without the proxy', 401, new Map([['content-type', 'application/json']]), '{}'],
  [
    'the vendor’s own Envoy behind somebody else’s edge: no proxy of ours',
    401,
    headers({ server: 'cloudflare' }),
    '{}',
  ],
  ['what Envoy says itself', 503, new Map([['server', 'envoy']]), 'upstream connect error'],
  ['a broken vendor', 502, headers(), ''],
  ['a request to come back with TLS', 426, headers(), ''],
  [
    'an API that says it was reached in clear',
    403,
    headers(),
    '{"error":{"message":"SSL is required to perform this operation."}}',
  ],
  ['another that does', 400, headers(), 'The plain HTTP request was sent to HTTPS port; HTTPS required'],
])('%s does not', (_what, status, given, body) => {
  expect(notOriginated({ status, headers: given, body })).toMatch(/\(\d{3}\)/)
})

const read = (text: string, cuts: readonly number[] = []) => {
  const reader = new AnswerReader()
  const bytes = Buffer.from(text, 'latin1')
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const place of [...places, bytes.length]) {
    const result = reader.take(bytes.subarray(from, place))
    if (result !== null) return { result, rest: bytes.length - place }
    from = place
  }
  return { result: null, rest: 0 }
}

const LENGTH = 'HTTP/1.1 401 Unauthorized\r\nX-A: b\r\nContent-Length: 5\r\n\r\nhello'
const CHUNKED =
  'HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nx-trailer: 1\r\n\r\n'

test.each([LENGTH, CHUNKED])('an answer is read whole, however it is cut, and never too early', (text) => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 12 }), (cuts) => {
      const { result, rest } = read(text, cuts)
      expect(result).toMatchObject({ body: 'hello' })
      expect(rest).toBe(0)
    }),
  )
  for (let length = 0; length < text.length; length++) expect(read(text.slice(0, length)).result).toBeNull()
})

test.each([
  ['bytes beyond the answer', `${LENGTH}HTTP/1.1 200 OK\r\n`],
  ['chunks beyond', `${CHUNKED}x`],
  ['no end but that of the connection', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['two lengths', 'HTTP/1.1 401 x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
  ['another coding', 'HTTP/1.1 401 x\r\ntransfer-encoding: gzip, chunked\r\n\r\n'],
  ['a chunk that is none', 'HTTP/1.1 401 x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
  ['HTTP/1.0', 'HTTP/1.0 401 x\r\ncontent-length: 0\r\n\r\n'],
  [
    'an error without an end: what follows would be taken for the answer to the first call',
    'HTTP/1.1 401 x\r\nx-envoy-upstream-service-time: 1\r\n\r\n',
  ],
  ['something else', 'SSH-2.0-OpenSSH\r\n\r\n'],
  [
    'a connection that ends',
    `HTTP/1.1 401 x\r\nx-envoy-upstream-service-time: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`,
  ],
  ['too much', `HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n${'x'.repeat(300_000)}`],
])('%s: the connection is not used', (_what, text) => {
  expect(read(text).result).toBe('broken')
})

test('a redirect without a length still says what it is', () => {
  expect(read('HTTP/1.1 301 Moved\r\nlocation: https://x/\r\nconnection: close\r\n\r\n').result).toMatchObject({
    status: 301,
  })
})
