// HTTP/2 without TLS on the same port, prior knowledge.
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { startSim } from '../../src/sim/index.ts'
import { chat, eventsOf, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { CHAT, chatBody, expectEnvelope, open, portOf, raw } from './abuse-kit.ts'

let sim: Sim
let gateway: Gateway
beforeAll(async () => {
  sim = await startSim()
  gateway = await startGateway(`
server:
  log: { level: silent, access: false }
  limits: { header_timeout: 1s, body_timeout: 1s, body: 1MiB }
providers: { a: { type: openai_compatible, base_url: "${sim.url}" } }
models: { m: a/sim-chat }
`)
})
afterAll(async () => {
  await gateway.stop()
  await sim.close()
})

const sessions: ClientHttp2Session[] = []
const session = (): ClientHttp2Session => {
  const made = connect(gateway.url)
  made.on('error', () => {})
  sessions.push(made)
  return made
}
afterEach(() => {
  for (const made of sessions.splice(0)) made.destroy()
})

interface H2Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
  /** RST code; 0 = none. */
  readonly rst: number
}

function answerOf(stream: ClientHttp2Stream): Promise<H2Answer> {
  return new Promise((resolve) => {
    let headers: Record<string, string> = {}
    const chunks: Buffer[] = []
    stream.on('response', (h) => (headers = h as unknown as Record<string, string>))
    stream.on('data', (c: Buffer) => chunks.push(c))
    stream.on('error', () => {})
    stream.on('close', () =>
      resolve({
        status: Number(headers[':status'] ?? 0),
        headers,
        body: Buffer.concat(chunks).toString(),
        rst: stream.rstCode ?? 0,
      }),
    )
  })
}

const POST: OutgoingHttpHeaders = { ':method': 'POST', ':path': CHAT, 'content-type': 'application/json' }

function send(on: ClientHttp2Session, body: string | Buffer, headers: OutgoingHttpHeaders = {}): Promise<H2Answer> {
  const stream = on.request({ ...POST, ...headers })
  stream.end(body)
  return answerOf(stream)
}

describe('requests', () => {
  test('JSON', async () => {
    const answer = await send(session(), chatBody())
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toMatchObject({ object: 'chat.completion' })
    expect(answer.headers['connection']).toBeUndefined()
  })

  test('a stream', async () => {
    const { body, rst } = await send(session(), chatBody({ stream: true }))
    expect(eventsOf(body).at(-1)?.data).toBe('[DONE]')
    expect(rst).toBe(0)
  })

  test('200 at once on one connection, streams and JSON', async () => {
    const on = session()
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => send(on, chatBody({ stream: i % 2 === 0 }), { 'x-request-id': `n${i}` })),
    )
    expect(answers.map((a) => a.status)).toEqual(Array(200).fill(200))
    expect(answers.map((a) => a.headers['x-request-id'])).toEqual(answers.map((_, i) => `n${i}`))
  })

  test('without a body', async () => {
    const stream = session().request({ ':path': '/v1/models' })
    stream.end()
    expect((await answerOf(stream)).status).toBe(200)
  })

  test('expect: 100-continue', async () => {
    const stream = session().request({ ...POST, expect: '100-continue' })
    let continued = false
    stream.on('continue', () => {
      continued = true
      stream.end(chatBody())
    })
    expect((await answerOf(stream)).status).toBe(200)
    expect(continued).toBe(true)
  })
})

describe('refused', () => {
  const expectError = (answer: H2Answer, status: number, code: string): void =>
    expectEnvelope({ status: answer.status, headers: answer.headers, body: answer.body }, status, code)

  test.each<[string, string, OutgoingHttpHeaders, number, string]>([
    ['not JSON', '{', {}, 400, 'invalid_json'],
    ['no such model', chatBody({ model: 'none' }), {}, 404, 'model_not_found'],
    ['another type', chatBody(), { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['another path', chatBody(), { ':path': '/nothing' }, 404, 'not_found'],
    ['another method', '', { ':method': 'OPTIONS' }, 405, 'method_not_allowed'],
    ['content coding', chatBody(), { 'content-encoding': 'rot13' }, 415, 'unsupported_media_type'],
  ])('%s', async (_name, body, headers, status, code) => {
    expectError(await send(session(), body, headers), status, code)
  })

  test('a body announced larger than allowed', async () => {
    const stream = session().request({ ...POST, 'content-length': '9999999' })
    stream.write('{')
    expectError(await answerOf(stream), 413, 'payload_too_large')
  })

  test('a body over the limit, while it is being sent', async () => {
    const answer = await send(session(), Buffer.alloc(4 << 20, 0x20))
    expectError(answer, 413, 'payload_too_large')
  })

  test('a body that does not end', async () => {
    const stream = session().request(POST)
    const drip = setInterval(() => stream.write(' '), 50)
    const answer = await answerOf(stream)
    clearInterval(drip)
    expectError(answer, 408, 'request_timeout')
  })

  test('too many headers', async () => {
    const answer = await send(
      session(),
      chatBody(),
      Object.fromEntries(Array.from({ length: 110 }, (_, i) => [`x-${i}`, 'a'])),
    )
    expectError(answer, 431, 'headers_too_large')
  })

  test('headers of 60 kB are refused, of 200 kB end the stream, and the gateway answers on', async () => {
    expectError(await send(session(), chatBody(), { 'x-large': 'a'.repeat(60_000) }), 431, 'headers_too_large')
    const answer = await send(session(), chatBody(), { 'x-large': 'a'.repeat(200_000) })
    expect(answer.status).toBe(0)
    expect((await send(session(), chatBody())).status).toBe(200)
  })
})

describe('ends', () => {
  test('a reset stream cancels its backend call, the others go on', async () => {
    const on = session()
    const before = sim.closed.length
    const doomed = on.request(POST)
    doomed.on('error', () => {})
    doomed.end(chatBody({ model: 'a/sim-chat~stall_after=2', stream: true }))
    const other = send(on, chatBody({ model: 'a/sim-chat~interval=20', stream: true }))
    await new Promise((resolve) => doomed.once('data', resolve))
    doomed.close(constants.NGHTTP2_CANCEL)
    await until(() => sim.closed.length === before + 1)
    expect((await other).body).toContain('[DONE]')
  })

  test('a connection that vanishes cancels all its backend calls', async () => {
    const on = session()
    const before = sim.closed.length
    const streams = Array.from({ length: 20 }, () => {
      const stream = on.request(POST)
      stream.on('error', () => {})
      stream.end(chatBody({ model: 'a/sim-chat~stall_after=1', stream: true }))
      return stream
    })
    await Promise.all(streams.map((stream) => new Promise((resolve) => stream.once('data', resolve))))
    on.destroy()
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 0)
    await until(() => sim.closed.length >= before + 20)
    expect(sim.closed).toHaveLength(before + 20)
  })

  test('a broken stream of a backend ends with an error event', async () => {
    const { body } = await send(session(), chatBody({ model: 'a/sim-chat~reset_after=2', stream: true }))
    const events = eventsOf(body).map((e) => e.data)
    expect(events).not.toContain('[DONE]')
    expect(JSON.parse(events.at(-1)!)).toMatchObject({ error: { code: 'stream_interrupted' } })
  })

  test('streams that are reset while their body is unpacked, whatever comes of it', async () => {
    const on = session()
    const bodies = [
      gzipSync(chatBody({ model: 'a/sim-chat~stall' })),
      Buffer.from('no gzip'),
      gzipSync(Buffer.alloc(70 << 20)),
    ]
    for (let i = 0; i < 60; i++) {
      const stream = on.request({ ...POST, 'content-encoding': 'gzip' })
      stream.on('error', () => {})
      stream.end(bodies[i % bodies.length])
      setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), i % 5)
    }
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 0)
    expect((await send(session(), chatBody())).status).toBe(200)
    await until(() => sim.stats().inFlight === 0)
  })

  test('2,000 streams opened and reset at once leave the gateway up and nothing open', async () => {
    const on = session()
    await new Promise((resolve) => on.once('connect', resolve))
    for (let i = 0; i < 2000 && !on.destroyed && !on.closed; i++) {
      const stream = on.request(POST)
      stream.on('error', () => {})
      stream.end(chatBody({ model: 'a/sim-chat~stall', stream: true }))
      if (i % 10 === 9) await new Promise((resolve) => setImmediate(resolve))
      stream.close(constants.NGHTTP2_CANCEL)
    }
    expect((await chat(gateway.url, 'm')).status).toBe(200)
    expect((await send(session(), chatBody())).status).toBe(200)
    await until(async () => (await gateway.metric('heddle_inflight_requests')) === 0)
    await until(() => sim.stats().inFlight === 0)
  })
})

describe('the first bytes', () => {
  const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])

  test.each([1, 2, 3, 5, 16, 24])('a preface in pieces of %i is one', async (size) => {
    const socket = await open(portOf(gateway.url))
    const chunks: Buffer[] = []
    socket.on('data', (c: Buffer) => chunks.push(c)).on('error', () => {})
    const all = Buffer.concat([PREFACE, SETTINGS])
    for (let at = 0; at < all.length; at += size) {
      socket.write(all.subarray(at, at + size))
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    // The server's own SETTINGS frame: type 4 on stream 0.
    await until(() => Buffer.concat(chunks).length >= 9)
    expect(Buffer.concat(chunks)[3]).toBe(4)
    socket.destroy()
  })

  test('HTTP/1.1 in single bytes is HTTP/1.1', async () => {
    const socket = await open(portOf(gateway.url))
    const chunks: Buffer[] = []
    socket.on('data', (c: Buffer) => chunks.push(c))
    for (const byte of Buffer.from('PUT /nothing HTTP/1.1\r\nhost: t\r\n\r\n')) {
      socket.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => Buffer.concat(chunks).includes('not_found'))
    expect(Buffer.concat(chunks).toString()).toMatch(/^HTTP\/1\.1 404 /)
    socket.destroy()
  })

  test('rubbish after the preface closes the connection', async () => {
    const { closed } = await raw(portOf(gateway.url), Buffer.concat([PREFACE, Buffer.alloc(4096, 0xff)]), {
      untilClose: true,
    })
    expect(closed).toBe(true)
    expect((await send(session(), chatBody())).status).toBe(200)
  })
})

test('a method that nobody knows is answered, and names no series of its own', async () => {
  const client = session()
  for (const method of ['WEAVE', 'SPIN'])
    await answerOf(client.request({ ':method': method, ':path': '/v1/chat/completions' }, { endStream: true }))
  const text = await gateway.metrics()
  expect(text).not.toMatch(/WEAVE|SPIN/)
  expect(text).toMatch(/http_server_request_duration_seconds_count\{[^}]*_OTHER/)
})
