// Charges that need what only the attempts know.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import type { Backend, Script } from '../support/backend.ts'
import { chat, headOf, open, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

const KEY = 'sk-money-others-0123456789abcdef'
const AUTH = { authorization: `Bearer ${KEY}` }
let gateway: Gateway
let backend: Backend
let folder = ''
afterEach(async () => {
  await gateway.stop()
  await backend.close()
  rmSync(folder, { recursive: true })
})

const start = async (script: Script, price = '{ input: 1000, output: 1000 }'): Promise<void> => {
  folder = mkdtempSync(join(tmpdir(), 'heddle-money-'))
  backend = await startBackend(script)
  gateway = await startGateway(`
usage: { cost_header: true, records: { file: { path: "${folder}/usage.jsonl" } } }
providers: { b: { type: openai_compatible, base_url: "${backend.url}", operations: [chat, passthrough] } }
models: { m: { targets: [{ provider: b, model: m, price: ${price} }], retries: { max_attempts: 1 } } }
tenants: { loom: {} }
auth: { keys: [{ id: loom, hash: "sha256:${createHash('sha256').update(KEY).digest('hex')}", tenant: loom }] }
`)
}

const record = async (): Promise<Record<string, unknown>> => {
  const read = (): string => {
    try {
      return readFileSync(join(folder, 'usage.jsonl'), 'utf8')
    } catch {
      return ''
    }
  }
  await until(() => read().endsWith('\n'))
  return JSON.parse(read().split('\n').at(-2)!) as Record<string, unknown>
}

test('an estimate is no receipt: no cost header', async () => {
  const { usage: _, ...uncounted } = CHAT_ANSWER
  await start((res) => sendJson(res, 200, uncounted))
  const answer = await chat(gateway.url, 'm', {}, AUTH)
  expect([answer.status, answer.headers['x-heddle-cost-usd']]).toEqual([200, undefined])
})

test('an answer that is none is charged when it says what it used', async () => {
  await start((res) => sendJson(res, 200, { ...CHAT_ANSWER, choices: [] }))
  expect((await chat(gateway.url, 'm', {}, AUTH)).status).toBe(502)
  expect(await record()).toMatchObject({ cost_usd: '0.005', estimated: false })
})

test('an error in a 200 is charged when it says what was used', async () => {
  const error = { message: 'the tool failed', code: 'server_error' }
  await start((res) => sendJson(res, 200, { error, usage: CHAT_ANSWER.usage }))
  expect((await chat(gateway.url, 'm', {}, AUTH)).status).toBe(502)
  expect(await record()).toMatchObject({ cost_usd: '0.005', estimated: false })
})

test('what passes through and breaks off is charged what the backend has said by then', async () => {
  const event = (data: object): string => `event: x\ndata: ${JSON.stringify(data)}\n\n`
  await start((res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(event({ type: 'message_start', message: { usage: { input_tokens: 2500, output_tokens: 1 } } }))
  })
  const body = { model: 'm', messages: [{ role: 'user', content: 'Hi' }], stream: true }
  const req = open(`${gateway.url}/v1/other/messages`, { body, headers: AUTH })
  const res = await headOf(req)
  await new Promise((resolve) => res.once('data', resolve))
  req.on('error', () => {})
  res.on('error', () => {})
  req.destroy()
  expect(await record()).toMatchObject({ input_tokens: 2500 })
})

test('what is paid by the piece counts for its tenant, too', async () => {
  await start(
    (res) => sendJson(res, 200, { created: 1, data: [{ url: 'https://example.org/1.png' }] }),
    '{ input: 0, output: 0, per_image: 0.04 }',
  )
  const request = {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...AUTH },
    body: JSON.stringify({ model: 'm', prompt: 'a loom' }),
  }
  expect((await fetch(`${gateway.url}/v1/images/generations`, request)).status).toBe(200)
  expect(await record()).toMatchObject({ cost_usd: '0.04' })
  expect(await gateway.metric('heddle_tenant_cost_usd_total', { tenant: 'loom' })).toBeCloseTo(0.04, 9)
})
