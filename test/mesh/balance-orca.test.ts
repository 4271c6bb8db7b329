// AC-LB-4: Heddle tells how busy it is, and a proxy in front weighs two of them by it.
import { request } from 'node:http'
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, chat, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startHeddle, type Heddle } from '../integration/lifecycle-kit.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'

const open = closedAfterEach()
const LIMIT = 100

/** Answers at once, but holds those that ask for the model `held`. */
async function backend() {
  const started = await startBackend((res, _n, _req, body) => {
    if (!body.includes('"held"')) sendJson(res, 200, CHAT_ANSWER)
  })
  open.push(() => started.close())
  return started
}

/** A process of its own: the event loop of this one is busy with the test. */
async function gateway(url: string, orca = true): Promise<Heddle> {
  const made = await startHeddle(`
server: { log: { level: silent, access: false }, workers: 1, shed: { max_inflight: ${LIMIT} } }
mesh: { kind: none, orca: ${orca} }
providers: { p: { type: openai_compatible, base_url: "${url}" } }
models: { m: p/m, held: p/held }`)
  open.push(() => made.dispose())
  return made
}

/** Sum of the samples of a metric whose labels hold the text. */
async function metric(of: Heddle, name: string, label = ''): Promise<number> {
  const { text } = await call(`${of.adminUrl}/metrics`)
  const lines = text.split('\n').filter((line) => line.startsWith(name) && line.includes(label))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

/** So many requests that stay open. */
async function hold(to: Heddle, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const req = request(`${to.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    req.on('error', () => {})
    req.end(JSON.stringify({ model: 'held', messages: [] }))
    open.push(() => req.destroy())
  }
  await until(async () => (await metric(to, 'heddle_inflight_requests ')) >= count)
}

const reportOf = async (to: Heddle, format?: string): Promise<string> => {
  const headers = format === undefined ? {} : { 'endpoint-load-metrics-format': format }
  const answer = await chat(to.url, 'm', {}, headers)
  return String(answer.headers['endpoint-load-metrics'])
}

describe('load reports of Heddle itself', () => {
  test('AC-LB-4: what is in use of the places, as JSON or as text; nothing without `mesh.orca`', async () => {
    const { url } = await backend()
    const busy = await gateway(url)
    await hold(busy, 89)
    const report = async (): Promise<Record<string, number>> => {
      const json = await reportOf(busy)
      expect(json.startsWith('JSON ')).toBe(true)
      return JSON.parse(json.slice(5)) as Record<string, number>
    }
    // The event loop of a process that has just begun is busy as well.
    await until(async () => (await report())['application_utilization'] === 0.9, 5000)
    expect((await report())['rps_fractional']).toBe(1)
    expect(await reportOf(busy, 'TEXT')).toMatch(/^TEXT application_utilization=0\.9, rps_fractional=1, eps=0/)
    const off = await gateway(url, false)
    expect(await reportOf(off, 'JSON')).toBe('undefined')
  })

  test.skipIf(envoy === null)(
    'AC-LB-4: Envoy sends the idle one nine of ten',
    async () => {
      const { url } = await backend()
      const [busy, idle] = [await gateway(url), await gateway(url)]
      await hold(busy, 89)
      await hold(idle, 9)
      const TYPE = 'type.googleapis.com/envoy.extensions.load_balancing_policies.client_side_weighted_round_robin.v3'
      const proxy = await startEnvoy(
        [
          {
            name: 'front',
            to: [busy, idle].map((one) => Number(new URL(one.url).port)),
            direction: 'outbound',
            cluster: {
              load_balancing_policy: {
                policies: [
                  {
                    typed_extension_config: {
                      name: 'envoy.load_balancing_policies.client_side_weighted_round_robin',
                      typed_config: {
                        '@type': `${TYPE}.ClientSideWeightedRoundRobin`,
                        blackout_period: '1s',
                        weight_update_period: '0.2s',
                        weight_expiration_period: '60s',
                      },
                    },
                  },
                ],
              },
            },
          },
        ],
        { concurrency: 1 },
      )
      open.push(() => proxy.stop())
      const ask = async (count: number): Promise<void> => {
        for (let i = 0; i < count; i++) {
          const reply = await call(`${proxy.url('front')}/v1/chat/completions`, {
            body: { model: 'm', messages: [{ role: 'user', content: 'x' }] },
          })
          expect(reply.status).toBe(200)
          // At full speed the idle one would not be idle: its event loop counts as well.
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
      }
      const taken = (of: Heddle): Promise<number> => metric(of, 'heddle_requests_total{', 'status="200"')
      // Until reports of both have outlived the blackout, and the weights have been reckoned.
      const begun = performance.now()
      while (performance.now() - begun < 2500) await ask(10)
      const before = [await taken(busy), await taken(idle)] as const
      await ask(300)
      const share = [(await taken(busy)) - before[0], (await taken(idle)) - before[1]] as const
      expect(share[0] + share[1]).toBe(300)
      expect((share[1] / 300) * 10).toBeGreaterThan(7)
      expect((share[0] / 300) * 10).toBeGreaterThan(0.2)
    },
    30_000,
  )
})
