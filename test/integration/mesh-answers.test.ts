// What proxies around Heddle make of its answers: what is not its own failure must never count as one.
import { expect, test } from 'vitest'
import type { Backend, Script } from '../support/backend.ts'
import type { Gateway } from '../support/gateway.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { chat } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

const backend = async (script: Script): Promise<Backend> => {
  const made = await startBackend(script)
  closers.push(() => made.close())
  return made
}

const gateway = async (url: string, more = '', provider = ''): Promise<Gateway> => {
  const made = await startGateway(`
server: { log: { level: silent, access: false }, drain: { propagation: 0 } }
mesh: { kind: istio, wait_for_proxy: 0 }
providers: { p: { type: openai_compatible, base_url: "${url}", class: mesh${provider} } }
models: { m: p/m }
${more}`)
  closers.push(() => made.stop())
  return made
}

const ONCE = 'defaults: { retries: { max_attempts: 1 } }'

test.each([
  ['answers 500', 500, 12],
  ['refuses the key, and then rests', 401, 1],
])('a provider that %s is never our failure', async (_name, status, calls) => {
  const provider = await backend((res) => sendJson(res, status, { error: { message: 'broken' } }))
  const heddle = await gateway(provider.url, ONCE)
  const answers: string[] = []
  for (let i = 0; i < 12; i++) {
    const { status: shown, headers } = await chat(heddle.url, 'm')
    answers.push(`${shown} ${String(headers['x-llm-error-origin'])}`)
  }
  expect([...new Set(answers)]).toEqual(['424 provider'])
  expect(provider.times.length).toBe(calls)
})

test('a caller without patience is no failure of ours, whether a backend was called or not', async () => {
  const provider = await backend((res) => setTimeout(() => sendJson(res, 200, CHAT_ANSWER), 300))
  const heddle = await gateway(provider.url, ONCE)
  const answers: (string | number | undefined)[] = []
  for (const ms of ['0.001', '60']) {
    const { status, error } = await chat(heddle.url, 'm', {}, { 'x-request-timeout-ms': ms })
    answers.push(status, error?.code)
  }
  expect(answers).toEqual([424, 'deadline_exceeded', 424, 'deadline_exceeded'])
  expect(provider.times.length).toBe(1)
})

test('a full queue is our own overload, which another replica may not have', async () => {
  const provider = await backend((res) => setTimeout(() => sendJson(res, 200, CHAT_ANSWER), 500))
  const heddle = await gateway(provider.url, ONCE, ', capacity: { concurrency: 1, queue: { wait: 50ms } }')
  const first = chat(heddle.url, 'm')
  const { status, headers } = await chat(heddle.url, 'm')
  expect([status, headers['x-llm-error-origin'], headers['retry-after'] !== undefined]).toEqual([503, undefined, true])
  expect((await first).status).toBe(200)
})

test('a proxy that keeps to the deadline that it was told of costs the backend nothing of its health', async () => {
  const provider = await backend((res, _n, req) => {
    const timer = setTimeout(() => {
      res.writeHead(504, { server: 'envoy', 'content-type': 'text/plain' })
      res.end('upstream request timeout')
    }, Number(req.headers['x-envoy-upstream-rq-timeout-ms']))
    res.on('close', () => clearTimeout(timer))
  })
  const heddle = await gateway(provider.url, ONCE)
  for (let i = 0; i < 6; i++) await chat(heddle.url, 'm', {}, { 'x-request-timeout-ms': '45' })
  const { 'p/m': health } = await heddle.targets()
  expect([health!.consecutive_failures, health!.ejections]).toEqual([0, 0])
})
