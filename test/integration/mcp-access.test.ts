// Who may use which tool, how often, and what is written down about it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/auth/auth-fixture.ts'
import { closedAfterEach } from '../support/closing.ts'
import { call, until } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { begin, BOTH, connectAgent, INITIALIZE, post, rpc, said, type Agent } from '../support/mcp-clients.ts'
import { startTools, type Tools } from '../support/mcp-servers.ts'

const open = closedAfterEach()

const ALL = 'hs_all-of-them-aaaaaaaa'
const SOME = 'hs_some-of-them-aaaaaaa'
const NONE = 'hs_no-tools-at-all-aaaa'
const ASKS = 'hs_only-where-aaaaaaaaa'

const AUTH = `
auth:
  keys:
    - { id: all, hash: "sha256:${sha256(ALL)}", tenant: acme }
    - { id: some, hash: "sha256:${sha256(SOME)}", tools: ["files__e*", "w_*", "files__memo://one"], models: [gpt-4] }
    - { id: none, hash: "sha256:${sha256(NONE)}", operations: [chat] }
    - { id: asks, hash: "sha256:${sha256(ASKS)}", when: "mcp.method != 'tools/call' || (mcp.server == 'files' && request.params.arguments.text == 'please')" }
tenants: { acme: {} }
`

async function start(extra: string): Promise<{ gateway: Gateway; files: Tools; web: Tools; url: string }> {
  const [files, web] = await Promise.all([startTools('files'), startTools('web', { stateful: false, json: true })])
  open.push(
    () => files.close(),
    () => web.close(),
  )
  const gateway = await startGateway(
    `mcp:\n  servers:\n    files: { url: ${files.url}, deny: [broken] }\n    web: { url: ${web.url}, prefix: w_, tools: [echo, count] }\n${extra}`,
  )
  open.push(() => gateway.stop())
  return { gateway, files, web, url: `${gateway.url}/mcp` }
}

const agentOf = async (url: string, key: string): Promise<Agent> => {
  const agent = await connectAgent(url, { headers: { authorization: `Bearer ${key}` } })
  open.push(() => agent.close())
  return agent
}

const names = async ({ client }: Agent): Promise<string[]> => (await client.listTools()).tools.map(({ name }) => name)

test('without a key nothing is told but that one is wanted', async () => {
  const { url, files } = await start(AUTH)
  const reply = await post(url, INITIALIZE)
  expect(reply.status).toBe(401)
  expect(reply.headers['www-authenticate']).toBe('Bearer')
  expect(reply.json()).toMatchObject({ jsonrpc: '2.0', id: null, error: { data: { reason: 'unauthenticated' } } })
  expect((await call(url, { headers: { accept: 'text/event-stream' } })).status).toBe(401)
  expect((await call(url, { method: 'DELETE' })).status).toBe(401)
  // Keys are no tokens of an issuer: there is nobody to ask for one.
  expect((await call(`${new URL(url).origin}/.well-known/oauth-protected-resource/mcp`)).status).toBe(404)
  expect(files.seen).toEqual([])
})

test('where tokens are accepted, a refusal says where to get one (RFC 9728)', async () => {
  const { url } = await start(`
auth:
  jwt: [{ name: idp, issuer: "https://idp.test/realm", audience: tools, jwks: { keys: [{ kty: OKP, crv: Ed25519, x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", kid: a }] } }]
`)
  const { origin, host } = new URL(url)
  const reply = await post(url, INITIALIZE)
  expect(reply.status).toBe(401)
  const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`
  expect(reply.headers['www-authenticate']).toBe(`Bearer resource_metadata="${metadata}"`)
  const bad = await post(url, INITIALIZE, { authorization: 'Bearer x.y.z' })
  expect(bad.headers['www-authenticate']).toBe(`Bearer error="invalid_token", resource_metadata="${metadata}"`)
  const told = await call(metadata)
  expect(told.json()).toMatchObject({
    resource: url,
    authorization_servers: ['https://idp.test/realm'],
    bearer_methods_supported: ['header'],
  })
  const web = await call(`${origin}/.well-known/oauth-protected-resource/mcp/web`)
  expect(web.json()).toMatchObject({ resource: `${url}/web` })
  expect((await call(`${origin}/.well-known/oauth-protected-resource/mcp/nobody`)).status).toBe(404)
  // A host that is none is not repeated.
  const forged = await post(url, INITIALIZE, { host: `${host}"><x` })
  expect(forged.headers['www-authenticate']).toBe('Bearer')
})

test('tools that a caller may not use are neither listed nor called; a server’s own endpoint changes nothing', async () => {
  const { url, files } = await start(AUTH)
  const all = await agentOf(url, ALL)
  expect(await names(all)).toEqual([
    ...['echo', 'count', 'slow', 'ask', 'ask_aside', 'link'].map((name) => `files__${name}`),
    'w_echo',
    'w_count',
  ])
  const some = await agentOf(url, SOME)
  expect(await names(some)).toEqual(['files__echo', 'w_echo', 'w_count'])
  expect(said(await some.client.callTool({ name: 'files__echo', arguments: { text: 'a' } }))).toBe('a')
  const before = files.seen.length
  await expect(some.client.callTool({ name: 'files__count' })).rejects.toMatchObject({
    code: -32013,
    data: { reason: 'permission_denied' },
  })
  const own = await agentOf(`${url}/files`, SOME)
  expect(await names(own)).toEqual(['echo'])
  await expect(own.client.callTool({ name: 'count' })).rejects.toMatchObject({ code: -32013 })
  expect(files.seen.slice(before).some(({ body }) => JSON.stringify(body ?? null).includes('"count"'))).toBe(false)
  // Denied to everybody: as if it were not there.
  await expect(all.client.callTool({ name: 'files__broken' })).rejects.toMatchObject({ code: -32602 })
  await expect(all.client.callTool({ name: 'w_slow', arguments: { steps: 1 } })).rejects.toMatchObject({ code: -32602 })
  // The same patterns name resources and prompts.
  expect((await some.client.listResources()).resources.map(({ uri }) => uri)).toEqual([
    'files+memo://one',
    'web+memo://one',
  ])
  await expect(some.client.readResource({ uri: 'files+memo://any/x' })).rejects.toMatchObject({ code: -32013 })
  expect((await some.client.listPrompts()).prompts.map(({ name }) => name)).toEqual(['w_greet'])
})

test('keys for other operations do not get in; conditions see the call', async () => {
  const { url } = await start(AUTH)
  const reply = await post(url, INITIALIZE, { authorization: `Bearer ${NONE}` })
  expect(rpc(reply).error).toMatchObject({ code: -32013, message: 'This caller may not use initialize.' })
  expect(reply.headers['mcp-session-id']).toBeUndefined()
  const asks = await agentOf(url, ASKS)
  expect(said(await asks.client.callTool({ name: 'files__echo', arguments: { text: 'please' } }))).toBe('please')
  await expect(asks.client.callTool({ name: 'files__echo', arguments: { text: 'now' } })).rejects.toMatchObject({
    code: -32013,
  })
  await expect(asks.client.callTool({ name: 'w_echo', arguments: { text: 'please' } })).rejects.toMatchObject({
    code: -32013,
  })
})

test('a session is its caller’s alone, and its endpoint’s', async () => {
  const { url } = await start(AUTH)
  const mine = await begin(url, { authorization: `Bearer ${ALL}` })
  const list = { jsonrpc: '2.0', id: 2, method: 'tools/list' }
  const as = (key: string, at = url) => post(at, list, { authorization: `Bearer ${key}`, 'mcp-session-id': mine })
  expect((await as(ALL)).status).toBe(200)
  for (const reply of [await as(SOME), await as(ASKS), await as(ALL, `${url}/files`)]) {
    expect(reply.status).toBe(404)
    expect(rpc(reply).error?.code).toBe(-32001)
  }
  const ended = await call(url, {
    method: 'DELETE',
    headers: { authorization: `Bearer ${SOME}`, 'mcp-session-id': mine },
  })
  expect(ended.status).toBe(404)
  expect((await as(ALL)).status).toBe(200)
})

test('limits by tool and by server, requests and calls at a time', async () => {
  const { url, gateway } = await start(`${AUTH}
limits:
  per-tool: { per: [{ expression: mcp.tool }], when: "mcp.tool == 'count'", rules: [{ requests: 2, per: 1m }] }
  one-at-a-time: { when: "mcp.server == 'files' && mcp.tool == 'slow'", rules: [{ concurrency: 1 }] }
`)
  const { client } = await agentOf(url, ALL)
  const count = () => client.callTool({ name: 'files__count' })
  await count()
  await count()
  await expect(count()).rejects.toMatchObject({
    code: -32012,
    data: {
      reason: 'rate_limited',
      retry_after_ms: expect.any(Number) as number,
      request_id: expect.any(String) as string,
    },
  })
  expect(said(await client.callTool({ name: 'files__echo', arguments: { text: 'free' } }))).toBe('free')
  const slow = client.callTool({ name: 'files__slow', arguments: { steps: 20 } })
  await expect(client.callTool({ name: 'files__slow', arguments: { steps: 1 } })).rejects.toMatchObject({
    code: -32012,
  })
  expect(said(await slow)).toBe('done 20')
  // The place is free again.
  expect(said(await client.callTool({ name: 'files__slow', arguments: { steps: 1 } }))).toBe('done 1')
  expect(await gateway.metric('heddle_limit_refusals_total', { limit: 'per-tool' })).toBe(1)
  expect(await gateway.metric('heddle_mcp_requests_total', { outcome: 'rate_limited' })).toBe(2)
})

test('each call has a record: who, which tool, how it ended', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-mcp-'))
  open.push(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'usage.jsonl')
  const { url } = await start(`${AUTH}\nusage: { records: { file: { path: ${file} } } }\n`)
  const { client } = await agentOf(url, ALL)
  await client.listTools()
  await client.callTool({ name: 'files__echo', arguments: { text: 'top secret' } })
  await client.callTool({ name: 'files__nothing' }).catch(() => {})
  await client.readResource({ uri: 'files+memo://one' })
  const some = await agentOf(url, SOME)
  await some.client.callTool({ name: 'files__count' }).catch(() => {})
  const lines = (): Record<string, unknown>[] => {
    const text = readFileSync(file, 'utf8').trim()
    return text === '' ? [] : text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  }
  await until(() => lines().length >= 4)
  expect(lines().map(({ target, outcome, key_id, operation }) => [target, outcome, key_id, operation])).toEqual([
    ['mcp:files/echo', 'ok', 'all', 'mcp'],
    ['mcp:files/nothing', 'tool_error', 'all', 'mcp'],
    ['mcp:files/files__memo://one', 'ok', 'all', 'mcp'],
    ['mcp:files/count', 'permission_denied', 'some', 'mcp'],
  ])
  expect(readFileSync(file, 'utf8')).not.toContain('top secret')
})

test('a page of an unknown origin gets nothing, not even in the name of loopback', async () => {
  const { url } = await start('')
  for (const origin of ['http://evil.test', 'http://localhost:3000', 'null']) {
    const reply = await post(url, INITIALIZE, { origin })
    expect(reply.status).toBe(403)
    expect(reply.headers['access-control-allow-origin']).toBeUndefined()
  }
  const { url: other } = await startWithOrigins()
  const allowed = await post(other, INITIALIZE, { origin: 'http://localhost:6274' })
  expect(allowed.status).toBe(200)
  expect(allowed.headers['access-control-allow-origin']).toBe('http://localhost:6274')
  expect(allowed.headers['access-control-expose-headers']).toContain('mcp-session-id')
  const asked = await call(other, {
    method: 'OPTIONS',
    headers: {
      origin: 'http://localhost:6274',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization, mcp-protocol-version, x-evil',
    },
  })
  expect([asked.status, asked.headers['access-control-allow-headers']]).toEqual([
    204,
    'authorization, mcp-protocol-version',
  ])
  expect((await post(other, INITIALIZE, { origin: 'http://localhost.evil.test' })).status).toBe(403)
})

async function startWithOrigins(): Promise<{ url: string }> {
  const files = await startTools('files')
  open.push(() => files.close())
  const gateway = await startGateway(
    `mcp: { origins: ["http://localhost:*"], servers: { files: { url: ${files.url} } } }\n`,
  )
  open.push(() => gateway.stop())
  return { url: `${gateway.url}/mcp` }
}

test('what the client accepts it gets', async () => {
  const { url } = await start('')
  const only = (accept: string) => post(url, INITIALIZE, { accept })
  expect((await only('application/json')).headers['content-type']).toBe('application/json')
  expect((await only('text/event-stream')).headers['content-type']).toBe('text/event-stream')
  expect((await only(BOTH)).headers['content-type']).toBe('application/json')
  expect((await only('text/html')).status).toBe(406)
})
