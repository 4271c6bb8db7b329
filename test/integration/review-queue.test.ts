// A backend with one place, and what can happen to those who wait for it.
import type { ServerResponse } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from '../support/backend.ts'
import { until } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
let backend: Backend
let held: ServerResponse[] = []
let most = 0
let inside = 0

afterEach(async () => {
  for (const res of held) res.destroy()
  await gateway?.stop()
  gateway = null
  await backend.close()
})

const config = (places: number, drain = '10s'): string => `
server: { log: { level: silent, access: false }, drain: { max: ${drain} } }
providers:
  p: { type: openai_compatible, base_url: "${backend.url}", capacity: { concurrency: ${places}, queue: { length: 50, wait: 60s } } }
limits:
  atonce: { per: [target], rules: [{ concurrency: 100 }] }
models:
  patient: { targets: [p/m] }
  hasty: { targets: [p/m], timeouts: { first_token: 200ms, total: 200ms } }
`

/** The backend answers when the test says so. */
const start = async (drain?: string): Promise<void> => {
  held = []
  most = inside = 0
  backend = await startBackend((res) => {
    most = Math.max(most, ++inside)
    res.on('close', () => inside--)
    held.push(res)
  })
  gateway = await startGateway(config(1, drain))
}

const release = (): void => {
  for (const res of held.splice(0)) sendJson(res, 200, CHAT_ANSWER)
}

interface Answer {
  readonly status: number
  readonly text: string
  readonly wait: string | null
}

const chat = async (model: string, signal?: AbortSignal): Promise<Answer> => {
  const response = await fetch(`${gateway!.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model, messages: [{ role: 'user', content: 'hi' }] }),
    ...(signal === undefined ? {} : { signal }),
  })
  return { status: response.status, text: await response.text(), wait: response.headers.get('retry-after') }
}

const waiting = (): Promise<number> => gateway!.metric('heddle_queue_waiting')
const queued = (count: number): Promise<void> => until(async () => (await waiting()) === count)

/** All places are free again: as many as there are can be had at once, and no more are waited for. */
const expectAllFree = async (places: number): Promise<void> => {
  await queued(0)
  const calls = Array.from({ length: places }, () => chat('patient'))
  await until(() => held.length === places)
  release()
  for (const { status } of await Promise.all(calls)) expect(status).toBe(200)
  for (const { inflight } of Object.values(await gateway!.targets())) expect(inflight).toBe(0)
  const { limits } = (await (await fetch(`${gateway!.adminUrl}/admin/limits`)).json()) as {
    limits: { used: number }[]
  }
  for (const { used } of limits) expect(used).toBe(0)
}

test('whose time ends in the queue is told so, and not that a backend was slow', async () => {
  await start()
  const first = chat('patient')
  await until(() => held.length === 1)
  const { status, text, wait } = await chat('hasty')
  expect([status, wait]).toEqual([503, '1'])
  expect(text).toContain('No backend had a place for the request within 200 ms.')
  release()
  expect((await first).status).toBe(200)
  await expectAllFree(1)
})

test('clients that leave the queue, and one that leaves the backend, leave nothing behind', async () => {
  await start()
  const leaving = new AbortController()
  const calls = Array.from({ length: 20 }, () => chat('patient', leaving.signal).catch(() => null))
  await queued(19)
  leaving.abort()
  await Promise.all(calls)
  await until(() => inside === 0)
  held = []
  await expectAllFree(1)
  expect(most).toBe(1)
})

test('a reload with more places or fewer, while requests wait', async () => {
  await start()
  const calls = Array.from({ length: 6 }, () => chat('patient'))
  await queued(5)
  expect(await gateway!.reload(config(3))).toBe(true)
  // A request of the new configuration may wake those of the old one, or not: all must end, none may be lost.
  calls.push(chat('patient'), chat('patient'))
  let over = false
  const all = Promise.all(calls).finally(() => (over = true))
  await until(() => {
    release()
    return over
  })
  for (const { status } of await all) expect(status).toBe(200)
  expect(most).toBeLessThanOrEqual(3)
  await expectAllFree(3)
  expect(await gateway!.reload(config(1))).toBe(true)
  await expectAllFree(1)
})

test('a drain with a full queue: those who wait are served while there is time, and told when it is over', async () => {
  await start('1s')
  const calls = Array.from({ length: 5 }, () => chat('patient'))
  await queued(4)
  const stopped = gateway!.stop()
  gateway = null
  release()
  await until(() => held.length === 1)
  const answers = (await Promise.all(calls)).toSorted((a, b) => a.status - b.status)
  // One was under way and is answered; its place goes to the next, who is cut with those behind it.
  expect(answers.map(({ status }) => status)).toEqual([200, 503, 503, 503, 503])
  for (const { text } of answers.slice(1)) expect(text).toContain('"code":"draining"')
  expect(await stopped).toBe(4)
})
