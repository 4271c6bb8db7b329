// Sparse POSTs over kept connections (AC-RT-7): none may meet a connection that we are closing (Envoy's `UC`).
import { Agent } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'
import { call } from '../support/client.ts'
import { startHeddle } from '../integration/lifecycle-kit.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'

/** The full number takes minutes. */
const POSTS = process.env['HEDDLE_TEST_FULL'] === undefined ? 500 : 10_000
const LANES = 100
const IDLE_MS = 20
/** Node waits for a second more than it promises. Pauses are about as long, so that many a request meets the moment. */
const PAUSE_MS = IDLE_MS + 1000

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

const config = (keepAlive: string, mesh: string): string => `
server: { log: { level: error, access: false }${keepAlive} }
mesh: { kind: ${mesh}, wait_for_proxy: 0 }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat }
`

/** Each lane calls, rests, and calls again; the process is kept busy in between by calls with large bodies. */
const sparse = async (url: string, posts: number) => {
  const agent = new Agent({ keepAlive: true, maxSockets: LANES })
  const small = JSON.stringify({ model: 'm', max_tokens: 1, messages: [{ role: 'user', content: 'hi' }] })
  const large = JSON.stringify({
    model: 'm',
    max_tokens: 1,
    messages: [{ role: 'user', content: 'word '.repeat(60_000) }],
  })
  let sent = 0
  let failed = 0
  const lane = async (index: number): Promise<void> => {
    while (sent < posts) {
      const n = sent++
      const reply = await call(`${url}/v1/chat/completions`, { body: n % 40 === 0 ? large : small, agent })
      if (reply.status !== 200) failed++
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS - 8 + ((n + index) % 17)))
    }
  }
  await Promise.all(Array.from({ length: LANES }, (_, i) => lane(i)))
  agent.destroy()
  return failed
}

const run = async (yaml: string, posts: number) => {
  const heddle = await startHeddle(yaml)
  const proxy = await startEnvoy([{ name: 'heddle', direction: 'inbound', to: [Number(new URL(heddle.url).port)] }])
  try {
    const failed = await sparse(proxy.url('heddle'), posts)
    const stats = await proxy.stats()
    return {
      failed,
      closedByUs: stats['cluster.heddle.upstream_cx_destroy_remote'] ?? 0,
      closedWithRequest: stats['cluster.heddle.upstream_cx_destroy_remote_with_active_rq'] ?? 0,
    }
  } finally {
    await proxy.stop('SIGKILL')
    await heddle.dispose()
  }
}

describe.skipIf(envoy === null)('AC-RT-7', () => {
  test(
    `${POSTS} sparse POSTs: none fails, and in a mesh no connection is ever closed first`,
    { timeout: 400_000 },
    async () => {
      expect(await run(config('', 'istio'), POSTS)).toEqual({ failed: 0, closedByUs: 0, closedWithRequest: 0 })
    },
  )

  test('the same with connections that are closed early: they are, so the above could have failed', async () => {
    const { closedByUs } = await run(config(`, keep_alive: ${IDLE_MS}ms`, 'istio'), 300)
    expect(closedByUs).toBeGreaterThan(10)
  })
})
