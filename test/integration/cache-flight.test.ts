// Many who ask the same at the same time: one call of the backend, and all of them get all of the answer.
import { expect, test } from 'vitest'
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Gateway } from '../support/gateway.ts'
import { CHAT_ANSWER, sendJson, startBackend, type Backend, type Script } from '../support/backend.ts'
import { call, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

const backend = async (script: Script): Promise<Backend> => {
  const made = await startBackend(script)
  closers.push(() => made.close())
  return made
}
const gateway = async (url: string, more = ''): Promise<Gateway> => {
  const made = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${url}" } }
models: { m: { targets: [p/m], retries: { max_attempts: 1 } } }
cache: {}
${more}`)
  closers.push(() => made.stop())
  return made
}
const event = (fields: object): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', ...fields })}\n\n`
const piece = (content: string): string => event({ choices: [{ index: 0, delta: { content } }] })
const LAST = `${event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })}data: [DONE]\n\n`

/** Streams whose pieces the test sends. */
const byHand = async (): Promise<{ readonly url: string; readonly open: ServerResponse[] }> => {
  const answers: ServerResponse[] = []
  const { url } = await backend((res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    answers.push(res)
  })
  return { url, open: answers }
}

const ask = (heddle: Gateway, headers: Readonly<Record<string, string>> = {}, stream = true): ClientRequest => {
  const req = open(`${heddle.url}/v1/chat/completions`, {
    body: { model: 'm', stream, messages: [{ role: 'user', content: 'What is a heddle?' }] },
    headers,
  })
  req.on('error', () => {})
  return req
}
const textOf = async (req: ClientRequest): Promise<string> => {
  const res = await headOf(req)
  return read(res)
}
const read = async (res: IncomingMessage): Promise<string> => {
  let text = ''
  res.on('error', () => {})
  try {
    for await (const chunk of res) text += String(chunk)
  } catch {
    return `${text}BROKEN`
  }
  return text
}
const inflight = (heddle: Gateway, n: number): Promise<unknown> =>
  until(async () => (await heddle.metric('heddle_inflight_requests')) === n)
const contentOf = (text: string): string =>
  [...text.matchAll(/"content":"([^"]*)"/g)].map(([, content]) => content).join('')

test('500 streams at once are one call, whenever each of them came', async () => {
  const { url, open: answers } = await byHand()
  const heddle = await gateway(url)
  const waiting: Promise<string>[] = []
  const join = async (count: number): Promise<void> => {
    const before = waiting.length
    for (let i = 0; i < count; i++) waiting.push(textOf(ask(heddle)))
    await inflight(heddle, before + count)
  }
  await join(100)
  await until(() => answers.length > 0)
  answers[0]!.write(piece('a'))
  await join(200)
  for (const letter of 'bcdef') answers[0]!.write(piece(letter))
  await join(200)
  answers[0]!.end(piece('g') + LAST)
  const texts = new Set(await Promise.all(waiting))
  expect(answers).toHaveLength(1)
  expect(waiting).toHaveLength(500)
  expect([...texts].map(contentOf)).toEqual(['abcdefg'])
  expect(await heddle.metric('heddle_cache_requests_total', { result: 'coalesced' })).toBe(499)
})

test.each(['before its answer begins', 'in the middle', 'just before its end'])(
  'the first leaves %s: the others get all of it',
  async (when) => {
    const { url, open: answers } = await byHand()
    const heddle = await gateway(url)
    const first = ask(heddle)
    let begun = false
    first.on('response', () => {
      begun = true
    })
    const gone = textOf(first).catch(() => 'gone')
    await until(() => answers.length > 0)
    const others = Array.from({ length: 20 }, () => textOf(ask(heddle)))
    await inflight(heddle, 21)
    const leave = async (): Promise<void> => {
      first.destroy()
      await inflight(heddle, 20)
    }
    if (when.startsWith('before')) await leave()
    answers[0]!.write(piece('a'))
    answers[0]!.write(piece('b'))
    if (when.startsWith('in')) {
      await until(() => begun)
      await leave()
    }
    answers[0]!.write(piece('c'))
    if (when.startsWith('just')) await leave()
    answers[0]!.end(LAST)
    expect(new Set((await Promise.all(others)).map(contentOf))).toEqual(new Set(['abc']))
    expect(answers).toHaveLength(1)
    await gone
    // What it had asked for is kept, though it did not wait for it.
    const again = await call(`${heddle.url}/v1/chat/completions`, {
      body: { model: 'm', messages: [{ role: 'user', content: 'What is a heddle?' }] },
    })
    expect(again.headers['x-heddle-cache']).toBe('hit')
  },
)

test('all of them leave: the backend need not go on', async () => {
  const { url, open: answers } = await byHand()
  const heddle = await gateway(url)
  const all = Array.from({ length: 3 }, () => ask(heddle))
  await inflight(heddle, 3)
  await until(() => answers.length === 1)
  const closed = new Promise((resolve) => answers[0]!.on('close', resolve))
  for (const req of all) req.destroy()
  await closed
  await inflight(heddle, 0)
  expect(answers).toHaveLength(1)
})

test('what one cannot get the next one tries for; nobody tries for ever', async () => {
  const { url, times } = await backend((res, n) => {
    setTimeout(() => (n < 2 ? sendJson(res, 500, { error: { message: 'x' } }) : sendJson(res, 200, CHAT_ANSWER)), 60)
  })
  const heddle = await gateway(url)
  const codes = async (count: number): Promise<readonly unknown[]> => {
    const all = Array.from({ length: count }, () => ask(heddle, {}, false))
    const heads = await Promise.all(all.map(headOf))
    await Promise.all(heads.map(read))
    return heads.map((head) => head.statusCode!).toSorted((a, b) => a - b)
  }
  expect(await codes(5)).toEqual([200, 200, 200, 502, 502])
  expect(times).toHaveLength(3)
})

test('a backend that is down is asked a bounded number of times, and all are told in their own name', async () => {
  const { url, times } = await backend((res) => void setTimeout(() => sendJson(res, 500, { error: {} }), 40))
  const heddle = await gateway(url)
  const all = Array.from({ length: 30 }, (_, i) => ask(heddle, { 'x-request-id': `mine-${i}` }, false))
  const heads = await Promise.all(all.map(headOf))
  const texts = await Promise.all(heads.map(read))
  expect(heads.every((head) => head.statusCode === 502)).toBe(true)
  expect(heads.map((head) => head.headers['x-request-id'])).toEqual(all.map((_, i) => `mine-${i}`))
  texts.forEach((text, i) => expect(text).toContain(`"mine-${i}"`))
  expect(times.length).toBeLessThanOrEqual(4)
})

test('one that waits gives up when its own time is over, and the others do not', async () => {
  const { url, open: answers } = await byHand()
  const heddle = await gateway(url)
  const patient = textOf(ask(heddle))
  await until(() => answers.length > 0)
  const hasty = await headOf(ask(heddle, { 'x-request-timeout-ms': '150', 'x-envoy-expected-rq-timeout-ms': '150' }))
  expect(hasty.statusCode).toBe(504)
  answers[0]!.end(piece('a') + LAST)
  expect(contentOf(await patient)).toBe('a')
})

test('one that does not read stalls nobody', async () => {
  const { url, open: answers } = await byHand()
  const heddle = await gateway(url)
  const slow = ask(heddle)
  const first = headOf(slow)
  await until(() => answers.length > 0)
  const others = Array.from({ length: 3 }, () => textOf(ask(heddle)))
  await inflight(heddle, 4)
  answers[0]!.write(piece('a'))
  const paused = await first
  paused.pause()
  const long = 'x'.repeat(64 * 1024)
  for (let i = 0; i < 40; i++) answers[0]!.write(piece(long))
  answers[0]!.end(LAST)
  const texts = await Promise.all(others)
  expect(texts.map((text) => contentOf(text).length)).toEqual([1, 1, 1].map(() => 1 + 40 * long.length))
  // And it gets the rest as soon as it reads again.
  expect(contentOf(await read(paused))).toHaveLength(1 + 40 * long.length)
})

test('one that never reads is dropped, also when the answer has long been made', async () => {
  const { url, open: answers } = await byHand()
  const heddle = await gateway(
    url,
    'server: { limits: { client_stall: 300ms }, log: { level: silent, access: false } }',
  )
  const slow = ask(heddle)
  const first = headOf(slow)
  await until(() => answers.length > 0)
  const other = textOf(ask(heddle))
  await inflight(heddle, 2)
  answers[0]!.write(piece('a'))
  const paused = await first
  paused.pause()
  const long = 'x'.repeat(64 * 1024)
  for (let i = 0; i < 112; i++) answers[0]!.write(piece(long))
  answers[0]!.end(LAST)
  expect(contentOf(await other)).toHaveLength(1 + 112 * long.length)
  // Longer than it may take: whatever its own sockets hold is all that it gets.
  await new Promise((resolve) => setTimeout(resolve, 1500))
  expect(await read(paused)).toMatch(/BROKEN$/)
})

test('each tells what is its own: its id, its limits; tenants never wait for each other', async () => {
  const { url, times } = await backend((res) => void setTimeout(() => sendJson(res, 200, CHAT_ANSWER), 80))
  const heddle = await gateway(
    url,
    `
auth:
  keys:
    - { id: a1, key: sk-heddle-a1-0000000000000000, tenant: a }
    - { id: a2, key: sk-heddle-a2-0000000000000000, tenant: a }
    - { id: b1, key: sk-heddle-b1-0000000000000000, tenant: b }
tenants: { a: {}, b: {} }
limits:
  each: { per: [key], rules: [{ requests: 10, per: 1m }] }`,
  )
  const heads = await Promise.all(
    ['a1', 'a2', 'b1'].map((id) =>
      headOf(ask(heddle, { authorization: `Bearer sk-heddle-${id}-0000000000000000`, 'x-request-id': id }, false)),
    ),
  )
  await Promise.all(heads.map(read))
  expect(heads.map((head) => head.statusCode)).toEqual([200, 200, 200])
  expect(heads.map((head) => head.headers['x-request-id'])).toEqual(['a1', 'a2', 'b1'])
  expect(heads.map((head) => head.headers['x-heddle-cache'])).toEqual(['miss', 'coalesced', 'miss'])
  expect(heads.map((head) => head.headers['x-ratelimit-remaining-requests'])).toEqual(['9', '9', '9'])
  expect(times).toHaveLength(2)
})
