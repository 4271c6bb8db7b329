// AC-PS-1, AC-PS-2: what flows through external processing, as a real Envoy sends it.
import { createServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import type { ReplyWriter } from '../../src/contracts/http.ts'
import { CLOSED_HEADERS } from '../../src/mesh/identity/visible.ts'
import { OpenStreams } from '../../src/policy/streams.ts'
import { processHandler, type ProcParts } from '../../src/policy/ext-proc.ts'
import { ExternalProcessor } from '../../src/protocol/grpc/gen/ext_proc_pb.ts'
import { GrpcServer } from '../../src/protocol/grpc/server.ts'
import { systemClock } from '../../src/core/clock.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, chat, headOf, open, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { envoy } from './kit/binary.ts'
import { startEnvoy } from './kit/envoy.ts'
import { extAuthz, extProc, grpcCluster } from './kit/policy.ts'
import { AUTH, KEY, OTHER_KEY, policyMesh } from './policy-kit.ts'

const closing = closedAfterEach()
const BEARER = { authorization: `Bearer ${KEY}` }
const EXT_PROC = 'envoy.service.ext_proc.v3.ExternalProcessor'
const COUNTED = `${AUTH}
limits:
  tokens: { per: [tenant], rules: [{ tokens: 100000, per: 24h }] }
`

const usedTokens = async (url: string): Promise<number> => {
  const answer = await chat(url, 'small', { max_tokens: 1 }, BEARER)
  return 100_000 - Number(answer.headers['x-ratelimit-remaining-tokens'])
}

/** Events of a stream, one a write, and then what `end` does. */
const eventStream = async (texts: readonly string[], gapMs: number, end: 'done' | 'open') => {
  const backend = await startBackend((res, _n, _req, body) => {
    if (!body.toString().includes('"stream":true')) {
      sendJson(res, 200, CHAT_ANSWER)
      return
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (i: number): void => {
      if (i < texts.length) {
        const chunk = {
          id: 'c',
          object: 'chat.completion.chunk',
          model: 'x',
          choices: [{ index: 0, delta: { content: texts[i] } }],
        }
        res.write(`data: ${JSON.stringify(chunk)}\n\n`)
        setTimeout(() => send(i + 1), gapMs)
      } else if (end === 'done') res.end('data: [DONE]\n\n')
    }
    send(0)
  })
  closing.push(() => backend.close())
  return backend
}

describe.skipIf(envoy === null)('AC-PS-1 external processing of streams', () => {
  test('what has come by the time a client leaves is counted', async () => {
    const backend = await eventStream(['one ', 'two ', 'three '], 5, 'open')
    const mesh = await policyMesh(closing, {
      filters: () => [extProc('policy')],
      backend: backend.url,
      policies: COUNTED,
    })
    const before = await usedTokens(mesh.url)
    const req = open(`${mesh.url}/v1/chat/completions`, {
      body: { model: 'small', stream: true, max_tokens: 5000, messages: [{ role: 'user', content: 'x' }] },
      headers: BEARER,
    })
    const res = await headOf(req)
    let text = ''
    await new Promise<void>((resolve) => {
      res.on('data', (chunk: Buffer) => {
        text += chunk.toString()
        if (text.includes('three')) resolve()
      })
    })
    req.destroy()
    await until(async () => (await mesh.gateway.metric('heddle_policy_streams')) === 0)
    const taken = (await usedTokens(mesh.url)) - before
    // Three events and a short prompt, twice a call of one token: by no means the 5000 that it might have used.
    expect(taken).toBeGreaterThan(3)
    expect(taken).toBeLessThan(100)
    expect((await mesh.gateway.targets())['alpha/sim-small']!.inflight).toBe(0)
  })

  test('events come one by one, not at the end', async () => {
    const backend = await eventStream(['a', 'b', 'c', 'd'], 60, 'done')
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const res = await headOf(
      open(`${mesh.url}/v1/chat/completions`, {
        body: { model: 'small', stream: true, messages: [{ role: 'user', content: 'x' }] },
        headers: BEARER,
      }),
    )
    const seen: string[] = []
    await new Promise<void>((resolve) => {
      res.on('data', (chunk: Buffer) => seen.push(chunk.toString()))
      res.on('end', resolve)
    })
    expect(seen.length).toBeGreaterThanOrEqual(4)
    expect(seen[0]).not.toContain('"d"')
  })

  test('an answer of a filter before it passes as it is: the stream begins with an answer', async () => {
    const mesh = await policyMesh(closing, { filters: () => [extAuthz('policy'), extProc('policy')] })
    const refused = await chat(mesh.url, 'small')
    expect(refused).toMatchObject({ status: 401, error: { code: 'unauthenticated' } })
    // And with a key both decide, the second by what the first has left of it.
    const other = await chat(mesh.url, 'large', {}, { authorization: `Bearer ${OTHER_KEY}` })
    expect(other.status).toBe(403)
    expect(await mesh.gateway.metric('heddle_policy_streams')).toBe(0)
  })

  test('a backend that fails: the dialect’s error in its place, and none of its own words', async () => {
    const backend = await startBackend((res) => sendJson(res, 500, { error: { message: 'stack of the vendor' } }))
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const answer = await chat(mesh.url, 'small', {}, BEARER)
    expect(answer).toMatchObject({ status: 502, error: { code: 'upstream_error' } })
    // The proxy has made the call: no second one.
    expect(backend.bodies.length).toBe(1)
  })

  test('a backend that cuts its stream: the client’s stream ends with an error event', async () => {
    const backend = await startBackend((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.end(
        'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"half"}}]}\n\n',
      )
    })
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const answer = await chat(mesh.url, 'small', { stream: true }, BEARER)
    expect(answer).toMatchObject({ status: 200, text: 'half', done: false, error: { code: 'stream_interrupted' } })
  })

  test('AC-PS-2 a prompt of 5 MB passes whole', async () => {
    const backend = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER))
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const prompt = 'tapestry '.repeat((5 * 1024 * 1024) / 9)
    const answer = await chat(mesh.url, 'small', { messages: [{ role: 'user', content: prompt }] }, BEARER)
    expect(answer.status).toBe(200)
    const sent = JSON.parse(backend.bodies[0]!.toString()) as { model: string; messages: { content: string }[] }
    expect(sent.model).toBe('sim-small')
    expect(sent.messages[0]!.content === prompt).toBe(true)
  })

  test('AC-PS-2 one that is larger than allowed is refused, and the next one passes', async () => {
    const backend = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER))
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, {
      filters: () => [extProc('policy')],
      backend: backend.url,
      server: 'limits: { body: 1MiB }',
    })
    const big = { messages: [{ role: 'user', content: 'x'.repeat(2 * 1024 * 1024) }] }
    expect(await chat(mesh.url, 'small', big, BEARER)).toMatchObject({
      status: 413,
      error: { code: 'payload_too_large' },
    })
    expect((await chat(mesh.url, 'small', {}, BEARER)).status).toBe(200)
    expect(backend.bodies.length).toBe(1)
  })

  test('a request without a body, and headers that no client may send', async () => {
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')] })
    const reply = await call(`${mesh.url}/v1/models`, { headers: BEARER })
    expect(reply.status).toBe(200)
    expect((reply.json() as { data: unknown[] }).data.length).toBe(2)
    expect(
      (await call(`${mesh.url}/v1/models`, { headers: { ...BEARER, 'x-large': 'x'.repeat(30_000) } })).status,
    ).toBe(431)
  })
})

describe.skipIf(envoy === null)('AC-PS-1 an answer that Heddle has itself', () => {
  test('streams from the filter: the first part at once, each part by itself, no backend', async () => {
    const parts = 4
    const begin: NonNullable<ProcParts['begin']> = (_received, reply: ReplyWriter) => ({
      begin() {
        reply.head(200, ['content-type', 'text/event-stream', 'x-heddle-cache', 'hit'])
        for (let i = 0; i < parts; i++)
          setTimeout(() => {
            if (i < parts - 1) reply.write(`data: {"n":${i}}\n\n`)
            else reply.end('data: [DONE]\n\n')
          }, i * 40)
      },
      fail() {},
      onClientGone() {},
      onDrain() {},
    })
    const services = {
      clock: systemClock,
      limits: { body: 1 << 20, headerBytes: 16384, headerCount: 100 },
      current: () => ({ policies: { headers: CLOSED_HEADERS, auth: null } }),
    }
    const procParts = {
      services,
      gate: { refusal: () => null, overload: () => null, draining: false },
      inflight() {},
      decided() {},
      config: () => ({ credentials: true, rewrite: true, maxStreams: 100 }),
      streams: new OpenStreams(),
      begin,
    } as unknown as ProcParts
    const grpc = new GrpcServer({ maxMessage: 1 << 20, maxPartial: 1 << 22 })
    grpc.streaming(EXT_PROC, ExternalProcessor.method.process, processHandler(procParts))
    const listener = createTcpServer((socket) => grpc.accept(socket))
    await new Promise<void>((resolve) => void listener.listen(0, '127.0.0.1', resolve))
    const { port } = listener.address() as AddressInfo
    closing.push(() => (grpc.close(), listener.close()))
    let asked = 0
    const backend = createServer((_req, res) => {
      asked++
      res.end('from the backend')
    })
    await new Promise<void>((resolve) => void backend.listen(0, '127.0.0.1', resolve))
    closing.push(() => backend.close())
    const proxy = await startEnvoy(
      [
        {
          name: 'ingress',
          to: [(backend.address() as AddressInfo).port],
          direction: 'inbound',
          filters: [extProc('policy')],
        },
      ],
      { clusters: [grpcCluster('policy', port)] },
    )
    closing.push(() => proxy.stop())
    const started = performance.now()
    const res = await headOf(open(`${proxy.url('ingress')}/v1/chat/completions`, { body: { model: 'small' } }))
    expect(res.headers).toMatchObject({ 'content-type': 'text/event-stream', 'x-heddle-cache': 'hit' })
    const seen: { at: number; text: string }[] = []
    await new Promise<void>((resolve) => {
      res.on('data', (chunk: Buffer) => seen.push({ at: performance.now() - started, text: chunk.toString() }))
      res.on('end', resolve)
    })
    expect(seen.map(({ text }) => text).join('')).toBe(
      'data: {"n":0}\n\ndata: {"n":1}\n\ndata: {"n":2}\n\ndata: [DONE]\n\n',
    )
    expect(seen.length).toBeGreaterThanOrEqual(3)
    process.stdout.write(
      `  AC-PS-1 streamed answer of the filter: first part after ${seen[0]!.at.toFixed(1)} ms, ${seen.length} parts\n`,
    )
    expect(asked).toBe(0)
  })
})
