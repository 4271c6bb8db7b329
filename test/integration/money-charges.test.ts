// What is charged in each case that is easily forgotten: a whole gateway, a backend that does as it is told, and the
// records, metrics and counters that must agree.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import type { Backend, Script } from '../support/backend.ts'
import { call, chat, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let folder = ''
let gateway: Gateway
const backends: Backend[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-money-'))
})
afterEach(async () => {
  await gateway.stop()
  for (const backend of backends.splice(0)) await backend.close()
  rmSync(folder, { recursive: true })
})

/** One dollar per thousand tokens of either kind, on one backend after the other. */
const start = async (scripts: readonly Script[], more = '', model = ''): Promise<void> => {
  const urls: string[] = []
  for (const script of scripts) {
    const backend = await startBackend(script)
    backends.push(backend)
    urls.push(backend.url)
  }
  const price = '{ input: 1000, output: 1000, per_image: 0.04 }'
  gateway = await startGateway(`
usage: { cost_header: true, records: { file: { path: ${join(folder, 'usage.jsonl')} } } }
providers:
${urls.map((url, i) => `  b${i}: { type: openai_compatible, base_url: '${url}', operations: [chat, completions, embeddings, responses, passthrough] }`).join('\n')}
models:
  m:
    targets: [${urls.map((_, i) => `{ provider: b${i}, model: m, price: ${price} }`).join(', ')}]
    strategy: priority
    retries: { max_attempts: ${scripts.length} }
    ${model}
${more}`)
}

interface Line {
  readonly cost_usd: string
  readonly input_tokens?: number
  readonly output_tokens?: number
  readonly images?: number
  readonly estimated: boolean
  readonly attempts?: readonly { readonly result: string; readonly cost_usd: string; readonly input_tokens?: number }[]
}

const records = async (count: number): Promise<readonly Line[]> => {
  const read = (): string[] => {
    try {
      return readFileSync(join(folder, 'usage.jsonl'), 'utf8').split('\n').slice(0, -1)
    } catch {
      return []
    }
  }
  await until(() => read().length >= count)
  return read().map((line) => JSON.parse(line) as Line)
}

interface CounterRow {
  readonly limit: string
  readonly unit: string
  readonly used: number
  readonly reserved: number
}
const counters = async (): Promise<readonly CounterRow[]> =>
  ((await (await fetch(`${gateway.adminUrl}/admin/limits`)).json()) as { limits: readonly CounterRow[] }).limits

const BUDGET = `limits: { money: { per: [], rules: [{ usd: 1000, per: month }] } }`
const settled = async (usd: string): Promise<void> => {
  await until(async () => (await counters()).every(({ reserved }) => reserved === 0))
  expect((await counters()).map(({ used }) => used)).toEqual([Number(usd)])
}

const { usage: _, ...UNCOUNTED } = CHAT_ANSWER

test('an answer without usage is charged by its size, and says so', async () => {
  await start([(res) => sendJson(res, 200, UNCOUNTED)], BUDGET)
  const answer = await chat(gateway.url, 'm')
  expect(answer.status).toBe(200)
  const [line] = await records(1)
  expect(line).toMatchObject({ estimated: true })
  expect(line!.input_tokens).toBeGreaterThan(10)
  expect(line!.output_tokens).toBeGreaterThan(10)
  await settled(line!.cost_usd)
  expect(await gateway.metric('heddle_cost_usd_total')).toBeCloseTo(Number(line!.cost_usd), 9)
})

test('an answer that was lost on its way has been made: both calls are charged', async () => {
  const lost: Script = (res) => {
    res.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
    res.write('{"id":"x","choices":[')
    setTimeout(() => res.destroy(), 20)
  }
  await start([lost, (res) => sendJson(res, 200, CHAT_ANSWER)], BUDGET)
  expect((await chat(gateway.url, 'm')).status).toBe(200)
  const [line] = await records(1)
  expect(line!.attempts).toMatchObject([{ result: 'reset' }, { result: 'ok', cost_usd: '0.005' }])
  expect(Number(line!.attempts![0]!.cost_usd)).toBeGreaterThan(0.01)
  expect(line!.estimated).toBe(true)
  await settled(line!.cost_usd)
})

test('refusals and backends that cannot be reached cost nothing', async () => {
  const refuse: Script = (res) => sendJson(res, 429, { error: { message: 'slow down', code: 'rate_limit_exceeded' } })
  const broken: Script = (res) => sendJson(res, 500, { error: { message: 'broken' } })
  const drop: Script = (_res, _n, req) => req.socket.destroy()
  await start([refuse, broken, drop, (res) => sendJson(res, 200, CHAT_ANSWER)], BUDGET)
  expect((await chat(gateway.url, 'm')).status).toBe(200)
  const [line] = await records(1)
  expect(line).toMatchObject({ cost_usd: '0.005', estimated: false, input_tokens: 3, output_tokens: 2 })
  expect(line!.attempts).toHaveLength(4)
  await settled('0.005')
})

test('a client that leaves before the head is charged for the prompt', async () => {
  await start([() => {}], BUDGET)
  const body = { model: 'm', messages: [{ role: 'user', content: 'word '.repeat(300) }], max_tokens: 50 }
  const req = open(`${gateway.url}/v1/chat/completions`, { body })
  req.on('error', () => {})
  await until(() => backends[0]!.bodies.length === 1)
  req.destroy()
  const [line] = await records(1)
  expect(line).toMatchObject({ estimated: true, output_tokens: 0, input_tokens: expect.any(Number) as number })
  expect(Number(line!.cost_usd)).toBeGreaterThan(0.3)
  await settled(line!.cost_usd)
})

test('a stream that passes through unread is charged when its client leaves', async () => {
  const event = (data: object): string => `event: x\ndata: ${JSON.stringify(data)}\n\n`
  await start(
    [
      (res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        res.write(event({ type: 'message_start', message: { usage: { input_tokens: 25, output_tokens: 1 } } }))
        for (let i = 0; i < 100; i++) res.write(event({ type: 'content_block_delta', delta: { text: ' word' } }))
      },
    ],
    BUDGET,
  )
  const body = { model: 'm', messages: [{ role: 'user', content: 'Go on for ever.' }], max_tokens: 500, stream: true }
  const req = open(`${gateway.url}/v1/some/talk`, { body })
  const res = await headOf(req)
  await new Promise((resolve) => res.once('data', resolve))
  await until(async () => (await counters()).some(({ reserved }) => reserved > 0.5))
  req.on('error', () => {})
  res.on('error', () => {})
  req.destroy()
  const [line] = await records(1)
  expect(line!.input_tokens).toBeGreaterThan(10)
  expect(line!.output_tokens).toBeGreaterThan(50)
  expect(line!.output_tokens).toBeLessThan(500)
  expect(line!.estimated).toBe(true)
  await settled(line!.cost_usd)
})

test('images that pass through are charged a piece, however large they are', async () => {
  await start([
    (res) =>
      sendJson(res, 200, { created: 1, data: Array.from({ length: 3 }, () => ({ b64_json: 'A'.repeat(300_000) })) }),
  ])
  const body = { model: 'm', prompt: 'three looms', n: 3 }
  expect((await call(`${gateway.url}/v1/images/generations`, { body })).status).toBe(200)
  expect(await records(1)).toMatchObject([{ images: 3, cost_usd: '0.12' }])
})

test('what asks no model takes no tokens from a limit, and costs nothing', async () => {
  await start(
    [(res) => sendJson(res, 200, { object: 'list', data: [] })],
    `
limits: { few: { per: [], rules: [{ tokens: 100, per: 1m }, { usd: 0.0001, per: 1m }] } }`,
  )
  for (let i = 0; i < 5; i++) expect((await call(`${gateway.url}/v1/files`)).status).toBe(200)
  const upload = { method: 'POST', headers: { 'content-type': 'application/octet-stream' }, body: Buffer.alloc(50_000) }
  expect((await call(`${gateway.url}/v1/uploads`, upload)).status).toBe(200)
  for (const line of await records(6)) expect(line).toMatchObject({ cost_usd: '0', estimated: false })
})

test('embeddings have no answer to reserve for', async () => {
  const answer = { object: 'list', data: [{ embedding: [1] }], usage: { prompt_tokens: 4, total_tokens: 4 } }
  await start(
    [(res) => sendJson(res, 200, answer)],
    `
limits: { few: { per: [], rules: [{ tokens: 100, per: 1m }, { output_tokens: 1, per: 1m }] } }`,
  )
  for (let i = 0; i < 10; i++) {
    const reply = await call(`${gateway.url}/v1/embeddings`, { body: { model: 'm', input: 'four words of text' } })
    expect(reply.status).toBe(200)
    expect(reply.headers['x-ratelimit-limit-tokens']).toMatch(/^(?:100|1)$/)
  }
  expect((await counters()).find(({ unit }) => unit === 'tokens')!.used).toBe(40)
})

test('an image is not counted by its bytes', async () => {
  const counted = { ...CHAT_ANSWER, usage: { prompt_tokens: 800, completion_tokens: 5, total_tokens: 805 } }
  await start(
    [(res) => sendJson(res, 200, counted)],
    `
limits: { few: { per: [], rules: [{ tokens: 30000, per: 1m }] } }`,
  )
  const url = `data:image/png;base64,${Buffer.alloc(1_500_000, 'woven').toString('base64')}`
  const content = [
    { type: 'text', text: 'What is this?' },
    { type: 'image_url', image_url: { url } },
  ]
  for (let i = 0; i < 20; i++) {
    const answer = await chat(gateway.url, 'm', { messages: [{ role: 'user', content }], max_tokens: 20 })
    expect(answer.status).toBe(200)
  }
  // What the images had does not make text dear.
  expect((await chat(gateway.url, 'm', { max_tokens: 20 })).status).toBe(200)
  expect((await counters()).map(({ used }) => used)).toEqual([21 * 805])
})

test('long answers do not shut out requests that say nothing of their length', async () => {
  const long = { ...CHAT_ANSWER, usage: { prompt_tokens: 10, completion_tokens: 1200, total_tokens: 1210 } }
  await start(
    [(res) => sendJson(res, 200, long)],
    `
limits: { money: { per: [], rules: [{ usd: 40, per: day }, { output_tokens: 40000, per: 1m }] } }`,
  )
  let answered = 0
  for (let i = 0; i < 40; i++) if ((await chat(gateway.url, 'm')).status === 200) answered++
  // 33 of them fit. A guess takes a quarter of a limit at most, so three quarters and more can be used.
  expect(answered).toBeGreaterThanOrEqual(30)
  expect(answered).toBeLessThanOrEqual(34)
})

test('a guess that is larger than the limit still lets a request in, and the next one when it is paid for', async () => {
  const long = { ...CHAT_ANSWER, usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } }
  await start(
    [(res) => sendJson(res, 200, long)],
    `
limits: { small: { per: [], rules: [{ tokens: 400, per: 1m }] } }`,
  )
  const answers = await Promise.all(Array.from({ length: 12 }, () => chat(gateway.url, 'm')))
  const good = answers.filter(({ status }) => status === 200).length
  expect(good).toBeGreaterThanOrEqual(2)
  // What is under way never holds more than the limit: 100 for each answer, and the prompt.
  expect(good).toBeLessThanOrEqual(12)
  expect((await chat(gateway.url, 'm')).status).toBe(200)
  const stated = await chat(gateway.url, 'm', { max_tokens: 500 })
  expect([stated.status, stated.error?.message]).toEqual([429, expect.stringContaining('may need')])
})

test('the dearest model that a request may end at is reserved, also where only its failure leads there', async () => {
  await start(
    [(res) => sendJson(res, 200, CHAT_ANSWER)],
    `
  dear: { targets: [{ provider: b0, model: dear, price: { input: 100000, output: 100000 } }] }
limits: { money: { per: [], rules: [{ usd: 1, per: month }] } }`,
    'fallbacks: { content_policy: [dear] }',
  )
  // 50 tokens at a tenth of a dollar each.
  expect((await chat(gateway.url, 'm', { max_tokens: 50 })).status).toBe(429)
})

test('what breaks off teaches nothing about how long answers are', async () => {
  // A count comes at once, and the stream breaks: of an answer of one token.
  const broken: Script = (res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const chunk = { id: 'x', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'one' } }] }
    res.write(`data: ${JSON.stringify({ ...chunk, usage: { prompt_tokens: 3, completion_tokens: 1 } })}\n\n`)
    setTimeout(() => res.destroy(), 5)
  }
  await start([broken], 'limits: { all: { per: [], rules: [{ tokens: 100000, per: 1m }] } }')
  for (let i = 0; i < 20; i++) await chat(gateway.url, 'm', { stream: true })
  const before = (await counters())[0]!.used
  expect(before).toBe(20 * 4)
  const answer = await chat(gateway.url, 'm', { stream: true })
  // Still the 1000 tokens that nothing is known of, and the prompt.
  expect(Number(answer.headers['x-ratelimit-remaining-tokens'])).toBeLessThanOrEqual(100_000 - before - 1000)
})
