// Clients of Bedrock's Converse API: what reaches a backend that speaks it, byte by byte, what never does, and who takes over
// when it fails before its answer has begun. The SDK of AWS itself is in test/e2e/bedrock-sdk.e2e.test.ts.
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { encodeEventStream, EventStreamReader } from '../../src/protocol/bedrock/event-stream.ts'
import { startSim, type Sim } from '../../src/sim/index.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

interface Seen {
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

const ARN = 'arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-opus-4-5-v1:0'
const ANSWER =
  '{ "output": {"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"trace":{"own":[1]} }'
const START = encodeEventStream('messageStart', '{"role":"assistant","p":"ab"}')
const TEXT = encodeEventStream('contentBlockDelta', '{"contentBlockIndex":0,"delta":{"text":"Hi"},"p":"abcdef"}')
const STREAM = Buffer.concat([
  START,
  TEXT,
  encodeEventStream('contentBlockStop', '{"contentBlockIndex":0}'),
  encodeEventStream('messageStop', '{"stopReason":"end_turn"}'),
  encodeEventStream('metadata', '{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"trace":{"own":true}}'),
])
const FAILS = encodeEventStream('throttlingException', '{"message":"Too many requests."}', 'exception')

let backend: Server
let sim: Sim
let gateway: Gateway
const seen: Seen[] = []

beforeAll(async () => {
  backend = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const url = req.url ?? ''
      seen.push({ url, headers: req.headers, body: Buffer.concat(chunks).toString() })
      if (!url.endsWith('-stream')) {
        res.writeHead(200, { 'content-type': 'application/json' }).end(ANSWER)
        return
      }
      res.writeHead(200, { 'content-type': 'application/vnd.amazon.eventstream' })
      if (url.includes('busy')) res.end(Buffer.concat([START, FAILS]))
      else if (url.includes('breaks')) {
        // In the middle of its third frame.
        res.end(STREAM.subarray(0, START.length + TEXT.length + 20))
      } else res.end(STREAM)
    })
  })
  await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve))
  sim = await startSim({ port: 0 })
  const url = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`
  gateway = await startGateway(`
server: { log: { level: silent, access: false } }
providers:
  aws: { type: bedrock, base_url: "${url}", api_key: own-key, class: mesh }
  other: { type: openai, base_url: "http://127.0.0.1:${sim.port}/v1", api_key: sk-x, class: mesh }
models:
  "${ARN}": aws/amazon.nova-pro-v1:0
  busy: [aws/busy, other/gpt-4o-mini]
  mixed: [other/gpt-4o-mini, aws/amazon.nova-pro-v1:0]
`)
})

beforeEach(() => {
  seen.length = 0
})

afterAll(async () => {
  await gateway.stop()
  await sim.close()
  backend.closeAllConnections()
  await new Promise((resolve) => backend.close(resolve))
})

const BODY = '{ "messages": [ {"role":"user","content":[{"text":"Hi"}]} ], "later": {"a":[1]} }'

const post = (path: string, body = BODY, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(gateway.url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body })

const framesOf = (bytes: Buffer): { readonly name: string; readonly data: string }[] => {
  const reader = new EventStreamReader(1 << 20)
  expect(reader.push(bytes)).toBeNull()
  const frames = []
  for (let one = reader.next(); one !== null; one = reader.next()) frames.push(one)
  return frames
}

test('body and answer pass as they are, whole and streamed; of its headers nothing that says who asks', async () => {
  const signed = {
    authorization:
      'AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-central-1/bedrock/aws4_request, SignedHeaders=host, Signature=feed',
    'x-amz-date': '20260101T000000Z',
    'x-amz-security-token': 'session-secret',
    'x-amz-content-sha256': 'abc',
    'amz-sdk-invocation-id': 'one',
  }
  const whole = await post(`/model/${encodeURIComponent(ARN)}/converse`, BODY, signed)
  expect([whole.status, await whole.text()]).toEqual([200, ANSWER])
  expect(whole.headers.get('x-amzn-requestid')).toBe(whole.headers.get('x-request-id'))
  const streamed = await post(`/model/${encodeURIComponent(ARN)}/converse-stream`, BODY, signed)
  expect(streamed.headers.get('content-type')).toBe('application/vnd.amazon.eventstream')
  expect(Buffer.from(await streamed.arrayBuffer()).equals(STREAM)).toBe(true)
  expect(seen.map(({ url }) => url)).toEqual([
    '/model/amazon.nova-pro-v1%3A0/converse',
    '/model/amazon.nova-pro-v1%3A0/converse-stream',
  ])
  for (const { headers, body } of seen) {
    expect(body).toBe(BODY)
    expect(headers.authorization).toBe('Bearer own-key')
    expect(Object.keys(headers).filter((name) => /^x-amz|^amz-sdk/.test(name))).toEqual([])
    expect(JSON.stringify(headers)).not.toMatch(/AKID|feed|session-secret/)
  }
})

test('a stream that fails before it has said anything is another target’s, of another vendor', async () => {
  const answer = await post('/model/busy/converse-stream')
  const frames = framesOf(Buffer.from(await answer.arrayBuffer()))
  expect(answer.headers.get('x-heddle-attempts')).toBe('2')
  expect(frames.map(({ name }) => name).slice(-2)).toEqual(['messageStop', 'metadata'])
  expect(frames.some(({ name }) => name === 'throttlingException')).toBe(false)
})

test('one that fails later ends with an exception behind whole frames', async () => {
  const answer = await post('/model/aws%2Fbreaks/converse-stream')
  const frames = framesOf(Buffer.from(await answer.arrayBuffer()))
  expect(frames.map(({ name }) => name)).toEqual(['messageStart', 'contentBlockDelta', 'modelStreamErrorException'])
})

test('guardrails lead to Bedrock, also where another target comes first', async () => {
  const guarded = BODY.replace(
    '"later"',
    '"guardrailConfig": {"guardrailIdentifier":"g","guardrailVersion":"1"}, "later"',
  )
  expect(await (await post('/model/mixed/converse', guarded)).text()).toBe(ANSWER)
  expect(seen.map(({ body }) => body)).toEqual([guarded])
  const free = await post('/model/mixed/converse')
  expect(free.headers.get('x-heddle-target')).toContain('other')
  expect(free.headers.get('x-heddle-dropped')).toBe('later')
  const refused = await post('/model/other%2Fgpt-4o-mini/converse', guarded)
  expect([refused.status, refused.headers.get('x-amzn-errortype')]).toEqual([400, 'ValidationException'])
  expect(await refused.text()).toContain('guardrailConfig')
})

test('proofs of others do not reach it, its own do', async () => {
  const said = (signature: string) => ({ reasoningContent: { reasoningText: { text: 'hm', signature } } })
  const messages = [
    { role: 'user', content: [{ text: 'Hi' }] },
    { role: 'assistant', content: [said('hdl1.anthropic.messages!abc'), said('own'), { text: 'Hi' }] },
    { role: 'user', content: [{ text: 'And?' }] },
  ]
  await post(`/model/${encodeURIComponent(ARN)}/converse`, JSON.stringify({ messages }))
  expect(seen[0]!.body).not.toContain('hdl1.')
  expect(JSON.parse(seen[0]!.body)).toMatchObject({ messages: [{}, { content: [said('own'), { text: 'Hi' }] }, {}] })
})

test('what is not there is told in words of AWS', async () => {
  const invoke = await post('/model/m/invoke')
  expect([invoke.status, invoke.headers.get('x-amzn-errortype')]).toEqual([404, 'ResourceNotFoundException'])
  expect(await invoke.json()).toMatchObject({ message: expect.stringContaining('/model/m/invoke') as string })
  const got = await fetch(`${gateway.url}/model/m/converse`)
  expect([got.status, got.headers.get('allow'), got.headers.get('x-amzn-errortype')]).toEqual([
    405,
    'POST',
    'ValidationException',
  ])
  const broken = await post('/model/mixed/converse', '{')
  expect([broken.status, broken.headers.get('x-amzn-errortype')]).toEqual([400, 'ValidationException'])
})
