// Who may call what, as clients and operators meet it: a real gateway with the simulated model behind it.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
afterEach(async () => {
  await gateway?.stop()
  gateway = null
})

const KEY = 'sk-test-dev-0123456789abcdef'
const OTHER = 'sk-test-ops-0123456789abcdef'
const sha = (text: string): string => createHash('sha256').update(text).digest('hex')

const CONFIG = `
providers: { sim: }
models: { small: sim/sim-small, large: sim/sim-large }
tenants: { acme: {} }
auth:
  roles: { reader: { models: [small], operations: [chat] } }
  keys:
    - { id: dev, hash: 'sha256:${sha(KEY)}', tenant: acme, team: search, roles: [reader] }
    - { id: ops, hash: 'sha256:${sha(OTHER)}' }
`

const ask = (path: string, key: string | null, body?: object, headers: Record<string, string> = {}) =>
  fetch(`${gateway!.url}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      'content-type': 'application/json',
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

const chat = (key: string | null, model = 'small', headers: Record<string, string> = {}) =>
  ask('/v1/chat/completions', key, { model, messages: [{ role: 'user', content: 'hi' }] }, headers)

const codeOf = async (answer: Response): Promise<string> =>
  ((await answer.json()) as { error: { code: string } }).error.code

test('a key opens what it may, and nothing else is told', async () => {
  gateway = await startGateway(CONFIG)
  expect((await chat(KEY)).status).toBe(200)
  for (const key of [null, 'sk-test-dev-0123456789abcdeX', 'x', `${KEY}x`]) {
    const answer = await chat(key)
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/)
    expect(answer.headers.get('x-request-id')).not.toBe(null)
    expect(await codeOf(answer)).toBe('unauthenticated')
  }
  // Unknown paths and methods too: what there is is not a stranger's business.
  for (const path of ['/v1/models', '/v1/files', '/nothing'])
    expect([path, (await ask(path, null)).status]).toEqual([path, 401])
  const denied = await chat(KEY, 'large')
  expect(denied.status).toBe(403)
  const text = await denied.text()
  expect(text).toContain('permission_denied')
  expect(text).not.toMatch(/role|reader|rule/)
  // The same answer whether the name exists or not, also by the provider's own name.
  const bare = (body: string): string => body.replace(/"request_id":"[^"]*"/, '')
  expect(bare(await (await chat(KEY, 'no-such-model')).text())).toBe(bare(text))
  expect((await chat(KEY, 'sim/sim-large')).status).toBe(403)
  expect((await ask('/v1/embeddings', KEY, { model: 'small', input: 'x' })).status).toBe(403)
  expect((await chat(OTHER, 'large')).status).toBe(200)
})

test('the list of models holds those that the caller may use', async () => {
  gateway = await startGateway(CONFIG)
  const names = async (key: string): Promise<string[]> =>
    ((await (await ask('/v1/models', key)).json()) as { data: { id: string }[] }).data.map(({ id }) => id)
  expect(await names(KEY)).toEqual(['small'])
  expect(await names(OTHER)).toEqual(['small', 'large', 'sim'])
  expect((await ask('/v1/models/large', KEY)).status).toBe(404)
  expect((await ask('/v1/models/large', OTHER)).status).toBe(200)
})

test('the body of a stranger is not read', async () => {
  gateway = await startGateway(CONFIG)
  const socket = connect(gateway.port, '127.0.0.1')
  const answer = await new Promise<string>((resolve, reject) => {
    let text = ''
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      text += chunk
      if (text.includes('\r\n\r\n')) resolve(text)
    })
    // Promised, never sent: an answer that waits for it would not come.
    socket.write(
      'POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n{',
    )
  })
  socket.destroy()
  expect(answer).toMatch(/^HTTP\/1\.1 401 /)
  expect(answer.toLowerCase()).toContain('connection: close')
})

test('a key is revoked and given back while the process runs', async () => {
  gateway = await startGateway(CONFIG)
  const admin = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
    fetch(`${gateway!.adminUrl}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  expect((await admin('POST', '/admin/keys/revoked', { id: 'dev' })).status).toBe(204)
  expect(await codeOf(await chat(KEY))).toBe('unauthenticated')
  expect((await chat(OTHER)).status).toBe(200)
  expect(await (await admin('GET', '/admin/keys/revoked')).json()).toMatchObject({ added: ['dev'] })
  // A reload forgets nothing.
  await gateway.reload()
  expect((await chat(KEY)).status).toBe(401)
  expect((await admin('DELETE', '/admin/keys/revoked/dev')).status).toBe(204)
  expect((await chat(KEY)).status).toBe(200)
  // Pages in a browser can reach loopback.
  expect((await admin('POST', '/admin/keys/revoked', { id: 'dev' }, { origin: 'https://evil.example' })).status).toBe(
    403,
  )
  expect((await admin('POST', '/admin/keys/revoked', { nonsense: 1 })).status).toBe(400)
})

test('the admin API wants its token where there is one', async () => {
  gateway = await startGateway(`server: { admin_token: 'admin-token-0123456789', log: { level: silent } }${CONFIG}`)
  const get = async (path: string, token?: string): Promise<number> =>
    (
      await fetch(`${gateway!.adminUrl}${path}`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      })
    ).status
  expect(await Promise.all(['/livez', '/readyz', '/metrics'].map((path) => get(path)))).toEqual([200, 200, 200])
  expect(await get('/admin/config')).toBe(401)
  expect(await get('/admin/config', 'admin-token-0123456788')).toBe(401)
  expect(await get('/admin/config', 'admin-token-0123456789')).toBe(200)
})

test('what the configuration dump shows holds neither keys nor their hashes', async () => {
  gateway = await startGateway(CONFIG)
  const dump = await (await fetch(`${gateway.adminUrl}/admin/config`)).text()
  expect(dump).toContain('"dev"')
  expect(dump).not.toContain(sha(KEY))
  expect(dump).not.toContain(KEY)
})

test('a prompt that must stay in a region is neither sent elsewhere nor copied there', async () => {
  gateway = await startGateway(`
providers:
  home: { type: sim, data: { region: eu, retention: false } }
  abroad: { type: sim, data: { region: us, retention: false } }
  unknown: { type: sim }
models:
  m: { targets: [abroad/sim-a, unknown/sim-b, home/sim-c, { provider: abroad, model: sim-d, shadow: 1 }] }
  gone: { targets: [abroad/sim-a], fallbacks: [unknown/sim-b] }
tenants: { acme: { regions: [eu], no_retention: true } }
auth:
  keys:
    - { id: dev, hash: 'sha256:${sha(KEY)}', tenant: acme }
    - { id: ops, hash: 'sha256:${sha(OTHER)}' }
`)
  expect((await chat(KEY, 'm')).headers.get('x-heddle-target')).toBe('home/sim-c')
  expect((await chat(KEY, 'gone')).status).toBe(403)
  expect((await chat(KEY, 'abroad/sim-x')).status).toBe(403)
  expect(await gateway.metric('heddle_shadow_requests_total', { result: 'denied' })).toBe(1)
  expect(await gateway.metric('heddle_attempts_total', { provider: 'abroad' })).toBe(0)
  expect((await chat(OTHER, 'm')).headers.get('x-heddle-target')).toBe('abroad/sim-a')
})

test('records carry the labels of the tenant and the key, the key’s before the tenant’s', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-labels-'))
  const file = join(folder, 'usage.jsonl')
  gateway = await startGateway(`
usage: { records: { file: { path: ${file} } } }
providers: { sim: }
models: { small: sim/sim-small }
tenants: { acme: { labels: { cost_center: '4711', country: de } } }
auth:
  keys: [{ id: dev, hash: 'sha256:${sha(KEY)}', tenant: acme, labels: { cost_center: '0815' } }]
`)
  expect((await chat(KEY)).status).toBe(200)
  await gateway.stop()
  gateway = null
  const record = JSON.parse(readFileSync(file, 'utf8')) as { labels: unknown; key_id: string }
  rmSync(folder, { recursive: true })
  expect(record).toMatchObject({ key_id: 'dev', labels: { cost_center: '0815', country: 'de' } })
})
