// AC-LB-1: Heddle as the endpoint picker of an inference gateway: a real Envoy whose cluster goes where the picker says.
import { describe, expect, test } from 'vitest'
import type { Backend } from '../support/backend.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { chat } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway } from '../support/gateway.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import { extProc, grpcCluster } from './kit/policy.ts'

const closing = closedAfterEach()
const LB = 'type.googleapis.com/envoy.extensions.load_balancing_policies'
const DESTINATION = 'x-gateway-destination-endpoint'

/** Goes to the endpoint that is named, in the order of the names; else round about. */
const OVERRIDE = {
  load_balancing_policy: {
    policies: [
      {
        typed_extension_config: {
          name: 'envoy.load_balancing_policies.override_host',
          typed_config: {
            '@type': `${LB}.override_host.v3.OverrideHost`,
            override_host_sources: [
              { header: DESTINATION },
              { metadata: { key: 'envoy.lb', path: [{ key: DESTINATION }] } },
            ],
            fallback_policy: {
              policies: [
                {
                  typed_extension_config: {
                    name: 'envoy.load_balancing_policies.round_robin',
                    typed_config: { '@type': `${LB}.round_robin.v3.RoundRobin` },
                  },
                },
              ],
            },
          },
        },
      },
    ],
  },
}

const portOf = (backend: Backend): number => Number(new URL(backend.url).port)

const pods = async (count: number): Promise<readonly Backend[]> => {
  const made: Backend[] = []
  for (let i = 0; i < count; i++) {
    const backend = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER, { 'x-served-by': String(i) }))
    closing.push(() => backend.close())
    made.push(backend)
  }
  return made
}

const inferenceGateway = async (backends: readonly Backend[], more = '', retries = true) => {
  const endpoints = backends.map((backend) => `"127.0.0.1:${portOf(backend)}"`).join(', ')
  const gateway = await startGateway(`
server: { log: { level: silent, access: false }, policy: { port: 0, pickers: [{ port: 0, provider: pods, objectives: { batch: -1 } }] } }
mesh: { kind: none }
providers:
  pods: { type: vllm, base_url: "http://pods.models.svc:8000/v1", discovery: { type: static, endpoints: [${endpoints}] }${more} }
models: { small: pods/small }
`)
  closing.push(() => gateway.stop())
  const proxy = await startEnvoy(
    [
      {
        name: 'ingress',
        to: backends.map(portOf),
        direction: 'inbound',
        filters: [extProc('picker')],
        cluster: OVERRIDE,
        ...(retries ? { retry: { on: 'connect-failure', attempts: 2 } } : {}),
      },
    ],
    { clusters: [grpcCluster('picker', gateway.ports.pickers[0]!)] },
  )
  closing.push(() => proxy.stop())
  return { gateway, proxy, url: proxy.url('ingress') }
}

const prompt = (topic: number, turn: number): Record<string, unknown> => ({
  messages: [
    { role: 'system', content: `You weave topic ${topic}. ${`Rule ${topic} of the loom. `.repeat(80)}` },
    { role: 'user', content: `Question ${turn} about ${topic}` },
  ],
})

describe.skipIf(envoy === null)('AC-LB-1', () => {
  test('1000 requests with 50 shared beginnings: what begins alike goes to one endpoint', async () => {
    const backends = await pods(5)
    const { url, gateway } = await inferenceGateway(backends)
    const homes = new Map<number, Set<string>>()
    let kept = 0
    let repeats = 0
    const last = new Map<number, string>()
    const one = async (n: number): Promise<void> => {
      const topic = n % 50
      const answer = await chat(url, 'small', prompt(topic, n))
      expect(answer.status).toBe(200)
      const by = answer.headers['x-served-by'] as string
      const before = last.get(topic)
      if (before !== undefined) {
        repeats++
        if (before === by) kept++
      }
      last.set(topic, by)
      homes.set(topic, (homes.get(topic) ?? new Set()).add(by))
    }
    let next = 0
    const worker = async (): Promise<void> => {
      while (next < 1000) await one(next++)
    }
    await Promise.all([worker(), worker(), worker(), worker()])
    process.stdout.write(
      `  AC-LB-1 repeats at the endpoint of the one before: ${((100 * kept) / repeats).toFixed(1)} % of ${repeats}\n`,
    )
    expect(kept / repeats).toBeGreaterThanOrEqual(0.95)
    // And not all in one place.
    const used = new Set([...homes.values()].flatMap((set) => [...set]))
    expect(used.size).toBe(5)
    expect(await gateway.metric('heddle_policy_decisions_total', { service: 'epp', decision: 'allowed' })).toBe(1000)
  })

  test('an endpoint that is dead is not chosen twice, and no request fails of it', async () => {
    const backends = await pods(3)
    const { url, proxy } = await inferenceGateway(backends)
    for (let i = 0; i < 30; i++) expect((await chat(url, 'small', prompt(i, 0))).status).toBe(200)
    await backends[0]!.close()
    const statuses = []
    for (let i = 0; i < 60; i++) statuses.push((await chat(url, 'small', prompt(i % 30, 1))).status)
    expect(statuses.filter((status) => status !== 200)).toEqual([])
    // Once by each who asked before anybody knew.
    expect(await proxy.stat('cluster.ingress.upstream_cx_connect_fail')).toBeLessThanOrEqual(1)
  })

  test('without endpoints: 503, and the log of the proxy can tell why', async () => {
    const backends = await pods(1)
    const { url, gateway } = await inferenceGateway(backends)
    expect((await chat(url, 'small', prompt(0, 0))).status).toBe(200)
    // The port stays until the next start.
    const without = `
server: { log: { level: silent, access: false }, policy: { port: 0 } }
mesh: { kind: none }
providers: { pods: { type: vllm, base_url: "http://pods.models.svc:8000/v1" } }
models: { small: pods/small }
`
    expect(await gateway.reload(without)).toBe(true)
    const answer = await chat(url, 'small', prompt(0, 1))
    expect(answer).toMatchObject({ status: 503, error: { code: 'upstream_unavailable' } })
    // Its metrics may have been read as well, which have no body.
    expect(backends[0]!.bodies.filter((body) => body.length > 0).length).toBe(1)
  })
})
