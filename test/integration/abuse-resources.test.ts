// What clients can make the gateway hold: sockets, memory, requests.
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { startSim } from '../../src/sim/index.ts'
import { call, chat, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { CHAT, chatBody, expectEnvelope, JSON_TYPE, open, portOf, post, raw } from './abuse-kit.ts'

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

const config = (server: string): string => `
server: { log: { level: silent, access: false }, ${server} }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat }
`
const openFds = (): number => readdirSync('/proc/self/fd').length
const idle = (gateway: Gateway): Promise<void> =>
  until(async () => (await gateway.metric('heddle_inflight_requests')) === 0, 8000)

/** A backend that never stops sending, or sends one large JSON answer; says how much it got rid of. */
async function floodingBackend(): Promise<{ url: string; sent: () => number; open: () => number; close: () => void }> {
  let sent = 0
  let openAnswers = 0
  const event = Buffer.from(
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'x'.repeat(60_000) } }] })}\n\n`,
  )
  const json = Buffer.from(JSON.stringify({ choices: [{ message: { content: 'x'.repeat(20 << 20) } }] }))
  const server = createServer((req, res) => {
    req.resume()
    openAnswers++
    res.on('close', () => openAnswers--)
    if (req.headers['accept'] !== 'text/event-stream') {
      res.setHeader('content-type', 'application/json')
      res.end(json)
      return
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const pump = (): void => {
      while (!res.destroyed && res.write(event)) sent += event.length
      sent += event.length
    }
    res.on('drain', pump)
    pump()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  return { url: `http://127.0.0.1:${port}/v1`, sent: () => sent, open: () => openAnswers, close }
}

describe('a client that does not read', () => {
  test.each([
    ['an endless stream', true],
    ['a JSON answer of 20 MiB', false],
  ])('%s: its backend is held back, memory is bounded, and it is dropped after client_stall', async (_name, stream) => {
    const backend = await floodingBackend()
    const gateway = await startGateway(`
server: { log: { level: silent, access: false }, limits: { client_stall: 1s } }
providers: { a: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: a/x }
`)
    const rss = process.memoryUsage.rss()
    let peak = rss
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 10)
    const sockets = await Promise.all(Array.from({ length: 4 }, () => open(portOf(gateway.url))))
    for (const socket of sockets)
      socket
        .on('error', () => {})
        .pause()
        .write(post(CHAT, [JSON_TYPE], chatBody({ stream })))
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 4)
    await idle(gateway)
    clearInterval(watch)
    await until(() => backend.open() === 0)
    expect(backend.sent()).toBeLessThan(4 * (24 << 20))
    expect((peak - rss) / (1 << 20)).toBeLessThan(400)
    for (const socket of sockets) socket.destroy()
    await gateway.stop()
    backend.close()
  })
})

test(
  '1,000 connections opened, used and dropped in every way leave no socket behind',
  { timeout: 30_000 },
  async () => {
    const gateway = await startGateway(config('limits: { header_timeout: 1s, body_timeout: 1s }'))
    const port = portOf(gateway.url)
    const ways = [
      async () => void (await raw(port, post(CHAT, [JSON_TYPE], chatBody()))),
      async () => void (await raw(port, 'GARBAGE\r\n\r\n')),
      async () => void (await open(port)).destroy(),
      async () => {
        const socket = await open(port)
        socket.on('error', () => {})
        socket.write(post(CHAT, [JSON_TYPE], chatBody({ model: 'a/sim-chat~stall', stream: true })), () =>
          socket.resetAndDestroy(),
        )
      },
      async () => {
        const socket = await open(port)
        socket.on('error', () => {})
        socket.write(`POST ${CHAT} HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{`, () => socket.end())
        setTimeout(() => socket.destroy(), 20)
      },
    ]
    const round = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i += 20)
        await Promise.all(Array.from({ length: 20 }, (_, k) => ways[(i + k) % ways.length]!()))
      await idle(gateway)
    }
    await round(200)
    await until(() => sim.stats().inFlight === 0)
    const before = openFds()
    await round(1000)
    await until(() => sim.stats().inFlight === 0)
    await until(() => openFds() <= before + 8, 8000)
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    await gateway.stop()
  },
)

describe('load shedding', () => {
  test('above max_inflight new requests get 503 before their body is read, and are taken again afterwards', async () => {
    const gateway = await startGateway(config('shed: { max_inflight: 5 }'))
    const held = Array.from({ length: 5 }, () => chat(gateway.url, 'a/sim-chat~delay_headers=700'))
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 5)
    // Announced, never sent: an answer shows that nobody waited for it.
    const { answers } = await raw(
      portOf(gateway.url),
      `POST ${CHAT} HTTP/1.1\r\nhost: t\r\n${JSON_TYPE}\r\ncontent-length: 1000\r\n\r\n`,
    )
    expectEnvelope(answers[0], 503, 'overloaded')
    expect(Number(answers[0]!.headers['retry-after'])).toBeGreaterThan(0)
    expect((await Promise.all(held)).map((a) => a.status)).toEqual(Array(5).fill(200))
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    expect(await gateway.metric('heddle_refused_requests_total', { code: 'overloaded' })).toBe(1)
    await gateway.stop()
  })

  test('requests whose bodies are still on their way count', async () => {
    const gateway = await startGateway(config('shed: { max_inflight: 3 }'))
    const sockets = await Promise.all(Array.from({ length: 3 }, () => open(portOf(gateway.url))))
    for (const socket of sockets)
      socket.on('error', () => {}).write(`POST ${CHAT} HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\n{`)
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 3)
    expect((await chat(gateway.url, 'm')).status).toBe(503)
    for (const socket of sockets) socket.destroy()
    await idle(gateway)
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    await gateway.stop()
  })

  test('a blocked event loop sheds, and recovers by itself', async () => {
    const gateway = await startGateway(config('shed: { max_loop_delay: 60ms }'))
    const block = setInterval(() => {
      const end = performance.now() + 250
      while (performance.now() < end);
    }, 1)
    let shed: Awaited<ReturnType<typeof chat>> | undefined
    await until(async () => {
      const answer = await chat(gateway.url, 'm')
      if (answer.status === 503) shed = answer
      return shed !== undefined
    }, 8000)
    clearInterval(block)
    expect(shed!.error?.code).toBe('overloaded')
    expect(shed!.headers['retry-after']).toBe('1')
    await until(async () => (await chat(gateway.url, 'm')).status === 200, 8000)
    await gateway.stop()
  })
})

test('the admin listener has its own port and shows no secret', async () => {
  const gateway = await startGateway(`
server: { log: { level: silent, access: false } }
providers: { a: { type: openai_compatible, base_url: "${sim.url}", api_key: sk-very-secret-key, headers: { x-team: other-secret-value } } }
models: { m: a/sim-chat }
`)
  const text = async (path: string, options = {}): Promise<string> =>
    (await call(`${gateway.adminUrl}${path}`, options)).text
  expect(await text('/admin/config')).toContain('sim-chat')
  for (const path of ['/admin/config', '/admin/state', '/metrics'])
    expect(await text(path)).not.toContain('sk-very-secret-key')
  expect((await call(`${gateway.adminUrl}${CHAT}`, { body: chatBody() })).status).toBe(404)
  expect((await call(`${gateway.adminUrl}/admin/reload`)).status).toBe(404)
  expect((await call(`${gateway.url}/admin/config`)).status).toBe(404)
  expect((await call(`${gateway.url}/metrics`)).status).toBe(404)
  expect((await call(`${gateway.adminUrl}/%ff`)).status).toBeGreaterThanOrEqual(400)
  const { answers } = await raw(portOf(gateway.adminUrl), 'GARBAGE\r\n\r\n', { untilClose: true })
  expect(answers[0]?.status).toBe(400)
  expect(JSON.parse(await text('/livez'))).toEqual({ status: 'ok' })
  await gateway.stop()
})
