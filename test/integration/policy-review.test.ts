// What proxies tell the policy service, and what their clients would like it to believe.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { create, fromBinary, toBinary, type MessageInitShape } from '@bufbuild/protobuf'
import { CheckRequestSchema, CheckResponseSchema, type CheckResponse } from '../../src/protocol/grpc/gen/authz_pb.ts'
import { RateLimitRequestSchema } from '../../src/protocol/grpc/gen/ratelimit_pb.ts'
import { DOMAIN, PHASE, TICKET, USAGE } from '../../src/policy/ratelimit.ts'
import type { ProcessingResponse } from '../../src/protocol/grpc/gen/ext_proc_pb.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, chat, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { bodyPart, chatHead, headersOf, policyClient, type PolicyClient } from '../support/policy-client.ts'

const CHECK = '/envoy.service.auth.v3.Authorization/Check'
const LIMIT = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit'
const KEY = 'hk-Vq7xZ2mLw9RtY4nB8sKd'
const BEARER = { authorization: `Bearer ${KEY}` }
const BODY = JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hello' }] })

const closing = closedAfterEach()

interface Rig {
  readonly gateway: Gateway
  readonly client: PolicyClient
}

const yaml = (url: string, policy: string, more: string): string => `
server: { log: { level: silent, access: false }${policy === '' ? '' : `, policy: { port: 0${policy} }`} }
mesh: { kind: none }
providers: { alpha: { type: openai_compatible, base_url: "${url}", api_key: sk-1 } }
models: { small: alpha/real }
${more}`

async function rig(more: string, policy = ' ', url = 'http://127.0.0.1:9/v1', server = ''): Promise<Rig> {
  const gateway = await startGateway(yaml(url, policy, more).replace('access: false }', `access: false }${server}`))
  closing.push(() => gateway.stop())
  const client = policyClient(`127.0.0.1:${gateway.ports.policy}`)
  closing.push(() => client.close())
  return { gateway, client }
}

type Attributes = MessageInitShape<typeof CheckRequestSchema>['attributes']

async function check(
  { client }: Rig,
  headers: Readonly<Record<string, string>> = {},
  more: object = {},
  source: object = {},
): Promise<CheckResponse> {
  const http = {
    method: 'POST',
    path: '/v1/chat/completions',
    headers: { 'content-type': 'application/json', ...headers },
    rawBody: Buffer.from(BODY),
    ...more,
  }
  const attributes = { source, request: { http } } as Attributes
  const asked = create(CheckRequestSchema, { attributes })
  const { bytes, error } = await client.unary(CHECK, Buffer.from(toBinary(CheckRequestSchema, asked)))
  expect(error).toBeNull()
  return fromBinary(CheckResponseSchema, bytes!)
}

const statusOf = ({ httpResponse }: CheckResponse): number =>
  httpResponse.case === 'deniedResponse' ? (httpResponse.value.status?.code ?? 0) : 200

const removed = ({ httpResponse }: CheckResponse): readonly string[] =>
  httpResponse.case === 'okResponse' ? httpResponse.value.headersToRemove : []

const mutation = (message: ProcessingResponse | null): { set: Record<string, string>; gone: readonly string[] } => {
  const value =
    message?.response.case === 'requestHeaders' ? message.response.value.response?.headerMutation : undefined
  const set = (value?.setHeaders ?? []).map(({ header }) => [
    header?.key ?? '',
    Buffer.from(header?.rawValue ?? []).toString('latin1'),
  ])
  return { set: Object.fromEntries(set) as Record<string, string>, gone: value?.removeHeaders ?? [] }
}

const LIMITS = 'limits: { few: { per: [model], rules: [{ requests: 2, per: 1h }] } }'

describe('what a check takes of limits', () => {
  test('off: nothing, however often is asked; over HTTP as well', async () => {
    const asked = await rig(LIMITS, ', authz: { limits: off }')
    for (let i = 0; i < 4; i++) expect(statusOf(await check(asked))).toBe(200)
    const url = `${asked.gateway.url}/ext-authz/v1/chat/completions`
    for (let i = 0; i < 4; i++) expect((await call(url, { method: 'POST', body: BODY })).status).toBe(200)
  })

  test('estimate: one request each', async () => {
    const asked = await rig(LIMITS)
    for (let i = 0; i < 2; i++) expect(statusOf(await check(asked))).toBe(200)
    expect(statusOf(await check(asked))).toBe(429)
  })
})

describe('questions over HTTP', () => {
  test('only where authorization is served; a question never becomes a call', async () => {
    const counted = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER))
    closing.push(() => counted.close())
    const limitsOnly = await rig('', ', services: [ratelimit]', counted.url)
    const ask = (gateway: Gateway) =>
      call(`${gateway.url}/ext-authz/v1/chat/completions`, { method: 'POST', body: BODY })
    expect((await ask(limitsOnly.gateway)).status).toBe(404)

    const asked = await rig('', ' ', counted.url)
    expect((await ask(asked.gateway)).status).toBe(200)
    // The port stays until the next start, and so does what it answers.
    expect(await asked.gateway.reload(yaml(counted.url, '', ''))).toBe(true)
    expect((await ask(asked.gateway)).status).toBe(200)
    expect(counted.bodies.length).toBe(0)
    expect((await chat(asked.gateway.url, 'small')).status).toBe(200)
    expect(counted.bodies.length).toBe(1)
  })
})

describe('what clients would like to be believed', () => {
  test('a cut body is cut, whatever else the header says', async () => {
    const asked = await rig('')
    for (const first of ['false', 'x']) {
      const list = [
        ['content-type', 'application/json'],
        ['x-envoy-auth-partial-body', first],
        ['x-envoy-auth-partial-body', 'true'],
      ].map(([key, value]) => ({ key: key!, rawValue: Buffer.from(value!) }))
      expect(statusOf(await check(asked, {}, { headerMap: { headers: list } }))).toBe(413)
    }
  })

  test('an address that a proxy tells of is not one that may name callers', async () => {
    const asked = await rig(`
auth:
  keys: [{ id: one, key: "${KEY}" }]
  peers:
    header: x-client-id
    trust: [127.0.0.1/32]
    map: [{ id: "spiffe://td/ns/a/sa/root" }]
`)
    const source = { address: { address: { case: 'socketAddress', value: { address: '127.0.0.1' } } } }
    const forged = { 'x-client-id': 'spiffe://td/ns/a/sa/root' }
    expect(statusOf(await check(asked, forged, {}, source))).toBe(401)
    // Whom the proxy itself has verified is somebody.
    expect(statusOf(await check(asked, {}, {}, { ...source, principal: 'spiffe://td/ns/a/sa/root' }))).toBe(200)
    const stream = asked.client.process()
    const attributes = { 'envoy.filters.http.ext_proc': { 'source.address': '127.0.0.1:1' } }
    stream.send({ ...chatHead(forged), attributes })
    stream.send(bodyPart(BODY))
    const answer = await stream.next()
    expect(answer?.response.case).toBe('immediateResponse')
    stream.call.end()
  })

  test('orders to proxies, and names of ours, go no further', async () => {
    const asked = await rig(`auth: { keys: [{ id: one, key: "${KEY}" }] }`)
    const steering = {
      'x-envoy-original-dst-host': '10.0.0.1:80',
      'x-gateway-destination-endpoint': '10.0.0.1:80',
      'l5d-dst-override': 'other:80',
      'x-heddle-tenant': 'root',
      'x-heddle-ticket': 'other',
    }
    const gone = removed(await check(asked, { ...BEARER, ...steering }))
    for (const name of Object.keys(steering)) expect(gone).toContain(name)
    const stream = asked.client.process()
    stream.send(chatHead({ ...BEARER, ...steering }))
    stream.send(bodyPart(BODY))
    const head = mutation(await stream.next())
    for (const name of Object.keys(steering)) expect(head.gone).toContain(name)
    stream.call.end()
    await stream.over()
  })

  test('the ticket of a check over HTTP is not taken off again', async () => {
    const asked = await rig(LIMITS, ', authz: { limits: settle }')
    const { headers } = await call(`${asked.gateway.url}/ext-authz/v1/chat/completions`, {
      method: 'POST',
      body: BODY,
      headers: { 'x-heddle-ticket': 'other' },
    })
    expect(headers['x-heddle-ticket']).toMatch(/^[\w-]{16}$/)
    expect(headers['x-envoy-auth-headers-to-remove'] ?? '').not.toContain('x-heddle-ticket')
  })
})

describe('what ends early', () => {
  test('a proxy that leaves while the body is unpacked holds nothing', async () => {
    const { gateway, client } = await rig('limits: { one: { per: [model], rules: [{ concurrency: 2 }] } }')
    const packed = gzipSync(BODY.replace('hello', 'hello '.repeat(50_000)))
    for (let i = 0; i < 5; i++) {
      const stream = client.process()
      stream.send(chatHead({ 'content-encoding': 'gzip' }))
      stream.send(bodyPart(packed))
      stream.call.end()
      await stream.over()
    }
    await until(async () => (await gateway.metric('heddle_policy_streams')) === 0)
    const stream = client.process()
    stream.send(chatHead())
    stream.send(bodyPart(BODY))
    expect((await stream.next())?.response.case).toBe('requestHeaders')
    stream.call.end()
    await stream.over()
    await until(async () => (await gateway.targets())['alpha/real']!.inflight === 0)
  })

  test('a head that is refused is refused once, whatever follows it', async () => {
    const { gateway, client } = await rig(LIMITS)
    const twice = { key: 'x-api-key', rawValue: Buffer.from('a') }
    const given = headersOf({ ':method': 'POST', ':path': '/v1/chat/completions', ':authority': 'x' })
    const headers = { headers: [...given.headers, twice, twice] }
    const stream = client.process()
    stream.send({ request: { case: 'requestHeaders', value: { headers, endOfStream: false } } })
    stream.send(bodyPart(BODY))
    expect((await stream.next())?.response.case).toBe('immediateResponse')
    await stream.over()
    await until(async () => (await gateway.metric('heddle_policy_streams')) === 0)
    expect(await gateway.metric('heddle_requests_total')).toBe(1)
  })

  test('a stranger’s body is not waited for', async () => {
    const { client } = await rig(`auth: { keys: [{ id: one, key: "${KEY}" }] }`)
    const stream = client.process()
    stream.send(chatHead({ authorization: 'Bearer hk-somebody' }))
    const answer = await stream.next()
    expect(answer?.response.case === 'immediateResponse' && answer.response.value.status?.code).toBe(401)
    await stream.over()
  })

  test('an answer that is all head gets no body', async () => {
    const { client } = await rig('')
    const stream = client.process()
    const head = headersOf({ ':method': 'DELETE', ':path': '/v1/files/f-1?model=small', ':authority': 'x' })
    stream.send({ request: { case: 'requestHeaders', value: { headers: head, endOfStream: true } } })
    expect((await stream.next())?.response.case).toBe('requestHeaders')
    stream.send({
      request: { case: 'responseHeaders', value: { headers: headersOf({ ':status': '204' }), endOfStream: true } },
    })
    const cases: string[] = []
    for (let message = await stream.next(); message !== null; message = await stream.next())
      cases.push(message.response.case ?? 'none')
    expect(cases).toEqual(['responseHeaders'])
  })
})

describe('what is counted', () => {
  test('a body that came packed is expected to use what it would use unpacked', async () => {
    const asked = await rig(LIMITS)
    const body = JSON.stringify({ model: 'small', query: 'q', documents: ['words '.repeat(5000)] })
    const expected = async (rawBody: Buffer, headers = {}): Promise<unknown> => {
      const { dynamicMetadata } = await check(asked, headers, { path: '/v1/rerank', rawBody })
      return dynamicMetadata?.['input_tokens']
    }
    const plain = await expected(Buffer.from(body))
    expect(plain).toBeGreaterThan(1000)
    expect(await expected(gzipSync(body), { 'content-encoding': 'gzip' })).toBe(plain)
  })

  test('what may go on is no call of ours; what may not is recorded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-policy-'))
    closing.push(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'usage.jsonl')
    const asked = await rig(`${LIMITS}\nusage: { records: { file: { path: ${JSON.stringify(path)} } } }`)
    for (let i = 0; i < 3; i++) await check(asked)
    await asked.gateway.stop()
    const records = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    expect(records.map((line) => (JSON.parse(line) as { outcome: string }).outcome)).toEqual(['rate_limited'])
  })
})

test('whichever worker hears of the end of a call settles it', async () => {
  const { gateway } = await rig(
    'limits: { t: { per: [model], rules: [{ tokens: 1000, per: 24h }] } }',
    ', authz: { limits: settle }',
    undefined,
    ', workers: 2',
  )
  const clients = Array.from({ length: 8 }, () => policyClient(`127.0.0.1:${gateway.ports.policy}`))
  closing.push(() => clients.forEach((client) => client.close()))
  for (const client of clients) {
    const { dynamicMetadata } = await check({ gateway, client: clients[0]! })
    const entries = [
      { key: PHASE, value: 'done' },
      { key: TICKET, value: String(dynamicMetadata?.['ticket']) },
      { key: USAGE, value: '3,2' },
    ]
    const told = create(RateLimitRequestSchema, { domain: DOMAIN, descriptors: [{ entries }] })
    expect((await client.unary(LIMIT, Buffer.from(toBinary(RateLimitRequestSchema, told)))).error).toBeNull()
  }
  await until(async () => (await gateway.metric('heddle_policy_leases')) === 0)
  // Of eight connections some are with the other worker.
  expect(await gateway.metric('heddle_policy_unknown_tickets_total')).toBeGreaterThan(0)
  const body = JSON.stringify({ model: 'small', max_tokens: 1, messages: [{ role: 'user', content: 'x' }] })
  const { httpResponse } = await check({ gateway, client: clients[0]! }, {}, { rawBody: Buffer.from(body) })
  const list = httpResponse.case === 'okResponse' ? httpResponse.value.responseHeadersToAdd : []
  const left = Number(list.find(({ header }) => header?.key === 'x-ratelimit-remaining-tokens')?.header?.value)
  expect(left).toBeGreaterThan(1000 - 8 * 5 - 40)
  expect(left).toBeLessThan(1000 - 8 * 5)
})
