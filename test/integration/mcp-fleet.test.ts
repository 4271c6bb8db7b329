// One session, two workers behind one port: whoever gets a request can answer it.
import { expect, test } from 'vitest'
import { closedAfterEach } from '../support/closing.ts'
import { until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { begin, post, rpc, said } from '../support/mcp-clients.ts'
import { startTools } from '../support/mcp-servers.ts'

const open = closedAfterEach()

async function startFleet() {
  const files = await startTools('files')
  open.push(() => files.close())
  const gateway = await startGateway(
    `server: { log: { level: silent, access: false }, workers: 2 }\nmcp: { servers: { files: { url: ${files.url} } } }\n`,
  )
  open.push(() => gateway.stop())
  const url = `${gateway.url}/mcp`
  let id = 10
  // Without an agent each request has a connection of its own, which either worker may get.
  const tool = (session: string, name: string, args: object = {}) =>
    post(
      url,
      { jsonrpc: '2.0', id: ++id, method: 'tools/call', params: { name, arguments: args } },
      { 'mcp-session-id': session, connection: 'close' },
    )
  const count = async (session: string): Promise<string> => said(rpc(await tool(session, 'files__count')).result)
  return { gateway, files, url, tool, count }
}

test('any worker goes on with a session that another one began', async () => {
  const { gateway, files, url, count } = await startFleet()
  const session = await begin(url)
  const counts: string[] = []
  for (let i = 0; i < 24; i++) counts.push(await count(session))
  expect(counts).toEqual(Array.from({ length: 24 }, (_, i) => String(i + 1)))
  expect(files.sessions.size).toBe(1)
  // The beginning, its notice, and the calls.
  expect(files.seen.length).toBe(26)
  expect(await gateway.metric('heddle_mcp_sessions_total', { server: 'files', event: 'begun' })).toBe(1)
})

test('a session that had to be begun anew at a server is the same for all workers', async () => {
  const { files, url, count } = await startFleet()
  const session = await begin(url)
  expect(await count(session)).toBe('1')
  files.forget()
  expect(await count(session)).toBe('1')
  await new Promise((resolve) => setTimeout(resolve, 50))
  const counts: string[] = []
  for (let i = 0; i < 16; i++) counts.push(await count(session))
  expect(counts).toEqual(Array.from({ length: 16 }, (_, i) => String(i + 2)))
  expect(files.sessions.size).toBe(1)
})

test('a request is taken back, and a session ended, by whichever worker is told', async () => {
  const { files, url, tool } = await startFleet()
  const session = await begin(url)
  for (let round = 1; round <= 6; round++) {
    const slow = tool(session, 'files__slow', { steps: 500 })
    const id = 10 + round
    await until(() => files.seen.some(({ body }) => (body as { id?: unknown } | undefined)?.id === id))
    const told = await post(
      url,
      { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id, reason: `round ${round}` } },
      { 'mcp-session-id': session, connection: 'close' },
    )
    expect(told.status).toBe(202)
    const reply = await slow
    expect([reply.status, reply.text]).toEqual([200, ''])
    await until(() => files.cancelled.length === round)
  }
  const ended = await fetch(url, { method: 'DELETE', headers: { 'mcp-session-id': session } })
  expect(ended.status).toBe(200)
  await until(() => files.sessions.size === 0)
  await new Promise((resolve) => setTimeout(resolve, 50))
  for (let i = 0; i < 6; i++) {
    const reply = await tool(session, 'files__count')
    expect([reply.status, rpc(reply).error?.code]).toEqual([404, -32001])
  }
  expect(files.sessions.size).toBe(0)
})

test('a sealed session holds in another gateway that has the secret, and in none that has another', async () => {
  const files = await startTools('files')
  open.push(() => files.close())
  const start = async (secrets: string): Promise<string> => {
    const gateway = await startGateway(
      `mcp: { session: { secrets: [${secrets}] }, servers: { files: { url: ${files.url} } } }\n`,
    )
    open.push(() => gateway.stop())
    return `${gateway.url}/mcp`
  }
  const [old, next, other] = await Promise.all([
    start('first-secret-of-the-team'),
    start('second-secret-of-the-team, first-secret-of-the-team'),
    start('a-secret-of-somebody-else'),
  ])
  const session = await begin(old)
  const list = { jsonrpc: '2.0', id: 2, method: 'tools/list' }
  expect(rpc(await post(next, list, { 'mcp-session-id': session })).result?.['tools']).toHaveLength(7)
  expect((await post(other, list, { 'mcp-session-id': session })).status).toBe(404)
  // What the new secret seals the old gateway cannot open.
  expect((await post(old, list, { 'mcp-session-id': await begin(next) })).status).toBe(404)
})
