// The same question again: one call of the backend, the answer in the form that is asked for, and nothing across a boundary.
import { expect, test, describe } from 'vitest'
import type { Backend, Script } from '../support/backend.ts'
import type { Gateway } from '../support/gateway.ts'
import type { CallOptions, Reply } from '../support/client.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, eventsOf } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

const backend = async (script: Script): Promise<Backend> => {
  const made = await startBackend(script)
  closers.push(() => made.close())
  return made
}

/** Answers with a text of its own each time, as JSON or as a stream. */
const counting: Script = (res, n, _req, body) => {
  const { stream } = JSON.parse(body.toString()) as { stream?: boolean }
  if (stream !== true) {
    sendJson(res, 200, { ...CHAT_ANSWER, choices: [choice(`woven ${n}`, 'stop')] })
    return
  }
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const content of ['wov', 'en ', String(n)]) res.write(event({ choices: [{ index: 0, delta: { content } }] }))
  res.write(event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }))
  res.write(event({ choices: [], usage: CHAT_ANSWER.usage }))
  res.end('data: [DONE]\n\n')
}
const choice = (content: string, finish: string) => ({
  index: 0,
  message: { role: 'assistant', content },
  finish_reason: finish,
})
const event = (fields: object): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', ...fields })}\n\n`

const gateway = async (url: string, cache = '{}', more = ''): Promise<Gateway> => {
  const made = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${url}" } }
models: { m: p/m, other: p/m }
cache: ${cache}
${more}`)
  closers.push(() => made.stop())
  return made
}

const MESSAGES = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'What is a heddle?' },
]
const ask = (heddle: Gateway, body: object = {}, options: CallOptions = {}): Promise<Reply> =>
  call(`${heddle.url}/v1/chat/completions`, { body: { model: 'm', messages: MESSAGES, ...body }, ...options })
const statusOf = (reply: Reply): unknown => reply.headers['x-heddle-cache']
const contentOf = (reply: Reply): string =>
  (reply.json() as { choices: { message: { content: string } }[] }).choices[0]!.message.content
const streamed = (reply: Reply): string =>
  eventsOf(reply.text)
    .filter(({ data }) => data !== '' && data !== '[DONE]')
    .map(({ data }) => (JSON.parse(data) as Chunk).choices[0]?.delta?.content ?? '')
    .join('')
interface Chunk {
  readonly choices: readonly { readonly delta?: { readonly content?: string } }[]
}

describe('the same again', () => {
  test('is one call of the backend, and the answer is the same', async () => {
    const { url, bodies } = await backend(counting)
    const heddle = await gateway(url)
    const first = await ask(heddle)
    const second = await ask(heddle)
    expect([statusOf(first), statusOf(second)]).toEqual(['miss', 'hit'])
    expect(second.text).toBe(first.text)
    expect(second.headers['age']).toBe('0')
    expect(second.headers['x-heddle-cache-key']).toMatch(/^[\w-]{12}$/)
    expect(second.headers['x-request-id']).not.toBe(first.headers['x-request-id'])
    expect(bodies).toHaveLength(1)
    expect(await heddle.metric('heddle_cache_requests_total', { result: 'hit' })).toBe(1)
    expect(await heddle.metric('heddle_cache_entries')).toBe(1)
  })

  test.each([
    ['a stream, of an answer that came whole', false, true],
    ['whole, of an answer that came as a stream', true, false],
    ['a stream, of one that came as a stream', true, true],
  ])('%s', async (_name, before, after) => {
    const { url, bodies } = await backend(counting)
    const heddle = await gateway(url)
    const first = await ask(heddle, { stream: before })
    const second = await ask(heddle, { stream: after, ...(after ? { stream_options: { include_usage: true } } : {}) })
    expect([statusOf(first), statusOf(second)]).toEqual(['miss', 'hit'])
    expect(after ? streamed(second) : contentOf(second)).toBe('woven 0')
    expect(second.text).toContain('"total_tokens":5')
    if (after) expect(second.text.endsWith('data: [DONE]\n\n')).toBe(true)
    expect(bodies).toHaveLength(1)
  })

  test('in another order of keys, for another end user, is the same', async () => {
    const { url } = await backend(counting)
    const heddle = await gateway(url)
    await ask(heddle, { top_p: 1, seed: 7, user: 'ann' })
    expect(statusOf(await ask(heddle, { seed: 7, user: 'bob', top_p: 1, metadata: { a: 'b' } }))).toBe('hit')
  })

  test.each<[string, object, CallOptions?]>([
    ['another system prompt', { messages: [{ role: 'system', content: 'Be long.' }, MESSAGES[1]] }],
    ['another question', { messages: [MESSAGES[0], { role: 'user', content: 'What is a loom?' }] }],
    ['an earlier turn', { messages: [MESSAGES[0], MESSAGES[1], { role: 'assistant', content: 'x' }, MESSAGES[1]] }],
    ['another model', { model: 'other' }],
    ['a tool', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['a sampling parameter', { top_p: 0.5 }],
    ['a field that nobody here knows', { chat_template_kwargs: { enable_thinking: false } }],
    ['a response format', { response_format: { type: 'json_object' } }],
    ['a query', {}, { headers: {} }],
  ])('with %s it is not the same', async (name, body, options = {}) => {
    const { url, bodies } = await backend(counting)
    const heddle = await gateway(url)
    await ask(heddle)
    const path = name === 'a query' ? '/v1/chat/completions?v=2' : '/v1/chat/completions'
    const reply = await call(`${heddle.url}${path}`, { body: { model: 'm', messages: MESSAGES, ...body }, ...options })
    expect(statusOf(reply)).toBe('miss')
    expect(bodies).toHaveLength(2)
  })
})

describe('what is not kept', () => {
  test.each<[string, object]>([
    ['one that was cut', { ...CHAT_ANSWER, choices: [choice('wo', 'length')] }],
    ['one that was filtered', { ...CHAT_ANSWER, choices: [choice('wo', 'content_filter')] }],
    [
      'a refusal',
      {
        ...CHAT_ANSWER,
        choices: [{ ...choice('', 'stop'), message: { role: 'assistant', content: null, refusal: 'no' } }],
      },
    ],
    [
      'a call of a tool',
      {
        ...CHAT_ANSWER,
        choices: [
          {
            index: 0,
            finish_reason: 'tool_calls',
            message: {
              role: 'assistant',
              content: null,
              tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
            },
          },
        ],
      },
    ],
    ['an empty one', { ...CHAT_ANSWER, choices: [choice('', 'stop')] }],
  ])('an answer: %s', async (_name, answer) => {
    const { url, bodies } = await backend((res) => sendJson(res, 200, answer))
    const heddle = await gateway(url)
    await ask(heddle)
    expect(statusOf(await ask(heddle))).toBe('miss')
    expect(bodies).toHaveLength(2)
    expect(await heddle.metric('heddle_cache_refused_total')).toBe(2)
  })

  test('an error, and a stream that breaks', async () => {
    const { url, bodies } = await backend((res, n) => {
      if (n === 0) {
        sendJson(res, 400, { error: { message: 'no' } })
        return
      }
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(event({ choices: [{ index: 0, delta: { content: 'wov' } }] }))
      setTimeout(() => res.destroy(), 20)
    })
    const heddle = await gateway(url)
    expect((await ask(heddle)).status).toBe(400)
    await ask(heddle, { stream: true })
    await ask(heddle, { stream: true })
    expect(bodies).toHaveLength(3)
    expect(await heddle.metric('heddle_cache_entries')).toBe(0)
  })

  test.each<[string, object]>([
    ['temperature', { temperature: 0.9 }],
    ['choices', { n: 2 }],
    ['live_tools', { tools: [{ type: 'web_search' }] }],
  ])('of requests that want something new: %s', async (reason, body) => {
    const { url, bodies } = await backend(counting)
    const heddle = await gateway(url)
    await ask(heddle, body)
    const reply = await ask(heddle, body)
    expect([statusOf(reply), reply.headers['x-heddle-cache-reason']]).toEqual(['bypass', reason])
    expect(bodies).toHaveLength(2)
  })

  test('what is larger than allowed', async () => {
    const { url } = await backend((res) =>
      sendJson(res, 200, { ...CHAT_ANSWER, choices: [choice('x'.repeat(3000), 'stop')] }),
    )
    const heddle = await gateway(url, '{ max_entry: 2KiB }')
    await ask(heddle)
    expect(statusOf(await ask(heddle))).toBe('miss')
    expect(await heddle.metric('heddle_cache_refused_total', { reason: 'too_large' })).toBe(2)
  })
})

describe('what callers ask for', () => {
  const control = (value: string): CallOptions => ({ headers: { 'cache-control': value } })

  test('a fresh answer, which replaces the old one', async () => {
    const { url } = await backend(counting)
    const heddle = await gateway(url)
    await ask(heddle)
    expect(contentOf(await ask(heddle, {}, control('no-cache')))).toBe('woven 1')
    expect(contentOf(await ask(heddle))).toBe('woven 1')
  })

  test('nothing of it is kept', async () => {
    const { url } = await backend(counting)
    const heddle = await gateway(url)
    await ask(heddle, {}, control('no-store'))
    expect(statusOf(await ask(heddle))).toBe('miss')
  })

  test('not older than that', async () => {
    const { url } = await backend(counting)
    const heddle = await gateway(url)
    await ask(heddle)
    expect(statusOf(await ask(heddle, {}, control('max-age=60')))).toBe('hit')
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(statusOf(await ask(heddle, {}, control('max-age=0')))).toBe('miss')
  })

  test('nothing, where the configuration does not let them', async () => {
    const { url } = await backend(counting)
    const heddle = await gateway(url, '{ client_control: false }')
    await ask(heddle)
    expect(statusOf(await ask(heddle, {}, control('no-cache')))).toBe('hit')
  })
})

describe('boundaries', () => {
  const AUTH = `
auth:
  keys:
    - { id: a1, key: sk-heddle-a1-0000000000000000, tenant: a, user: u }
    - { id: a2, key: sk-heddle-a2-0000000000000000, tenant: a }
    - { id: b1, key: sk-heddle-b1-0000000000000000, tenant: b, user: u }
tenants: { a: {}, b: {} }`
  const as = (id: string): CallOptions => ({
    headers: { authorization: `Bearer sk-heddle-${id}-0000000000000000` },
  })
  const statuses = async (scope: string, ids: readonly string[]): Promise<readonly unknown[]> => {
    const { url } = await backend(counting)
    const heddle = await gateway(url, `{ scope: ${scope} }`, AUTH)
    const found: unknown[] = []
    for (const id of ids) found.push(statusOf(await ask(heddle, {}, as(id))))
    return found
  }

  test('a tenant shares with itself, and with no other', async () => {
    expect(await statuses('tenant', ['a1', 'a2', 'b1', 'b1'])).toEqual(['miss', 'hit', 'miss', 'hit'])
  })
  test('a key only with itself', async () => {
    expect(await statuses('key', ['a1', 'a2', 'a1'])).toEqual(['miss', 'miss', 'hit'])
  })
  test('a user within the tenant; who has none shares nothing', async () => {
    expect(await statuses('user', ['a1', 'b1', 'a1', 'a2'])).toEqual(['miss', 'miss', 'hit', 'bypass'])
  })
  test('all, when it is said', async () => {
    expect(await statuses('org', ['a1', 'b1'])).toEqual(['miss', 'hit'])
  })
})

test('workers have the same answers', async () => {
  const { url, bodies } = await backend(counting)
  const heddle = await gateway(url, '{}', 'server: { workers: 2, log: { level: silent, access: false } }')
  await ask(heddle)
  await new Promise((resolve) => setTimeout(resolve, 50))
  for (let i = 0; i < 12; i++) expect(statusOf(await ask(heddle, {}, { headers: { connection: 'close' } }))).toBe('hit')
  expect(bodies).toHaveLength(1)
})

test('a model may say something else, and an old answer is not served', async () => {
  const { url } = await backend(counting)
  const heddle = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${url}" } }
models: { m: { targets: [p/m], cache: { ttl: 1s } }, n: { targets: [p/m], cache: off } }
cache: { ttl: 1h }`)
  closers.push(() => heddle.stop())
  await ask(heddle)
  expect(statusOf(await ask(heddle))).toBe('hit')
  await ask(heddle, { model: 'n' })
  expect(statusOf(await ask(heddle, { model: 'n' }))).toBeUndefined()
  await new Promise((resolve) => setTimeout(resolve, 1100))
  expect(statusOf(await ask(heddle))).toBe('miss')
})
