// HTTP/1.1 as no client library would send it: each form is refused with the envelope and a closed connection, or is
// exactly one request.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { startSim } from '../../src/sim/index.ts'
import { until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { CHAT, chatBody, expectEnvelope, JSON_TYPE, open, parseAnswers, portOf, post, raw } from './abuse-kit.ts'

let sim: Sim
let gateway: Gateway
let port: number

beforeAll(async () => {
  sim = await startSim()
  gateway = await startGateway(`
server:
  log: { level: silent, access: false }
  limits: { header_timeout: 1s, body_timeout: 1s, body: 1MiB }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat }
`)
  port = portOf(gateway.url)
})
afterAll(async () => {
  await gateway.stop()
  await sim.close()
})

const BODY = chatBody()
const LENGTH = Buffer.byteLength(BODY)
const HEX = LENGTH.toString(16)
const HEAD = `POST ${CHAT} HTTP/1.1\r\nhost: t\r\n${JSON_TYPE}\r\n`
const CHUNKS = `${HEX}\r\n${BODY}\r\n0\r\n\r\n`
const SMUGGLED = `POST ${CHAT} HTTP/1.1\r\nhost: t\r\n${JSON_TYPE}\r\ncontent-length: ${LENGTH}\r\n\r\n${BODY}`
const withLength = (header: string): string => `${HEAD}${header}\r\ncontent-length: ${LENGTH}\r\n\r\n${BODY}`
const withTe = (header: string): string => `${HEAD}${header}\r\n\r\n${CHUNKS}`
const chunked = (body: string): string => `${HEAD}transfer-encoding: chunked\r\n\r\n${body}`
const many = (count: number): string => Array.from({ length: count }, (_, i) => `x-${i}: a`).join('\r\n')

type Refused = readonly [name: string, bytes: string, status?: number, code?: string]

const REFUSED: readonly Refused[] = [
  // framing that two readers could understand differently
  ['length and chunked', `${HEAD}content-length: ${LENGTH}\r\ntransfer-encoding: chunked\r\n\r\n${CHUNKS}`],
  ['chunked and length', `${HEAD}transfer-encoding: chunked\r\ncontent-length: ${LENGTH}\r\n\r\n${CHUNKS}`],
  ['CL.TE with a request inside', `${HEAD}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${SMUGGLED}`],
  [
    'TE.CL with a request inside',
    `${HEAD}transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n${Buffer.byteLength(SMUGGLED).toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
  ],
  ['length twice, equal', withLength(`content-length: ${LENGTH}`)],
  ['length twice, other', withLength('content-length: 5')],
  ['length as list', `${HEAD}content-length: ${LENGTH}, ${LENGTH}\r\n\r\n${BODY}`],
  ['length with plus', `${HEAD}content-length: +${LENGTH}\r\n\r\n${BODY}`],
  ['length below zero', `${HEAD}content-length: -1\r\n\r\n${BODY}`],
  ['length in hex', `${HEAD}content-length: 0x${HEX}\r\n\r\n${BODY}`],
  ['length with exponent', `${HEAD}content-length: 1e2\r\n\r\n${BODY}`],
  ['length with inner space', `${HEAD}content-length: 1 5\r\n\r\n${BODY}`],
  ['length beyond 64 bits', `${HEAD}content-length: 99999999999999999999999\r\n\r\n${BODY}`],
  ['length empty', `${HEAD}content-length:\r\n\r\n${BODY}`],
  ['coding unknown', withTe('transfer-encoding: xchunked')],
  ['coding identity', `${HEAD}transfer-encoding: identity\r\n\r\n${BODY}`],
  ['chunked not last', withTe('transfer-encoding: chunked, identity')],
  ['gzip below chunked', withTe('transfer-encoding: gzip, chunked')],
  ['identity below chunked', withTe('transfer-encoding: identity, chunked')],
  ['chunked twice, two lines', withTe('transfer-encoding: chunked\r\ntransfer-encoding: chunked')],
  ['chunked twice, one line', withTe('transfer-encoding: chunked, chunked')],
  ['identity, then chunked, two lines', withTe('transfer-encoding: identity\r\ntransfer-encoding: chunked')],
  ['vertical tab before chunked', withTe('transfer-encoding: \x0bchunked')],
  ['space before the colon', withTe('transfer-encoding : chunked')],
  ['tab before the colon', withTe('transfer-encoding\t: chunked')],
  ['quoted chunked', withTe('transfer-encoding: "chunked"')],
  ['chunked with parameter', withTe('transfer-encoding: chunked;q=1')],
  ['chunked with NUL', withTe('transfer-encoding: chunked\0')],
  ['empty coding', withLength('transfer-encoding:')],
  ['folded coding', withTe('transfer-encoding:\r\n chunked')],
  ['space before the length header', withLength(' content-length: 3')],
  ['chunk size with 0x', chunked(`0x${HEX}\r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk size below zero', chunked('-1\r\nx\r\n0\r\n\r\n')],
  ['chunk size with plus', chunked(`+${HEX}\r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk size overflow', chunked(`fffffffffffffffff\r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk size empty', chunked(`\r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk size with trailing space', chunked(`${HEX} \r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk lines with bare LF', chunked(`${HEX}\n${BODY}\n0\n\n`)],
  ['chunk size with bare CR', chunked(`${HEX}\r${BODY}\r\n0\r\n\r\n`)],
  ['chunk without its end', chunked(`${HEX}\r\n${BODY}0\r\n\r\n`)],
  ['chunk shorter than its data', chunked(`5\r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk extension of 20 kB', chunked(`${HEX};${'a'.repeat(20_000)}\r\n${BODY}\r\n0\r\n\r\n`)],
  [
    'trailers of 20 kB',
    chunked(`${HEX}\r\n${BODY}\r\n0\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`),
    431,
    'headers_too_large',
  ],
  // heads
  ['folded header', withLength('x-a: b\r\n c')],
  ['bare LF in the head', `POST ${CHAT} HTTP/1.1\nhost: t\n${JSON_TYPE}\ncontent-length: ${LENGTH}\n\n${BODY}`],
  ['bare CR in a value', withLength('x-a: b\rc')],
  ['NUL in a value', withLength('x-a: b\0c')],
  ['NUL in a name', withLength('x\0a: b')],
  ['header without a colon', withLength('nothing')],
  ['header without a name', withLength(': nothing')],
  ['no host', `POST ${CHAT} HTTP/1.1\r\n${JSON_TYPE}\r\ncontent-length: ${LENGTH}\r\n\r\n${BODY}`],
  ['two hosts', withLength('host: other')],
  ['two keys', withLength('authorization: Bearer a\r\nAuthorization: Bearer b')],
  ['two content types', withLength('Content-Type: text/plain')],
  ['two content encodings', withLength('content-encoding: gzip\r\ncontent-encoding: gzip')],
  ['101 headers', withLength(many(101)), 431, 'headers_too_large'],
  ['1,000 headers', withLength(many(1000)), 431, 'headers_too_large'],
  ['a header of 20 kB', withLength(`x-a: ${'a'.repeat(20_000)}`), 431, 'headers_too_large'],
  ['a path of 20 kB', `GET /v1/${'a'.repeat(20_000)} HTTP/1.1\r\nhost: t\r\n\r\n`, 431, 'headers_too_large'],
  // request lines
  ['lower case method', `post ${CHAT} HTTP/1.1\r\nhost: t\r\n\r\n`],
  ['unknown method', `WEAVE ${CHAT} HTTP/1.1\r\nhost: t\r\n\r\n`],
  ['CONNECT', 'CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n', 405, 'method_not_allowed'],
  ['NUL in the path', 'POST /v1/\0 HTTP/1.1\r\nhost: t\r\n\r\n'],
  ['space in the path', `POST ${CHAT} x HTTP/1.1\r\nhost: t\r\n\r\n`],
  ['HTTP/1.2', `POST ${CHAT} HTTP/1.2\r\nhost: t\r\n\r\n`],
  ['HTTP/2.0 without the preface', withLength('x: y').replace('HTTP/1.1', 'HTTP/2.0')],
  ['HTTP/0.9', 'GET /v1/models\r\n\r\n'],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['half a preface', 'PRJ * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['expectation unknown', withLength('expect: magic'), 417],
  [
    'body announced larger than allowed',
    `${HEAD}expect: 100-continue\r\ncontent-length: 9999999\r\n\r\n`,
    413,
    'payload_too_large',
  ],
  ['content coding unknown', withLength('content-encoding: rot13'), 415, 'unsupported_media_type'],
  ['content codings in a chain', withLength('content-encoding: gzip, gzip'), 415, 'unsupported_media_type'],
]

describe('refused, and the connection closed', () => {
  test.each(REFUSED.map(([name, ...rest]) => [name, rest] as const))(
    '%s',
    async (_name, [bytes, status = 400, code = 'invalid_request']) => {
      const before = sim.stats().requests
      const result = await raw(port, Buffer.from(bytes, 'latin1'), { untilClose: true })
      expect(result.answers).toHaveLength(1)
      expectEnvelope(result.answers[0], status, code)
      expect(result.answers[0]!.headers['connection']).toBe('close')
      expect(result.closed).toBe(true)
      expect(sim.stats().requests).toBe(before)
    },
  )
})

const ONE: readonly (readonly [name: string, bytes: string])[] = [
  ['plain', SMUGGLED],
  ['chunked', withTe('transfer-encoding: chunked')],
  ['chunked, capital', withTe('Transfer-Encoding: Chunked')],
  ['chunked after a tab', withTe('transfer-encoding:\tchunked')],
  ['chunked, then a space', withTe('transfer-encoding: chunked ')],
  [
    'one byte a chunk',
    chunked(`${[...Buffer.from(BODY)].map((b) => `1\r\n${String.fromCharCode(b)}\r\n`).join('')}0\r\n\r\n`),
  ],
  ['chunk size with leading zeros', chunked(`0000000${HEX}\r\n${BODY}\r\n0\r\n\r\n`)],
  ['chunk extension', chunked(`${HEX};a=b\r\n${BODY}\r\n0\r\n\r\n`)],
  [
    'trailers that name credentials',
    chunked(`${HEX}\r\n${BODY}\r\n0\r\nauthorization: Bearer x\r\nhost: evil\r\n\r\n`),
  ],
  ['HTTP/1.0', `POST ${CHAT} HTTP/1.0\r\n${JSON_TYPE}\r\ncontent-length: ${LENGTH}\r\n\r\n${BODY}`],
  ['absolute form', SMUGGLED.replace(`POST ${CHAT}`, `POST http://169.254.169.254${CHAT}`)],
  ['empty lines first', `\r\n\r\n${SMUGGLED}`],
  [
    'upgrade to h2c',
    withLength('connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA'),
  ],
  ['upgrade to websocket', withLength('connection: upgrade\r\nupgrade: websocket')],
  ['connection names end-to-end headers', withLength('connection: close, host, content-type')],
  ['expect 100-continue', withLength('expect: 100-continue')],
]

describe('exactly one request', () => {
  test.each(ONE)('%s', async (_name, bytes) => {
    const before = sim.stats().requests
    const { answers } = await raw(port, Buffer.from(bytes, 'latin1'))
    expect(answers.filter((a) => a.status >= 200).map((a) => a.status)).toEqual([200])
    expect(sim.stats().requests).toBe(before + 1)
    const last = sim.received.at(-1)!
    expect(last.path).toBe(CHAT)
    expect(last.headers['host']).toBe(new URL(sim.url).host)
    expect(JSON.parse(last.body.toString())).toMatchObject({ model: 'sim-chat' })
  })
})

const PASSED = 'GET, POST, PUT, PATCH, DELETE'
const WRONG_METHODS = [
  ...['GET', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'OPTIONS', 'HEAD'].map((method) => [method, CHAT, 'POST'] as const),
  ...['completions', 'embeddings', 'responses'].map((path) => ['GET', `/v1/${path}`, 'POST'] as const),
  ['DELETE', '/chat/completions/', 'POST'],
  ['POST', '/v1/models', 'GET, HEAD'],
  ['OPTIONS', '/v1/files', PASSED],
] as const

test.each(WRONG_METHODS)('%s %s is not used: no backend is asked', async (method, path, allow) => {
  const before = sim.received.length
  const { answers, text } = await raw(port, `${method} ${path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n`, {
    untilClose: true,
  })
  if (method === 'HEAD') expect(text).toMatch(/^HTTP\/1.1 405 [\s\S]*\r\n\r\n$/)
  else expectEnvelope(answers[0], 405, 'method_not_allowed')
  expect(text).toMatch(new RegExp(`^allow: ${allow}\r$`, 'im'))
  expect(sim.received).toHaveLength(before)
})

test.each(['GET', 'DELETE'])('%s of a stored response passes through', async (method) => {
  const { answers } = await raw(
    port,
    `${method} /v1/responses/resp_1 HTTP/1.1\r\nhost: t\r\nx-heddle-provider: a\r\nconnection: close\r\n\r\n`,
    { untilClose: true },
  )
  expect(answers).toHaveLength(1)
  expect(sim.received.at(-1)).toMatchObject({ method, path: '/v1/responses/resp_1' })
})

describe('pipelining', () => {
  test('two requests: two answers, in order', async () => {
    const first = post(
      CHAT,
      [JSON_TYPE],
      chatBody({ model: 'a/sim-chat~delay_first=100', messages: [{ role: 'user', content: 'one' }] }),
    )
    const second = post(CHAT, [JSON_TYPE, 'x-request-id: second'], chatBody())
    const { answers } = await raw(port, Buffer.concat([first, second]), { answers: 2 })
    expect(answers.map((a) => a.status)).toEqual([200, 200])
    expect(answers[0]!.headers['x-request-id']).not.toBe('second')
    expect(answers[1]!.headers['x-request-id']).toBe('second')
  })

  test('100 requests in one packet: 100 answers, in order', async () => {
    const requests = Array.from(
      { length: 100 },
      (_, i) => `GET /v1/models/none-${i} HTTP/1.1\r\nhost: t\r\nx-request-id: n${i}\r\n\r\n`,
    )
    const { answers } = await raw(port, requests.join(''), { answers: 100 })
    expect(answers.map((a) => a.headers['x-request-id'])).toEqual(requests.map((_, i) => `n${i}`))
  })

  test('good requests and rubbish: the good ones are answered first, nothing after the refusal', async () => {
    const slow = post(CHAT, [JSON_TYPE], chatBody({ model: 'a/sim-chat~delay_headers=150' }))
    const { answers, closed } = await raw(
      port,
      Buffer.concat([slow, Buffer.from(SMUGGLED), Buffer.from('GARBAGE\r\n\r\n')]),
      { untilClose: true },
    )
    expect(closed).toBe(true)
    expect(answers.map((a) => a.status)).toEqual([200, 200, 400])
  })

  test('a stream is not cut by a second request that never becomes whole', async () => {
    const stream = post(CHAT, [JSON_TYPE], chatBody({ model: 'a/sim-chat~interval=150', stream: true }))
    const { answers } = await raw(port, Buffer.concat([stream, Buffer.from('POST /v1/ch')]), {
      untilClose: true,
      patience: 15_000,
    })
    expect(answers[0]!.body).toContain('[DONE]')
    expectEnvelope(answers[1], 408, 'request_timeout')
  })
})

describe('too slow, or gone', () => {
  test('a dripped head gets 408 within the header timeout and 2 s', async () => {
    const socket = await open(port)
    const chunks: Buffer[] = []
    socket.on('data', (c: Buffer) => chunks.push(c))
    const began = performance.now()
    const drip = setInterval(() => socket.write('x'), 50)
    socket.write(`POST ${CHAT} HTTP/1.1\r\nx-a: `)
    await new Promise((resolve) => socket.on('end', resolve).on('error', resolve))
    clearInterval(drip)
    socket.destroy()
    expectEnvelope(parseAnswers(Buffer.concat(chunks))[0], 408, 'request_timeout')
    expect(performance.now() - began).toBeLessThan(3500)
  })

  test('a dripped body gets 408', async () => {
    const socket = await open(port)
    const chunks: Buffer[] = []
    socket.on('data', (c: Buffer) => chunks.push(c))
    const drip = setInterval(() => socket.write(' '), 50)
    socket.write(`${HEAD}content-length: 1000\r\n\r\n{`)
    await new Promise((resolve) => socket.on('end', resolve).on('error', resolve))
    clearInterval(drip)
    socket.destroy()
    expectEnvelope(parseAnswers(Buffer.concat(chunks))[0], 408, 'request_timeout')
  })

  test('a connection that sends nothing is closed', async () => {
    const { closed, text } = await raw(port, '', { untilClose: true })
    expect(closed).toBe(true)
    expect(text).toBe('')
  })

  test('a client that ends its side counts as gone: a full close looks the same on the wire', async () => {
    const slow = post(CHAT, [JSON_TYPE], chatBody({ model: 'a/sim-chat~delay_headers=3000' }))
    const before = sim.stats().closedByPeer
    const { closed, answers } = await raw(port, slow, { end: true })
    expect(closed).toBe(true)
    expect(answers).toEqual([])
    await until(() => sim.stats().closedByPeer === before + 1 || sim.stats().inFlight === 0, 2000)
  })

  test('a body that breaks off reaches no backend', async () => {
    const before = sim.stats().requests
    const socket = await open(port)
    socket.write(`${HEAD}content-length: 1000\r\n\r\n{"model":"m",`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    socket.resetAndDestroy()
    expect((await raw(port, SMUGGLED)).answers[0]?.status).toBe(200)
    expect(sim.stats().requests).toBe(before + 1)
  })

  test('whoever ignores the refusal and sends on is cut off, having seen the reason', async () => {
    const socket = await open(port)
    const chunks: Buffer[] = []
    socket.on('data', (c: Buffer) => chunks.push(c))
    let closed = false
    socket.on('error', () => {})
    socket.on('close', () => (closed = true))
    socket.write(`${HEAD}content-length: 99999999\r\n\r\n`)
    const flood = setInterval(() => socket.write(Buffer.alloc(65_536)), 5)
    await until(() => closed, 5000)
    clearInterval(flood)
    expectEnvelope(parseAnswers(Buffer.concat(chunks))[0], 413, 'payload_too_large')
  })

  test('a chunked body over the limit is refused while it arrives, and the client sees why', async () => {
    const part = `10000\r\n${'a'.repeat(65_536)}\r\n`
    const { answers, closed } = await raw(
      port,
      [`${HEAD}transfer-encoding: chunked\r\n\r\n`, ...Array.from({ length: 40 }, () => part)],
      { untilClose: true },
    )
    expectEnvelope(answers[0], 413, 'payload_too_large')
    expect(closed).toBe(true)
  })
})

test('afterwards nothing is left open, and the gateway answers', async () => {
  await until(async () => (await gateway.metric('heddle_inflight_requests')) === 0, 5000)
  expect((await raw(port, SMUGGLED)).answers[0]?.status).toBe(200)
  expect(await gateway.metric('heddle_refused_requests_total')).toBeGreaterThan(REFUSED.length)
})
