// Two backends, of which a caller may use one: whatever is tried, and whatever fails, the other is never called.
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from '../support/backend.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

let gateway: Gateway
let mine: Backend
let other: Backend
let script: (res: ServerResponse) => void = (res) => sendJson(res, 200, CHAT_ANSWER)

const KEY = 'sk-Vb7kQ2mZx9TfLr4WPn3c'
const BY_MODEL = 'sk-Pn3cY8sJd6GhKw1EVb7k'

beforeEach(async () => {
  script = (res) => sendJson(res, 200, CHAT_ANSWER)
  mine = await startBackend((res) => script(res))
  other = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER))
  gateway = await startGateway(`
providers:
  mine: { type: openai_compatible, base_url: "${mine.url}", operations: [chat, completions, embeddings, responses, passthrough] }
  other: { type: openai_compatible, base_url: "${other.url}", operations: [chat, completions, embeddings, responses, passthrough] }
defaults: { retries: { max_attempts: 4, backoff: { base: 1ms, max: 5ms } } }
models:
  all:
    targets: [mine/m, other/m, { provider: other, model: copy, shadow: 1 }]
    strategy: priority
    hedge: { after: 20ms, max_share: 1 }
    continuation: true
    fallbacks: [spare]
  spare: { targets: [other/m], aliases: [alias] }
  small: { targets: [mine/m] }
  "gpt-*": { targets: ["mine/gpt-*"] }
  "claude-*": { targets: ["other/claude-*"] }
auth:
  keys:
    - { id: one, key: ${KEY}, providers: [mine] }
    - { id: two, key: ${BY_MODEL}, models: [small] }
`)
})

afterEach(async () => {
  await gateway.stop()
  await mine.close()
  await other.close()
})

const send = async (
  key: string,
  body: unknown,
  { path = '/v1/chat/completions', headers = {} }: { path?: string; headers?: Record<string, string> } = {},
): Promise<{ status: number; text: string }> => {
  const answer = await fetch(`${gateway.url}${path}`, {
    method: body === null ? 'GET' : 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    ...(body === null ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return { status: answer.status, text: await answer.text().catch(() => 'broken off') }
}

const messages = [{ role: 'user', content: 'hi' }]

test.each([
  ['answers', (res: ServerResponse) => sendJson(res, 200, CHAT_ANSWER)],
  ['is down', (res: ServerResponse) => sendJson(res, 500, {})],
  ['has no place', (res: ServerResponse) => sendJson(res, 429, {}, { 'retry-after': '0' })],
  ['refuses the key', (res: ServerResponse) => sendJson(res, 401, {})],
  ['is slow', (res: ServerResponse) => void setTimeout(() => sendJson(res, 200, CHAT_ANSWER), 150)],
  ['finds it too long', (res: ServerResponse) => sendJson(res, 400, { error: { code: 'context_length_exceeded' } })],
  ['breaks off', (res: ServerResponse) => res.destroy()],
  [
    'breaks off within a stream',
    (res: ServerResponse) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write('data: {"choices":[{"index":0,"delta":{"content":"half an ans"}}]}\n\n')
      setTimeout(() => res.destroy(), 30)
    },
  ],
])('providers: a backend that %s', async (_name, how) => {
  script = how
  for (const model of ['all', 'alias', 'spare', 'other/m', 'claude-x'])
    for (const stream of [false, true]) await send(KEY, { model, messages, stream })
  expect(mine.bodies.length).toBeGreaterThan(0)
  expect(other.bodies).toHaveLength(0)
})

test('providers: nor by paths that pass through', async () => {
  for (const headers of [{}, { 'x-heddle-provider': 'other' }, { 'X-Heddle-Provider': 'other' }])
    for (const [path, body] of [
      ['/v1/files', null],
      ['/v1/batches', { input_file_id: 'f' }],
      ['/v1/rerank', { model: 'other/m', query: 'x', documents: ['y'] }],
      ['/v1/rerank', { model: 'claude-x', query: 'x', documents: ['y'] }],
    ] as const)
      await send(KEY, body, { path, headers })
  expect(other.bodies).toHaveLength(0)
  expect((await send(KEY, null, { path: '/v1/files', headers: { 'x-heddle-provider': 'other' } })).status).toBe(403)
})

const form = (...models: readonly string[]): string =>
  `${models.map((model) => `--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n${model}\r\n`).join('')}--B--\r\n`

test('models: by no name, no other name, no field and no path', async () => {
  const multipart = { 'content-type': 'multipart/form-data; boundary=B' }
  for (const [body, more] of [
    [{ model: 'all', messages }, {}],
    [{ model: 'alias', messages }, {}],
    [{ model: 'mine/m', messages }, {}],
    [{ model: 'gpt-x', messages }, {}],
    [{ model: 'Small', messages }, {}],
    [{ model: 'small ', messages }, {}],
    [{ model: ['small'], messages }, {}],
    [{ messages }, {}],
    [`{"model":"small","model":"gpt-x","messages":[]}`, {}],
    [`{"model":"small","mod\\u0065l":"gpt-x","messages":[]}`, {}],
    [{ input_file_id: 'f' }, { path: '/v1/batches' }],
    [null, { path: '/v1/files' }],
    [null, { path: '/v1/responses/resp_1' }],
    [null, { path: '/v1/files', headers: { 'x-heddle-provider': 'mine' } }],
    [JSON.stringify({ model: 'gpt-x' }), { path: '/v1/rerank', headers: { 'content-type': 'text/plain' } }],
    [form('small', 'gpt-x'), { path: '/v1/audio/transcriptions', headers: multipart }],
    [form('gpt-x'), { path: '/v1/audio/transcriptions', headers: multipart }],
    [form(), { path: '/v1/audio/transcriptions', headers: multipart }],
  ] as const) {
    const { status, text } = await send(BY_MODEL, body, more)
    expect([body, [400, 403, 404, 415].includes(status), text]).toEqual([body, true, text])
  }
  expect(mine.bodies).toHaveLength(0)
  expect(other.bodies).toHaveLength(0)
  expect((await send(BY_MODEL, { model: 'small', messages })).status).toBe(200)
  const clear = { path: '/v1/audio/transcriptions', headers: multipart }
  expect((await send(BY_MODEL, form('small'), clear)).status).toBe(200)
})
