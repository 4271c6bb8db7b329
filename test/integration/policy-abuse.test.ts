// The policy port against peers that break its protocol: an error for them alone, bounded memory, no effect on others.
import { statSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import fc from 'fast-check'
import { create, toBinary } from '@bufbuild/protobuf'
import { CheckRequestSchema } from '../../src/protocol/grpc/gen/authz_pb.ts'
import { CHAT_ANSWER } from '../support/backend.ts'
import { until } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import {
  answerHead,
  answerPart,
  bodyPart,
  chatHead,
  headersOf,
  policyClient,
  type PolicyClient,
  type ProcStreamClient,
} from '../support/policy-client.ts'

const CHECK = '/envoy.service.auth.v3.Authorization/Check'
const LIMIT = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'
const HEALTH = '/grpc.health.v1.Health/Check'
const BODY = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hello' }] })
const STREAM = JSON.stringify({ model: 'small', stream: true, messages: [{ role: 'user', content: 'hello' }] })

let gateway: Gateway
let client: PolicyClient
beforeEach(async () => {
  gateway = await startGateway(`
server: { log: { level: silent, access: false }, limits: { body: 8MiB }, policy: { port: 0 } }
mesh: { kind: none }
providers: { alpha: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1", api_key: sk-1 } }
models: { small: alpha/real }
limits: { all: { per: [model], rules: [{ concurrency: 50 }, { tokens: 1000000, per: 1h }] } }
`)
  client = policyClient(`127.0.0.1:${gateway.ports.policy}`)
})
afterEach(async () => {
  client.close()
  await gateway.stop()
})

const caseOf = async (stream: ProcStreamClient): Promise<string> => (await stream.next())?.response.case ?? 'none'

/** Reads up to the answer to the last part of the request. */
const decided = async (stream: ProcStreamClient): Promise<void> => {
  expect(await caseOf(stream)).toBe('requestHeaders')
  expect(await caseOf(stream)).toBe('requestBody')
}

/** A whole exchange, as a proxy has it. */
const goodCall = async (): Promise<void> => {
  const stream = client.process()
  stream.send(chatHead())
  stream.send(bodyPart(BODY))
  await decided(stream)
  stream.send(answerHead(200, { 'content-type': 'application/json' }))
  stream.send(answerPart(JSON.stringify(CHAT_ANSWER)))
  expect(await caseOf(stream)).toBe('responseHeaders')
  const last = await stream.next()
  expect(last?.response.case).toBe('responseBody')
  expect(last?.dynamicMetadata?.['heddle']).toMatchObject({ total_tokens: 5, target: 'alpha/real' })
  await stream.over()
}

const nothingOpen = async (): Promise<void> => {
  await until(async () => (await gateway.metric('heddle_policy_streams')) === 0)
  expect((await gateway.targets())['alpha/real']!.inflight).toBe(0)
  expect(await gateway.metric('heddle_inflight_requests')).toBe(0)
}

describe('messages that are none', () => {
  test('of each service: an error of gRPC, and the next is served', async () => {
    const garbage = Buffer.from('ffffffffffffffffffffff01deadbeef', 'hex')
    for (const path of [CHECK, LIMIT, HEALTH]) expect((await client.unary(path, garbage)).error?.code).toBe(13)
    const stream = client.process()
    stream.sendBytes(garbage)
    await stream.over()
    expect(stream.error?.code).toBe(13)
    await goodCall()
    await nothingOpen()
  })

  test('whatever the bytes are, nothing breaks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, after) => {
        await client.unary(CHECK, Buffer.from(bytes))
        const stream = client.process()
        if (after) stream.send(chatHead())
        stream.sendBytes(Buffer.from(bytes))
        stream.call.end()
        await stream.over()
      }),
      { numRuns: 150 },
    )
    await goodCall()
    await nothingOpen()
  })

  test('an empty check, and one with everything wrong', async () => {
    const empty = await client.unary(CHECK, Buffer.alloc(0))
    expect(empty.error).toBeNull()
    const odd = create(CheckRequestSchema, {
      attributes: { request: { http: { method: 'get us all', path: '\u0000', headers: { 'x-a': 'b' } } } },
    })
    expect((await client.unary(CHECK, Buffer.from(toBinary(CheckRequestSchema, odd)))).error).toBeNull()
  })
})

describe('parts in an order that no proxy has', () => {
  const orders: readonly [string, (stream: ProcStreamClient) => void][] = [
    ['a body first', (s) => void s.send(bodyPart(BODY))],
    ['trailers first', (s) => void s.send({ request: { case: 'requestTrailers', value: {} } })],
    ['an answer’s body first', (s) => void s.send(answerPart('x'))],
    ['nothing in a message', (s) => void s.send({})],
    ['two heads', (s) => (s.send(chatHead()), void s.send(chatHead()))],
    [
      'a body after its end',
      (s) => (s.send(chatHead()), s.send(bodyPart(BODY)), s.send(bodyPart(BODY)), void s.call.end()),
    ],
    ['an end at once', (s) => void s.call.end()],
    ['an end after the head', (s) => (s.send(chatHead()), void s.call.end())],
  ]
  test.each(orders)('%s', async (_name, play) => {
    const stream = client.process()
    play(stream)
    if (_name === 'an answer’s body first') stream.call.end()
    await stream.over()
    await goodCall()
    await nothingOpen()
    expect(
      await gateway.metric('heddle_policy_decisions_total', { service: 'ext_proc', decision: 'allowed' }),
    ).toBeGreaterThan(0)
  })

  test('an answer before the request is decided', async () => {
    const stream = client.process()
    stream.send(chatHead())
    stream.send(answerHead(429, { 'content-type': 'text/plain' }))
    stream.send(answerPart('slow down'))
    expect(await caseOf(stream)).toBe('responseHeaders')
    expect(await caseOf(stream)).toBe('responseBody')
    await stream.over()
    await nothingOpen()
  })
})

describe('a proxy that leaves', () => {
  const points: readonly [string, (stream: ProcStreamClient) => Promise<void>][] = [
    ['after the head', async (s) => void s.send(chatHead())],
    ['in the body', async (s) => (s.send(chatHead()), void s.send(bodyPart('{"model":', false)))],
    ['with the decision', async (s) => (s.send(chatHead()), void s.send(bodyPart(STREAM)))],
    ['after the decision', async (s) => (s.send(chatHead()), s.send(bodyPart(STREAM)), await decided(s))],
    [
      'with the answer’s head',
      async (s) => {
        s.send(chatHead())
        s.send(bodyPart(STREAM))
        await decided(s)
        s.send(answerHead(200, { 'content-type': 'text/event-stream' }))
      },
    ],
    [
      'in the answer',
      async (s) => {
        s.send(chatHead())
        s.send(bodyPart(STREAM))
        await decided(s)
        s.send(answerHead(200, { 'content-type': 'text/event-stream' }))
        s.send(
          answerPart(
            'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
            false,
          ),
        )
        expect(await caseOf(s)).toBe('responseHeaders')
        expect(await caseOf(s)).toBe('responseBody')
      },
    ],
  ]
  test.each(points)('%s', async (_name, play) => {
    const streams = Array.from({ length: 10 }, () => client.process())
    await Promise.all(streams.map(play))
    for (const stream of streams) stream.call.cancel()
    await nothingOpen()
    await goodCall()
    expect((await gateway.targets())['alpha/real']!.consecutive_failures).toBe(0)
  })
})

describe('too much', () => {
  test('headers of 100 KB', async () => {
    const stream = client.process()
    stream.send(chatHead({ 'x-large': 'x'.repeat(100_000) }))
    const answer = await stream.next()
    expect(answer?.response.case).toBe('immediateResponse')
    expect(answer?.response.value).toMatchObject({ status: { code: 431 }, details: 'heddle_headers_too_large' })
    await stream.over()
    const check = create(CheckRequestSchema, {
      attributes: {
        request: {
          http: { method: 'POST', path: '/v1/chat/completions', headers: { 'x-large': 'x'.repeat(100_000) } },
        },
      },
    })
    expect((await client.unary(CHECK, Buffer.from(toBinary(CheckRequestSchema, check)))).error).toBeNull()
    await nothingOpen()
  })

  test('a body without end: refused at the limit, while others go on', async () => {
    const stream = client.process()
    stream.send(chatHead())
    const part = Buffer.alloc(256 * 1024, 'x')
    for (let i = 0; i < 40; i++) stream.send(bodyPart(part, false))
    const answer = await stream.next()
    expect(answer?.response.value).toMatchObject({ status: { code: 413 } })
    await goodCall()
    await stream.over()
    await nothingOpen()
  })

  test('streams beyond the bound get an error, by which the filter’s own fail mode decides', async () => {
    await gateway.reload(`
server: { log: { level: silent, access: false }, limits: { body: 8MiB }, policy: { port: 0, ext_proc: { max_streams: 3 } } }
mesh: { kind: none }
providers: { alpha: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1", api_key: sk-1 } }
models: { small: alpha/real }
`)
    const open = Array.from({ length: 3 }, () => client.process())
    for (const stream of open) stream.send(chatHead())
    await until(async () => (await gateway.metric('heddle_policy_streams')) === 3)
    const more = client.process()
    more.send(chatHead())
    await more.over()
    expect(more.error?.code).toBe(8)
    for (const stream of open) stream.call.cancel()
    await until(async () => (await gateway.metric('heddle_policy_streams')) === 0)
    await goodCall()
  })

  test('a proxy that never reads is not read either', async () => {
    const stream = client.process()
    stream.send(chatHead())
    stream.send(bodyPart(STREAM))
    await decided(stream)
    stream.call.pause()
    stream.send(answerHead(200, { 'content-type': 'text/event-stream' }))
    const event = `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'y'.repeat(60_000) } }] })}\n\n`
    let sent = 0
    // 64 MB, were they all taken.
    for (let i = 0; i < 1000; i++) {
      if (!stream.send(answerPart(event, false))) {
        const drained = await Promise.race([
          new Promise<boolean>((resolve) => stream.call.once('drain', () => resolve(true))),
          new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 700)),
        ])
        if (!drained) break
      }
      sent += event.length
    }
    expect(sent).toBeLessThan(16 * 1024 * 1024)
    await goodCall()
    stream.call.cancel()
    await nothingOpen()
  })
})

test('health says what is served', async () => {
  const ask = async (service: string) =>
    client.unary(HEALTH, Buffer.from([0x0a, service.length, ...Buffer.from(service)]))
  expect((await ask('')).bytes).toEqual(Buffer.from([8, 1]))
  expect((await ask('envoy.service.auth.v3.Authorization')).bytes).toEqual(Buffer.from([8, 1]))
  expect((await ask('nobody')).error?.code).toBe(5)
})

test('a stream that is open when the process ends its time gets the error event', async () => {
  const other = await startGateway(`
server: { log: { level: silent, access: false }, drain: { max: 1s }, policy: { port: 0 } }
mesh: { kind: none }
providers: { alpha: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1" } }
models: { small: alpha/real }
`)
  const own = policyClient(`127.0.0.1:${other.ports.policy}`)
  const stream = own.process()
  stream.send(chatHead())
  stream.send(bodyPart(STREAM))
  await decided(stream)
  stream.send(answerHead(200, { 'content-type': 'text/event-stream' }))
  const chunk = { id: 'c', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: 'a' } }] }
  stream.send(answerPart(`data: ${JSON.stringify(chunk)}\n\n`, false))
  expect(await caseOf(stream)).toBe('responseHeaders')
  expect(await caseOf(stream)).toBe('responseBody')
  const stopped = other.stop()
  const last = (await stream.next())?.response
  const mutation = last?.case === 'responseBody' ? last.value.response?.bodyMutation?.mutation : undefined
  expect(mutation?.case).toBe('streamedResponse')
  expect(mutation?.case === 'streamedResponse' && Buffer.from(mutation.value.body).toString()).toContain('draining')
  await stream.over()
  expect(await stopped).toBe(1)
  own.close()
})

test('a Unix socket is the same port', async () => {
  const path = `/tmp/heddle-policy-${process.pid}.sock`
  const other = await startGateway(`
server: { log: { level: silent, access: false }, policy: { port: 0, socket: "${path}" } }
mesh: { kind: none }
providers: { alpha: { type: openai_compatible, base_url: "http://127.0.0.1:9/v1" } }
models: { small: alpha/real }
`)
  // As on loopback: the proxy beside it runs under a user of its own.
  expect(statSync(path).mode & 0o777).toBe(0o666)
  const local = policyClient(`unix:${path}`)
  const stream = local.process()
  stream.send({
    request: {
      case: 'requestHeaders',
      value: { headers: headersOf({ ':method': 'GET', ':path': '/v1/models' }), endOfStream: true },
    },
  })
  expect((await stream.next())?.response.value).toMatchObject({ status: { code: 200 } })
  local.close()
  await other.stop()
})
