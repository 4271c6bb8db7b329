// What operators may change, and who may be one.
import { readFileSync, writeFileSync, mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
const folders: string[] = []
afterEach(async () => {
  await gateway?.stop()
  gateway = null
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

const KEY = 'sk-Vb7kQ2mZx9TfLr4WPn3c'
const config = (more = ''): string => `
providers: { sim: }
models: { small: sim/sim-small }
auth: { keys: [{ id: ci, key: ${KEY}, limits: [{ requests: 100, per: 1m }] }] }
limits:
  everyone: { per: [], rules: [{ requests: 1000, per: 1m }] }
  teams: { per: [team], rules: [{ usd: 5, per: month }] }
${more}`

const post = async (body: object, path = '/admin/limits'): Promise<[number, string]> => {
  const answer = await fetch(`${gateway!.adminUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  return [answer.status, await answer.text()]
}

const chat = async (): Promise<number> => {
  const answer = await fetch(`${gateway!.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'small', messages: [{ role: 'user', content: 'hi' }] }),
  })
  await answer.text()
  return answer.status
}

test('a change that would do nothing, or something else than it says, is refused with what was meant', async () => {
  gateway = await startGateway(config())
  const future = new Date(Date.now() + 60_000).toISOString()
  for (const [body, message] of [
    [{ limit: 'everyon', unit: 'requests', amount: 0 }, 'did you mean `everyone`'],
    [{ limit: 'everyon', unit: 'requests', amount: null }, 'did you mean `everyone`'],
    [{ limit: 'tenant', unit: 'requests', amount: 1 }, 'There is no limit `tenant`'],
    [{ limit: 'everyone', unit: 'usd', amount: 0 }, 'counts no `usd`, only `requests`'],
    [{ limit: 'everyone', unit: 'requests', period: 'sliding:1', amount: 0 }, 'only `sliding:60000`'],
    [{ limit: 'everyone', unit: 'requests', scope: ['x'], amount: 0 }, 'has 0 values'],
    [{ limit: 'teams', unit: 'usd', scope: ['a', 'b'], amount: 0 }, 'has 1 values'],
    [{ limit: 'everyone', unit: 'requests', amount: 0.5 }, 'whole number'],
    [{ limit: 'teams', unit: 'usd', amount: 1e14 }, 'at most 9000000'],
    [{ limit: 'everyone', unit: 'requests', amount: 0, until: '2020-01-01T00:00:00Z' }, 'not in the future'],
    [{ limit: 'everyone', unit: 'requests', amount: 0, until: '2016-12-31T23:59:60Z' }, 'not in the future'],
    [{ limit: 'everyone', unit: 'requests', amount: -1 }, 'must be >= 0'],
    [{ limit: 'teams', unit: 'usd', amount: 0, scop: ['a'] }, 'additional properties'],
    [{ limit: 'everyone', unit: 'requests', amount: '' }, 'must be number'],
    [{ limit: 'everyone', unit: 'requests', amount: false }, 'must be number'],
    [{ limit: 'teams', unit: 'usd', scope: 'a', amount: 0 }, 'must be array'],
  ] as const) {
    const [status, text] = await post(body)
    expect([status, text]).toEqual([400, expect.stringContaining(message)])
  }
  expect(await chat()).toBe(200)
  expect((await post({ limit: 'everyone', unit: 'requests', amount: 0, until: future }))[0]).toBe(204)
  expect(await chat()).toBe(429)
  // The limit is gone, what was changed of it can be taken back all the same.
  expect(await gateway.reload(config().replace('everyone:', 'all:'))).toBe(true)
  expect(await chat()).toBe(200)
  expect((await post({ limit: 'everyone', unit: 'requests', amount: null }))[0]).toBe(204)
  expect((await post({ limit: 'key', unit: 'requests', scope: ['ci'], amount: 0 }))[0]).toBe(204)
  expect(await chat()).toBe(429)
})

test('a key that there is not cannot be revoked: it would look as if the right one were', async () => {
  gateway = await startGateway(config())
  const path = '/admin/keys/revoked'
  expect(await post({ id: 'ci ' }, path)).toEqual([400, expect.stringContaining('did you mean `ci`')])
  expect(await post({ id: 'CI' }, path)).toEqual([400, expect.stringContaining('There is no key')])
  expect(await chat()).toBe(200)
  for (const id of ['hq/k-1', 'corp:ann', 'ci']) expect((await post({ id }, path))[0]).toBe(204)
  expect(await chat()).toBe(401)
  // Gone from the file, and given back: that much can be taken back.
  expect(await gateway.reload(config().replace('id: ci', 'id: cj'))).toBe(true)
  expect((await fetch(`${gateway.adminUrl}${path}/ci`, { method: 'DELETE' })).status).toBe(204)
  const listed = (await (await fetch(`${gateway.adminUrl}${path}`)).json()) as { added: string[] }
  expect(listed.added).toEqual(['corp:ann', 'hq/k-1'])
})

test('changes outlive the process; a file that is none stops the start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-review-'))
  folders.push(folder)
  const file = join(folder, 'budgets.json')
  const text = config(`ledger: { file: ${file} }`)
  gateway = await startGateway(text)
  expect((await post({ id: 'ci' }, '/admin/keys/revoked'))[0]).toBe(204)
  expect(await chat()).toBe(401)
  await gateway.stop()
  gateway = await startGateway(text)
  expect(await chat()).toBe(401)
  await gateway.stop()
  gateway = null
  expect(readFileSync(`${file}.changes`, 'utf8')).not.toContain(KEY)
  for (const broken of ['{', '{}', '{"changes":[{"kind":"revoke"}]}']) {
    writeFileSync(`${file}.changes`, broken)
    await expect(startGateway(text)).rejects.toThrow('keys revoked at run time would be valid again')
  }
})

test('every route asks for the token', async () => {
  gateway = await startGateway(`server: { admin_token: marker-token-0123456789, log: { level: silent } }\n${config()}`)
  const ask = async (method: string, path: string, token: string | null): Promise<number> => {
    const headers = token === null ? {} : { authorization: token }
    return (await fetch(`${gateway!.adminUrl}${path}`, { method, headers })).status
  }
  const routes = [
    ['GET', '/admin/state'],
    ['HEAD', '/admin/state'],
    ['GET', '/admin/config'],
    ['GET', '/admin/limits'],
    ['POST', '/admin/limits'],
    ['GET', '/admin/keys/revoked'],
    ['POST', '/admin/keys/revoked'],
    ['DELETE', '/admin/keys/revoked/x'],
    ['POST', '/admin/reload'],
    ['GET', '/admin/nothing'],
    ['GET', '/admin/state/'],
    ['GET', '//admin/state'],
    ['GET', '/ADMIN/state'],
    ['GET', '/metrics/../admin/state'],
    ['GET', '/livez%2f..%2fadmin%2fstate'],
  ] as const
  for (const [method, path] of routes)
    for (const token of [null, '', 'Bearer', 'Bearer ', 'Bearer marker-token-012345678', 'marker-token-0123456789'])
      expect([method, path, token, await ask(method, path, token)]).toEqual([method, path, token, 401])
  expect(await ask('GET', '/admin/state', 'Bearer marker-token-0123456789')).toBe(200)
  expect(await ask('GET', '/livez', null)).toBe(200)
})

test('without a token a page that has made its name point here learns nothing', async () => {
  gateway = await startGateway(config())
  const { port } = new URL(gateway.adminUrl)
  const ask = (host: string, path: string, method = 'GET'): Promise<number> =>
    new Promise((resolve, reject) => {
      const asked = request({ port, host: '127.0.0.1', path, method, headers: { host } }, (answer) => {
        answer.resume()
        resolve(answer.statusCode ?? 0)
      })
      asked.on('error', reject).end()
    })
  for (const path of ['/admin/limits', '/admin/config', '/admin/state', '/admin/keys/revoked'])
    for (const host of ['evil.example', `evil.example:${port}`, 'localhost.evil.example', '127.0.0.1.evil.example'])
      expect([path, host, await ask(host, path)]).toEqual([path, host, 403])
  for (const host of [`127.0.0.1:${port}`, 'localhost', `LOCALHOST:${port}`, `[::1]:${port}`])
    expect(await ask(host, '/admin/limits')).toBe(200)
  expect(await ask('evil.example', '/admin/reload', 'POST')).toBe(403)
  // Probes come by any name, and are told nothing of callers.
  expect(await ask('heddle.internal', '/livez')).toBe(200)
})
