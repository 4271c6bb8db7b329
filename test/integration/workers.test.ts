// Two workers behind one port are one gateway: health, metrics, reloads, drain, and a worker that dies.
import diagnostics from 'node:diagnostics_channel'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Worker } from 'node:worker_threads'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { startSim } from '../../src/sim/index.ts'
import { call, chat, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

let sim: Sim
let gateway: Gateway
let dead: { url: string; hits: () => number; close: () => void }
const threads: Worker[] = []
const noteThread = (message: unknown): void => void threads.push((message as { worker: Worker }).worker)

async function deadBackend(): Promise<typeof dead> {
  let hits = 0
  const server = createServer((_req, res) => {
    hits++
    res.writeHead(500).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    hits: () => hits,
    close: () => void server.close(),
  }
}

const config = (extra = ''): string => `
server: { log: { level: silent, access: false }, workers: 2 }
providers:
  a: { type: openai_compatible, base_url: "${sim.url}" }
  dead: { type: openai_compatible, base_url: "${dead.url}" }
defaults: { retries: { max_attempts: 1 }, breaker: { consecutive_failures: 5, base_ejection: 60s, max_ejected_share: 1 } }
models: { m: a/sim-chat, broken: { targets: [dead/x, a/sim-chat] }${extra} }
`

beforeAll(async () => {
  diagnostics.subscribe('worker_threads', noteThread)
  sim = await startSim()
  dead = await deadBackend()
  gateway = await startGateway(config())
})
afterAll(async () => {
  await gateway.stop()
  await sim.close()
  dead.close()
  diagnostics.unsubscribe('worker_threads', noteThread)
})

/** Each call opens a connection of its own: the kernel spreads them over the workers. */
const many = (count: number, model: string) =>
  Promise.all(Array.from({ length: count }, () => chat(gateway.url, model, {}, { connection: 'close' })))
const served = async (): Promise<number> => gateway.metric('heddle_requests_total', { model: 'm', status: '200' })

test('both serve, and the metrics are the sum of theirs', async () => {
  expect(threads).toHaveLength(2)
  const before = await served()
  expect((await many(60, 'm')).every((a) => a.status === 200)).toBe(true)
  expect((await served()) - before).toBe(60)
  expect(((await gateway.state()) as { workers: number }).workers).toBe(2)
  const text = await gateway.metrics()
  expect(text.match(/^heddle_event_loop_delay_seconds /gm)).toHaveLength(1)
})

test('a circuit that failures in both opened is open in both', async () => {
  const answers = []
  for (let i = 0; i < 40; i++) answers.push((await many(1, 'broken'))[0]!)
  // One breaker: five failures in all, then the other target. Two breakers would have let nine or ten through.
  expect(answers.filter((a) => a.status >= 500)).toHaveLength(5)
  expect(answers.filter((a) => a.status === 200)).toHaveLength(35)
  expect(dead.hits()).toBe(5)
  expect((await gateway.targets())['dead/x']!.ejected_ms).toBeGreaterThan(0)
})

test('a reload reaches both', async () => {
  expect((await chat(gateway.url, 'added')).status).toBe(404)
  expect(await gateway.reload(config(', added: a/sim-added'))).toBe(true)
  const answers = await many(40, 'added')
  expect(answers.map((a) => a.status)).toEqual(Array(40).fill(200))
  expect(await gateway.reload('models: { m: nobody/x }\n')).toBe(false)
  expect((await many(20, 'added')).every((a) => a.status === 200)).toBe(true)
})

test('a worker that dies is replaced, the port stays served, and the new one has the newest configuration', async () => {
  const living = [...threads]
  await living[0]!.terminate()
  // The other one holds the port all the time.
  let refused = 0
  for (let i = 0; i < 30; i++) await chat(gateway.url, 'm', {}, { connection: 'close' }).catch(() => refused++)
  expect(refused).toBe(0)
  await until(() => threads.length === 3, 5000)
  await until(async () => (await many(8, 'added')).every((a) => a.status === 200), 5000)
  await living[1]!.terminate()
  await until(() => threads.length === 4, 5000)
  // Only replacements are left now.
  await until(
    async () =>
      (
        await Promise.allSettled(
          Array.from({ length: 8 }, () => chat(gateway.url, 'added', {}, { connection: 'close' })),
        )
      ).every((r) => r.status === 'fulfilled' && r.value.status === 200),
    5000,
  )
  expect((await call(`${gateway.adminUrl}/readyz`)).status).toBe(200)
})

test('a reload right after a death counts for the replacement as well', async () => {
  await threads.at(-1)!.terminate()
  expect(await gateway.reload(config(', later: a/sim-later'))).toBe(true)
  await until(() => threads.length >= 5, 5000)
  await until(async () => (await many(16, 'later')).every((a) => a.status === 200), 5000)
})

test('what a lost worker had in flight is not counted any longer', async () => {
  const target = 'a/held~stall_after=1'
  const inflight = async (): Promise<number> => (await gateway.targets())[target]?.inflight ?? -1
  expect(await gateway.reload(config(`, held: "${target}"`))).toBe(true)
  const streams = Array.from({ length: 16 }, () =>
    open(`${gateway.url}/v1/chat/completions`, {
      body: { model: 'held', stream: true, messages: [{ role: 'user', content: 'x' }] },
      headers: { connection: 'close' },
    }),
  )
  let alive = 0
  for (const res of await Promise.all(streams.map(headOf))) {
    alive++
    res.on('error', () => {}).on('close', () => alive--)
    res.resume()
  }
  expect(await inflight()).toBe(16)
  await threads.at(-1)!.terminate()
  // The kernel spread them: some broke, the others are still open and still counted.
  await until(async () => alive < 16 && (await inflight()) === alive, 5000)
  for (const req of streams) req.destroy()
  await until(async () => (await inflight()) === 0, 5000)
})
