import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { request } from 'node:http'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

const KEY = 'hk_0c9f7a5d3b1e8642a7c5e3d1b9f80624'
const LIMITED = 'hk_1d8e6b4c2a0f9753b6d4f2e0c8a97135'
const CHAT_ONLY = 'hk_2e9d7c5b3a1f8064c7e5a3b1d9f80246'
const MODELS = 'hk_3f8c6d4e2b0a9175d8f6b4c2e0a91357'

const openssl = spawnSync('openssl', ['version']).status === 0
if (!openssl)
  process.stderr.write('SKIPPED: the realtime SDK speaks TLS only, whose certificate needs the openssl program\n')

/** The lines of `server.tls`; '' = there is no openssl. */
function tlsLines(): string {
  if (!openssl) return ''
  const folder = mkdtempSync(join(tmpdir(), 'heddle-realtime-'))
  const args =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out c.pem -days 2 -subj /CN=x'
  execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'pipe' })
  const pem = (name: string): string => readFileSync(join(folder, name), 'utf8').trim().replaceAll('\n', '\n      ')
  const text = `  tls:\n    port: 0\n    cert: |\n      ${pem('c.pem')}\n    key: |\n      ${pem('k.pem')}`
  rmSync(folder, { recursive: true })
  return text
}

let sim: Sim
let gateway: Gateway
const open = closedAfterEach()

/** A backend that does with a session what a test says. */
let asked: { url: string; headers: IncomingHttpHeaders }[] = []
let session: (socket: WebSocket, req: IncomingMessage) => unknown
let refusal: ((socket: Socket) => void) | null = null
const server = createServer()
const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 64 * 1024 * 1024,
  handleProtocols: (offered) => (offered.has('realtime') ? 'realtime' : [...offered][0]!),
})
server.on('upgrade', (req, socket, head) => {
  asked.push({ url: req.url!, headers: req.headers })
  if (refusal !== null) refusal(socket as Socket)
  else sockets.handleUpgrade(req, socket, head, (client) => session(client, req))
})

beforeAll(async () => {
  sim = await startSim({ apiKey: 'sim-key' })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  gateway = await startGateway(`
server:
  log: { level: silent, access: false }
  limits: { body: 1MiB, response_body: 1MiB, client_stall: 1s }
${tlsLines()}
defaults: { retries: { backoff: { base: 1ms, max: 2ms } }, timeouts: { attempt: 600ms } }
auth:
  keys:
    - { id: all, key: ${KEY} }
    - { id: limited, key: ${LIMITED}, tenant: small }
    - { id: chat, key: ${CHAT_ONLY}, operations: [chat, passthrough] }
    - { id: models, key: ${MODELS}, models: [voice] }
tenants: { small: {} }
limits:
  tokens: { per: [key], when: 'principal.tenant == "small"', stop_streams: true, rules: [{ tokens: 60, per: 1h }] }
  places: { per: [key], when: 'principal.tenant == "small"', rules: [{ concurrency: 1 }] }
providers:
  sim: { type: openai_compatible, base_url: "${sim.url}", api_key: sim-key }
  own: { type: openai_compatible, base_url: "${at}/v1", api_key: provider-key-012345, headers: { x-team: search } }
  down: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1" }
  gemini: { type: gemini, base_url: "${at}/v1beta", api_key: gemini-key-012345 }
models:
  voice: { targets: [{ provider: sim, model: gpt-realtime, price: { input: 1000, output: 1000 } }] }
  falls: [down/x, "sim/gpt-realtime~status=503", sim/gpt-realtime]
  refused: "sim/gpt-realtime~status=400"
  drops: "sim/gpt-realtime~drop_after=2"
  mine: own/rt-1
`)
})
afterAll(async () => {
  await gateway.stop()
  for (const client of sockets.clients) client.terminate()
  server.closeAllConnections()
  server.close()
  await sim.close()
})
afterEach(() => {
  asked = []
  refusal = null
})

const wsUrl = (path: string): string => `${gateway.url.replace('http', 'ws')}${path}`
const dial = (
  path: string,
  options: { key?: string; protocols?: string[]; headers?: Record<string, string> } = {},
): WebSocket => {
  const { key = KEY, protocols = [], headers = {} } = options
  const auth = key === '' ? {} : { authorization: `Bearer ${key}` }
  const socket = new WebSocket(wsUrl(path), protocols, { headers: { ...auth, ...headers }, perMessageDeflate: false })
  socket.on('error', () => {})
  open.push(() => socket.terminate())
  return socket
}
const opened = (socket: WebSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('unexpected-response', (_req, res) => reject(new Error(`status ${res.statusCode}`)))
    socket.once('error', reject)
  })
const closed = (socket: WebSocket): Promise<{ code: number; reason: string }> =>
  new Promise((resolve) => socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() })))
const refusedWith = (
  socket: WebSocket,
): Promise<{ status: number; body: Record<string, never>; headers: IncomingHttpHeaders }> =>
  new Promise((resolve, reject) => {
    socket.once('open', () => reject(new Error('it is open')))
    socket.once('unexpected-response', (_req, res) => {
      let text = ''
      res.on('data', (part) => (text += part))
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, body: JSON.parse(text) as Record<string, never>, headers: res.headers }),
      )
    })
  })
const metric = (name: string, labels: Record<string, string> = {}) => gateway.metric(name, labels)

const item = (text: string) => ({
  type: 'conversation.item.create',
  item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
})
/** Events until one of a type. */
const eventsUntil = (socket: WebSocket, type: string): Promise<Record<string, never>[]> =>
  new Promise((resolve) => {
    const events: Record<string, never>[] = []
    const onMessage = (data: Buffer): void => {
      const event = JSON.parse(data.toString()) as Record<string, never>
      events.push(event)
      if (event['type'] !== type) return
      socket.off('message', onMessage)
      resolve(events)
    }
    socket.on('message', onMessage)
  })

describe('the SDK', () => {
  test.skipIf(!openssl)('talks, and what it uses is counted and charged', async () => {
    const client = new OpenAI({ apiKey: KEY, baseURL: `${gateway.tlsUrl}/v1` })
    // The SDK speaks TLS whatever its base URL says.
    const rt = new OpenAIRealtimeWS({ model: 'voice', options: { rejectUnauthorized: false } }, client)
    open.push(() => rt.close())
    const errors: unknown[] = []
    rt.on('error', (error) => errors.push(error))
    const created = await new Promise<{ session: { model?: string } }>((resolve) =>
      rt.on('session.created', resolve as never),
    )
    expect(created.session.model).toBe('gpt-realtime')
    const deltas: string[] = []
    rt.on('response.output_text.delta', ({ delta }) => deltas.push(delta))
    const done = new Promise<{ response: { usage?: { input_tokens?: number; output_tokens?: number } } }>((resolve) =>
      rt.on('response.done', resolve),
    )
    rt.send(item('Say something about looms.') as never)
    rt.send({ type: 'response.create' })
    const { usage } = (await done).response
    expect(deltas.join('').length).toBeGreaterThan(10)
    expect(usage?.output_tokens).toBe(deltas.length)
    expect(await metric('heddle_realtime_sessions')).toBe(1)
    const gone = new Promise((resolve) => rt.socket.on('close', resolve))
    rt.close({ code: 1000, reason: 'OK' })
    await gone
    await until(async () => (await metric('heddle_requests_total', { operation: 'realtime', outcome: 'ok' })) === 1)
    expect(errors).toEqual([])
    expect(await metric('heddle_realtime_sessions')).toBe(0)
    expect(await metric('heddle_tokens_total', { operation: 'realtime', type: 'output' })).toBe(usage?.output_tokens)
    const tokens = (usage?.input_tokens ?? 0) + (usage?.output_tokens ?? 0)
    expect(await metric('heddle_cost_usd_total', { target: 'sim/gpt-realtime' })).toBeCloseTo(tokens / 1000, 9)
    expect(await metric('heddle_realtime_closes_total', { by: 'client', code: '1000' })).toBe(1)
  })

  test('in browsers has its key in a subprotocol, which goes no further', async () => {
    session = (socket) => socket.send('{"type":"session.created"}')
    const protocols = ['realtime', `openai-insecure-api-key.${KEY}`, 'openai-project.p', 'openai-beta.realtime-v1']
    const socket = dial('/v1/realtime?model=mine', { key: '', protocols })
    await opened(socket)
    expect(socket.protocol).toBe('realtime')
    expect(asked[0]).toMatchObject({
      url: '/v1/realtime?model=rt-1',
      headers: {
        authorization: 'Bearer provider-key-012345',
        'x-team': 'search',
        'sec-websocket-protocol': 'realtime,openai-beta.realtime-v1',
      },
    })
    expect(JSON.stringify(asked)).not.toContain(KEY)
  })
})

describe('before it is open', () => {
  test('another target takes the place of one that cannot', async () => {
    const socket = dial('/v1/realtime?model=falls')
    const head = new Promise<IncomingMessage>((resolve) => socket.once('upgrade', resolve))
    await opened(socket)
    const { headers } = await head
    expect([headers['x-heddle-target'], headers['x-heddle-attempts']]).toEqual(['sim/gpt-realtime', '3'])
    expect(headers['x-request-id']).toBeTruthy()
  })

  test.each([
    ['no key', { key: '' }, '/v1/realtime?model=voice', 401],
    ['a wrong key', { key: 'hk_wrong' }, '/v1/realtime?model=voice', 401],
    ['an operation that is not granted', { key: CHAT_ONLY }, '/v1/realtime?model=voice', 403],
    ['nor by the provider’s own path', { key: CHAT_ONLY }, '/passthrough/own/realtime?model=x', 403],
    ['a model that is not granted', { key: MODELS }, '/v1/realtime?model=mine', 403],
    [
      'a model that is named too late to be granted',
      { key: MODELS },
      '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent',
      403,
    ],
    ['a model that there is not', {}, '/v1/realtime?model=nothing', 404],
    ['a backend that refuses the request', {}, '/v1/realtime?model=refused', 400],
    [
      'a page of another site, without a key',
      { key: '', headers: { origin: 'https://evil.example' } },
      '/v1/realtime?model=voice',
      403,
    ],
  ])('%s is answered like any request', async (_name, options, path, status) => {
    const { status: got, body } = await refusedWith(dial(path, options))
    expect([got, Object.keys(body)]).toEqual([status, ['error']])
    expect(asked).toHaveLength(0)
  })

  test('a backend that answers as if nothing had been asked for has not opened anything', async () => {
    refusal = (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}')
    expect((await refusedWith(dial('/v1/realtime?model=mine'))).status).toBe(502)
    refusal = (socket) =>
      socket.end(
        'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n',
      )
    expect((await refusedWith(dial('/v1/realtime?model=mine'))).status).toBe(502)
    refusal = () => {}
    expect((await refusedWith(dial('/v1/realtime?model=mine'))).status).toBe(504)
  })

  test('a client that leaves takes its call with it', async () => {
    let gone = false
    refusal = (socket) =>
      socket
        .on('end', () => (gone = true))
        .on('error', () => (gone = true))
        .resume()
    const socket = dial('/v1/realtime?model=mine')
    await until(() => asked.length === 1)
    socket.terminate()
    await until(() => gone)
    expect(asked).toHaveLength(1)
  })

  test('broken handshakes, and upgrades to something else', async () => {
    const head = (headers: Record<string, string>, path = '/v1/realtime?model=mine'): Promise<number> =>
      new Promise((resolve, reject) => {
        const req = request(`${gateway.url}${path}`, {
          headers: { authorization: `Bearer ${KEY}`, connection: 'upgrade', ...headers },
        })
        req.on('response', (res) => {
          res.resume()
          resolve(res.statusCode ?? 0)
        })
        req.on('error', reject)
        req.end()
      })
    expect(
      await head({
        upgrade: 'websocket',
        'sec-websocket-version': '8',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      }),
    ).toBe(426)
    expect(await head({ upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'x' })).toBe(400)
    expect(await head({ upgrade: 'h2c' }, '/v1/models')).toBe(200)
    expect(await head({ upgrade: 'websocket' }, '/v1/models')).toBe(200)
    expect(asked).toHaveLength(0)
  })
})

describe('while it is open', () => {
  test('messages are the same on both sides, text and binary, large and small', async () => {
    session = (socket) => socket.on('message', (data, binary) => socket.send(data, { binary }))
    const socket = dial('/v1/realtime?model=mine')
    const got: [Buffer, boolean][] = []
    socket.on('message', (data, binary) => got.push([data as Buffer, binary]))
    await opened(socket)
    const sent: [Buffer, boolean][] = [
      [Buffer.from('{ "type" : "x",\n"ä": "\\u00e4" }'), false],
      [Buffer.alloc(0), true],
      [Buffer.alloc(900_000, 7), true],
      [Buffer.from('last'), false],
    ]
    for (const [data, binary] of sent) socket.send(data, { binary })
    await until(() => got.length === sent.length)
    got.forEach(([data, binary], i) => expect([data.equals(sent[i]![0]), binary]).toEqual([true, sent[i]![1]]))
  })

  test.each([
    [1000, 'bye'],
    [1005, ''],
    [4001, 'ä'.repeat(40)],
    [3000, ''],
  ])('a close of the client with %i reaches the backend', async (code, reason) => {
    let end = null as Promise<{ code: number; reason: string }> | null
    session = (socket) => (end = closed(socket))
    const socket = dial('/v1/realtime?model=mine')
    await opened(socket)
    const own = closed(socket)
    if (code === 1005) socket.close()
    else socket.close(code, reason)
    expect(await end).toEqual({ code, reason })
    expect((await own).code).toBe(code)
  })

  test.each([
    [1000, 'over'],
    [1013, 'key provider-key-012345 is tired'],
    [4000, ''],
  ])('a close of the backend with %i reaches the client, without its secrets', async (code, reason) => {
    session = (socket) => socket.close(code, reason)
    const socket = dial('/v1/realtime?model=mine')
    expect(await closed(socket)).toEqual({ code, reason: reason.replace('provider-key-012345', '[redacted]') })
  })

  test('a client that vanishes takes its session with it', async () => {
    let end = null as Promise<{ code: number }> | null
    session = (socket) => (end = closed(socket))
    const socket = dial('/v1/realtime?model=mine')
    await opened(socket)
    await until(() => end !== null)
    socket.terminate()
    expect((await end!).code).toBe(1006)
    await until(async () => (await gateway.targets())['own/rt-1']?.inflight === 0)
  })

  test('a backend that vanishes is told as an event, and by the code', async () => {
    const socket = dial('/v1/realtime?model=drops')
    const events = eventsUntil(socket, 'error')
    const end = closed(socket)
    await opened(socket)
    socket.send(JSON.stringify(item('x')))
    expect((await events).at(-1)).toMatchObject({ type: 'error', error: { code: 'stream_interrupted' } })
    expect((await end).code).toBe(1011)
  })

  test('messages that are too large end the session, from either side', async () => {
    session = () => {}
    const socket = dial('/v1/realtime?model=mine')
    await opened(socket)
    const end = closed(socket)
    socket.send(Buffer.alloc(1024 * 1024 + 1))
    expect((await end).code).toBe(1009)
    session = (backend) => backend.send(Buffer.alloc(1024 * 1024 + 1))
    expect((await closed(dial('/v1/realtime?model=mine'))).code).toBe(1011)
  })

  test('a client that does not read holds its backend up, and is dropped in the end', async () => {
    let sent = 0
    let held = false
    let end = null as Promise<{ code: number }> | null
    session = (socket) => {
      end = closed(socket)
      const part = Buffer.alloc(64 * 1024)
      const more = (): void => {
        held = socket.bufferedAmount > 4 * 1024 * 1024
        if (socket.readyState !== socket.OPEN || held) return
        sent += part.length
        socket.send(part, () => setImmediate(more))
      }
      more()
      // What the kernel takes is not in the buffer: the test looks at what has left.
    }
    const socket = dial('/v1/realtime?model=mine')
    await opened(socket)
    socket.pause()
    let before = -1
    await until(() => {
      const still = sent === before
      before = sent
      return still && sent > 0
    })
    const stopped = sent
    // Kernel buffers of two connections, and what Heddle holds: no more.
    expect(stopped).toBeLessThan(64 * 1024 * 1024)
    expect((await end!).code).toBe(1006)
    expect(await metric('heddle_requests_total', { operation: 'realtime', outcome: 'client_closed' })).toBeGreaterThan(
      0,
    )
  })

  test('a budget that is used up ends the session', async () => {
    const socket = dial('/v1/realtime?model=voice', { key: LIMITED })
    const events = eventsUntil(socket, 'error')
    const end = closed(socket)
    await opened(socket)
    // One place: nobody else of the tenant gets in meanwhile.
    expect((await refusedWith(dial('/v1/realtime?model=voice', { key: LIMITED }))).status).toBe(429)
    socket.send(JSON.stringify(item('Say something about looms, at length. '.repeat(10))))
    socket.send(JSON.stringify({ type: 'response.create' }))
    const all = await events
    expect(all.at(-2)).toMatchObject({ type: 'response.done' })
    expect(all.at(-1)).toMatchObject({ error: { code: 'budget_exceeded' } })
    expect((await end).code).toBe(1008)
    // What it has used is used.
    const again = await refusedWith(dial('/v1/realtime?model=voice', { key: LIMITED }))
    expect(again.status).toBe(429)
  })

  test('who leaves before the count pays for what came', async () => {
    session = (socket) => {
      for (let i = 0; i < 5; i++) socket.send(JSON.stringify({ type: 'response.output_text.delta', delta: 'x' }))
    }
    const before = await metric('heddle_tokens_total', { model: 'mine', type: 'output' })
    const socket = dial('/v1/realtime?model=mine')
    let got = 0
    socket.on('message', () => got++)
    await until(() => got === 5)
    socket.close(1000)
    const paid = async (): Promise<number> =>
      (await metric('heddle_tokens_total', { model: 'mine', type: 'output' })) - before
    await until(async () => (await paid()) > 0)
    expect(await paid()).toBe(5)
  })
})

describe('other paths', () => {
  test('Gemini Live: the key in the query, the model in the first message', async () => {
    const got: string[] = []
    session = (socket) => {
      socket.on('message', (data) => got.push((data as Buffer).toString()))
      socket.send(Buffer.from(JSON.stringify({ usageMetadata: { promptTokenCount: 3, responseTokenCount: 4 } })))
    }
    const path = '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent'
    const socket = dial(`${path}?key=${KEY}&alt=x`, { key: '' })
    await opened(socket)
    expect(asked[0]).toMatchObject({ url: `${path}?alt=x`, headers: { 'x-goog-api-key': 'gemini-key-012345' } })
    const setup = JSON.stringify({ setup: { model: 'models/gemini-live' } })
    socket.send(setup)
    await until(() => got.length === 1)
    expect(got).toEqual([setup])
    socket.close(1000)
    await until(async () => (await metric('heddle_tokens_total', { model: 'gemini/*', type: 'output' })) === 4)
  })

  test('any WebSocket of a provider', async () => {
    session = (socket) => socket.send('hello')
    const socket = dial('/passthrough/own/some/stream?x=1&key=abc', { protocols: ['a', 'b'] })
    const first = new Promise((resolve) => socket.once('message', (data) => resolve((data as Buffer).toString())))
    expect(await first).toBe('hello')
    expect(asked[0]).toMatchObject({ url: '/v1/some/stream?x=1', headers: { 'sec-websocket-protocol': 'a,b' } })
    expect(socket.protocol).toBe('a')
    expect((await refusedWith(dial('/passthrough/own/../x'))).status).toBe(404)
  })
})

describe('abuse', () => {
  test('bytes before the answer, many frames, fragments without end, half-open ends', async () => {
    session = (socket) => socket.on('message', (data, binary) => socket.send(data, { binary }))
    const flood = dial('/v1/realtime?model=mine')
    await opened(flood)
    let back = 0
    flood.on('message', () => back++)
    for (let i = 0; i < 5000; i++) flood.send('x')
    await until(() => back === 5000, 10_000)
    const raw = connect(gateway.port, '127.0.0.1')
    open.push(() => raw.destroy())
    raw.on('error', () => {})
    const handshake = `GET /v1/realtime?model=mine HTTP/1.1\r\nhost: h\r\nauthorization: Bearer ${KEY}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`
    // An unmasked frame right behind the handshake: RFC 6455 5.1 has it fail.
    raw.write(Buffer.concat([Buffer.from(handshake), Buffer.from([0x81, 0x01, 0x78])]))
    let text = ''
    raw.on('data', (part) => (text += part.toString('latin1')))
    await new Promise((resolve) => raw.once('close', resolve))
    expect(text).toMatch(/^HTTP\/1\.1 101 /)
    // 1002: protocol error.
    expect(text.endsWith('\x88\x02\x03\xea')).toBe(true)
  })
})

test('the end of the process: sessions are told that it restarts, and new ones are turned away', async () => {
  const other = await startGateway(`
server: { log: { level: silent, access: false }, drain: { max: 200ms, propagation: 0s }, workers: 2 }
providers: { sim: { type: openai_compatible, base_url: "${sim.url}", api_key: sim-key } }
models: { voice: sim/gpt-realtime }
`)
  const clients = Array.from(
    { length: 6 },
    () => new WebSocket(`${other.url.replace('http', 'ws')}/v1/realtime?model=voice`),
  )
  for (const client of clients) client.on('error', () => {})
  await Promise.all(clients.map(opened))
  const ends = clients.map((client) => Promise.all([eventsUntil(client, 'error'), closed(client)]))
  const cut = await other.stop()
  expect(cut).toBe(6)
  for (const [events, end] of await Promise.all(ends)) {
    expect(events.at(-1)).toMatchObject({ error: { code: 'draining' } })
    expect(end.code).toBe(1012)
  }
})
