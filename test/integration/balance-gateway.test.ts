// A real gateway in front of several addresses of one provider.
import { describe, expect, test } from 'vitest'
import { startPod, type PodServerOptions } from '../../src/sim/pod.ts'
import { startBackend, sendJson, CHAT_ANSWER } from '../support/backend.ts'
import { call, chat, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway } from '../support/gateway.ts'

const open = closedAfterEach()

const FAST: PodServerOptions = { timeScale: 20, tokensPerEvent: 8 }
const podsOf = async (count: number, options: PodServerOptions = {}) => {
  const pods = await Promise.all(Array.from({ length: count }, (_, seed) => startPod({ ...FAST, seed, ...options })))
  open.push(() => Promise.all(pods.map((pod) => pod.close())))
  return pods
}

const gatewayTo = async (ports: readonly number[], balancing = '{}', more = '') => {
  const endpoints = ports.map((port) => `"127.0.0.1:${port}"`).join(', ')
  const gateway = await startGateway(`
providers:
  pods:
    type: openai_compatible
    base_url: http://models.internal:8000/v1
    discovery: { type: static, endpoints: [${endpoints}] }
    balancing: ${balancing}
models: { m: pods/m }
${more}`)
  open.push(() => gateway.stop())
  return gateway
}

const system = (name: string): string => `You are agent ${name}. `.repeat(200)
const talk = (url: string, name: string, turns: number): Promise<unknown> =>
  chat(url, 'm', {
    max_tokens: 4,
    messages: [
      { role: 'system', content: system(name) },
      ...Array.from({ length: turns }, (_, i) => ({ role: 'user', content: `turn ${i} ${'x'.repeat(300)}` })),
    ],
  })

describe('AC-LB-3 the pod that has the prompt gets the call', () => {
  test('conversations that grow stay where their cache is, while others go elsewhere', async () => {
    const pods = await podsOf(4)
    const { url } = await gatewayTo(pods.map(({ port }) => port))
    const agents = ['a', 'b', 'c', 'd', 'e', 'f']
    for (let turns = 1; turns <= 6; turns++) await Promise.all(agents.map((name) => talk(url, name, turns)))
    const stats = pods.map((pod) => pod.stats())
    const all = stats.reduce((sum, s) => ({ hit: sum.hit + s.hitTokens, asked: sum.asked + s.queriedTokens }), {
      hit: 0,
      asked: 0,
    })
    expect(stats.reduce((sum, s) => sum + s.finished, 0)).toBe(36)
    // At best five of six system prompts and all turns but the last are cached.
    expect(all.hit / all.asked).toBeGreaterThan(0.7)
    expect(stats.filter((s) => s.finished > 0).length).toBeGreaterThan(1)
  })

  test('the host of base_url goes with each call, whichever address has it', async () => {
    const hosts: (string | undefined)[] = []
    const backends = await Promise.all(
      [0, 1].map(() =>
        startBackend((res, _n, req) => {
          hosts.push(req.headers.host)
          sendJson(res, 200, CHAT_ANSWER)
        }),
      ),
    )
    open.push(() => Promise.all(backends.map((backend) => backend.close())))
    const ports = backends.map(({ url }) => Number(new URL(url).port))
    const { url } = await gatewayTo(ports, '{ policy: round_robin, metrics: false }')
    for (let i = 0; i < 4; i++) expect((await chat(url, 'm')).status).toBe(200)
    expect(hosts).toEqual(Array.from({ length: 4 }, () => 'models.internal:8000'))
    expect(backends.map(({ bodies }) => bodies.length)).toEqual([2, 2])
  })
})

describe('members that fail', () => {
  test('nobody listens there: another has the call at once, and the caller is told which', async () => {
    const [pod] = await podsOf(1)
    const gone = await startBackend(() => {})
    const dead = Number(new URL(gone.url).port)
    await gone.close()
    const gateway = await gatewayTo([dead, pod!.port], '{ policy: round_robin, metrics: false }')
    for (let i = 0; i < 6; i++) {
      const answer = await chat(gateway.url, 'm', { max_tokens: 2 }, { 'x-heddle-explain': '1' })
      expect(answer.status).toBe(200)
      const explain = JSON.parse(String(answer.headers['x-heddle-explain'])) as { attempts: { endpoint: string }[] }
      expect(explain.attempts.map(({ endpoint }) => endpoint)).toEqual([`127.0.0.1:${pod!.port}`])
    }
    // The address has the blame, not the target.
    expect((await gateway.targets())['pods/m']).toMatchObject({ consecutive_failures: 0, ejections: 0, inflight: 0 })
  })

  test('whoever has failed a request does not get it again, although it has its prompt now', async () => {
    let bad = -1
    const backends = await Promise.all(
      [0, 1, 2].map((index) =>
        startBackend((res) => {
          if (bad < 0) bad = index
          if (index === bad) sendJson(res, 500, { error: { message: 'broken' } })
          else sendJson(res, 200, CHAT_ANSWER)
        }),
      ),
    )
    open.push(() => Promise.all(backends.map((backend) => backend.close())))
    const { url } = await gatewayTo(
      backends.map((backend) => Number(new URL(backend.url).port)),
      '{ metrics: false }',
    )
    expect(await talk(url, 'a', 1)).toMatchObject({ status: 200 })
    expect(backends[bad]!.bodies).toHaveLength(1)
  })

  test('one that has no room now is not the whole target', async () => {
    const [full, free] = await Promise.all([
      startBackend((res) => sendJson(res, 503, { error: { message: 'full' } }, { 'retry-after': '30' })),
      startBackend((res) => sendJson(res, 200, CHAT_ANSWER)),
    ])
    open.push(() => Promise.all([full.close(), free.close()]))
    const gateway = await gatewayTo(
      [full, free].map((backend) => Number(new URL(backend.url).port)),
      '{ policy: round_robin, metrics: false }',
    )
    for (let i = 0; i < 4; i++) expect((await chat(gateway.url, 'm')).status).toBe(200)
    expect((await gateway.targets())['pods/m']).toMatchObject({ busy_ms: 0 })
  })

  test('it dies with calls on it: those before their first token go elsewhere, none fails', async () => {
    const pods = await podsOf(3, { timeScale: 1, prefillRate: 2000 })
    const { url } = await gatewayTo(pods.map(({ port }) => port))
    const calls = Array.from({ length: 6 }, (_, i) => talk(url, String(i), 2))
    await until(() => pods.every((pod) => pod.stats().running > 0))
    pods[0]!.die()
    const answers = (await Promise.all(calls)) as { readonly status: number }[]
    expect(answers.map(({ status }) => status)).toEqual(calls.map(() => 200))
  })

  test('when all are gone the error says so, and they come back', async () => {
    const pods = await podsOf(2)
    const { url } = await gatewayTo(
      pods.map(({ port }) => port),
      '{ metrics: false }',
    )
    for (const pod of pods) pod.die()
    const failed = await chat(url, 'm', { max_tokens: 2 })
    expect(failed.status).toBeGreaterThanOrEqual(502)
    for (const pod of pods) await pod.revive()
    await until(async () => (await chat(url, 'm', { max_tokens: 2 })).status === 200, 8000)
  })
})

describe('what members say of themselves', () => {
  test('queues are read from their metrics: who is busy with others gets nothing', async () => {
    const pods = await podsOf(2, { maxRunning: 1, timeScale: 1 })
    const { url } = await gatewayTo(
      pods.map(({ port }) => port),
      '{ metrics: { interval: 50ms } }',
    )
    // Not through the gateway: only the metrics can tell of them.
    const others = Array.from({ length: 9 }, (_, i) =>
      call(`${pods[0]!.url}/chat/completions`, {
        body: { messages: [{ role: 'user', content: `${i}` }], max_tokens: 20 },
      }),
    )
    await until(() => pods[0]!.stats().waiting > 6)
    await new Promise((resolve) => setTimeout(resolve, 200))
    const before = pods[1]!.stats().finished
    for (let i = 0; i < 3; i++) expect((await chat(url, 'm', { max_tokens: 1 })).status).toBe(200)
    expect(pods[1]!.stats().finished - before).toBe(3)
    await Promise.all(others)
  })

  test('load reports are asked for when the configuration says so, and never reach the caller', async () => {
    const formats: unknown[] = []
    const backend = await startBackend((res, _n, req) => {
      formats.push(req.headers['endpoint-load-metrics-format'])
      sendJson(res, 200, CHAT_ANSWER, { 'endpoint-load-metrics': 'TEXT application_utilization=0.9' })
    })
    open.push(() => backend.close())
    const { url } = await gatewayTo([Number(new URL(backend.url).port)], '{ orca: true, metrics: false }')
    const answer = await chat(url, 'm')
    expect(answer.status).toBe(200)
    expect(answer.headers).not.toHaveProperty('endpoint-load-metrics')
    expect(formats).toEqual(['JSON'])
  })
})
