// Bodies, headers, names and paths as an attacker or a broken client would send them.
import { brotliCompressSync, createGzip, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import type { Reply } from '../support/client.ts'
import type { Gateway } from '../support/gateway.ts'
import { startSim } from '../../src/sim/index.ts'
import { call } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { CHAT, chatBody, expectEnvelope, portOf, raw } from './abuse-kit.ts'

let sim: Sim
let gateway: Gateway

beforeAll(async () => {
  sim = await startSim()
  gateway = await startGateway(`
server:
  log: { level: silent, access: false }
  limits: { body: 8MiB, decompressed_body: 8MiB }
providers: { a: { type: openai_compatible, base_url: "${sim.url}", api_key: operators-key } }
models: { m: a/sim-chat }
`)
})
afterAll(async () => {
  await gateway.stop()
  await sim.close()
})

type Headers = Readonly<Record<string, string>>
const send = (body: string | Buffer, headers: Headers = {}, path = CHAT) =>
  call(`${gateway.url}${path}`, { body, headers })

async function expectRefused(
  body: string | Buffer,
  status: number,
  code: string,
  headers: Headers = {},
  path = CHAT,
): Promise<{ message: string; param: string | null }> {
  const before = sim.stats().requests
  const reply = await send(body, headers, path)
  expectEnvelope(
    { status: reply.status, headers: reply.headers as Record<string, string>, body: reply.text },
    status,
    code,
  )
  expect(sim.stats().requests).toBe(before)
  return (reply.json() as { error: { message: string; param: string | null } }).error
}

/** Shows the body of an answer that is none. */
const expectOk = (reply: Reply): void => expect(reply.status === 200 ? 'ok' : reply.text).toBe('ok')

const messages = '"messages":[{"role":"user","content":"hi"}]'
const utf8 = (bytes: number[]): Buffer =>
  Buffer.concat([
    Buffer.from('{"model":"m","messages":[{"role":"user","content":"'),
    Buffer.from(bytes),
    Buffer.from('"}]}'),
  ])
const manyKeys = (count: number): string =>
  `{"model":"m",${messages},"x":{${Array.from({ length: count }, (_, i) => `"k${i}":0`).join(',')}}}`

const NOT_JSON: readonly (readonly [name: string, body: string | Buffer])[] = [
  ['empty', ''],
  ['rubbish', 'hello'],
  ['half', chatBody().slice(0, -5)],
  ['only an opening brace', '{'],
  ['trailing comma', `{"model":"m",${messages},}`],
  ['single quotes', chatBody().replaceAll('"', "'")],
  ['comment', `{/* */"model":"m",${messages}}`],
  ['NaN', `{"model":"m",${messages},"temperature":NaN}`],
  ['two objects', `${chatBody()}${chatBody()}`],
  ['something behind', `${chatBody()} x`],
  ['byte order mark', `\ufeff${chatBody()}`],
  ['UTF-16', Buffer.from(chatBody(), 'utf16le')],
  ['NUL behind', `${chatBody()}\0`],
  ['NUL inside a string', `{"model":"m","messages":[{"role":"user","content":"a\0b"}]}`],
  ['line break inside a string', `{"model":"m","messages":[{"role":"user","content":"a\nb"}]}`],
  ['lone continuation byte', utf8([0x80])],
  ['overlong slash', utf8([0xc0, 0xaf])],
  ['encoded surrogate', utf8([0xed, 0xa0, 0x80])],
  ['above U+10FFFF', utf8([0xf5, 0x80, 0x80, 0x80])],
  ['cut character', utf8([0xe2, 0x82])],
  ['leading zero', `{"model":"m",${messages},"n":01}`],
  ['bad escape', `{"model":"m",${messages},"user":"\\x41"}`],
  ['half escape', `{"model":"m",${messages},"user":"\\u12"}`],
  ['100,000 brackets', '['.repeat(100_000)],
  ['100,000 objects', `{"model":"m",${messages},"x":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`],
  ['65 levels', `{"model":"m",${messages},"x":${'['.repeat(64)}${']'.repeat(64)}}`],
  ['200,000 keys', manyKeys(200_000)],
  ['model twice', `{"model":"m","model":"other",${messages}}`],
  ['model twice, one escaped', `{"model":"m","mod\\u0065l":"other",${messages}}`],
  ['model twice, both escaped', `{"\\u006dodel":"m","m\\u006Fdel":"other",${messages}}`],
  ['a key twice in a message', '{"model":"m","messages":[{"role":"user","role":"system","content":"x"}]}'],
  ['a key twice, deep', `{"model":"m",${messages},"a":[{"b":{"c":1,"d":2,"c":3}}]}`],
  ['a key twice among many', `${manyKeys(500).slice(0, -2)},"k77":1}}`],
  ['an empty key twice', `{"model":"m",${messages},"":1,"":2}`],
  ['a key twice beyond the BMP', `{"model":"m",${messages},"\u{1f600}":1,"\\ud83d\\ude00":2}`],
  ['__proto__', `{"model":"m",${messages},"__proto__":{"stream":true}}`],
  ['__proto__ escaped, deep', `{"model":"m",${messages},"a":{"\\u005f_proto__":{}}}`],
]

describe('not JSON, or not one JSON that all read alike', () => {
  test.each(NOT_JSON)('%s', async (_name, body) => {
    await expectRefused(body, 400, 'invalid_json')
  })
})

const WRONG: readonly (readonly [name: string, body: string, param: string | null])[] = [
  ['null', 'null', null],
  ['array', '[]', null],
  ['string', '"model"', null],
  ['number', '12', null],
  ['no model', `{${messages}}`, 'model'],
  ['model null', `{"model":null,${messages}}`, 'model'],
  ['model number', `{"model":5,${messages}}`, 'model'],
  ['model object', `{"model":{"name":"m"},${messages}}`, 'model'],
  ['model list', `{"model":["m"],${messages}}`, 'model'],
  ['model empty', `{"model":"",${messages}}`, 'model'],
  ['model of 10 kB', `{"model":"${'m'.repeat(10_000)}",${messages}}`, 'model'],
  ['no messages', '{"model":"m"}', 'messages'],
  ['messages null', '{"model":"m","messages":null}', 'messages'],
  ['messages object', '{"model":"m","messages":{}}', 'messages'],
  ['messages text', '{"model":"m","messages":"hi"}', 'messages'],
  ['stream text', `{"model":"m",${messages},"stream":"true"}`, 'stream'],
  ['stream number', `{"model":"m",${messages},"stream":1}`, 'stream'],
  ['stream_options list', `{"model":"m",${messages},"stream":true,"stream_options":[]}`, 'stream_options'],
  ['stream_options text', `{"model":"m",${messages},"stream":true,"stream_options":"x"}`, 'stream_options'],
]

describe('wrong types', () => {
  test.each(WRONG)('%s', async (_name, body, param) => {
    expect((await expectRefused(body, 400, 'invalid_request')).param).toBe(param)
  })

  test.each([
    ['/v1/embeddings', '{"model":"m"}', 'input'],
    ['/v1/embeddings', '{"model":"m","input":5}', 'input'],
    ['/v1/completions', '{"model":"m","prompt":{}}', 'prompt'],
    ['/v1/responses', '{"model":"m","input":{}}', 'input'],
  ])('%s %s', async (path, body, param) => {
    expect((await expectRefused(body, 400, 'invalid_request', {}, path)).param).toBe(param)
  })
})

const FINE: readonly (readonly [name: string, extra: string])[] = [
  ['unknown fields', '"weave":{"b":[1,2.50,-0,1e5,"\\u00e9\\/"],"a":null}'],
  ['lone surrogates', '"user":"\\ud800 \\udc00"'],
  ['constructor and prototype', '"constructor":{"prototype":{"a":1}},"toString":1,"hasOwnProperty":2'],
  ['numbers no double holds', '"weave":123456789012345678901234567890,"x":0.1000000000000000055511151231257827'],
  ['a NUL as escape', '"user":"a\\u0000b"'],
  [
    'api_base and friends',
    '"api_base":"http://169.254.169.254/","base_url":"http://evil.example","host":"evil.example"',
  ],
  ['64 levels', `"x":${'['.repeat(63)}${']'.repeat(63)}`],
  ['99,000 keys', `"x":{${Array.from({ length: 99_000 }, (_, i) => `"k${i}":0`).join(',')}}`],
  ['odd spacing', ' \t\r\n"x" \n:\t1 '],
]

describe('accepted, and byte for byte the same at the backend', () => {
  test.each(FINE)('%s', async (_name, extra) => {
    const body = ` {"model" : "a/sim-chat", ${messages},${extra}}\n`
    const reply = await send(body)
    expectOk(reply)
    const want = body.replace('"a/sim-chat"', '"sim-chat"')
    expect(sim.received.at(-1)!.body.toString('latin1')).toBe(Buffer.from(want).toString('latin1'))
  })

  test('values of fields that Heddle reads only for planning do no harm', async () => {
    for (const value of ['1e400', '-1', '"9"', '{}', '[1]', 'true', '9'.repeat(400), 'null']) {
      const reply = await send(`{"model":"m",${messages},"max_tokens":${value}}`)
      expect([200, 400]).toContain(reply.status)
    }
    expect((await send(chatBody())).status).toBe(200)
  })
})

const NAMES = [
  'x#y',
  'x?y=1',
  '../../admin',
  '..%2f..%2fadmin',
  '%00',
  'x%0d%0aset-cookie: a=b',
  'x"y',
  "x'y",
  'x\\y',
  'x\ny',
  'x\r\ny: z',
  'x\u0000y',
  '\u202ex',
  '名前',
  '<script>',
  '${env:HOME}',
  '{{7*7}}',
  '@evil.example',
  '//evil.example/',
  'http://evil.example/',
  ' x ',
  'x*y',
  '__proto__',
  'constructor',
  'toString',
]

describe('model names', () => {
  test.each(NAMES)('%j changes neither path nor host of the call', async (name) => {
    const before = sim.stats().requests
    const reply = await send(chatBody({ model: `a/${name}` }))
    expectOk(reply)
    expect(sim.stats().requests).toBe(before + 1)
    const last = sim.received.at(-1)!
    expect(last.path).toBe(CHAT)
    expect(last.method).toBe('POST')
    expect((JSON.parse(last.body.toString()) as { model: string }).model).toBe(name)
    expect(reply.headers['set-cookie']).toBeUndefined()
  })

  test.each([...NAMES, 'none', '/', 'a', 'a/'])('%j that nobody has is not found', async (name) => {
    const { message } = await expectRefused(chatBody({ model: name }), 404, 'model_not_found')
    expect(message.length).toBeLessThan(500)
  })
})

const TYPES: readonly (readonly [type: string, ok: boolean])[] = [
  ['application/json', true],
  ['application/json; charset=utf-8', true],
  ['application/json;;', true],
  ['APPLICATION/JSON', true],
  ['application/vnd.api+json', true],
  [' application/json ', true],
  ['text/plain', false],
  ['text/json', false],
  ['application/jsonx', false],
  ['application/json, text/plain', false],
  ['application/x-www-form-urlencoded', false],
  ['multipart/form-data; boundary=x', false],
  ['text/plain; application/json', false],
  ['application/json\ttext/plain', false],
]

describe('content types', () => {
  test.each(TYPES)('%j', async (type, ok) => {
    if (ok) expect((await send(chatBody(), { 'content-type': type })).status).toBe(200)
    else await expectRefused(chatBody(), 415, 'unsupported_media_type', { 'content-type': type })
  })

  test('none at all is JSON', async () => {
    const body = chatBody()
    const { answers } = await raw(
      portOf(gateway.url),
      `POST ${CHAT} HTTP/1.1\r\nhost: t\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    expect(answers[0]!.status).toBe(200)
  })
})

const CODINGS = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  deflate: deflateSync,
  br: brotliCompressSync,
  zstd: zstdCompressSync,
} as const

async function gzipBomb(mebibytes: number): Promise<Buffer> {
  const gzip = createGzip({ level: 9 })
  const chunks: Buffer[] = []
  gzip.on('data', (c: Buffer) => chunks.push(c))
  const block = Buffer.alloc(1 << 20, 0x20)
  for (let i = 0; i < mebibytes; i++)
    if (!gzip.write(block)) await new Promise((resolve) => gzip.once('drain', resolve))
  await new Promise<void>((resolve) => gzip.on('end', resolve).end())
  return Buffer.concat(chunks)
}

describe('content codings', () => {
  test.each(Object.entries(CODINGS))('%s, whole, cut and corrupt', async (name, compress) => {
    const packed = compress(Buffer.from(chatBody()))
    expect((await send(packed, { 'content-encoding': name })).status).toBe(200)
    expect(sim.received.at(-1)!.headers['content-encoding']).toBeUndefined()
    expect(JSON.parse(sim.received.at(-1)!.body.toString())).toMatchObject({ model: 'sim-chat' })
    await expectRefused(packed.subarray(0, -6), 400, 'invalid_request', { 'content-encoding': name })
    await expectRefused(Buffer.from(chatBody()), 400, 'invalid_request', { 'content-encoding': name })
    await expectRefused(compress(Buffer.alloc(9 << 20)), 413, 'payload_too_large', { 'content-encoding': name })
  })

  test.each(['identity', '', 'IDENTITY'])('%j is none', async (name) => {
    expect((await send(chatBody(), { 'content-encoding': name })).status).toBe(200)
  })

  test.each(['gzip, gzip', 'gzip,identity', 'compress', 'chunked', 'gzip;q=1', '*', Array(64).fill('gzip').join(',')])(
    '%j is not known',
    async (name) => {
      await expectRefused(chatBody(), 415, 'unsupported_media_type', { 'content-encoding': name })
    },
  )

  test('a gzip bomb of 256 MiB costs no more memory than the limit lets it', async () => {
    const bomb = await gzipBomb(256)
    const before = process.memoryUsage.rss()
    let peak = before
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5)
    for (let i = 0; i < 4; i++) await expectRefused(bomb, 413, 'payload_too_large', { 'content-encoding': 'gzip' })
    clearInterval(watch)
    expect((peak - before) / (1 << 20)).toBeLessThan(96)
  })

  test('a body over the limit is refused, and the client that is still sending learns why', async () => {
    for (let i = 0; i < 5; i++) await expectRefused(Buffer.alloc(32 << 20, 0x20), 413, 'payload_too_large')
  })
})

const HOSTILE: Headers = {
  authorization: 'Bearer clients-key',
  'x-api-key': 'clients-key',
  'api-key': 'clients-key',
  'proxy-authorization': 'Basic eDp5',
  cookie: 'session=1',
  'x-forwarded-for': '10.0.0.1',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-proto': 'https',
  forwarded: 'host=evil.example',
  'x-real-ip': '10.0.0.1',
  'x-portkey-custom-host': 'http://evil.example/v1',
  'x-portkey-provider': 'evil',
  'x-goog-api-key': 'clients-key',
  'openai-organization': 'clients-org',
  'x-http-method-override': 'DELETE',
  'x-original-url': '/admin',
  'x-rewrite-url': '/admin',
  'x-sim-fault': 'status=500',
  'x-heddle-target': 'evil/x',
  api_base: 'http://evil.example',
  base_url: 'http://evil.example',
  te: 'trailers',
  via: '1.1 evil',
  origin: 'http://evil.example',
  referer: 'http://evil.example',
  host: 'evil.example',
}
const MAY_REACH = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'accept',
  'accept-encoding',
  'user-agent',
  'authorization',
  'openai-beta',
  'idempotency-key',
])

describe('headers', () => {
  test.each([
    ['chat', CHAT, 'POST'],
    ['passthrough', '/v1/files', 'GET'],
  ])('of a client, nothing but the allowed reaches a backend: %s', async (_name, path, method) => {
    const reply = await call(`${gateway.url}${path}`, {
      method,
      headers: { ...HOSTILE, 'openai-beta': 'assistants=v2' },
      ...(method === 'POST' ? { body: chatBody() } : {}),
    })
    expectOk(reply)
    const last = sim.received.at(-1)!
    expect(Object.keys(last.headers).filter((name) => !MAY_REACH.has(name))).toEqual([])
    expect(last.headers['host']).toBe(new URL(sim.url).host)
    expect(last.headers['authorization']).toBe('Bearer operators-key')
    expect(last.headers['openai-beta']).toBe('assistants=v2')
    expect(last.rawHeaders.join('\n')).not.toMatch(/clients-key|evil|10\.0\.0\.1/)
  })

  test.each(['<script>alert(1)</script>', 'a b', 'x'.repeat(129), '"', 'a;b', '\u00e9'])(
    'a hostile request id is not sent back: %j',
    async (id) => {
      const reply = await send(chatBody(), { 'x-request-id': id })
      expect(reply.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
    },
  )

  test('a harmless request id is kept', async () => {
    const reply = await send('{', { 'x-request-id': 'trace:7f/1' })
    expect((reply.json() as { error: { request_id: string } }).error.request_id).toBe('trace:7f/1')
  })

  test('bytes above ASCII in a forwarded header harm neither request nor target', async () => {
    for (let i = 0; i < 8; i++) expect((await send(chatBody(), { 'idempotency-key': '\u00ff\u0080' })).status).toBe(200)
    expect((await send(chatBody())).status).toBe(200)
  })
})

test('a slash at the end of a path makes it no other operation', async () => {
  await expectRefused(`{"model":"m",${messages},"stream":"yes"}`, 400, 'invalid_request', {}, `${CHAT}/`)
  expect((await send(chatBody(), {}, `${CHAT}/`)).status).toBe(200)
  expect(sim.received.at(-1)!.path).toBe(CHAT)
})

const PATHS: readonly (readonly [target: string, status: number])[] = [
  ['/', 404],
  ['*', 404],
  ['/v1', 404],
  ['/v1/', 404],
  ['/admin/state', 404],
  ['/metrics', 404],
  ['/v1/../admin/state', 404],
  ['/v1/./chat/completions', 404],
  ['/v1/%2e%2e/admin', 404],
  ['/v1/.%2E/admin', 404],
  ['/v1/files/..', 404],
  ['/v1/a%2fb', 404],
  ['/v1/a%5cb', 404],
  ['/v1/a\\b', 404],
  ['/v1/a%00b', 404],
  ['/v1//files', 404],
  ['//evil.example/v1/files', 404],
  ['/v1/files#x', 404],
  ['/v1/"', 404],
  ['/v1/<x>', 404],
  ['/v1/{x}', 404],
  ['/V1/CHAT/COMPLETIONS', 404],
  ['/v1/models/%ff', 404],
  ['/v1/models/..%2f..%2fadmin', 404],
  ['http://evil.example', 404],
  ['http://evil.example/admin/state', 404],
  ['ftp://evil.example/v1/files', 404],
]

describe('paths', () => {
  test.each(PATHS)('%s', async (target, status) => {
    const before = sim.stats().requests
    const { answers } = await raw(portOf(gateway.url), `GET ${target} HTTP/1.1\r\nhost: t\r\n\r\n`)
    expect(answers[0]?.status).toBe(status)
    expect(JSON.parse(answers[0]!.body)).toMatchObject({ error: { request_id: answers[0]!.headers['x-request-id'] } })
    expect(sim.stats().requests).toBe(before)
  })

  test.each(['?a=\x80', '?a="<>', '?a=%00%0d%0a', '?a=b?c', '?a#b', '?', `?${'a'.repeat(8000)}`])(
    'an odd query harms neither request nor target: %j',
    async (query) => {
      for (let i = 0; i < 8; i++) {
        const { answers } = await raw(
          portOf(gateway.url),
          Buffer.from(`GET /v1/files${query} HTTP/1.1\r\nhost: t\r\n\r\n`, 'latin1'),
        )
        expect([200, 400, 404]).toContain(answers[0]?.status)
      }
      expect((await send(chatBody())).status).toBe(200)
      expect((await gateway.targets())['a/*']?.ejections ?? 0).toBe(0)
    },
  )
})

test('after all that the gateway answers and has made no error of its own', async () => {
  expect((await send(chatBody())).status).toBe(200)
  expect(await gateway.metric('heddle_requests_total', { outcome: 'internal' })).toBe(0)
})
