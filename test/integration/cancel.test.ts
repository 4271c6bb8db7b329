import type { ClientRequest } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSim } from '../../src/sim/index.ts'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { chat, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

/** What is promised is 100 ms; machines that run tests are loaded. */
const MAX_MS = 500

let a: Sim
let b: Sim
let gateway: Gateway
const measured: number[] = []

beforeAll(async () => {
  a = await startSim()
  b = await startSim()
  gateway = await startGateway(`
defaults: { retries: { max_attempts: 5, backoff: { base: 0, max: 0 } } }
providers:
  a: { type: openai_compatible, base_url: "${a.url}", operations: [chat, completions, responses, passthrough] }
  b: { type: openai_compatible, base_url: "${b.url}" }
models:
  stalls: "a/stalls~stall"
  opens: "a/opens~delay_first=60000"
  drips: "a/drips~interval=30"
  half: "a/half~stall_after"
  second: ["b/second~status=500", "a/second~stall"]
  waits: { targets: ["b/waits~rate_limit"], retries: { max_attempts: 5, max_retry_after: 10s } }
  hedged: { targets: ["a/hedged~stall", "b/hedged~stall"], hedge: { after: 20ms, max_share: 1 } }
  hedge-wins: { targets: ["a/hedge-wins~stall", b/hedge-wins], hedge: { after: 20ms, max_share: 1 } }
  hedge-late: { targets: ["a/hedge-late~delay_headers=150", "b/hedge-late~stall"], hedge: { after: 20ms, max_share: 1 } }
  hedge-broken: { targets: ["a/hedge-broken~delay_headers=150~status=500", "b/hedge-broken~delay_headers=300"], hedge: { after: 20ms, max_share: 1 } }
  hedge-share: { targets: ["a/hedge-share~delay_headers=100", "b/hedge-share"], hedge: { after: 10ms, max_share: 10% } }
  hedge-money:
    targets: ["a/hedge-money~delay_headers=60", { provider: b, model: hedge-money, price: { input: 1000, output: 1000 } }]
    hedge: { after: 10ms, max_share: 1, max_cost_per_minute: 0.001 }
`)
})

afterAll(async () => {
  await gateway.stop()
  await Promise.all([a.close(), b.close()])
  const sorted = measured.toSorted((x, y) => x - y)
  process.stdout.write(
    `client gone to backend's socket closed, ${sorted.length} times: median ${sorted[sorted.length >> 1]?.toFixed(1)} ms, worst ${sorted.at(-1)?.toFixed(1)} ms\n`,
  )
})

const isOpen = (sim: Sim, model: string): boolean =>
  sim.received.some((r) => r.model.startsWith(`${model}~`)) && sim.stats().inFlight > 0

/** Leaves. Resolves with the ms until the backend saw its socket close. */
const leave = async (sim: Sim, model: string, req: ClientRequest): Promise<number> => {
  const before = sim.closed.length
  const left = performance.now()
  req.destroy()
  await until(() => sim.closed.length > before)
  const event = sim.closed.at(-1)!
  expect(event.model.startsWith(`${model}~`)).toBe(true)
  measured.push(event.at - left)
  return event.at - left
}

const start = (model: string, stream: boolean, path = '/v1/chat/completions'): ClientRequest => {
  const req = open(`${gateway.url}${path}`, {
    body: {
      model,
      messages: [{ role: 'user', content: 'Say something long about looms.' }],
      input: 'x',
      prompt: 'x',
      stream,
    },
  })
  // A request that is given up ends with an error of its own.
  req.on('error', () => {})
  return req
}

describe('a client that leaves', () => {
  test.each([false, true])('before any head, stream %s', async (stream) => {
    for (let i = 0; i < 5; i++) {
      const req = start('stalls', stream)
      await until(() => isOpen(a, 'stalls'))
      expect(await leave(a, 'stalls', req)).toBeLessThan(MAX_MS)
    }
  })

  test.each(['/v1/responses', '/v1/completions', '/v1/audio/speech'])('before any head, %s', async (path) => {
    const req = start('stalls', false, path)
    await until(() => isOpen(a, 'stalls'))
    expect(await leave(a, 'stalls', req)).toBeLessThan(MAX_MS)
  })

  test.each([false, true])('after the backend’s head, before a first token, stream %s', async (stream) => {
    const req = start('opens', stream)
    await until(() => isOpen(a, 'opens'))
    expect(await leave(a, 'opens', req)).toBeLessThan(MAX_MS)
  })

  test('in the middle of a stream', async () => {
    for (let i = 0; i < 5; i++) {
      const req = start('drips', true)
      const res = await headOf(req)
      res.on('error', () => {})
      await new Promise((resolve) => res.once('data', resolve))
      expect(await leave(a, 'drips', req)).toBeLessThan(MAX_MS)
    }
  })

  test('in the middle of a JSON answer', async () => {
    const req = start('half', false)
    await until(() => isOpen(a, 'half'))
    expect(await leave(a, 'half', req)).toBeLessThan(MAX_MS)
  })

  test('during the second attempt', async () => {
    const req = start('second', true)
    await until(() => isOpen(a, 'second'))
    expect(await leave(a, 'second', req)).toBeLessThan(MAX_MS)
  })

  test('while Heddle waits between attempts: nothing more is asked', async () => {
    const req = start('waits', true)
    await until(async () => (await gateway.metric('heddle_attempts_total', { target: 'b/waits~rate_limit' })) === 1)
    req.destroy()
    await until(
      async () => (await gateway.metric('heddle_requests_total', { model: 'waits', outcome: 'client_closed' })) === 1,
    )
    expect(await gateway.metric('heddle_inflight_requests')).toBe(0)
  })

  test('with a hedge under way: both sockets close', async () => {
    const req = start('hedged', true)
    await until(() => isOpen(a, 'hedged') && isOpen(b, 'hedged'))
    const before = b.closed.length
    expect(await leave(a, 'hedged', req)).toBeLessThan(MAX_MS)
    await until(() => b.closed.length > before)
    expect(b.closed.at(-1)!.model).toBe('hedged~stall')
  })

  test('is no failure of its target', async () => {
    const targets = await gateway.targets()
    for (const name of ['a/stalls~stall', 'a/drips~interval=30', 'a/hedged~stall'])
      expect(targets[name]).toMatchObject({ consecutive_failures: 0, ejections: 0, inflight: 0 })
    expect(await gateway.metric('heddle_requests_total', { outcome: 'client_closed' })).toBeGreaterThan(10)
  })
})

const target = (answer: Awaited<ReturnType<typeof chat>>): string => String(answer.headers['x-heddle-target'])

describe('hedging', () => {
  test.each([false, true])('the faster answers, the other’s socket closes, stream %s', async (stream) => {
    const before = a.closed.length
    const answer = await chat(gateway.url, 'hedge-wins', { stream })
    expect([answer.status, target(answer), answer.headers['x-heddle-attempts'], answer.text !== '']).toEqual([
      200,
      'b/hedge-wins',
      '2',
      true,
    ])
    await until(() => a.closed.length > before)
    expect(a.closed.at(-1)!.model).toBe('hedge-wins~stall')
  })

  test('the first may still win, and the hedge is closed', async () => {
    const before = b.closed.length
    const answer = await chat(gateway.url, 'hedge-late', { stream: true })
    expect([answer.status, target(answer), answer.done]).toEqual([200, 'a/hedge-late~delay_headers=150', true])
    await until(() => b.closed.length > before)
    expect(b.closed.at(-1)!.model).toBe('hedge-late~stall')
  })

  test('when the first fails, the hedge is the next attempt', async () => {
    const answer = await chat(gateway.url, 'hedge-broken', { stream: true })
    expect([answer.status, target(answer), answer.headers['x-heddle-attempts']]).toEqual([
      200,
      'b/hedge-broken~delay_headers=300',
      '2',
    ])
  })

  test('no more than the share of requests', async () => {
    for (let i = 0; i < 3; i++) await Promise.all(Array.from({ length: 10 }, () => chat(gateway.url, 'hedge-share')))
    const hedges = b.received.filter((r) => r.model === 'hedge-share').length
    expect(hedges).toBeGreaterThan(0)
    expect(hedges).toBeLessThanOrEqual(3)
  })

  test('no more than the money', async () => {
    for (let i = 0; i < 4; i++) expect((await chat(gateway.url, 'hedge-money')).status).toBe(200)
    expect(b.received.filter((r) => r.model === 'hedge-money')).toHaveLength(0)
  })

  test('not for calls of tools: two answers might both be acted upon', async () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }]
    const before = b.received.length
    expect(target(await chat(gateway.url, 'hedge-late', { tools }))).toBe('a/hedge-late~delay_headers=150')
    expect(b.received.length).toBe(before)
  })
})

test('nothing is left open at any backend', async () => {
  await until(() => a.stats().inFlight === 0 && b.stats().inFlight === 0)
  for (const state of Object.values(await gateway.targets())) expect(state.inflight).toBe(0)
  expect(await gateway.metric('heddle_inflight_requests')).toBe(0)
})
