// Start, drain and end of the process.
import { writeFileSync } from 'node:fs'
import { Agent, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { createServer } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import type { Heddle } from './lifecycle-kit.ts'
import { startSim } from '../../src/sim/index.ts'
import { call, chat, open, headOf, readAnswer, until } from '../support/client.ts'
import { CHAT, chatBody, expectEnvelope, JSON_TYPE, open as openSocket, portOf, post, raw } from './abuse-kit.ts'
import { startHeddle } from './lifecycle-kit.ts'

let sim: Sim
beforeAll(async () => {
  sim = await startSim()
})
afterAll(() => sim.close())

const running: Heddle[] = []
const start = async (...args: Parameters<typeof startHeddle>): Promise<Heddle> => {
  const heddle = await startHeddle(...args)
  running.push(heddle)
  return heddle
}
afterEach(async () => {
  await Promise.all(running.splice(0).map((h) => h.dispose()))
})

const config = (server = ''): string => `
server: { log: { level: info, access: false }${server} }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat }
`

const CLOSE = { connection: 'close' }

type Answer = ReturnType<typeof readAnswer>

async function restOf(res: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = []
  res.on('data', (c: Buffer) => chunks.push(c)).on('error', () => {})
  await new Promise((resolve) => res.on('close', resolve))
  const bytes = Buffer.concat(chunks)
  const text = bytes.toString()
  return readAnswer({
    status: res.statusCode ?? 0,
    headers: res.headers,
    bytes,
    text,
    complete: res.complete,
    json: () => JSON.parse(text) as never,
  })
}

/** Resolves when each stream has its head; then `all` settles with what came of each. */
async function openStreams(url: string, model: string, count: number): Promise<{ readonly all: Promise<Answer[]> }> {
  const agent = new Agent({ maxSockets: Infinity })
  const heads = Array.from({ length: count }, (_, i) =>
    headOf(
      open(`${url}${CHAT}`, {
        agent,
        body: { model, stream: true, messages: [{ role: 'user', content: `stream ${i}` }] },
      }),
    ),
  )
  const answers = (await Promise.all(heads)).map(restOf)
  return { all: Promise.all(answers) }
}

describe('drain', () => {
  test('200 open streams finish, new requests are told, exit code 0', { timeout: 30_000 }, async () => {
    const heddle = await start(config())
    const streams = await openStreams(heddle.url, 'a/sim-chat~interval=25', 200)
    // A connection that was open before the signal is where a new request still can come from.
    const agent = new Agent({ keepAlive: true })
    expect((await call(`${heddle.url}/v1/models`, { agent })).status).toBe(200)
    heddle.kill('SIGTERM')
    await until(async () => (await call(`${heddle.adminUrl}/readyz`)).status === 503)
    expect((await call(`${heddle.adminUrl}/livez`)).status).toBe(200)
    const { answers } = await raw(portOf(heddle.url), post(CHAT, [JSON_TYPE], chatBody()), { untilClose: true })
    expectEnvelope(answers[0], 503, 'draining')
    expect(Number(answers[0]!.headers['retry-after'])).toBeGreaterThan(0)
    expect(answers[0]!.headers['connection']).toBe('close')
    const done = await streams.all
    expect(done.filter((a) => a.done && a.error === undefined && a.text.length > 0)).toHaveLength(200)
    expect(await heddle.exited).toBe(0)
    expect(heddle.output()).toContain('"cut":0')
    agent.destroy()
  })

  test('at the limit what is open ends with an error event, a waiting answer with the envelope, exit code 0', async () => {
    const heddle = await start(config(', drain: { max: 300ms }'))
    const streams = await openStreams(heddle.url, 'a/sim-chat~stall_after=2', 20)
    const waiting = chat(heddle.url, 'a/sim-chat~stall')
    await until(() => sim.stats().inFlight >= 21)
    heddle.kill('SIGTERM')
    for (const answer of await streams.all) {
      expect(answer.done).toBe(false)
      expect(answer.error?.code).toBe('draining')
      expect(answer.afterEnd).toBe(0)
    }
    const answer = await waiting
    expect(answer.status).toBe(503)
    expect(answer.error?.code).toBe('draining')
    expect(await heddle.exited).toBe(0)
    expect(heddle.output()).toContain('"cut":21')
  })

  test('a body that is on its way when the signal comes is still answered', async () => {
    const heddle = await start(config())
    const body = chatBody()
    const socket = await openSocket(portOf(heddle.url))
    const chunks: Buffer[] = []
    socket.on('data', (c: Buffer) => chunks.push(c)).on('error', () => {})
    socket.write(
      `POST ${CHAT} HTTP/1.1\r\nhost: t\r\n${JSON_TYPE}\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 10)}`,
    )
    await until(async () => /heddle_inflight_requests 1/.test((await call(`${heddle.adminUrl}/metrics`)).text))
    heddle.kill('SIGTERM')
    await until(() => heddle.output().includes('draining'))
    socket.write(body.slice(10))
    await new Promise((resolve) => socket.on('close', resolve))
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1.1 200 /)
    expect(await heddle.exited).toBe(0)
  })

  test('while readiness propagates new requests are served, and told that the connection ends', async () => {
    const heddle = await start(config(', drain: { propagation: 1500ms }'))
    const session = connectHttp2(heddle.url)
    session.on('error', () => {})
    await new Promise((resolve) => session.once('connect', resolve))
    const goaway = new Promise((resolve) => session.once('goaway', resolve))
    heddle.kill('SIGTERM')
    await until(async () => (await call(`${heddle.adminUrl}/readyz`)).status === 503)
    const answer = await call(`${heddle.url}${CHAT}`, { body: chatBody() })
    expect(answer.status).toBe(200)
    expect(answer.headers.connection).toBe('close')
    await goaway
    expect(await heddle.exited).toBe(0)
  })

  test('a second SIGTERM ends at once', async () => {
    const heddle = await start(config())
    const streams = await openStreams(heddle.url, 'a/sim-chat~stall_after=1', 1)
    heddle.kill('SIGTERM')
    await until(() => heddle.output().includes('draining'))
    heddle.kill('SIGTERM')
    expect(await heddle.exited).toBe(1)
    expect((await streams.all)[0]!.done).toBe(false)
  })

  test('with workers too', async () => {
    const heddle = await start(config(', workers: 2'))
    const streams = await openStreams(heddle.url, 'a/sim-chat~interval=25', 40)
    heddle.kill('SIGTERM')
    const done = await streams.all
    expect(done.filter((a) => a.done)).toHaveLength(40)
    expect(await heddle.exited).toBe(0)
  })
})

describe('through the launcher', () => {
  const ANY_PORTS = ['--port', '0', '--admin-port', '0']

  test('SIGTERM: 20 open streams finish, exit code 0', async () => {
    const heddle = await start(config(), ANY_PORTS, 'launcher')
    const streams = await openStreams(heddle.url, 'a/sim-chat~interval=25', 20)
    heddle.kill('SIGTERM')
    const done = await streams.all
    expect(done.filter((a) => a.done && a.error === undefined && a.text.length > 0)).toHaveLength(20)
    expect(await heddle.exited).toBe(0)
    expect(heddle.output()).toContain('"cut":0')
  })

  test('SIGHUP with a bad file: the log names the place, all workers serve on, and a metric says so', async () => {
    const heddle = await start(config(', workers: 2'), ANY_PORTS, 'launcher')
    const stale = async (): Promise<string | undefined> =>
      /^heddle_config_stale (\d)$/m.exec((await call(`${heddle.adminUrl}/metrics`)).text)?.[1]
    const refusals = (): readonly { readonly problems: readonly string[] }[] =>
      heddle
        .output()
        .split('\n')
        .slice(0, -1)
        .filter((line) => line.includes('configuration refused'))
        .map((line) => JSON.parse(line) as { problems: string[] })
    const serving = async (): Promise<void> => {
      const answers = await Promise.all(Array.from({ length: 12 }, () => chat(heddle.url, 'm', {}, CLOSE)))
      expect(answers.map((a) => a.status)).toEqual(Array(12).fill(200))
    }
    expect(await stale()).toBe('0')
    // Each place as an editor shows it: file, line, column.
    const bad = [
      [config(', workers: 2').replace('a/sim-chat', 'nobody/y'), /heddle\.yaml:4:\d+.*nobody/],
      ['models: [\n', /heddle\.yaml:\d+:\d+/],
      ['providers:\n  a: { type: openai_compatible, base_url: 5 }\n', /heddle\.yaml:2:\d+.*base_url/],
    ] as const
    for (const [i, [text, place]] of bad.entries()) {
      writeFileSync(heddle.file, text)
      heddle.kill('SIGHUP')
      await until(() => refusals().length > i, 8000)
      expect(refusals()[i]!.problems.join('\n')).toMatch(place)
      expect(await stale()).toBe('1')
      await serving()
    }
    writeFileSync(heddle.file, config(', workers: 2'))
    heddle.kill('SIGHUP')
    await until(async () => (await stale()) === '0', 8000)
    await serving()
    heddle.kill('SIGTERM')
    expect(await heddle.exited).toBe(0)
    expect(refusals()).toHaveLength(bad.length)
  })
})

test('a log that nobody reads holds up neither requests, nor a reload, nor the end', async () => {
  const heddle = await start(config().replace('access: false', 'access: true'))
  heddle.child.stdout!.removeAllListeners('data').pause()
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  const long = { headers: { 'x-request-id': 'x'.repeat(120) }, agent }
  // Pipes hold 64 KiB, and the reading side as much again.
  const lane = async (): Promise<void> => {
    for (let i = 0; i < 150; i++) expect((await call(`${heddle.url}/v1/models`, long)).status).toBe(200)
  }
  await Promise.all(Array.from({ length: 8 }, lane))
  expect((await call(`${heddle.adminUrl}/admin/reload`, { method: 'POST' })).status).toBe(200)
  expect((await call(`${heddle.url}/v1/models`, long)).status).toBe(200)
  agent.destroy()
  heddle.kill('SIGTERM')
  expect(await heddle.exited).toBe(0)
})

describe('start', () => {
  test('beyond loopback without `insecure` it refuses', async () => {
    const heddle = await start(config(', host: 0.0.0.0'))
    expect(await heddle.exited).toBe(3)
    expect(heddle.output()).toContain('insecure')
    expect(heddle.url).toBe('')
  })

  test.each([
    ['the API', (port: number) => ['--port', String(port), '--admin-port', '0']],
    ['the API, with workers', (port: number) => ['--port', String(port), '--admin-port', '0', '--workers', '2']],
    ['the admin listener', (port: number) => ['--port', '0', '--admin-port', String(port)]],
  ])('a taken port of %s is named, exit code 1', async (_what, args) => {
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
    const { port } = squatter.address() as { port: number }
    const heddle = await start(config(), args(port))
    expect(await heddle.exited).toBe(1)
    expect(heddle.output()).toContain(`port ${port} is taken`)
    expect(heddle.output()).not.toMatch(/\n\s+at /)
    squatter.close()
  })

  test('two gateways with workers do not share a port by accident', async () => {
    const first = await start(config(', workers: 2'))
    const second = await start(config(', workers: 2'), ['--port', String(portOf(first.url)), '--admin-port', '0'])
    expect(await second.exited).toBe(1)
    expect((await chat(first.url, 'm')).status).toBe(200)
  })

  test('a bad configuration is explained with its place, exit code 3', async () => {
    const heddle = await start('models:\n  m: nobody/x\n')
    expect(await heddle.exited).toBe(3)
    expect(heddle.output()).toMatch(/heddle\.yaml:2:\d+/)
  })

  test('without configuration unknown names are answered by the simulator, and the answer and the log say so', async () => {
    const heddle = await start(null)
    const answer = await chat(heddle.url, 'no-such-model')
    expect(answer.status).toBe(200)
    expect(answer.headers['x-heddle-simulated']).toBe('true')
    await until(() => /"model":"no-such-model".*"target":"sim\//.test(heddle.output()))
    heddle.kill('SIGINT')
    expect(await heddle.exited).toBe(0)
  })

  test('with a configuration unknown names are not found', async () => {
    const heddle = await start(config())
    const answer = await chat(heddle.url, 'no-such-model')
    expect(answer.status).toBe(404)
    expect(answer.error?.code).toBe('model_not_found')
  })
})
