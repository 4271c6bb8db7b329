// One answer for several tries of a request, and every way in which one of them can leave.
import { expect, test } from 'vitest'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Backend, Script } from '../support/backend.ts'
import type { Gateway } from '../support/gateway.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { eventsOf, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

const backend = async (script: Script): Promise<Backend> => {
  const made = await startBackend(script)
  closers.push(() => made.close())
  return made
}

/** A backend that leaves its answers open. */
const waitingBackend = async (head = true): Promise<{ readonly url: string; readonly open: ServerResponse[] }> => {
  const open: ServerResponse[] = []
  const { url } = await backend((res) => {
    if (head) {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.flushHeaders()
    }
    open.push(res)
  })
  return { url, open }
}

const gateway = async (url: string, server = ''): Promise<Gateway> => {
  const made = await startGateway(`
server: { log: { level: silent, access: false }${server} }
providers: { p: { type: openai_compatible, base_url: "${url}" } }
models: { m: p/m }`)
  closers.push(() => made.stop())
  return made
}

const ask = (heddle: Gateway, attempt: number, stream = true, more: Readonly<Record<string, string>> = {}) => {
  const req = open(`${heddle.url}/v1/chat/completions`, {
    body: { model: 'm', stream, messages: [] },
    headers: { 'x-request-id': 'same', 'x-envoy-attempt-count': String(attempt), ...more },
  })
  req.on('error', () => {})
  return req
}
const inflight = (heddle: Gateway, n: number) =>
  until(async () => (await heddle.metric('heddle_inflight_requests')) === n)
const event = (text: string): string =>
  `data: ${JSON.stringify({ id: 'c', choices: [{ index: 0, delta: { content: text } }] })}\n\n`

const textOf = async (res: IncomingMessage): Promise<string> => {
  let text = ''
  res.on('error', () => {})
  for await (const chunk of res) text += String(chunk)
  return text
}

/** Two tries of one stream that has begun. */
const joined = async (heddle: Gateway, provider: { readonly open: ServerResponse[] }) => {
  const first = ask(heddle, 1)
  await until(() => provider.open.length === 1)
  const second = ask(heddle, 2)
  await inflight(heddle, 2)
  const heads = [headOf(first), headOf(second)] as const
  provider.open[0]!.write(event('begin'))
  return { first, second, replies: await Promise.all(heads) }
}

/** More than sockets hold between two processes. */
const MUCH = event('x'.repeat(64 * 1024)).repeat(8)
const TIMES = 40

/** Fills the stream as its reader takes it, then ends it. */
const pour = async (res: ServerResponse): Promise<void> => {
  for (let i = 0; i < TIMES; i++) if (!res.write(MUCH)) await new Promise((resolve) => res.once('drain', resolve))
  res.end('data: [DONE]\n\n')
}

test('a client that does not read and then leaves holds up nobody', async () => {
  const provider = await waitingBackend()
  const heddle = await gateway(provider.url)
  const { second, replies } = await joined(heddle, provider)
  replies[1].pause()
  const whole = textOf(replies[0])
  void pour(provider.open[0]!)
  await until(() => second.socket!.bytesRead > 64 * 1024)
  await new Promise((resolve) => setTimeout(resolve, 300))
  second.destroy()
  expect(await whole).toContain('[DONE]')
})

test('a client that does not read for too long is dropped, and the others are not', async () => {
  const provider = await waitingBackend()
  const heddle = await gateway(provider.url, ', limits: { client_stall: 300ms }')
  const { replies } = await joined(heddle, provider)
  replies[1].pause()
  const whole = textOf(replies[0])
  void pour(provider.open[0]!)
  expect(await whole).toContain('[DONE]')
})

test('at the limit of a drain whoever still waits for the answer of a try that left gets an event', async () => {
  const provider = await waitingBackend()
  const heddle = await gateway(provider.url, ', drain: { propagation: 0, max: 200ms }')
  const { first, replies } = await joined(heddle, provider)
  const whole = textOf(replies[1])
  first.destroy()
  await inflight(heddle, 1)
  await heddle.stop()
  const events = eventsOf(await whole).map(({ data }) => JSON.parse(data) as { error?: { code: string } })
  expect(events.at(-1)?.error?.code).toBe('draining')
})

test('a third try joins the answer that the second waits for, when the first has left', async () => {
  const provider = await waitingBackend(false)
  const heddle = await gateway(provider.url)
  const first = ask(heddle, 1, false)
  await until(() => provider.open.length === 1)
  const second = ask(heddle, 2, false)
  await inflight(heddle, 2)
  first.destroy()
  await inflight(heddle, 1)
  const third = ask(heddle, 3, false)
  const heads = [headOf(second), headOf(third)]
  await inflight(heddle, 2)
  await until(() => provider.open.length > 0)
  for (const res of provider.open) sendJson(res, 200, CHAT_ANSWER)
  await Promise.all(heads)
  expect(provider.open.length).toBe(1)
})

test('waiting for the answer of an earlier try is waiting for the backend, not time of our own', async () => {
  const provider = await waitingBackend(false)
  const heddle = await gateway(provider.url)
  const first = ask(heddle, 1, false)
  await until(() => provider.open.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const second = ask(heddle, 2, false)
  const heads = [headOf(first), headOf(second)]
  await inflight(heddle, 2)
  await new Promise((resolve) => setTimeout(resolve, 300))
  sendJson(provider.open[0]!, 200, CHAT_ANSWER)
  await Promise.all(heads)
  await until(async () => (await heddle.metric('heddle_requests_total')) === 2)
  // The backend took twice as long.
  expect(await heddle.metric('heddle_overhead_seconds_count')).toBe(2)
  expect(await heddle.metric('heddle_overhead_seconds_sum')).toBeLessThan(0.3)
})

test('the time of a later try is time for the answer that both wait for', async () => {
  const provider = await waitingBackend(false)
  const heddle = await gateway(provider.url)
  const first = ask(heddle, 1, false, { 'x-envoy-expected-rq-timeout-ms': '400' })
  await until(() => provider.open.length === 1)
  // As proxies do that hedge: the first is not given up.
  const second = ask(heddle, 2, false, { 'x-envoy-expected-rq-timeout-ms': '10000' })
  const heads = [headOf(first), headOf(second)]
  await inflight(heddle, 2)
  await new Promise((resolve) => setTimeout(resolve, 600))
  sendJson(provider.open[0]!, 200, CHAT_ANSWER)
  expect((await Promise.all(heads)).map(({ statusCode }) => statusCode)).toEqual([200, 200])
  expect(provider.open.length).toBe(1)
})

test('and no more time than the longest of them', async () => {
  const provider = await waitingBackend(false)
  const heddle = await gateway(provider.url)
  const first = ask(heddle, 1, false, { 'x-envoy-expected-rq-timeout-ms': '300' })
  await until(() => provider.open.length === 1)
  const second = ask(heddle, 2, false, { 'x-envoy-expected-rq-timeout-ms': '500' })
  const heads = await Promise.all([headOf(first), headOf(second)])
  expect(heads.map(({ statusCode }) => statusCode)).toEqual([504, 504])
})
