// A rolling restart behind Envoy (AC-LC-1): nobody who streams and nobody who calls notices.
import { Agent } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'
import { startHeddle, type Heddle } from '../integration/lifecycle-kit.ts'
import { freePort } from './kit/health-port.ts'
import { call, readAnswer, until } from '../support/client.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy, type RunningEnvoy } from './kit/envoy.ts'

const STREAMS = 200
const CHAT = '/v1/chat/completions'

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

const config = (): string => `
server:
  log: { level: info, access: false }
  # Envoy gathers changes of health for a second (update_merge_window), counted from the change before.
  drain: { propagation: 3s, max: 30s }
mesh: { kind: istio, wait_for_proxy: 0 }
providers: { a: { type: openai_compatible, base_url: "${sim.url}", max_connections: 1000 } }
models: { m: a/sim-chat }
`

const question = (model: string, stream: boolean): string =>
  JSON.stringify({
    model,
    stream,
    max_tokens: 20,
    messages: [{ role: 'user', content: 'Tell me a long story about weaving, please.' }],
  })

/** Streams of some six seconds each; settles with those that did not end as they should. */
const streams = async (url: string, count: number): Promise<readonly unknown[]> => {
  const agent = new Agent({ maxSockets: Infinity })
  const body = question('a/sim-chat~interval=300', true)
  const answers = await Promise.all(
    Array.from({ length: count }, () => call(`${url}${CHAT}`, { body, agent }).then(readAnswer, String)),
  )
  agent.destroy()
  return answers.filter(
    (a) => typeof a === 'string' || a.status !== 200 || !a.done || a.error !== undefined || a.text.length === 0,
  )
}

/** Calls without a pause until it is stopped; settles with what went wrong, and how many there were. */
const flood = (url: string, lanes: number) => {
  const agent = new Agent({ keepAlive: true, maxSockets: lanes })
  const phase = { on: true }
  const bad: unknown[] = []
  let count = 0
  const body = question('m', false)
  const lane = async (): Promise<void> => {
    while (phase.on) {
      const reply = await call(`${url}${CHAT}`, { body, agent }).catch(String)
      count++
      if (typeof reply === 'string') bad.push(reply)
      else if (reply.status !== 200 || !reply.complete) bad.push(`${reply.status} ${reply.text.slice(0, 200)}`)
    }
  }
  const all = Promise.all(Array.from({ length: lanes }, lane))
  return async () => {
    phase.on = false
    await all
    agent.destroy()
    return { bad, count }
  }
}

/** Without the second interval Envoy looks again after a minute, as long as no request has come. */
const CHECK = {
  timeout: '1s',
  interval: '0.2s',
  no_traffic_interval: '0.2s',
  unhealthy_threshold: 1,
  healthy_threshold: 1,
  http_health_check: { path: '/healthz/ready' },
}

const healthy = async (proxy: RunningEnvoy): Promise<number> => proxy.stat('cluster.heddle.membership_healthy')

/** What Envoy counts of calls that broke. */
const resets = async (proxy: RunningEnvoy): Promise<object> => {
  const names =
    /upstream_(?:rq_rx_reset|rq_5xx|cx_destroy_remote_with_active_rq|cx_connect_fail|rq_timeout)$|lb_healthy_panic/
  const all = Object.entries(await proxy.stats())
  return Object.fromEntries(
    all.filter(([name, value]) => name.startsWith('cluster.heddle.') && names.test(name) && value > 0),
  )
}

describe.skipIf(envoy === null)('AC-LC-1', () => {
  test.each([
    ['HTTP/1.1', false],
    ['HTTP/2', true],
  ])(
    '200 streams and a flood over a rolling restart, %s between Envoy and Heddle: none broken, no 5xx',
    { timeout: 90_000 },
    async (_protocol, upstreamHttp2) => {
      const ports = [await freePort(), await freePort()]
      const processes: Heddle[] = []
      const start = async (i: number): Promise<void> => {
        processes[i] = await startHeddle(config(), ['--port', String(ports[i]), '--admin-port', '0'])
        expect(processes[i]?.url).not.toBe('')
      }
      await Promise.all([start(0), start(1)])
      const proxy = await startEnvoy([
        {
          name: 'heddle',
          direction: 'inbound',
          to: ports,
          upstreamHttp2,
          cluster: { health_checks: [CHECK] },
        },
      ])
      try {
        await until(async () => (await healthy(proxy)) === 2, 10_000)
        const url = proxy.url('heddle')
        const end = flood(url, 6)
        const waves = [streams(url, STREAMS)]
        await until(() => sim.stats().inFlight >= STREAMS, 10_000)
        for (const i of [0, 1]) {
          const old = processes[i]!
          old.kill('SIGTERM')
          await until(async () => (await healthy(proxy)) === 1, 5000)
          waves.push(streams(url, STREAMS / 4))
          expect(await old.exited).toBe(0)
          expect(old.output()).toContain('"cut":0')
          await old.dispose()
          await start(i)
          await until(async () => (await healthy(proxy)) === 2, 10_000)
        }
        const { bad, count } = await end()
        const broken = await Promise.all(waves)
        expect({ bad, broken, resets: await resets(proxy) }).toEqual({ bad: [], broken: [[], [], []], resets: {} })
        expect(count).toBeGreaterThan(100)
        expect(await proxy.stat('cluster.heddle.upstream_rq_5xx')).toBe(0)
        expect(await proxy.stat('cluster.heddle.upstream_rq_pending_failure_eject')).toBe(0)
      } finally {
        await proxy.stop('SIGKILL')
        await Promise.all(processes.map((p) => p.dispose()))
      }
    },
  )
})
