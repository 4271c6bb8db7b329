// Access as a client meets it: statuses, headers and what can be seen, through a whole gateway.
import { generateKeyPairSync } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { NOW_S, sha256 } from '../../src/auth/auth-fixture.ts'
import { mintSignedKey } from '../../src/auth/signed-key.ts'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

const CI = 'hs_Vb7kQ2mZx9TfLr4W'
const EU = 'hs_Pn3cY8sJd6GhKw1E'
const hq = generateKeyPairSync('ed25519')
const now = Math.max(NOW_S, Math.floor(Date.now() / 1000))
const mint = (body: object): string =>
  mintSignedKey(
    'hq',
    { id: 'k', iat: now - 60, exp: now + 3600, ...body },
    JSON.stringify(hq.privateKey.export({ format: 'jwk' })),
  )

const config = `
providers:
  us: { type: sim, data: { region: us, retention: true } }
  eu: { type: sim, data: { region: eu, retention: false } }
  quiet: { type: sim }
models:
  fast: [us/sim, eu/sim]
  smart: us/sim
  unstated: quiet/sim
auth:
  keys:
    - { id: ci, hash: "sha256:${sha256(CI)}", models: [fast], tools: [get_time] }
    - { id: eu, hash: "sha256:${sha256(EU)}", tenant: acme }
  signed_keys:
    issuers: [{ name: hq, public_key: ${JSON.stringify(hq.publicKey.export({ format: 'jwk' }))} }]
tenants:
  acme: { regions: [eu], no_retention: true }
`

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway(config)
})
afterAll(() => gateway.stop())

const ask = (key: string | null, body: object, path = '/v1/chat/completions') =>
  fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
    body: JSON.stringify(body),
  })
const chat = (model: string, more: object = {}) => ({ model, messages: [{ role: 'user', content: 'Hi' }], ...more })
const errorOf = async (answer: Response) =>
  ((await answer.json()) as { error: { code: string; message: string } }).error

test('without a key: 401 in the envelope, with a challenge', async () => {
  const answer = await ask(null, chat('fast'))
  expect(answer.status).toBe(401)
  expect(answer.headers.get('www-authenticate')).toBe('Bearer')
  expect(await errorOf(answer)).toMatchObject({ code: 'unauthenticated' })
})

test('with a wrong one: 401 that does not repeat it', async () => {
  const answer = await ask('hs_not-the-right-key-at-all', chat('fast'))
  expect(answer.status).toBe(401)
  expect(answer.headers.get('www-authenticate')).toContain('invalid_token')
  expect(JSON.stringify(await errorOf(answer))).not.toContain('not-the-right')
})

test('a key may do what it may do', async () => {
  expect((await ask(CI, chat('fast'))).status).toBe(200)
  expect([403, 404]).toContain((await ask(CI, chat('smart'))).status)
  // The provider by name is no way around the grant of models.
  expect([403, 404]).toContain((await ask(CI, chat('us/sim'))).status)
  const tool = (name: string) => ({ tools: [{ type: 'function', function: { name, parameters: { type: 'object' } } }] })
  expect((await ask(CI, chat('fast', tool('get_time')))).status).toBe(200)
  expect((await ask(CI, chat('fast', tool('drop_table')))).status).toBe(403)
})

test('the list of models holds only what may be asked for', async () => {
  const list = async (key: string) => {
    const answer = await fetch(`${gateway.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } })
    return ((await answer.json()) as { data: { id: string }[] }).data.map(({ id }) => id)
  }
  expect(await list(CI)).toEqual(['fast'])
  expect(await list(EU)).toEqual(expect.arrayContaining(['fast', 'smart']))
})

test('a tenant that must stay in a region is served there, or not at all', async () => {
  for (let i = 0; i < 5; i++) {
    const answer = await ask(EU, chat('fast'))
    expect(answer.status).toBe(200)
    expect(answer.headers.get('x-heddle-target')).toBe('eu/sim')
  }
  expect((await ask(EU, chat('smart'))).status).toBe(403)
  // A provider that does not say where it is.
  expect((await ask(EU, chat('unstated'))).status).toBe(403)
})

test('a signed key works until it is revoked while the gateway runs', async () => {
  const key = mint({ id: 'runtime', models: ['fast'] })
  expect((await ask(key, chat('fast'))).status).toBe(200)
  expect([403, 404]).toContain((await ask(key, chat('smart'))).status)
  const revoked = await fetch(`${gateway.adminUrl}/admin/keys/revoked`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id: 'hq/runtime' }),
  })
  expect(revoked.status).toBe(204)
  expect((await ask(key, chat('fast'))).status).toBe(401)
  // What was revoked at run time stays so over a reload.
  expect(await gateway.reload(config.replace('smart: us/sim', 'smart: eu/sim'))).toBe(true)
  expect((await ask(key, chat('fast'))).status).toBe(401)
  expect((await ask(mint({ id: 'other' }), chat('fast'))).status).toBe(200)
})

test('neither dump, state nor metrics hold a key or its hash', async () => {
  const texts = await Promise.all(
    ['/admin/config', '/admin/state', '/metrics'].map(async (path) =>
      (await fetch(`${gateway.adminUrl}${path}`)).text(),
    ),
  )
  for (const secret of [CI, EU, sha256(CI), sha256(EU)]) expect(texts.join('')).not.toContain(secret)
})
