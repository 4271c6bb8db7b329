// Which key a backend gets, through a whole gateway.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from '../support/backend.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'

let gateway: Gateway
let backend: Backend
let keys: string[] = []

afterEach(async () => {
  await gateway.stop()
  await backend.close()
})

const keyOf = (req: IncomingMessage): string => (req.headers['authorization'] ?? '').replace('Bearer ', '')
/** refuse: status for a key, 200 = answered. */
const start = async (
  provider: string,
  refuse: (key: string, res: ServerResponse) => number,
  more = '',
): Promise<void> => {
  keys = []
  backend = await startBackend((res, _n, req) => {
    const key = keyOf(req)
    keys.push(key)
    const status = refuse(key, res)
    if (status === 200) sendJson(res, 200, CHAT_ANSWER)
    else sendJson(res, status, { error: { message: `Incorrect key provided: ${key}`, code: 'nope' } })
  })
  gateway = await startGateway(
    `providers:\n  p: { type: openai_compatible, base_url: "${backend.url}", ${provider} }\nmodels:\n  m: { targets: [{ provider: p, model: m }] }\n${more}`,
  )
}
const chat = async (key = 'none'): Promise<{ status: number; text: string }> => {
  const response = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'hi' }] }),
  })
  return { status: response.status, text: await response.text() }
}

test('a pool: a refused key is left out, the request itself does not notice', async () => {
  await start('credentials: { keys: [pool-key-one, pool-key-two] }', (key) => (key === 'pool-key-one' ? 401 : 200))
  for (let i = 0; i < 6; i++) expect((await chat()).status).toBe(200)
  expect(keys.filter((key) => key === 'pool-key-one')).toHaveLength(1)
  expect((await gateway.targets())['p/m']!.dead_ms).toBe(0)
})

test('a pool: a busy key rests while the other goes on', async () => {
  await start('credentials: { keys: [pool-key-one, pool-key-two] }', (key, res) => {
    if (key !== 'pool-key-one') return 200
    res.setHeader('retry-after', '30')
    return 429
  })
  for (let i = 0; i < 6; i++) expect((await chat()).status).toBe(200)
  expect(keys.filter((key) => key === 'pool-key-one')).toHaveLength(1)
  expect((await gateway.targets())['p/m']!.busy_ms).toBe(0)
})

test('a pool: all refused, the target is out, and no key shows in the answer', async () => {
  await start('credentials: { keys: [pool-key-one, pool-key-two] }', () => 401)
  const { status, text } = await chat()
  expect(status).toBe(502)
  expect(text).not.toMatch(/pool-key/)
  expect(new Set(keys)).toEqual(new Set(['pool-key-one', 'pool-key-two']))
  expect((await gateway.targets())['p/m']!.dead_ms).toBeGreaterThan(1000)
})

test('bring your own key: a tenant’s dead key is its own trouble', async () => {
  const callers = `auth:
  keys:
    - { id: a, key: caller-key-of-tenant-a-1, tenant: a }
    - { id: b, key: caller-key-of-tenant-b-1, tenant: b }
    - { id: c, key: caller-key-of-tenant-c-1, tenant: c }
tenants:
  a: { credentials: { p: own-key-of-a } }
  b: { credentials: { p: own-key-of-b } }
  c:
`
  await start('api_key: shared-key', (key) => (key === 'own-key-of-a' ? 401 : 200), callers)
  for (let i = 0; i < 3; i++) {
    const { status, text } = await chat('caller-key-of-tenant-a-1')
    expect(status).toBe(502)
    expect(text).not.toMatch(/own-key|shared-key/)
    expect((await chat('caller-key-of-tenant-b-1')).status).toBe(200)
    expect((await chat('caller-key-of-tenant-c-1')).status).toBe(200)
  }
  const count = (key: string): number => keys.filter((k) => k === key).length
  expect([count('own-key-of-a'), count('own-key-of-b'), count('shared-key')]).toEqual([1, 3, 3])
  expect((await gateway.targets())['p/m']!.dead_ms).toBe(0)
})

test('a provider that quotes the key in a refusal that is passed on: it is cut out', async () => {
  await start('credentials: { keys: [plain-looking-words] }', () => 422)
  const { status, text } = await chat()
  expect(status).toBe(422)
  expect(text).toContain('Incorrect key provided')
  expect(text).not.toContain('plain-looking-words')
})

test('a key file: a new key is used without a reload', async () => {
  const own = mkdtempSync(join(tmpdir(), 'heddle-key-'))
  const path = join(own, 'key')
  writeFileSync(path, 'key-before')
  await start(`credentials: { file: "${path}" }`, (key) => (key === 'key-before' ? 401 : 200))
  expect((await chat()).status).toBe(502)
  expect((await chat()).status).toBe(502)
  expect(keys).toEqual(['key-before'])
  writeFileSync(path, 'the-key-after')
  await vi.waitFor(async () => expect((await chat()).status).toBe(200), { timeout: 4000, interval: 100 })
  rmSync(own, { recursive: true, force: true })
})

test('AWS: each call is signed for the host that it goes to', async () => {
  await start('credentials: { aws: { region: eu-west-1, access_key_id: AKIDX, secret_access_key: sss } }', () => 200)
  expect((await chat()).status).toBe(200)
  expect(keys[0]).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIDX\/\d{8}\/eu-west-1\/bedrock\/aws4_request, SignedHeaders=host;x-amz-date, Signature=[0-9a-f]{64}$/,
  )
})
