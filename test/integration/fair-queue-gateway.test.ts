// The fair queue and learned quotas through a whole gateway.
import { afterEach, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from '../support/backend.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

let gateway: Gateway
let backend: Backend

afterEach(async () => {
  await gateway.stop()
  await backend.close()
})

const CALLERS = `auth:
  keys:
    - { id: flood, key: caller-key-of-the-flood, tenant: flood }
    - { id: calm, key: caller-key-of-the-calm, tenant: calm }
    - { id: first, key: caller-key-of-the-first, tenant: first }
tenants:
  flood: { priority: 1 }
  calm: { priority: 1 }
  first: { priority: 0 }
`
const yaml = (capacity: string): string =>
  `providers:\n  p: { type: openai_compatible, base_url: "${backend.url}", capacity: ${capacity} }\nmodels:\n  m: { targets: [{ provider: p, model: m }], retries: { max_attempts: 1 } }\n${CALLERS}`
const chat = async (tenant: string, signal?: AbortSignal): Promise<Response> => {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer caller-key-of-the-${tenant}` },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: tenant }] }),
    ...(signal === undefined ? {} : { signal }),
  })
  await response.arrayBuffer()
  return response
}
const tenantOf = (body: Buffer): string =>
  (JSON.parse(body.toString()) as { messages: { content: string }[] }).messages[0]!.content

test('eight places, 200 callers of one tenant and 10 of another: half of the calls for each, never more than eight at a time', async () => {
  let inside = 0
  let most = 0
  const calls: string[] = []
  backend = await startBackend((res, _n, _req, body) => {
    most = Math.max(most, ++inside)
    calls.push(tenantOf(body))
    setTimeout(() => {
      inside--
      sendJson(res, 200, CHAT_ANSWER)
    }, 10)
  })
  gateway = await startGateway(yaml('{ concurrency: 8, queue: { length: 1000, wait: 60s }, learn: false }'))
  let over = false
  const loop = async (tenant: string): Promise<void> => {
    while (!over) {
      expect((await chat(tenant)).status).toBe(200)
      if (calls.length >= 700) over = true
    }
  }
  await Promise.all([
    ...Array.from({ length: 200 }, () => loop('flood')),
    ...Array.from({ length: 10 }, () => loop('calm')),
  ])
  // From when both are at work until one of them stops.
  const during = calls.slice(250, 700)
  expect(during.filter((tenant) => tenant === 'calm').length / during.length).toBeGreaterThanOrEqual(0.45)
  expect(most).toBe(8)
})

test('priorities go first; who gives up leaves the queue; a full one is refused with a time', async () => {
  const order: string[] = []
  const held: (() => void)[] = []
  backend = await startBackend((res, _n, _req, body) => {
    order.push(tenantOf(body))
    held.push(() => sendJson(res, 200, CHAT_ANSWER))
  })
  gateway = await startGateway(yaml('{ concurrency: 1, queue: { length: 3, wait: 60s }, learn: false }'))
  const waiting = (): Promise<number> => gateway.metric('heddle_queue_waiting')
  const running = [chat('flood')]
  await expect.poll(() => held.length).toBe(1)
  const leaver = new AbortController()
  const left = chat('flood', leaver.signal).catch(() => null)
  await expect.poll(waiting).toBe(1)
  running.push(chat('calm'))
  await expect.poll(waiting).toBe(2)
  running.push(chat('first'))
  await expect.poll(waiting).toBe(3)
  const refused = await chat('calm')
  expect(refused.status).toBe(429)
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  leaver.abort()
  await left
  await expect.poll(waiting).toBe(2)
  for (let n = 0; n < 3; n++) {
    await expect.poll(() => held.length).toBe(n + 1)
    held[n]!()
  }
  expect((await Promise.all(running)).map((response) => response.status)).toEqual([200, 200, 200])
  expect(order).toEqual(['flood', 'first', 'calm'])
})

test('a quota that the answers name is kept: no call is sent that would be refused', async () => {
  let left = 3
  let refused = 0
  backend = await startBackend((res) => {
    if (left === 0) refused++
    left = Math.max(0, left - 1)
    const limits = { 'x-ratelimit-limit-requests': '3', 'x-ratelimit-reset-requests': '600' }
    sendJson(res, 200, CHAT_ANSWER, { ...limits, 'x-ratelimit-remaining-requests': String(left) })
  })
  gateway = await startGateway(yaml('{ queue: { wait: 1s } }'))
  for (let i = 0; i < 3; i++) expect((await chat('calm')).status).toBe(200)
  const response = await chat('calm')
  expect(response.status).toBe(429)
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(590)
  expect(refused).toBe(0)
})
