import type { IncomingMessage, ServerResponse } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startSim, type Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { sendJson, startBackend, type Backend } from '../support/backend.ts'
import { call } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

interface Seen {
  readonly url: string
  readonly body: Record<string, unknown>
  readonly type: string
}
const seen: Seen[] = []
type Answer = (res: ServerResponse, body: Record<string, unknown>, req: IncomingMessage) => void
let answer: Answer
let backend: Backend
let sim: Sim
let gateway: Gateway

const parse = (bytes: Buffer): Record<string, unknown> => {
  try {
    return JSON.parse(bytes.toString()) as Record<string, unknown>
  } catch {
    return {}
  }
}

beforeAll(async () => {
  backend = await startBackend((res, _n, req, bytes) => {
    const body = parse(bytes)
    seen.push({ url: req.url!, body, type: req.headers['content-type'] ?? '' })
    answer(res, body, req)
  })
  sim = await startSim()
  const base = backend.url.replace('/v1', '')
  gateway = await startGateway(`
server: { log: { level: silent, access: false } }
defaults: { retries: { backoff: { base: 1ms, max: 2ms } } }
auth:
  anonymous: true
  keys:
    - { id: chat, key: hk_0c9f7a5d3b1e8642a7c5e3d1b9f80624, operations: [chat, passthrough] }
    - { id: rank, key: hk_1d8e6b4c2a0f9753b6d4f2e0c8a97135, operations: [rerank, images] }
providers:
  jina: { type: openai_compatible, base_url: "${base}/v1", api_key: k }
  cohere: { type: cohere, base_url: "${base}/compatibility/v1", api_key: k }
  tei: { type: tei, base_url: "${base}/v1" }
  voyage: { type: voyage, base_url: "${base}/v1", api_key: k }
  down: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1" }
  anthropic: { type: anthropic, base_url: "${base}/v1", api_key: k }
  gemini: { type: gemini, base_url: "${base}/v1beta", api_key: k }
  sim: { type: openai_compatible, base_url: "${sim.url}", operations: [chat, embeddings, passthrough] }
models:
  r-jina: jina/jr
  r-cohere: cohere/cr
  r-tei: tei/tr
  r-voyage: voyage/vr
  r-fall: [down/x, jina/jr]
  claude: anthropic/claude-x
  gem: gemini/gemini-x
  talk: { targets: [{ provider: sim, model: gpt-4o, capabilities: { context_window: 1000 } }] }
  vectors: sim/text-embedding-3-small
  picture: { targets: [{ provider: jina, model: p, price: { input: 0, output: 0, per_image: 0.04 } }] }
  voice: { targets: [{ provider: jina, model: v, price: { input: 0, output: 0, per_million_characters: 15 } }] }
  ears: { targets: [{ provider: jina, model: e, price: { input: 0, output: 0, per_minute: 0.006 } }] }
  units: { targets: [{ provider: cohere, model: cr, price: { input: 0, output: 0, per_rerank_unit: 0.002 } }] }
`)
})
afterAll(async () => {
  await gateway.stop()
  await Promise.all([backend.close(), sim.close()])
})
afterEach(() => {
  seen.length = 0
})

const documents = ['loom', { text: 'shuttle' }, 'heddle']
const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  call(`${gateway.url}${path}`, { body, headers })
const cost = (target: string): Promise<number> => gateway.metric('heddle_cost_usd_total', { target })

describe('ranking', () => {
  const ranked = (name: string, score: string) => [
    { index: 1, [score]: 0.2, [name]: 'x' },
    { index: 2, [score]: 0.9, [name]: 'x' },
    { index: 0, [score]: 0.1, [name]: 'x' },
  ]
  const shapes: readonly (readonly [string, Answer, string, object])[] = [
    [
      'r-jina',
      (res) =>
        sendJson(res, 200, { model: 'jr', results: ranked('document', 'relevance_score'), usage: { total_tokens: 7 } }),
      '/v1/rerank',
      { model: 'jr', query: 'q', documents: ['loom', 'shuttle', 'heddle'], top_n: 2, return_documents: false },
    ],
    [
      'r-cohere',
      (res) =>
        sendJson(res, 200, {
          id: 'c',
          results: ranked('other', 'relevance_score'),
          meta: { billed_units: { search_units: 1 } },
        }),
      '/v2/rerank',
      { model: 'cr', query: 'q', documents: ['loom', 'shuttle', 'heddle'], top_n: 2 },
    ],
    [
      'r-tei',
      (res) => sendJson(res, 200, ranked('text', 'score')),
      '/rerank',
      { query: 'q', texts: ['loom', 'shuttle', 'heddle'] },
    ],
    [
      'r-voyage',
      (res) =>
        sendJson(res, 200, { object: 'list', data: ranked('document', 'relevance_score'), usage: { total_tokens: 7 } }),
      '/v1/rerank',
      { model: 'vr', query: 'q', documents: ['loom', 'shuttle', 'heddle'], top_k: 2 },
    ],
  ]

  test.each(shapes)('%s in both shapes of clients', async (model, how, path, body) => {
    answer = how
    const v1 = await post('/v1/rerank', { model, query: 'q', documents, top_n: 2, return_documents: true })
    expect([v1.status, v1.text]).toEqual([200, v1.text])
    expect(v1.json()).toMatchObject({
      model,
      results: [
        { index: 2, relevance_score: 0.9, document: { text: 'heddle' } },
        { index: 1, relevance_score: 0.2, document: { text: 'shuttle' } },
      ],
    })
    const v2 = await post('/v2/rerank', { model, query: 'q', documents, top_n: 2 })
    const { results, meta } = v2.json() as { readonly results: readonly object[]; readonly meta: object }
    expect(results).toEqual([
      { index: 2, relevance_score: 0.9 },
      { index: 1, relevance_score: 0.2 },
    ])
    expect(meta).toMatchObject({ api_version: { version: '2' } })
    expect(seen.map(({ url }) => url)).toEqual([path, path])
    expect(seen[1]?.body).toEqual(body)
  })

  test('search units cost what they cost', async () => {
    answer = shapes[1]![1]
    const reply = await post('/v2/rerank', { model: 'units', query: 'q', documents })
    expect(reply.json()).toMatchObject({ meta: { billed_units: { search_units: 1 } } })
    expect(await cost('cohere/cr')).toBe(0.002)
  })

  test('goes on with the next target, and tells what the backend has no place for', async () => {
    answer = shapes[0]![1]
    const reply = await post('/v1/rerank', { model: 'r-fall', query: 'q', documents })
    expect([reply.status, reply.headers['x-heddle-attempts']]).toEqual([200, '2'])
    answer = shapes[1]![1]
    const refused = await post('/v1/rerank', { model: 'r-cohere', query: 'q', documents, return_text: true })
    expect([refused.status, refused.json()]).toMatchObject([400, { error: { param: 'return_text' } }])
  })

  test('answers that rank what nobody sent are none', async () => {
    answer = (res) => sendJson(res, 200, { results: [{ index: 3, relevance_score: 1 }] })
    expect((await post('/v1/rerank', { model: 'r-jina', query: 'q', documents })).status).toBe(502)
  })

  test.each([
    [{ query: 'q' }, 'documents'],
    [{ query: 'q', documents: [] }, 'documents'],
    [{ query: 'q', documents: [1] }, 'documents[0]'],
    [{ documents }, 'query'],
    [{ query: 'q', documents, top_n: 0 }, 'top_n'],
  ])('%j', async (body, param) => {
    const reply = await post('/v1/rerank', { model: 'r-jina', ...body })
    expect([reply.status, reply.json()]).toMatchObject([400, { error: { param } }])
  })

  test('texts only, where there is no more', async () => {
    const pictures = [{ image: 'https://x/y.png' }]
    expect((await post('/v1/rerank', { model: 'r-tei', query: 'q', documents: pictures })).status).toBe(400)
    answer = (res) => sendJson(res, 200, { results: [{ index: 0, relevance_score: 1 }] })
    expect((await post('/v1/rerank', { model: 'r-jina', query: 'q', documents: pictures })).status).toBe(200)
    expect(seen.at(-1)?.body['documents']).toEqual(pictures)
  })
})

describe('images, speech and transcripts', () => {
  test('images are counted', async () => {
    answer = (res) => sendJson(res, 200, { created: 1, data: [{ b64_json: 'QQ==' }, { b64_json: 'QQ==' }] })
    const reply = await post('/v1/images/generations', { model: 'picture', prompt: 'a loom', n: 2 })
    expect(reply.status).toBe(200)
    expect(seen[0]).toMatchObject({ url: '/v1/images/generations', body: { model: 'p' } })
    expect(await cost('jina/p')).toBe(0.08)
    expect(await gateway.metric('heddle_requests_total', { operation: 'images' })).toBe(1)
  })

  test('characters are counted as they are written, not as they are stored', async () => {
    answer = (res) => {
      res.writeHead(200, { 'content-type': 'audio/mpeg' })
      res.end(Buffer.alloc(1000))
    }
    const reply = await post('/v1/audio/speech', { model: 'voice', input: 'ä'.repeat(1000), voice: 'x' })
    expect([reply.status, reply.bytes.length, reply.headers['content-type']]).toEqual([200, 1000, 'audio/mpeg'])
    expect(await cost('jina/v')).toBeCloseTo(0.015, 9)
  })

  const form = (...fields: readonly (readonly [string, string])[]): Buffer =>
    Buffer.from(
      `${fields.map(([name, value]) => `--B\r\ncontent-disposition: form-data; name="${name}"${name === 'file' ? '; filename="a.mp3"' : ''}\r\n\r\n${value}\r\n`).join('')}--B--\r\n`,
    )
  const hear = (body: Buffer, path = '/v1/audio/transcriptions') =>
    call(`${gateway.url}${path}`, { body, headers: { 'content-type': 'multipart/form-data; boundary=B' } })

  test('seconds are those that the answer says, in each of its forms', async () => {
    let before = 0
    for (const body of [
      { text: 'x', usage: { type: 'duration', seconds: 60 } },
      { task: 'transcribe', duration: 60, text: 'x', segments: [] },
    ]) {
      answer = (res) => sendJson(res, 200, body)
      expect((await hear(form(['model', 'ears'], ['file', 'sound']))).status).toBe(200)
      const now = await cost('jina/e')
      expect([body, now - before]).toEqual([body, expect.closeTo(0.006, 9)])
      before = now
    }
    // Plain text says nothing: the recording's size does.
    answer = (res) => {
      res.writeHead(200, { 'content-type': 'text/plain' })
      res.end('heard')
    }
    expect((await hear(form(['model', 'ears'], ['file', 'x'.repeat(16_000 * 60)]))).text).toBe('heard')
    expect((await cost('jina/e')) - before).toBeGreaterThan(0.0059)
    expect((await cost('jina/e')) - before).toBeLessThan(0.0063)
  })

  test('errors are in the envelope, and methods that there are not are told', async () => {
    answer = (res) => sendJson(res, 400, { error: { message: 'no such voice', param: 'voice' } })
    const reply = await post('/v1/audio/speech', { model: 'voice', input: 'x' })
    expect([reply.status, reply.json()]).toMatchObject([400, { error: { message: 'no such voice' } }])
    const get = await call(`${gateway.url}/v1/audio/speech`)
    expect([get.status, get.headers['allow']]).toEqual([405, 'POST'])
    expect((await post('/v1/images/generations', { model: 'nothing', prompt: 'x' })).status).toBe(404)
  })

  test('grants tell them apart', async () => {
    answer = (res) => sendJson(res, 200, { data: [] })
    const as = (key: string) => ({ authorization: `Bearer ${key}` })
    const chat = as('hk_0c9f7a5d3b1e8642a7c5e3d1b9f80624')
    const rank = as('hk_1d8e6b4c2a0f9753b6d4f2e0c8a97135')
    const image = { model: 'picture', prompt: 'x' }
    expect((await post('/v1/images/generations', image, chat)).status).toBe(403)
    expect((await post('/v1/images/generations', image, rank)).status).toBe(200)
    expect((await post('/passthrough/jina/images/generations', image, chat)).status).toBe(403)
    expect((await post('/v1/moderations', { input: 'x' }, rank)).status).toBe(403)
  })
})

describe('tokens are counted', () => {
  test('by the backend where it counts', async () => {
    answer = (res) => sendJson(res, 200, { input_tokens: 42 })
    const reply = await post('/v1/messages/count_tokens', {
      model: 'claude',
      messages: [{ role: 'user', content: 'hi' }],
    })
    expect(reply.json()).toEqual({ input_tokens: 42 })
    expect(reply.headers).not.toHaveProperty('x-heddle-estimated')
    expect(seen[0]).toMatchObject({ url: '/v1/messages/count_tokens', body: { model: 'claude-x' } })
    answer = (res) => sendJson(res, 200, { totalTokens: 43 })
    const contents = [{ parts: [{ text: 'hi' }] }]
    const gemini = await post('/v1beta/models/gem:countTokens', { generateContentRequest: { contents } })
    expect(gemini.json()).toEqual({ totalTokens: 43 })
    expect(seen[1]?.url).toBe('/v1beta/models/gemini-x:countTokens')
    expect(await gateway.metric('heddle_tokens_total', { operation: 'messages' })).toBe(0)
  })

  test('by Heddle where it does not, which is told', async () => {
    const messages = [{ role: 'user', content: 'x'.repeat(4000) }]
    const reply = await post('/v1/messages/count_tokens', { model: 'talk', messages })
    const { input_tokens: tokens } = reply.json() as { readonly input_tokens: number }
    expect(tokens).toBeGreaterThan(500)
    expect(tokens).toBeLessThan(2000)
    expect(reply.headers['x-heddle-estimated']).toBe('input_tokens')
    const gemini = await post('/v1beta/models/talk:countTokens', { contents: [{ parts: [{ text: 'hi' }] }] })
    expect((gemini.json() as { readonly totalTokens: number }).totalTokens).toBeGreaterThan(0)
    expect(seen).toHaveLength(0)
    expect((await post('/v1/messages/count_tokens', { model: 'talk' })).status).toBe(400)
  })
})

describe('vectors in other dialects', () => {
  test('Gemini', async () => {
    const content = { parts: [{ text: 'loom' }] }
    const one = await post('/v1beta/models/vectors:embedContent', { content, outputDimensionality: 8 })
    const { embedding } = one.json() as { readonly embedding: { readonly values: readonly number[] } }
    expect([one.status, embedding.values.length]).toEqual([200, 8])
    const batch = await post('/v1beta/models/vectors:batchEmbedContents', {
      requests: [
        { content, outputDimensionality: 8 },
        { content: { parts: [{ text: 'x' }] }, outputDimensionality: 8 },
      ],
    })
    const { embeddings } = batch.json() as { readonly embeddings: readonly { readonly values: readonly number[] }[] }
    expect(embeddings[0]?.values).toEqual(embedding.values)
    expect(embeddings[1]?.values).not.toEqual(embedding.values)
    const bad = await post('/v1beta/models/vectors:embedContent', { content: { parts: [{ inlineData: {} }] } })
    expect([bad.status, bad.json()]).toMatchObject([400, { error: { status: 'INVALID_ARGUMENT' } }])
  })

  test('Ollama', async () => {
    const reply = await post('/api/embed', { model: 'vectors', input: ['loom', 'x'], dimensions: 8 })
    expect(reply.json()).toMatchObject({ model: 'vectors', prompt_eval_count: expect.any(Number) as number })
    const { embeddings } = reply.json() as { readonly embeddings: readonly (readonly number[])[] }
    expect(embeddings.map(({ length }) => length)).toEqual([8, 8])
    const old = await post('/api/embeddings', { model: 'vectors', prompt: 'loom' })
    expect((old.json() as { readonly embedding: readonly number[] }).embedding.length).toBeGreaterThan(8)
    expect((await post('/api/embed', { model: 'nobody', input: 'x' })).status).toBe(404)
  })
})

test('what Ollama’s clients ask first', async () => {
  expect((await call(`${gateway.url}/api/version`)).json()).toEqual({
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/) as string,
  })
  expect((await post('/api/show', { model: 'talk' })).json()).toMatchObject({
    capabilities: ['completion', 'tools'],
    model_info: { 'heddle.context_length': 1000 },
  })
  expect((await post('/api/show', { model: 'nobody' })).status).toBe(404)
  expect((await call(`${gateway.url}/api/show`)).status).toBe(405)
})
