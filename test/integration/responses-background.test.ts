// Answers that are made in the background: polled, followed, cancelled, cut by the end of the process.
import type { ServerResponse } from 'node:http'
import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { sendJson, startBackend } from '../support/backend.ts'
import { call, headOf, open as begin, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { redisServer, TestRedis } from '../support/redis.ts'

const open = closedAfterEach()

/** Answers of the Messages API in pieces that a test lets go one by one. */
interface Slow {
  readonly url: string
  readonly calls: number
  /** Calls whose client has left. */
  readonly left: number
  text(text: string): void
  finish(): void
}

const MESSAGE = { id: 'msg_1', type: 'message', role: 'assistant', model: 'm', stop_sequence: null }
const USAGE = { input_tokens: 3, output_tokens: 2 }
const event = (data: { type: string }): string => `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`
const delta = (text: string): string =>
  event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } } as never)

async function slow(): Promise<Slow> {
  let res: ServerResponse | null = null
  let stream = false
  let said = ''
  const state = { calls: 0, left: 0 }
  const backend = await startBackend((answer, _n, _req, body) => {
    state.calls++
    res = answer
    said = ''
    stream = (JSON.parse(String(body)) as { stream?: boolean }).stream === true
    answer.on('close', () => {
      if (!answer.writableEnded) state.left++
    })
    if (!stream) return
    answer.writeHead(200, { 'content-type': 'text/event-stream' })
    answer.write(
      event({ type: 'message_start', message: { ...MESSAGE, content: [], stop_reason: null, usage: USAGE } } as never),
    )
    answer.write(event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as never))
  })
  open.push(() => backend.close())
  return {
    url: backend.url,
    get calls() {
      return state.calls
    },
    get left() {
      return state.left
    },
    text(text) {
      if (stream) res!.write(delta(text))
      else said += text
    },
    finish() {
      if (!stream) {
        sendJson(res!, 200, {
          ...MESSAGE,
          content: [{ type: 'text', text: said }],
          stop_reason: 'end_turn',
          usage: USAGE,
        })
        return
      }
      res!.write(event({ type: 'content_block_stop', index: 0 } as never))
      res!.write(
        event({
          type: 'message_delta',
          delta: { stop_reason: 'end_turn', stop_sequence: null },
          usage: USAGE,
        } as never),
      )
      res!.end(event({ type: 'message_stop' }))
    },
  }
}

const config = (url: string, { more = 'responses: {}', workers = 1 } = {}): string =>
  `server: { log: { level: silent, access: false }, workers: ${workers}, drain: { max: 100ms } }
providers: { claude: { type: openai_compatible, base_url: "${url}", operations: [passthrough], wire: anthropic.messages, class: mesh } }
models: { claude: claude/m }
${more}
`

async function start(yaml: string): Promise<{ gateway: Gateway; client: OpenAI }> {
  const gateway = await startGateway(yaml)
  open.push(() => gateway.stop())
  return { gateway, client: new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 }) }
}

const ASK = { model: 'claude', input: 'x', background: true as const }

test('it is polled until it is complete; a conversation goes on from it', async () => {
  const backend = await slow()
  const { client } = await start(config(backend.url))
  const queued = await client.responses.create(ASK)
  expect(queued).toMatchObject({ status: 'queued', background: true, output: [] })
  await until(() => backend.calls === 1)
  expect(await client.responses.retrieve(queued.id)).toMatchObject({ status: 'in_progress' })
  await expect(
    client.responses.create({ model: 'claude', input: 'y', previous_response_id: queued.id }),
  ).rejects.toMatchObject({ status: 400 })
  backend.text('woven')
  backend.finish()
  await until(async () => (await client.responses.retrieve(queued.id)).status === 'completed')
  const done = await client.responses.retrieve(queued.id)
  expect(done).toMatchObject({ id: queued.id, background: true, usage: { input_tokens: 3, output_tokens: 2 } })
  expect(done.output_text).toBe('woven')
})

test('what the backend refuses is a failed response', async () => {
  const backend = await startBackend((res) =>
    sendJson(res, 400, { type: 'error', error: { type: 'invalid_request_error', message: 'no such thing' } }),
  )
  open.push(() => backend.close())
  const { client } = await start(config(backend.url))
  const { id } = await client.responses.create(ASK)
  await until(async () => (await client.responses.retrieve(id)).status === 'failed')
  expect(await client.responses.retrieve(id)).toMatchObject({ error: { code: 'server_error' } })
})

test.each([1, 2])('cancelled is cancelled, and the backend is left, at %i workers', async (workers) => {
  const backend = await slow()
  const { gateway, client } = await start(config(backend.url, { workers }))
  const { id } = await client.responses.create(ASK)
  await until(() => backend.calls === 1)
  // On connections of their own: with two workers one of them has not begun it.
  const cancels = await Promise.all(
    [1, 2, 3, 4].map(() => call(`${gateway.url}/v1/responses/${id}/cancel`, { method: 'POST' })),
  )
  for (const { status, text } of cancels) expect([status, JSON.parse(text)]).toMatchObject([200, { id }])
  await until(() => backend.left === 1)
  expect(await client.responses.retrieve(id)).toMatchObject({ status: 'cancelled' })
  await until(async () => (await gateway.metric('heddle_inflight_requests')) === 0)
  expect(await client.responses.retrieve(id)).toMatchObject({ status: 'cancelled' })
})

test('an answer that was not made in the background cannot be cancelled', async () => {
  const backend = await slow()
  const { client } = await start(config(backend.url))
  const made = client.responses.create({ model: 'claude', input: 'x' })
  const settled = made.then(({ id }) => id)
  await until(() => backend.calls === 1)
  backend.finish()
  await expect(client.responses.cancel(await settled)).rejects.toMatchObject({ status: 400 })
})

test('a stream goes on when its client leaves, and is followed from where it was left', async () => {
  const backend = await slow()
  const { client, gateway } = await start(config(backend.url))
  const controller = new AbortController()
  const begun = client.responses.create({ ...ASK, stream: true }, { signal: controller.signal })
  const settled = begun.then((stream) => stream)
  let id = ''
  let last = -1
  let text = ''
  await until(() => backend.calls === 1)
  backend.text('one ')
  for await (const one of await settled) {
    last = one.sequence_number
    if (one.type === 'response.created') ({ id } = one.response)
    if (one.type !== 'response.output_text.delta') continue
    text += one.delta
    controller.abort()
    break
  }
  backend.text('two ')
  const again = await client.responses.retrieve(id, { stream: true, starting_after: last })
  setTimeout(() => {
    backend.text('three')
    backend.finish()
  }, 100)
  const numbers: number[] = []
  for await (const one of again) {
    numbers.push(one.sequence_number)
    if (one.type === 'response.output_text.delta') text += one.delta
  }
  expect(text).toBe('one two three')
  expect(numbers).toEqual(numbers.map((_, i) => last + 1 + i))
  expect(backend.left).toBe(0)
  expect((await client.responses.retrieve(id)).output_text).toBe('one two three')
  // All of it, later.
  const whole: number[] = []
  for await (const one of await client.responses.retrieve(id, { stream: true })) whole.push(one.sequence_number)
  expect(whole).toEqual(whole.map((_, i) => i))
  expect(await gateway.metric('heddle_requests_total', { operation: 'responses', outcome: 'ok' })).toBeGreaterThan(2)
})

test('a stream that is cancelled ends, for who began it and for who follows it', async () => {
  const backend = await slow()
  const { client, gateway } = await start(config(backend.url))
  const asked = headOf(begin(`${gateway.url}/v1/responses`, { body: { ...ASK, stream: true } }))
  await until(() => backend.calls === 1)
  backend.text('one')
  const head = await asked
  let first = ''
  head.on('data', (chunk: Buffer) => (first += chunk.toString()))
  await until(() => first.includes('"delta":"one"'))
  const id = /"id":"(resp_hdl_[^"]+)"/.exec(first)![1]!
  const follower = call(`${gateway.url}/v1/responses/${id}?stream=true`)
  await until(async () => (await gateway.metric('heddle_inflight_requests')) >= 2)
  await client.responses.cancel(id)
  const { text } = await follower
  expect(text).toContain('event: response.cancelled')
  await until(() => head.complete)
  expect(backend.left).toBe(1)
})

test('other settings do not end what is under way', async () => {
  const backend = await slow()
  const { client, gateway } = await start(config(backend.url))
  const { id } = await client.responses.create(ASK)
  await until(() => backend.calls === 1)
  expect(await gateway.reload(config(backend.url, { more: 'responses: { ttl: 2h }' }))).toBe(true)
  backend.text('woven')
  backend.finish()
  await until(async () => (await client.responses.retrieve(id)).status === 'completed')
  expect((await client.responses.retrieve(id)).output_text).toBe('woven')
})

test('there is a greatest number of them', async () => {
  const backend = await slow()
  const { client } = await start(config(backend.url, { more: 'responses: { background: 1 }' }))
  await client.responses.create(ASK)
  await until(() => backend.calls === 1)
  await expect(client.responses.create(ASK)).rejects.toMatchObject({ status: 503 })
  backend.finish()
  await until(async () => {
    const second = await client.responses.create(ASK).catch(() => null)
    return second !== null
  })
})

test('what cannot be is said at once', async () => {
  const backend = await slow()
  const { client } = await start(config(backend.url))
  await expect(client.responses.create({ ...ASK, store: false })).rejects.toMatchObject({ status: 400, param: 'store' })
  await expect(client.responses.create({ ...ASK, temperature: 'hot' as never })).rejects.toMatchObject({ status: 400 })
  const off = await start(config(backend.url, { more: 'responses: { background: 0 }' }))
  await expect(off.client.responses.create(ASK)).rejects.toMatchObject({ status: 400, param: 'background' })
  expect(backend.calls).toBe(0)
})

describe.skipIf(redisServer === null)('over the end of the process', () => {
  const KEY = Buffer.alloc(32, 7).toString('base64')

  test('what is cut by it has failed, and says so to whoever asks another process', async () => {
    const redis = await TestRedis.start()
    open.push(() => redis.stop())
    const more = `ledger: { redis: { url: "${redis.url}" } }\nresponses: { store: redis, encryption_key: "${KEY}" }`
    const backend = await slow()
    const yaml = config(backend.url, { more })
    const first = await startGateway(yaml)
    const asked = await call(`${first.url}/v1/responses`, { body: ASK })
    const { id } = asked.json() as { id: string }
    await until(() => backend.calls === 1)
    expect(await first.stop()).toBe(1)
    const { client } = await start(yaml)
    expect(await client.responses.retrieve(id)).toMatchObject({ status: 'failed', error: { code: 'server_error' } })
  })

  test('what nobody makes any more is found out', async () => {
    const redis = await TestRedis.start()
    open.push(() => redis.stop())
    const more = `ledger: { redis: { url: "${redis.url}" } }\nresponses: { store: redis, encryption_key: "${KEY}" }`
    const backend = await slow()
    const { client } = await start(config(backend.url, { more }))
    const { id } = await client.responses.create(ASK)
    expect((await client.responses.retrieve(id)).status).toBe('in_progress')
    // As if its worker had died: nobody says any more that it is at work. The values are sealed; the order tells which it is.
    const script =
      "for _,k in ipairs(redis.call('KEYS','*blob*')) do if redis.call('PTTL',k) <= 20000 then redis.call('DEL',k) end end return 1"
    await redis.ask('EVAL', script, '0')
    expect(await client.responses.retrieve(id)).toMatchObject({ status: 'failed' })
    expect(await client.responses.retrieve(id)).toMatchObject({ status: 'failed' })
  })
})
