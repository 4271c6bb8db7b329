import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Gateway } from '../support/gateway.ts'
import { call, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

const KEY = 'provider-key-0123456789'
const seen: { method: string; url: string; headers: IncomingHttpHeaders; body: Buffer }[] = []
let answer: (res: ServerResponse, req: IncomingMessage, body: Buffer) => void
let chunk: (part: Buffer, req: IncomingMessage) => void = () => {}
const json = (res: ServerResponse, body: unknown, status = 200, headers: Record<string, string> = {}): void => {
  res.writeHead(status, { 'content-type': 'application/json', ...headers })
  res.end(JSON.stringify(body))
}
const fine = (res: ServerResponse): void => json(res, { ok: true })

const backend = createServer((req, res) => {
  const parts: Buffer[] = []
  req.on('data', (part: Buffer) => {
    parts.push(part)
    chunk(part, req)
  })
  req.on('error', () => {})
  req.on('end', () => {
    const body = Buffer.concat(parts)
    seen.push({ method: req.method!, url: req.url!, headers: req.headers, body })
    answer(res, req, body)
  })
})
let gateway: Gateway

beforeAll(async () => {
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  const at = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  gateway = await startGateway(`
server: { log: { level: silent, access: false }, limits: { body: 64KiB, client_stall: 5s } }
auth:
  keys:
    - { id: all, key: hk_5ef5ef0364b6939c4ca61f34b393f7b3 }
    - { id: models, key: hk_8edcc26c0f6c7256a71a8ede6b954ad9, models: ["own/good-*"] }
    - { id: raw, key: hk_d7439bee24773bcbfa2d0a97947ee362, operations: [passthrough] }
    - { id: other, key: hk_d9298a10d1b0735837dc4bd85dac641b, providers: [plain] }
    - { id: none, key: hk_140bedbf9c3f6d56a9846d2ba7088798, operations: [chat] }
providers:
  own: { type: openai_compatible, base_url: "${at}/api/v1", api_key: ${KEY}, query: { version: "7" }, headers: { x-team: search } }
  plain: { type: openai_compatible, base_url: "${at}/v1" }
  closed: { type: openai_compatible, base_url: "${at}/v1", operations: [chat] }
  aws: { type: bedrock, base_url: "${at}", credentials: { aws: { region: eu-central-1, access_key_id: a, secret_access_key: 0123456789abcdef } } }
`)
})
afterAll(async () => {
  await gateway.stop()
  backend.closeAllConnections()
  backend.close()
})
afterEach(() => {
  seen.length = 0
  answer = fine
  chunk = () => {}
})
answer = fine

const as = (name: string): Record<string, string> => ({
  authorization: `Bearer ${{ all: 'hk_5ef5ef0364b6939c4ca61f34b393f7b3', models: 'hk_8edcc26c0f6c7256a71a8ede6b954ad9', raw: 'hk_d7439bee24773bcbfa2d0a97947ee362', other: 'hk_d9298a10d1b0735837dc4bd85dac641b', none: 'hk_140bedbf9c3f6d56a9846d2ba7088798' }[name]!}`,
})
const at = (path: string): string => `${gateway.url}/passthrough/${path}`

describe('what goes out', () => {
  test('any path, method and query, with the provider’s key in place of the client’s', async () => {
    const reply = await call(at('own/some/thing?a=b&key=hk_5ef5ef0364b6939c4ca61f34b393f7b3&version=1&API_KEY=x&z'), {
      method: 'PATCH',
      body: { x: 1 },
      headers: {
        ...as('all'),
        cookie: 'c=1',
        'x-forwarded-for': '1.2.3.4',
        'x-user': 'u',
        'openai-beta': 'b',
        te: 'trailers',
      },
    })
    expect(reply.status).toBe(200)
    expect(reply.json()).toEqual({ ok: true })
    const [sent] = seen
    expect(sent?.method).toBe('PATCH')
    expect(sent?.url).toBe('/api/v1/some/thing?version=7&a=b&z')
    expect(sent?.headers).toMatchObject({ authorization: `Bearer ${KEY}`, 'x-team': 'search', 'openai-beta': 'b' })
    for (const name of ['cookie', 'x-forwarded-for', 'x-user', 'te']) expect(sent?.headers).not.toHaveProperty(name)
    expect(sent?.body.toString()).toBe('{"x":1}')
  })

  test('the base path is not there twice, whichever of its ends the client knows', async () => {
    for (const path of ['own/api/v1/x', 'own/v1/x', 'own/x']) await call(at(path), { headers: as('all') })
    expect(seen.map(({ url }) => url)).toEqual(Array.from({ length: 3 }, () => '/api/v1/x?version=7'))
  })

  test('the form of the answer that the client accepts is asked for', async () => {
    await call(at('own/speech'), { headers: { ...as('all'), accept: 'audio/mpeg' } })
    expect(seen[0]?.headers.accept).toBe('audio/mpeg')
  })

  test.each([
    'own/../admin',
    'own/%2e%2e/admin',
    'own/a%2fb',
    'own/a//b',
    'own/x%5cy',
    'own/..;/x',
    'own',
    'own/',
    '',
    '/x',
  ])('no such path: %s', async (path) => {
    // A URL object would resolve what is to be tested.
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(gateway.port, '127.0.0.1', () =>
        socket.end(
          `GET /passthrough/${path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: ${as('all')['authorization']!}\r\n\r\n`,
        ),
      )
      let all = ''
      socket.on('data', (part) => (all += part))
      socket.on('end', () => resolve(all))
      socket.on('error', reject)
    })
    expect(text).toMatch(/^HTTP\/1\.1 404 /)
    expect(seen).toHaveLength(0)
  })

  test('errors are in the envelope of the API whose path it is, without what the provider tells', async () => {
    answer = (res) => json(res, { error: { message: `bad ${KEY}`, type: 'invalid_request_error' } }, 400)
    const openai = await call(at('own/files'), { headers: as('all') })
    const anthropic = await call(at('own/v1/messages'), { body: { model: 'm' }, headers: as('all') })
    expect(openai.status).toBe(400)
    expect(openai.json()).toMatchObject({ error: { message: 'bad [redacted]' } })
    expect(anthropic.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } })
    expect(openai.text + anthropic.text).not.toContain(KEY)
  })

  test('unknown and closed providers', async () => {
    expect((await call(at('nobody/x'), { headers: as('all') })).status).toBe(404)
    expect((await call(at('closed/x'), { headers: as('all') })).status).toBe(400)
    expect(seen).toHaveLength(0)
  })

  test('HEAD', async () => {
    answer = (res) => {
      res.writeHead(200, { etag: '"e"' })
      res.end()
    }
    const reply = await call(at('own/x'), { method: 'HEAD', headers: as('all') })
    expect([reply.status, reply.headers.etag]).toEqual([200, '"e"'])
  })
})

describe('who may', () => {
  const ask = async (who: string, path: string, body?: object): Promise<number> =>
    (await call(at(path), { headers: as(who), ...(body === undefined ? {} : { body }) })).status

  test('without the operation nothing, without the provider not that one', async () => {
    expect(await ask('none', 'own/files')).toBe(403)
    expect(await ask('other', 'own/files')).toBe(403)
    expect(await ask('other', 'plain/files')).toBe(200)
    expect((await call(at('own/files'))).status).toBe(401)
  })

  test('a model of the provider has the provider’s name before it, in body and path', async () => {
    expect(await ask('models', 'own/x', { model: 'good-1' })).toBe(200)
    expect(await ask('models', 'own/x', { model: 'bad' })).toBe(403)
    expect(await ask('models', 'plain/x', { model: 'good-1' })).toBe(403)
    expect(await ask('models', 'own/files')).toBe(403)
    expect(await ask('models', 'own/models/good-2:predict', {})).toBe(200)
    expect(await ask('models', 'own/models/bad:predict', {})).toBe(403)
    expect(await ask('models', 'own/models/bad%3Apredict', {})).toBe(403)
    expect(await ask('models', 'own/model/bad/invoke', {})).toBe(403)
    expect(await ask('models', 'own/openai/deployments/bad/x', {})).toBe(403)
    expect(seen.map(({ url }) => url.split('?')[0])).toEqual(['/api/v1/x', '/api/v1/models/good-2:predict'])
  })

  test('two models in one request are refused', async () => {
    expect(await ask('all', 'own/models/a:predict', { model: 'b' })).toBe(400)
    expect(await ask('all', 'own/models/a:predict', { model: 'models/a' })).toBe(200)
  })

  test.each([
    'chat/completions',
    'v1/messages',
    'Chat/Completions',
    'chat/complet%69ons',
    'x/models/m:generateContent',
    'model/m/converse',
  ])('who may not chat may not do it at %s', async (path) => {
    expect(await ask('raw', `own/${path}`, { messages: [] })).toBe(403)
    expect(await ask('all', `own/${path}`, { messages: [] })).toBe(200)
    expect(await ask('raw', 'own/fine_tuning/jobs', { a: 1 })).toBe(200)
  })
})

describe('bodies', () => {
  const upload = (path: string, headers: Record<string, string> = {}) =>
    request(at(path), {
      method: 'POST',
      headers: { ...as('all'), 'content-type': 'application/octet-stream', ...headers },
    })

  test('go on before they have ended, and answers come back as they are made', async () => {
    let got = 0
    chunk = (part) => (got += part.length)
    const req = upload('own/upload')
    const head = new Promise<IncomingMessage>((resolve, reject) => {
      req.on('response', resolve)
      req.on('error', reject)
    })
    req.write(Buffer.alloc(1000))
    await until(() => got === 1000)
    answer = (res) => {
      res.writeHead(200, { 'content-type': 'application/octet-stream' })
      res.write('first')
      setTimeout(() => res.end('last'), 20)
    }
    req.end(Buffer.alloc(500))
    const res = await head
    const parts: string[] = []
    for await (const part of res) parts.push(String(part))
    expect(parts.join('')).toBe('firstlast')
    expect(seen[0]?.body.length).toBe(1500)
    expect(seen[0]?.headers['transfer-encoding']).toBe('chunked')
  })

  test('are not bounded by what Heddle would hold, and keep their length', async () => {
    const body = Buffer.alloc(3_000_000, 7)
    const reply = await call(at('own/upload'), { body, headers: { ...as('all'), 'content-type': 'audio/wav' } })
    expect(reply.status).toBe(200)
    expect(seen[0]?.body.equals(body)).toBe(true)
    expect(seen[0]?.headers['content-length']).toBe('3000000')
    // What is held is bounded as ever.
    const large = { x: 'x'.repeat(100_000) }
    expect((await call(at('own/upload'), { body: large, headers: as('all') })).status).toBe(413)
  })

  test('of strangers are not read', async () => {
    const reply = await call(at('own/upload'), { body: Buffer.alloc(100), headers: { 'content-type': 'audio/wav' } })
    expect(reply.status).toBe(401)
    expect(reply.headers.connection).toBe('close')
    expect(seen).toHaveLength(0)
  })

  test('wait until they may come', async () => {
    const req = upload('own/upload', { expect: '100-continue', 'content-length': '4' })
    req.flushHeaders()
    await new Promise((resolve) => req.on('continue', resolve))
    req.end('body')
    const res = await new Promise<IncomingMessage>((resolve) => req.on('response', resolve))
    res.resume()
    expect(res.statusCode).toBe(200)
    expect(seen[0]?.body.toString()).toBe('body')
    const denied = upload('nobody/upload', { expect: '100-continue', 'content-length': '4' })
    let told = false
    denied.on('continue', () => (told = true))
    denied.flushHeaders()
    const refusal = await new Promise<IncomingMessage>((resolve) => denied.on('response', resolve))
    expect([refusal.statusCode, told]).toEqual([404, false])
    denied.destroy()
  })

  test('that break off cancel the call', async () => {
    let got = 0
    let gone = false
    chunk = (part, req) => {
      got += part.length
      req.on('close', () => (gone = !req.complete))
    }
    const req = upload('own/upload')
    req.on('error', () => {})
    req.write(Buffer.alloc(1000))
    await until(() => got === 1000)
    req.destroy()
    await until(() => gone)
    await until(async () => (await gateway.targets())['own/*']?.inflight === 0)
    expect(seen).toHaveLength(0)
  })

  test('are not sent a second time', async () => {
    answer = (res) => json(res, {}, 503)
    const reply = await call(at('own/upload'), {
      body: Buffer.alloc(9),
      headers: { ...as('all'), 'content-type': 'audio/wav' },
    })
    expect(reply.status).toBe(503)
    expect(seen).toHaveLength(1)
  })

  test('that would have to be signed whole are refused', async () => {
    const reply = await call(at('aws/x'), {
      body: Buffer.alloc(9),
      headers: { ...as('all'), 'content-type': 'audio/wav' },
    })
    expect(reply.status).toBe(415)
  })
})

test('usage is read from shapes of all APIs', async () => {
  const count = async (): Promise<number> =>
    gateway.metric('heddle_tokens_total', { operation: 'passthrough', type: 'output' })
  const shapes: readonly (readonly [string, string])[] = [
    ['application/json', '{"usage":{"input_tokens":1,"output_tokens":10}}'],
    [
      'application/json',
      '[{"usageMetadata":{"promptTokenCount":1}},{"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":10}}]',
    ],
    ['application/x-ndjson', '{"response":"a"}\n{"done":true,"prompt_eval_count":1,"eval_count":10}\n'],
    ['application/vnd.amazon.eventstream', '\u0000\u0000{"usage":{"inputTokens":1,"outputTokens":10}}\u0007'],
    ['text/event-stream', 'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":10}}\n\n'],
  ]
  for (const [type, text] of shapes) {
    const before = await count()
    answer = (res) => {
      res.writeHead(200, { 'content-type': type })
      res.end(text)
    }
    expect((await call(at('own/x'), { body: { model: 'm' }, headers: as('all') })).text).toBe(text)
    expect([type, (await count()) - before]).toEqual([type, 10])
  }
})
