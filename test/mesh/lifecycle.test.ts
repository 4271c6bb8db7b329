// Beside the proxy of a mesh: what waits for it, what probes are told, and which ports are its own.
import { connect as connectHttp2 } from 'node:http2'
import { createServer } from 'node:net'
import { Agent } from 'node:http'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { beforeAll, afterAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import { startSim } from '../../src/sim/index.ts'
import { call, chat, headOf, open, readAnswer, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'
import { CHAT, chatBody, open as openSocket } from '../integration/abuse-kit.ts'
import { checkCommand } from '../../src/cli/check.ts'
import { startHeddle, type Heddle } from '../integration/lifecycle-kit.ts'
import { freePort, play } from './kit/health-port.ts'

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

const closing = closedAfterEach()

const start = async (yaml: string, env: Record<string, string> = {}, args?: readonly string[]): Promise<Heddle> => {
  const heddle = await startHeddle(yaml, args, 'entry', env)
  closing.push(() => heddle.dispose())
  return heddle
}

/** Stands for Redis, and counts who comes. */
const redis = async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on('error', () => {}).destroy()
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  closing.push(() => void server.close())
  return { port: (server.address() as AddressInfo).port, count: () => connections }
}

const OUTBOUND = (jwks: number, redisPort: number): string => `
auth:
  anonymous: true
  jwt:
    - { name: corp, issuer: https://idp.example, audience: heddle, jwks_url: "http://127.0.0.1:${jwks}/keys" }
ledger: { redis: { url: "redis://127.0.0.1:${redisPort}" } }
limits: { all: { per: [], rules: [{ requests: 1000000, per: 1m }] } }
`

const config = (server = '', rest = ''): string => `
server: { log: { level: info, access: true }${server} }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat, n: a/sim-other }
${rest}
`

const quiet = (...given: Parameters<typeof config>): string =>
  config(...given).replace('level: info, access: true', 'level: silent, access: false')

const IN_CLUSTER = { KUBERNETES_SERVICE_HOST: '10.96.0.1' }

/** Every 100 ms: a second, or as long as a proxy may really take. */
const LOOKS = process.env['HEDDLE_TEST_FULL'] === undefined ? 10 : 80

describe.each([
  ['istio', 'HEDDLE_MESH_ISTIO_STATUS_PORT', 1],
  ['linkerd', 'HEDDLE_MESH_LINKERD_ADMIN_PORT', 2],
])('%s', (kind, variable, workers) => {
  test('AC-LC-2: nothing goes out before its proxy is ready; the listener is there, and says why it waits', async () => {
    const state = { status: 503 }
    const proxy = await play((_req, res) => res.writeHead(state.status).end())
    const keys = await play((_req, res) => res.end('{"keys":[]}'))
    closing.push(
      () => proxy.close(),
      () => keys.close(),
    )
    const store = await redis()
    const before = sim.received.length
    const heddle = await start(config(`, workers: ${workers}`, OUTBOUND(keys.port, store.port)), {
      ...IN_CLUSTER,
      [variable]: String(proxy.port),
    })
    const ready = () => call(`${heddle.url}/healthz/ready`)
    for (let i = 0; i < LOOKS; i++) {
      const answer = await ready()
      expect(answer.status).toBe(503)
      expect(answer.headers['retry-after']).toBe('1')
      expect(answer.json()).toEqual({ status: 'not ready', reasons: ['waiting for the proxy of the mesh'] })
      expect((await call(`${heddle.adminUrl}/readyz`)).json()).toEqual(answer.json())
      expect((await call(`${heddle.url}/healthz/live`)).status).toBe(200)
      const early = await chat(heddle.url, 'm')
      expect(early.status).toBe(503)
      expect(Number(early.headers['retry-after'])).toBeGreaterThan(0)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect((await call(`${heddle.url}/healthz/config`)).json()).toMatchObject({ loaded_at: null, mesh: kind })
    expect([keys.asked.length, store.count(), sim.received.length - before]).toEqual([0, 0, 0])
    state.status = 200
    const opened = performance.now()
    // The mechanism of 8 s and of 1 s is the same; looks are 100 ms apart.
    await until(async () => (await ready()).status === 200, 5000)
    const took = performance.now() - opened
    process.stdout.write(`ready ${took.toFixed(0)} ms after the proxy of ${kind}\n`)
    expect(took).toBeLessThan(3000)
    expect((await call(`${heddle.adminUrl}/readyz`)).status).toBe(200)
    await until(() => keys.asked.length > 0 && store.count() > 0, 5000)
    expect((await chat(heddle.url, 'm')).status).toBe(200)
    const facts = (await call(`${heddle.url}/healthz/config`)).json() as { hash: string; loaded_at: string }
    expect(facts).toMatchObject({ mesh: kind, stale: false })
    expect(Date.parse(facts.loaded_at)).toBeGreaterThan(0)
    expect(heddle.output()).toMatch(new RegExp(`"msg":"listening".*"config":"${facts.hash}","mesh":"${kind}"`))
    heddle.kill('SIGTERM')
    // A mesh learns late that a pod leaves: five seconds of the drain are for that, and nobody waits for them here.
    await until(async () => (await ready()).status === 503)
    heddle.kill('SIGTERM')
    await heddle.exited
  })
})

describe('waiting ends', () => {
  test('at the limit: work begins, and a proxy that is there and late keeps the instance out until it is ready', async () => {
    const state = { status: 503 }
    const proxy = await play((_req, res) => res.writeHead(state.status).end())
    closing.push(() => proxy.close())
    const heddle = await start(config('', 'mesh: { kind: istio, wait_for_proxy: 400ms }'), {
      HEDDLE_MESH_ISTIO_STATUS_PORT: String(proxy.port),
    })
    await until(() => heddle.output().includes('no longer waited for'))
    expect((await call(`${heddle.url}/healthz/ready`)).json()).toMatchObject({
      reasons: ['the proxy of the mesh is not ready'],
    })
    expect((await chat(heddle.url, 'm')).status).toBe(200)
    state.status = 200
    await until(async () => (await call(`${heddle.url}/healthz/ready`)).status === 200)
  })

  test('SIGTERM while it waits ends the process', async () => {
    const proxy = await play((_req, res) => res.writeHead(503).end())
    closing.push(() => proxy.close())
    const heddle = await start(config(', drain: { propagation: 0 }', 'mesh: { kind: linkerd }'), {
      HEDDLE_MESH_LINKERD_ADMIN_PORT: String(proxy.port),
    })
    expect((await call(`${heddle.url}/healthz/ready`)).status).toBe(503)
    heddle.kill('SIGTERM')
    expect(await heddle.exited).toBe(0)
  })

  test('a mesh that is configured where none can be does not hold anything up', async () => {
    const heddle = await start(config('', 'mesh: { kind: istio }'), {
      HEDDLE_MESH_ISTIO_STATUS_PORT: String(await freePort()),
    })
    expect((await call(`${heddle.url}/healthz/ready`)).status).toBe(200)
  })
})

describe('probes on the port of the API', () => {
  test('over HTTP/1.1 and HTTP/2, GET and HEAD, without a key, and nobody logs them', async () => {
    const heddle = await start(config('', `auth: { keys: [{ id: k, hash: "sha256:${'ab'.repeat(32)}" }] }`))
    for (const name of ['live', 'ready', 'config?verbose=1']) {
      const answer = await call(`${heddle.url}/healthz/${name}`)
      expect(answer.status).toBe(200)
      expect(answer.headers['content-type']).toBe('application/json')
      const head = await call(`${heddle.url}/healthz/${name}`, { method: 'HEAD' })
      expect([head.status, head.text, head.headers['content-length']]).toEqual([
        200,
        '',
        answer.headers['content-length'],
      ])
    }
    const session = connectHttp2(heddle.url)
    const status = await new Promise((resolve) => {
      const stream = session.request({ ':path': '/healthz/ready' })
      stream.on('response', (headers) => resolve(headers[':status']))
      stream.resume()
    })
    session.close()
    expect(status).toBe(200)
    expect((await call(`${heddle.url}/healthz/other`)).status).toBe(404)
    const posted = await call(`${heddle.url}/healthz/live`, { body: '{}' })
    expect([posted.status, posted.headers.allow]).toEqual([405, 'GET, HEAD'])
    // The API next to it asks for a key, and is logged.
    expect((await chat(heddle.url, 'm')).status).toBe(401)
    await until(() => heddle.output().includes(CHAT))
    expect(heddle.output()).not.toContain('healthz')
    expect((await call(`${heddle.adminUrl}/metrics`)).text).not.toContain('healthz')
  })

  test('a provider’s passthrough does not reach them, whatever it is named', async () => {
    const gateway = await startGateway(`
providers: { healthz: { type: openai_compatible, base_url: "${sim.url}", model_patterns: ["*"] } }
models: { live: healthz/sim-chat }
`)
    closing.push(() => gateway.stop())
    const before = sim.received.length
    for (const path of ['/healthz/live', '/healthz/ready', '/healthz/v1/models', '/healthz/'])
      expect((await call(`${gateway.url}${path}`)).headers['x-request-id']).toBeUndefined()
    expect(sim.received.length).toBe(before)
  })

  test('a required model without a target that can be used: not ready, on both ports; others do not count', async () => {
    const gateway = await startGateway(`
server: { log: { level: silent, access: false }, readiness: { require: [m] } }
defaults: { breaker: { consecutive_failures: 1, base_ejection: 30s, max_ejected_share: 1 }, retries: { max_attempts: 1 } }
providers:
  a: { type: openai_compatible, base_url: "${sim.url}" }
  gone: { type: openai_compatible, base_url: "http://127.0.0.1:${await freePort()}" }
models: { m: gone/x, n: gone/y, o: a/sim-chat }
`)
    closing.push(() => gateway.stop())
    const ready = async () => (await call(`${gateway.url}/healthz/ready`)).json()
    await chat(gateway.url, 'n')
    expect(await ready()).toEqual({ status: 'ok' })
    await chat(gateway.url, 'm')
    expect(await ready()).toEqual({ status: 'not ready', reasons: ['no target of a required model can be used'] })
    expect((await call(`${gateway.adminUrl}/readyz`)).json()).toEqual({
      status: 'not ready',
      reasons: ['no target of `m` can be used'],
    })
    expect((await call(`${gateway.url}/healthz/live`)).status).toBe(200)
  })

  test('a configuration that was refused shows', async () => {
    const gateway = await startGateway(quiet())
    closing.push(() => gateway.stop())
    const facts = async () => (await call(`${gateway.url}/healthz/config`)).json() as { stale: boolean; hash: string }
    const { hash } = await facts()
    await gateway.reload('models: { m: nobody/x }')
    expect(await facts()).toMatchObject({ stale: true, hash })
    await gateway.reload(quiet('', 'tenants: {}'))
    expect((await facts()).stale).toBe(false)
  })
})

describe('the end', () => {
  test('at once every answer says so; idle connections and new HTTP/2 streams are served until the mesh has noticed', async () => {
    const gateway = await startGateway(quiet(', drain: { propagation: 1s }'))
    const session = connectHttp2(gateway.url)
    session.on('error', () => {})
    const streamed = (path: string) =>
      new Promise<Record<string, unknown>>((resolve, reject) => {
        const stream = session.request({ ':path': path })
        stream.on('response', (headers) => resolve(headers as never)).on('error', reject)
        stream.resume()
      })
    expect((await streamed('/healthz/ready'))[':status']).toBe(200)
    // Open before the end begins: a request of which an intermediary had not sent the last bytes.
    const late = session.request({ ':path': CHAT, ':method': 'POST', 'content-type': 'application/json' })
    const goaway = new Promise<number>((resolve) => session.once('goaway', (_code, last) => resolve(Number(last))))
    const slow = headOf(
      open(`${gateway.url}${CHAT}`, {
        body: JSON.stringify({ ...(JSON.parse(chatBody()) as object), model: 'a/sim-chat~delay_headers=300' }),
      }),
    )
    await until(() => sim.stats().inFlight > 0)
    const idle = await openSocket(gateway.port)
    const heard: Buffer[] = []
    idle.on('data', (chunk: Buffer) => heard.push(chunk)).on('error', () => {})
    const probeBytes = 'GET /healthz/live HTTP/1.1\r\nhost: t\r\n\r\n'
    idle.write(probeBytes)
    await until(() => Buffer.concat(heard).includes('"ok"'))
    const stopped = gateway.stop()
    // Its last stream id forbids nothing that is on its way.
    expect(await goaway).toBe(2 ** 31 - 1)
    const probe = await call(`${gateway.url}/healthz/ready`)
    expect([probe.status, probe.headers['x-envoy-immediate-health-check-fail']]).toEqual([503, '1'])
    expect(probe.json()).toEqual({ status: 'not ready', reasons: ['shutting down'] })
    expect((await call(`${gateway.url}/healthz/live`)).status).toBe(200)
    // What a proxy sends on a connection that was idle is answered, and only then does it end.
    heard.length = 0
    idle.write(probeBytes)
    await new Promise((resolve) => idle.once('close', resolve))
    expect(Buffer.concat(heard).toString()).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close\r\n[\s\S]*"ok"/)
    const answer = await call(`${gateway.url}${CHAT}`, { body: chatBody() })
    expect([answer.status, answer.headers.connection]).toEqual([200, 'close'])
    expect(answer.headers['x-envoy-immediate-health-check-fail']).toBe('1')
    // One that began before says it too: its head leaves now.
    expect((await slow).headers.connection).toBe('close')
    late.end(chatBody())
    const head = await new Promise<Record<string, unknown>>((resolve) =>
      late.on('response', (h) => resolve(h as never)),
    )
    expect([head[':status'], head['x-envoy-immediate-health-check-fail']]).toEqual([200, '1'])
    late.resume()
    ;(await slow).resume()
    expect(await stopped).toBe(0)
  })
})

interface Exported {
  readonly resourceSpans: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string; readonly traceId: string }[] }[]
  }[]
}

test.each([1, 2])(
  'AC-LC-4: at the limit each stream ends with an event that parses, and all spans reach the collector (%i workers)',
  async (workers) => {
    const bodies: string[] = []
    const sink = await play((req, res) => {
      const chunks: Buffer[] = []
      req.on('data', (chunk: Buffer) => chunks.push(chunk))
      req.on('end', () => {
        // A collector takes its time.
        setTimeout(() => {
          bodies.push(Buffer.concat(chunks).toString())
          res.writeHead(200, { 'content-type': 'application/json' }).end('{}')
        }, 200)
      })
    })
    closing.push(() => sink.close())
    const heddle = await start(config(`, workers: ${workers}, drain: { propagation: 0, max: 400ms }`), {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `http://127.0.0.1:${sink.port}/v1/traces`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      // Nothing leaves by itself while the test runs.
      OTEL_BSP_SCHEDULE_DELAY: '60000',
    })
    const agent = new Agent({ maxSockets: Infinity })
    const body = JSON.stringify({
      ...(JSON.parse(chatBody()) as object),
      model: 'a/sim-chat~stall_after=2',
      stream: true,
    })
    const before = sim.stats().inFlight
    const streams = Array.from({ length: 30 }, () =>
      call(`${heddle.url}${CHAT}`, { body, agent }).then((reply) => ({ reply, answer: readAnswer(reply) })),
    )
    await until(() => sim.stats().inFlight - before >= 30)
    await new Promise((resolve) => setTimeout(resolve, 300))
    heddle.kill('SIGTERM')
    for (const { reply, answer } of await Promise.all(streams)) {
      expect(reply.complete).toBe(true)
      expect(answer.error?.code).toBe('draining')
      expect([answer.done, answer.afterEnd]).toEqual([false, 0])
    }
    expect(await heddle.exited).toBe(0)
    agent.destroy()
    const spans = bodies
      .flatMap((text) => (JSON.parse(text) as Exported).resourceSpans)
      .flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
    const traces = (name: string): number => new Set(spans.filter((s) => s.name === name).map((s) => s.traceId)).size
    expect(traces(`POST ${CHAT}`)).toBe(30)
    expect(traces('POST')).toBe(30)
  },
)

describe('ports of the mesh (LC-6)', () => {
  test('of a mesh that is configured: refused with the place, by `serve` alike', async () => {
    const heddle = await start('server: { port: 15021 }\nmesh: { kind: istio }\n', {}, [])
    expect(await heddle.exited).toBe(3)
    expect(heddle.output()).toMatch(/heddle\.yaml:1:\d+ server\.port: Istio uses port 15021/)
  })

  test('of a mesh that is found: refused with the place, before anything listens', async () => {
    const proxy = await play((_req, res) => res.writeHead(200).end())
    closing.push(() => proxy.close())
    const env = { ...IN_CLUSTER, HEDDLE_MESH_LINKERD_ADMIN_PORT: String(proxy.port) }
    const heddle = await start('server:\n  port: 0\n  admin_port: 4191\n', env, [])
    expect(await heddle.exited).toBe(3)
    expect(heddle.output()).toMatch(/heddle\.yaml:3:\d+ server\.admin_port: Linkerd uses port 4191/)
    const flags = await start('models: {}\n', env, ['--port', '4143', '--admin-port', '0'])
    expect(await flags.exited).toBe(3)
    expect(flags.output()).toMatch(/command line server\.port: Linkerd uses port 4143/)
  })
})

describe('jobs (LC-5)', () => {
  const check = async (yaml: string, env: Record<string, string>) => {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-job-'))
    closing.push(() => rmSync(folder, { recursive: true, force: true }))
    const file = join(folder, 'heddle.yaml')
    writeFileSync(file, yaml)
    const lines: string[] = []
    const say = (text: string): void => void lines.push(text)
    const io = { out: say, err: say, exists: existsSync, read: () => '' }
    const code = await checkCommand({ positional: [file], flags: new Map() }, { ...io, env, cwd: folder })
    return { code, text: lines.join('') }
  }

  test('`heddle check` ends the proxy when it is told to, whatever the configuration is worth, and else does not', async () => {
    const agent = await play((_req, res) => res.end())
    closing.push(() => agent.close())
    const env = { HEDDLE_MESH_ISTIO_AGENT_PORT: String(agent.port) }
    expect((await check('mesh: { kind: istio }\n', env)).code).toBe(0)
    expect(agent.asked).toEqual([])
    expect((await check('mesh: { kind: istio, proxy_shutdown: true }\n', env)).code).toBe(0)
    expect(agent.asked.map(({ method, url }) => `${method} ${url}`)).toEqual(['POST /quitquitquit'])
    const broken = await check('mesh: { kind: nonsense }\n', { ...env, HEDDLE_MESH_PROXY_SHUTDOWN: 'true' })
    expect([broken.code, agent.asked.length]).toEqual([3, 2])
    await agent.close()
    const nobody = await check('mesh: { kind: istio, proxy_shutdown: true }\n', env)
    expect(nobody).toMatchObject({ code: 0, text: expect.stringContaining('no proxy of a mesh obeyed') as string })
  })
})
