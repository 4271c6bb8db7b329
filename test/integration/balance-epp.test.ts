// AC-LB-2: Heddle as the client of an endpoint picker. The picker is a stub that says what the test wants, over real gRPC.
import { create } from '@bufbuild/protobuf'
import * as grpc from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { ALONE, balancing, member, TestCluster } from '../../src/routing/balance/balance-fixture.ts'
import { createPicker } from '../../src/routing/balance/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { UpstreamFault } from '../../src/contracts/upstream.ts'
import {
  ExternalProcessor,
  ProcessingResponseSchema,
  type ProcessingRequest,
} from '../../src/protocol/grpc/gen/ext_proc_pb.ts'
import { grpcService } from '../../src/protocol/grpc/service.ts'
import { ClusterUpstream } from '../../src/upstream/cluster-upstream.ts'
import { createEppClient } from '../../src/upstream/epp-client.ts'
import { UndiciUpstream } from '../../src/upstream/index.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { chat } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway } from '../support/gateway.ts'

const open = closedAfterEach()
type Answer = Parameters<typeof create<typeof ProcessingResponseSchema>>[1]
type Stream = grpc.ServerDuplexStream<ProcessingRequest, unknown>

interface Stub {
  readonly address: string
  /** All that came, stream by stream. */
  readonly streams: ProcessingRequest[][]
}

/** answer: called with the whole body; what it gives is sent. */
async function startStub(answer: (body: Buffer, stream: Stream) => Answer[]): Promise<Stub> {
  const server = new grpc.Server()
  const streams: ProcessingRequest[][] = []
  server.addService(grpcService('envoy.service.ext_proc.v3.ExternalProcessor', ExternalProcessor), {
    process(stream: Stream) {
      const got: ProcessingRequest[] = []
      streams.push(got)
      const chunks: Uint8Array[] = []
      stream.on('data', (message: ProcessingRequest) => {
        got.push(message)
        if (message.request.case !== 'requestBody') return
        chunks.push(message.request.value.body)
        if (!message.request.value.endOfStream) return
        for (const init of answer(Buffer.concat(chunks), stream)) stream.write(create(ProcessingResponseSchema, init))
      })
      stream.on('end', () => stream.end())
      stream.on('error', () => {})
    },
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  open.push(() => server.forceShutdown())
  return { address: `127.0.0.1:${port}`, streams }
}

const named = (list: string, place: 'header' | 'metadata' | 'both', body?: Buffer): Answer[] => {
  const header = { header: { key: 'x-gateway-destination-endpoint', rawValue: Buffer.from(list) } }
  const extra = { header: { key: 'x-extra', rawValue: Buffer.from('yes') } }
  const key = { header: { key: 'authorization', rawValue: Buffer.from('Bearer stolen') } }
  const setHeaders = place === 'metadata' ? [extra, key] : [header, extra, key]
  return [
    {
      response: { case: 'requestHeaders', value: { response: { headerMutation: { setHeaders } } } },
      ...(place === 'header' ? {} : { dynamicMetadata: { 'envoy.lb': { 'x-gateway-destination-endpoint': list } } }),
    },
    {
      response: {
        case: 'requestBody',
        value: {
          response: {
            bodyMutation: {
              mutation: { case: 'streamedResponse', value: { body: body ?? SENT, endOfStream: true } },
            },
          },
        },
      },
    },
  ]
}

const SENT = Buffer.from(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(200_000) }] }))

interface Outcome {
  readonly status: number
  readonly fault: UpstreamFault | null
  readonly endpoints: readonly string[]
}

async function cluster(epp: string, ports: readonly number[], failureMode: 'open' | 'close' = 'close') {
  const source = new TestCluster(
    ports.map((port, slot) => member(slot, { host: '127.0.0.1', port, address: `127.0.0.1:${port}` })),
  )
  const config = { address: epp, tls: false, ca: null, serverName: null, failureMode, timeoutMs: 2000 }
  const closed: string[] = []
  const upstream = new ClusterUpstream({
    source,
    picker: createPicker(source, balancing(), ALONE),
    remote: await createEppClient(config),
    host: 'models.internal',
    orca: false,
    connect: (address) => {
      const made = new UndiciUpstream({
        origin: `http://${address}`,
        connections: 4,
        connectTimeoutMs: 1000,
        tls: { ca: null, serverName: null, rejectUnauthorized: true },
      })
      return {
        call: (request, sink) => made.call(request, sink),
        close: () => made.close().then(() => void closed.push(address)),
      }
    },
  })
  open.push(() => upstream.close())
  const call = (priority = 0, more: readonly string[] = []): Promise<Outcome> =>
    new Promise((resolve) => {
      const endpoints: string[] = []
      let status = 0
      upstream.call(
        {
          method: 'POST',
          path: '/v1/chat/completions',
          headers: ['content-type', 'application/json', 'authorization', 'Bearer secret', 'x-slo-ttft-ms', '200'],
          body: SENT,
          pick: { model: 'm', promptTokens: 50_000, session: 's1', priority },
          more,
        },
        {
          onEndpoint: (address) => void endpoints.push(address),
          onHead: (code) => void (status = code),
          onData: () => {},
          onEnd: () => resolve({ status, fault: null, endpoints }),
          onFault: (fault) => resolve({ status, fault, endpoints }),
        },
      )
    })
  return { call, source, upstream, closed }
}

const backend = async () => {
  const hosts: (string | undefined)[] = []
  const headers: Record<string, unknown>[] = []
  const started = await startBackend((res, _n, req) => {
    hosts.push(req.headers.host)
    headers.push(req.headers)
    sendJson(res, 200, CHAT_ANSWER)
  })
  open.push(() => started.close())
  return { port: Number(new URL(started.url).port), hosts, headers, bodies: started.bodies }
}

/** A port that nobody listens on. */
const nowhere = async (): Promise<number> => {
  const gone = await startBackend(() => {})
  await gone.close()
  return Number(new URL(gone.url).port)
}

const headersOf = (message: ProcessingRequest | undefined): Record<string, string> => {
  if (message?.request.case !== 'requestHeaders' && message?.request.case !== 'responseHeaders') return {}
  const { headers } = message.request.value.headers!
  return Object.fromEntries(headers.map(({ key, rawValue }) => [key, Buffer.from(rawValue).toString()]))
}

describe('AC-LB-2 client of an endpoint picker', () => {
  test.each(['header', 'metadata', 'both'] as const)(
    'the endpoint stands in the %s; served comes back',
    async (place) => {
      const [a, b] = [await backend(), await backend()]
      const stub = await startStub(() => named(`127.0.0.1:${b.port}`, place))
      const { call } = await cluster(stub.address, [a.port, b.port])
      expect(await call()).toEqual({ status: 200, fault: null, endpoints: [`127.0.0.1:${b.port}`] })
      expect(b.hosts).toEqual(['models.internal'])
      expect(b.bodies[0]!.equals(SENT)).toBe(true)
      expect(b.headers[0]).toMatchObject({ 'x-extra': 'yes', authorization: 'Bearer secret' })
      const [first] = stub.streams[0]!
      expect(headersOf(first)).toMatchObject({
        'x-session-id': 's1',
        'x-llm-d-slo-ttft-ms': '200',
        'x-slo-ttft-ms': '200',
      })
      expect(headersOf(first)).not.toHaveProperty('authorization')
      expect(first!.metadataContext!.filterMetadata['envoy.lb.subset_hint']).toEqual({
        'x-gateway-destination-endpoint-subset': [`127.0.0.1:${a.port}`, `127.0.0.1:${b.port}`],
      })
      await expect.poll(() => stub.streams[0]!.at(-1)!.request.case).toBe('responseHeaders')
      const last = stub.streams[0]!.at(-1)!
      expect(headersOf(last)).toEqual({ ':status': '200' })
      expect(last.metadataContext!.filterMetadata['envoy.lb']).toMatchObject({
        'x-gateway-destination-endpoint-served': `127.0.0.1:${b.port}`,
      })
    },
  )

  test('who is not there is passed by, in the order that was named', async () => {
    const [dead, alsoDead, a, b] = [await nowhere(), await nowhere(), await backend(), await backend()]
    const list = [dead, alsoDead, b.port, a.port].map((port) => `127.0.0.1:${port}`)
    const stub = await startStub(() => named(list.join(', '), 'both'))
    const { call, source } = await cluster(stub.address, [a.port, b.port, dead])
    // One that is no member of the cluster is not called at all: the call carries a key.
    expect(await call()).toEqual({ status: 200, fault: null, endpoints: [list[0], list[2]] })
    expect(source.state.ejectedUntil(2)).toBeGreaterThan(0)
    expect(source.state.calls(1)).toBe(0)
  })

  test.each(['open', 'close'] as const)(
    'nobody of the cluster is named, mode %s: no stranger gets the key',
    async (mode) => {
      const [a, stranger] = [await backend(), await backend()]
      const stub = await startStub(() => named(`127.0.0.1:${stranger.port}`, 'both'))
      const { call } = await cluster(stub.address, [a.port], mode)
      const { status, fault } = await call()
      expect(stranger.bodies).toHaveLength(0)
      if (mode === 'open') expect(status).toBe(200)
      else expect(fault?.refusal).toMatchObject({ code: 'upstream_unavailable', status: 503 })
    },
  )

  test('keys of any name stay with the call; a choice that could be made holds for calls of low priority', async () => {
    const a = await backend()
    const stub = await startStub(() => named(`127.0.0.1:${a.port}`, 'both'))
    const { call, source } = await cluster(stub.address, [a.port])
    source.state.signals(0, { queue: 1000 }, systemClock.monotonic())
    const secret = ['x-amz-security-token', 's3cret', 'ocp-apim-subscription-key', 's3cret', 'x-session-token', 'tied']
    expect(await call(-1, secret)).toMatchObject({ status: 200 })
    expect(JSON.stringify(headersOf(stub.streams[0]![0]))).not.toContain('s3cret')
    expect(headersOf(stub.streams[0]![0])).toMatchObject({ 'x-session-token': 'tied' })
  })

  test('asked before the end of a configuration, answered after it: the call is made and its connections end', async () => {
    const a = await backend()
    let answer = (): void => {}
    const stub = await startStub((_body, stream) => {
      answer = () => {
        for (const init of named(`127.0.0.1:${a.port}`, 'both')) stream.write(create(ProcessingResponseSchema, init))
      }
      return []
    })
    const { call, upstream, closed } = await cluster(stub.address, [a.port])
    const outcome = call()
    await expect.poll(() => stub.streams[0]?.length ?? 0).toBeGreaterThan(3)
    await upstream.close()
    answer()
    expect(await outcome).toMatchObject({ status: 200 })
    await expect.poll(() => closed).toEqual([`127.0.0.1:${a.port}`])
  })

  test('another body takes the place of what was sent', async () => {
    const a = await backend()
    const other = Buffer.from('{"model":"rewritten"}')
    const stub = await startStub(() => named(`127.0.0.1:${a.port}`, 'both', other))
    const { call } = await cluster(stub.address, [a.port])
    expect((await call()).status).toBe(200)
    expect(a.bodies[0]!.toString()).toBe(other.toString())
  })

  test.each([
    [429, 'upstream_rate_limited'],
    [503, 'upstream_unavailable'],
    [400, 'invalid_request'],
  ])('%i in the place of an answer goes to the caller with what it says', async (code, error) => {
    const a = await backend()
    const stub = await startStub(() => [
      {
        response: {
          case: 'immediateResponse',
          value: {
            status: { code },
            body: Buffer.from('no capacity\nleft'),
            headers: {
              setHeaders: [
                { header: { key: 'x-llm-d-request-dropped-reason', rawValue: Buffer.from('sheddable') } },
                { header: { key: 'retry-after', rawValue: Buffer.from('7') } },
              ],
            },
          },
        },
      },
    ])
    const { call } = await cluster(stub.address, [a.port])
    const { fault } = await call()
    expect(fault?.refusal).toMatchObject({ code: error, retryAfterMs: 7000 })
    expect(fault?.refusal?.message).toContain('no capacity left - sheddable')
    expect(a.bodies).toHaveLength(0)
  })

  test('cannot be asked: open = Heddle picks itself, close = 503', async () => {
    const a = await backend()
    const epp = `127.0.0.1:${await nowhere()}`
    const opened = await cluster(epp, [a.port], 'open')
    expect(await opened.call()).toEqual({ status: 200, fault: null, endpoints: [`127.0.0.1:${a.port}`] })
    const closed = await cluster(epp, [a.port], 'close')
    expect((await closed.call()).fault?.refusal).toMatchObject({ code: 'upstream_unavailable', status: 503 })
  })

  test('silence is not waited for longer than the timeout', async () => {
    const a = await backend()
    const stub = await startStub(() => [])
    const { call } = await cluster(stub.address, [a.port])
    expect((await call()).fault?.refusal?.detail).toContain('no answer within 2000 ms')
  })

  test('through a whole gateway: the choice is followed, and a 429 of the picker is a 429 of the gateway', async () => {
    const [a, b] = [await backend(), await backend()]
    let shed = false
    const stub = await startStub(() =>
      shed
        ? [{ response: { case: 'immediateResponse', value: { status: { code: 429 }, body: Buffer.from('full') } } }]
        : // The body is not mentioned: it stays as it is.
          [
            ...named(`127.0.0.1:${b.port}`, 'both').slice(0, 1),
            { response: { case: 'requestBody', value: { response: {} } } },
          ],
    )
    const gateway = await startGateway(`
providers:
  pool:
    type: openai_compatible
    base_url: http://models.internal/v1
    discovery: { type: static, endpoints: ["127.0.0.1:${a.port}", "127.0.0.1:${b.port}"] }
    balancing: { metrics: false, epp: { address: "${stub.address}", tls: false } }
models: { m: pool/m }`)
    open.push(() => gateway.stop())
    for (let i = 0; i < 3; i++) expect((await chat(gateway.url, 'm')).status).toBe(200)
    expect([a.bodies.length, b.bodies.length]).toEqual([0, 3])
    shed = true
    const refused = await chat(gateway.url, 'm')
    expect(refused.status).toBe(429)
    expect(refused.error?.message).toContain('full')
    expect((await gateway.targets())['pool/m']).toMatchObject({ consecutive_failures: 0, inflight: 0 })
  })
})
