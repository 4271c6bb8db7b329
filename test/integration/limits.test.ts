// Limits as clients meet them: a real gateway, the simulated model behind it.
import { afterEach, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
afterEach(async () => {
  await gateway?.stop()
  gateway = null
})

const PRICED = `
usage: { cost_header: true }
providers: { sim: }
models:
  m: { targets: [{ provider: sim, model: sim-small, price: { input: 1000, output: 1000 } }] }
`

const ask = (url: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Say hello.' }], max_tokens: 20, ...body }),
  })

test('requests a minute: what is over gets a 429 that says when to come back', async () => {
  gateway = await startGateway(`${PRICED}
limits:
  all: { per: [], rules: [{ requests: 5, per: 1m }] }
`)
  const { url } = gateway
  const answers = await Promise.all(Array.from({ length: 30 }, () => ask(url)))
  const good = answers.filter((a) => a.status === 200)
  const refused = answers.filter((a) => a.status === 429)
  expect([good.length, refused.length]).toEqual([5, 25])
  const [one] = refused
  expect(Number(one!.headers.get('retry-after'))).toBeGreaterThan(0)
  expect(Number(one!.headers.get('retry-after'))).toBeLessThanOrEqual(64)
  expect(one!.headers.get('x-ratelimit-limit-requests')).toBe('5')
  expect(one!.headers.get('x-ratelimit-remaining-requests')).toBe('0')
  expect(await one!.json()).toMatchObject({ error: { code: 'rate_limited', type: 'rate_limit_error' } })
  expect(good.map((a) => Number(a.headers.get('x-ratelimit-remaining-requests'))).toSorted((a, b) => a - b)).toEqual([
    0, 1, 2, 3, 4,
  ])
  expect(await gateway.metric('heddle_limit_refusals_total', { limit: 'all', unit: 'requests' })).toBe(25)
})

test('a budget is reserved before a call and settled after it', async () => {
  gateway = await startGateway(`${PRICED}
limits:
  money: { per: [], rules: [{ usd: 1, per: month }] }
`)
  const first = await ask(gateway.url)
  const cost = Number(first.headers.get('x-heddle-cost-usd'))
  const usage = ((await first.json()) as { usage: { total_tokens: number } }).usage
  expect(cost).toBeCloseTo(usage.total_tokens / 1000, 9)
  let spent = cost
  let status = 200
  for (let i = 0; i < 200 && status === 200; i++) {
    const answer = await ask(gateway.url)
    status = answer.status
    if (status === 200) spent += Number(answer.headers.get('x-heddle-cost-usd'))
    else
      expect([
        answer.headers.get('x-should-retry'),
        ((await answer.json()) as { error: { code: string } }).error.code,
      ]).toEqual(['false', 'budget_exceeded'])
  }
  expect(status).toBe(429)
  expect(spent).toBeLessThanOrEqual(1)
  // The last call did not fit any more, but most of the budget could be used.
  expect(spent).toBeGreaterThan(0.8)
})

test('a limit in shadow mode refuses nothing and is seen', async () => {
  gateway = await startGateway(`${PRICED}
limits:
  trial: { per: [], shadow: true, rules: [{ requests: 2, per: 1m }] }
`)
  const { url } = gateway
  const statuses = await Promise.all(Array.from({ length: 6 }, async () => (await ask(url)).status))
  expect(statuses).toEqual([200, 200, 200, 200, 200, 200])
  expect(await gateway.metric('heddle_limit_refusals_total', { limit: 'trial', shadow: 'true' })).toBe(4)
})

test('a limit on a target steers to the next one, and holds when it is reached by failover', async () => {
  gateway = await startGateway(`
providers: { sim: , other: { type: sim } }
models:
  m: { targets: [sim/sim-small, other/sim-large] }
limits:
  quota: { per: [target], when: 'true', rules: [{ requests: 3, per: 1m }] }
`)
  const { url } = gateway
  const targets: (string | null)[] = []
  for (let i = 0; i < 8; i++) {
    const answer = await ask(url)
    targets.push(answer.status === 200 ? answer.headers.get('x-heddle-target') : String(answer.status))
  }
  expect(targets).toEqual([
    ...Array.from({ length: 3 }, () => 'sim/sim-small'),
    ...Array.from({ length: 3 }, () => 'other/sim-large'),
    '429',
    '429',
  ])
})

test('requests that are refused before a call cost nothing, those that fail at the backend cost the request', async () => {
  gateway = await startGateway(`${PRICED}
limits:
  tokens: { per: [], rules: [{ tokens: 1000, per: 1m }] }
`)
  for (let i = 0; i < 20; i++) await ask(gateway.url, { model: 'nothing' })
  for (let i = 0; i < 20; i++) await ask(gateway.url, {}, { 'x-sim-fault': '400' })
  const answer = await ask(gateway.url)
  expect(answer.status).toBe(200)
  expect(Number(answer.headers.get('x-ratelimit-remaining-tokens'))).toBeGreaterThan(900)
})

test('a stream ends where a limit that stops streams has no more', async () => {
  gateway = await startGateway(`${PRICED}
limits:
  tokens: { per: [], stop_streams: true, rules: [{ tokens: 1500, per: 1m }] }
`)
  const messages = [{ role: 'user', content: `Say ${'word '.repeat(600)}` }]
  const answer = await ask(
    gateway.url,
    { stream: true, max_tokens: undefined, messages },
    { 'x-sim-fault': 'interval=1' },
  )
  // Without max_tokens a part of the limit is taken, and more as the answer grows.
  expect(answer.status).toBe(200)
  const text = await answer.text()
  expect(text).toContain('word')
  expect(text.trimEnd()).toMatch(/"code":"budget_exceeded".*$/)
})
