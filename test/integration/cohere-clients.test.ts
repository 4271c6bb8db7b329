// Cohere's API before Cohere itself: what both understand passes as it came, and what breaks is retried, or told in the
// dialect's own words; who may call it, and what it costs.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startBackend, type Backend } from '../support/backend.ts'
import { call, type Reply } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

const KEY = 'sk-test-cohere-0123456789abcdef'
const CHATS = 'sk-test-chats-0123456789abcdef'
const sha = (text: string): string => createHash('sha256').update(text).digest('hex')

const USAGE = {
  billed_units: { input_tokens: 1000, output_tokens: 500 },
  tokens: { input_tokens: 1200, output_tokens: 500 },
}
/** Spaces and fields that no codec would write again. */
const WHOLE = `{ "id" : "a1", "finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"hi"}],"future":1},"usage":${JSON.stringify(USAGE)} }`
const event = (type: string, fields: object): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
const START = event('message-start', { id: 'a1', delta: { message: { role: 'assistant' } } })
const PLAN = event('tool-plan-delta', { delta: { message: { tool_plan: 'I will look.' } } })
const NEW = event('something-new', { index: 3 })
const END = event('message-end', { id: 'a1', delta: { finish_reason: 'COMPLETE', usage: USAGE } })
const FAILED = event('message-end', { id: 'a1', delta: { finish_reason: 'ERROR', error: 'out of order' } })

/** By the model that it is asked for: answers whole, or with these bytes. */
const STREAMS: Readonly<Record<string, string>> = {
  good: START + PLAN + NEW + END,
  terminated: `${START}${PLAN}${END}data: [DONE]\n\n`,
  failed: START + FAILED,
  broken: START + PLAN + FAILED,
  cut: START + PLAN,
}

const folder = mkdtempSync(join(tmpdir(), 'heddle-cohere-'))
const records = join(folder, 'usage.jsonl')
let backend: Backend
let gateway: Gateway

beforeAll(async () => {
  backend = await startBackend((res, _n, _req, body) => {
    const { model, stream } = JSON.parse(body.toString()) as { readonly model: string; readonly stream?: boolean }
    if (model === 'refused')
      res.writeHead(422, { 'content-type': 'application/json' }).end('{"message":"no such tool"}')
    else if (model === 'hidden') res.writeHead(200, { 'content-type': 'application/json' }).end('{"message":"hidden"}')
    else if (stream === true) {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      // In one piece with what came before it a failure is still another target's to mend.
      if (model === 'broken') res.write(START + PLAN, () => setTimeout(() => res.end(FAILED), 50))
      else res.end(STREAMS[model])
    } else res.writeHead(200, { 'content-type': 'application/json' }).end(WHOLE)
  })
  const models = ['refused', 'hidden', ...Object.keys(STREAMS)]
  gateway = await startGateway(`
defaults: { breaker: { enabled: false }, retries: { backoff: { base: 1ms, max: 2ms } } }
providers:
  cohere: { type: openai_compatible, base_url: "${backend.url.replace('/v1', '/v2')}", operations: [cohere_chat], wire: cohere.chat }
models:
${models.map((model) => `  ${model}: { targets: [{ provider: cohere, model: ${model}, price: { input: 1, output: 2 } }] }`).join('\n')}
  second: ["cohere/failed", "cohere/good"]
auth:
  keys:
    - { id: all, hash: 'sha256:${sha(KEY)}' }
    - { id: chats, hash: 'sha256:${sha(CHATS)}', operations: [chat] }
usage: { records: { file: { path: ${records} } } }
`)
})

afterAll(async () => {
  await gateway.stop()
  await backend.close()
  rmSync(folder, { recursive: true })
})

const MESSAGES = [{ role: 'user', content: 'hi' }]
const ask = (model: string, more: object = {}, key: string | null = KEY, path = '/v2/chat'): Promise<Reply> =>
  call(gateway.url + path, {
    headers: key === null ? {} : { authorization: `Bearer ${key}` },
    body: { model, messages: MESSAGES, ...more },
  })
const lastBody = (): unknown => JSON.parse(backend.bodies.at(-1)!.toString())

test('what both understand passes as it came, to the byte', async () => {
  const more = { documents: ['d'], safety_mode: 'OFF', field_of_tomorrow: { a: 1 } }
  const reply = await ask('good', more)
  expect([reply.status, reply.text]).toEqual([200, WHOLE])
  expect(lastBody()).toEqual({ model: 'good', messages: MESSAGES, ...more })
  for (const model of ['good', 'terminated']) {
    const streamed = await ask(model, { stream: true })
    expect(streamed.headers['content-type']).toMatch(/^text\/event-stream/)
    expect(streamed.text).toBe(STREAMS[model]!.replace('data: [DONE]\n\n', ''))
  }
})

test('a stream that fails before it says anything is another target’s', async () => {
  expect((await ask('second', { stream: true })).text).toBe(STREAMS['good'])
})

test.each([
  ['broken', /broke off/],
  ['cut', /./],
])('a stream that is %s ends with an error of the dialect', async (model, says) => {
  const { text, complete } = await ask(model, { stream: true })
  expect(text.startsWith(START + PLAN)).toBe(true)
  const last = JSON.parse(text.trim().split('\n').at(-1)!.slice('data: '.length)) as { delta: { error: string } }
  expect(last).toMatchObject({ type: 'message-end', delta: { finish_reason: 'ERROR' } })
  expect(last.delta.error).toMatch(says)
  expect(text).not.toContain('COMPLETE')
  expect(complete).toBe(true)
})

test('errors are a message, with their status', async () => {
  const refused = await ask('refused')
  expect([refused.status, refused.json()]).toEqual([
    422,
    { id: refused.headers['x-request-id'], message: 'no such tool' },
  ])
  expect((await ask('hidden')).status).toBe(502)
  for (const [reply, status] of [
    [await ask('nobody'), 404],
    [await ask('good', {}, null), 401],
    [await ask('good', { messages: 'x' }), 400],
    [await call(`${gateway.url}/v2/nothing`, { headers: { authorization: `Bearer ${KEY}` }, body: {} }), 404],
  ] as const) {
    expect(reply.status).toBe(status)
    expect(reply.json()).toEqual({ id: expect.any(String) as string, message: expect.any(String) as string })
  }
})

test('it is an operation of its own for who may call it', async () => {
  const reply = await ask('good', {}, CHATS)
  expect(reply.status).toBe(403)
  const elsewhere = await ask('good', {}, CHATS, '/passthrough/cohere/v2/chat')
  expect([elsewhere.status, Object.keys(elsewhere.json() as object)]).toEqual([403, ['id', 'message']])
})

test('what it billed is in the records, whole and streamed', async () => {
  const asked = [await ask('good'), await ask('good', { stream: true })].map(({ headers }) =>
    String(headers['x-request-id']),
  )
  const lines = (): string[] =>
    readFileSync(records, 'utf8')
      .split('\n')
      .filter((line) => asked.some((id) => line.includes(id)))
  await expect.poll(() => lines().length, { timeout: 10_000 }).toBe(2)
  for (const line of lines()) expect(JSON.parse(line)).toMatchObject({ operation: 'cohere_chat', cost_usd: '0.002' })
})
