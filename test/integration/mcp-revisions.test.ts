// Clients and servers of both ages of the protocol: those with sessions, and those of 2026-07-28 without.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/auth/auth-fixture.ts'
import { closedAfterEach } from '../support/closing.ts'
import { until } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { begin, BOTH, connectAgent, post, rpc, said } from '../support/mcp-clients.ts'
import { connectModern, startModern, type ModernAgent, type ModernTools } from '../support/mcp-modern.ts'
import { startTools, type Tools } from '../support/mcp-servers.ts'

const open = closedAfterEach()

async function start(
  extra = '',
): Promise<{ gateway: Gateway; url: string; next: ModernTools; files: Tools; web: Tools }> {
  const [next, files, web] = await Promise.all([
    startModern('next'),
    startTools('files'),
    startTools('web', { stateful: false, json: true }),
  ])
  open.push(
    () => next.close(),
    () => files.close(),
    () => web.close(),
  )
  const gateway = await startGateway(
    `mcp:\n  servers:\n    next: { url: ${next.url} }\n    files: { url: ${files.url} }\n    web: { url: ${web.url} }\n${extra}`,
  )
  open.push(() => gateway.stop())
  return { gateway, url: `${gateway.url}/mcp`, next, files, web }
}

const modern = async (...given: Parameters<typeof connectModern>): Promise<ModernAgent> => {
  const agent = await connectModern(...given)
  open.push(() => agent.close())
  return agent
}

test('a client without sessions uses servers of both ages', async () => {
  const { url, files, next } = await start()
  const { client } = await modern(url)
  const { tools } = await client.listTools()
  expect(tools.map(({ name }) => name)).toEqual(expect.arrayContaining(['next__echo', 'files__echo', 'web__echo']))
  for (const server of ['next', 'files', 'web'])
    expect(said(await client.callTool({ name: `${server}__echo`, arguments: { text: server } }))).toBe(server)
  expect(said(await client.callTool({ name: 'next__query', arguments: { region: 'eu wést', sql: 'select 1' } }))).toBe(
    'select 1 in eu wést',
  )
  const { contents } = await client.readResource({ uri: 'files+memo://one' })
  expect(contents).toEqual([{ uri: 'files+memo://one', text: 'the memo' }])
  // One session for all that this caller asks of a server that wants one.
  expect(files.sessions.size).toBe(1)
  const call = next.seen.findLast(({ body }) => body?.['method'] === 'tools/call')!
  expect(call.headers).toMatchObject({
    'mcp-method': 'tools/call',
    'mcp-name': 'query',
    'mcp-protocol-version': '2026-07-28',
  })
  expect(call.headers['mcp-session-id']).toBeUndefined()
})

test('progress and taking back, by the stream alone', async () => {
  const { url, next, files } = await start()
  const { client } = await modern(url)
  for (const server of ['next', 'files']) {
    const seen: number[] = []
    const result = await client.callTool(
      { name: `${server}__slow`, arguments: { steps: 3 } },
      { onprogress: ({ progress }) => void seen.push(progress) },
    )
    expect([said(result), seen]).toEqual(['done 3', [1, 2, 3]])
    const stop = new AbortController()
    const running = client.callTool(
      { name: `${server}__slow`, arguments: { steps: 1000 } },
      { signal: stop.signal, onprogress: () => stop.abort() },
    )
    await expect(running).rejects.toThrow(/abort|cancel/i)
  }
  await until(() => next.aborted.length === 1)
  await until(() => files.cancelled.length === 1)
})

test('two agents of one caller do not get each other’s answers from a session that they share', async () => {
  const { url, files } = await start()
  const [one, two] = await Promise.all([modern(url), modern(url)])
  const ask = async ({ client }: ModernAgent, name: string): Promise<void> => {
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        client.callTool({ name: 'files__echo', arguments: { text: `${name} ${i}` } }),
      ),
    )
    expect(results.map(said)).toEqual(Array.from({ length: 20 }, (_, i) => `${name} ${i}`))
  }
  await Promise.all([ask(one, 'one'), ask(two, 'two')])
  expect(files.sessions.size).toBe(1)
})

test('requests with one id, at once, in a session that is shared: each gets its own answer and progress', async () => {
  const { url } = await start()
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'c', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
    progressToken: 'mine',
  }
  const slow = (steps: number) =>
    post(
      url,
      {
        jsonrpc: '2.0',
        id: 7,
        method: 'tools/call',
        params: { name: 'files__slow', arguments: { steps }, _meta: meta },
      },
      { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'files__slow' },
    )
  await slow(1)
  const replies = await Promise.all([slow(12), slow(3), slow(7)])
  expect(replies.map((reply) => [rpc(reply).id, said(rpc(reply).result)])).toEqual([
    [7, 'done 12'],
    [7, 'done 3'],
    [7, 'done 7'],
  ])
  for (const [i, steps] of [12, 3, 7].entries())
    expect(replies[i]!.text.match(/"progressToken":"mine"/g)).toHaveLength(steps)
})

test('of different callers none shares a session', async () => {
  const keys = ['hs_first-key-aaaaaaaaa', 'hs_second-key-aaaaaaaa']
  const { url, files } = await start(
    `auth: { keys: [${keys.map((key, i) => `{ id: k${i}, hash: "sha256:${sha256(key)}" }`).join(', ')}] }\n`,
  )
  for (const key of keys) {
    const { client } = await modern(url, {}, () => {}, { authorization: `Bearer ${key}` })
    expect(said(await client.callTool({ name: 'files__count' }))).toBe('1')
  }
  expect(files.sessions.size).toBe(2)
})

test('what a server needs of the client comes and goes with the request itself', async () => {
  const { url } = await start()
  const { client } = await modern(url, { capabilities: { elicitation: { form: {} } } }, (c) => {
    c.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { yes: true } }))
  })
  expect(said(await client.callTool({ name: 'next__confirm' }))).toBe('confirmed')
})

test('changes come on the stream that the client listens on', async () => {
  const { url, next } = await start()
  let changes = 0
  const updates: string[] = []
  const { client } = await modern(url, {}, (c) => {
    c.setNotificationHandler('notifications/tools/list_changed', () => void changes++)
    c.setNotificationHandler('notifications/resources/updated', ({ params }) => void updates.push(params.uri))
  })
  const subscription = await client.listen({ toolsListChanged: true, resourceSubscriptions: ['next+memo://one'] })
  open.push(() => subscription.close())
  const listening = () => next.seen.find(({ body }) => body?.['method'] === 'subscriptions/listen')
  await until(() => listening() !== undefined)
  expect(JSON.stringify(listening()?.body)).toContain('"resourceSubscriptions":["memo://one"]')
  await until(() => {
    next.notify('tools')
    next.notify('memo')
    return changes > 0 && updates.length > 0
  })
  expect(updates[0]).toBe('next+memo://one')
})

test('a client with a session uses a server that knows none', async () => {
  const { url, next } = await start()
  const agent = await connectAgent(url, { capabilities: { elicitation: {}, sampling: {} } })
  const { client } = agent
  open.push(() => agent.close())
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain('next__query')
  // The client knows nothing of headers that repeat arguments: they are made for it.
  expect(said(await client.callTool({ name: 'next__query', arguments: { region: 'us', sql: 's' } }))).toBe('s in us')
  const called = next.seen.at(-1)!
  expect(called.headers['mcp-param-region']).toBe('us')
  // It could not be asked in the way that the server would ask.
  const { _meta: meta } = called.body!['params'] as { _meta: Record<string, unknown> }
  expect(meta['io.modelcontextprotocol/clientCapabilities']).toEqual({})
  const seen: number[] = []
  await client.callTool({ name: 'next__slow', arguments: { steps: 2 } }, undefined, {
    onprogress: ({ progress }) => void seen.push(progress),
  })
  expect(seen).toEqual([1, 2])
  await expect(client.callTool({ name: 'next__confirm' })).rejects.toThrow(/elicitation|input/i)
})

test('headers must repeat what the message says', async () => {
  const { url } = await start()
  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'c', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  }
  const message = {
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'next__echo', arguments: { text: 'x' }, _meta: meta },
  }
  const good = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'tools/call',
    'mcp-name': 'next__echo',
    accept: BOTH,
  }
  expect(said(rpc(await post(url, message, good)).result)).toBe('x')
  const encoded = `=?base64?${Buffer.from('next__echo').toString('base64')}?=`
  expect(said(rpc(await post(url, message, { ...good, 'mcp-name': encoded })).result)).toBe('x')
  for (const bad of [
    { 'mcp-method': 'tools/list' },
    { 'mcp-name': 'next__query' },
    { 'mcp-name': '=?base64?%%%?=' },
    { 'mcp-protocol-version': '2025-11-25' },
  ]) {
    const reply = await post(url, message, { ...good, ...bad })
    expect([reply.status, rpc(reply).error?.code]).toEqual([400, -32020])
  }
  const { 'mcp-name': _, ...unnamed } = good
  expect((await post(url, message, unnamed)).status).toBe(400)
  const unknown = { ...message, method: 'tools/none' }
  const lost = await post(url, unknown, { ...good, 'mcp-method': 'tools/none' })
  expect([lost.status, rpc(lost).error?.code]).toEqual([404, -32601])
  const discovered = await post(
    url,
    { jsonrpc: '2.0', id: 9, method: 'server/discover', params: { _meta: meta } },
    { ...good, 'mcp-method': 'server/discover' },
  )
  expect(rpc(discovered).result).toMatchObject({
    resultType: 'complete',
    supportedVersions: expect.arrayContaining(['2026-07-28', '2025-11-25']) as string[],
    cacheScope: 'private',
  })
})

test('a server that is replaced by one of the other age goes on being used', async () => {
  let age: 'sessions' | 'none' = 'sessions'
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const { id, method } = JSON.parse(Buffer.concat(chunks).toString()) as { id?: unknown; method: string }
      const answer = (status: number, body: object): void => {
        res.writeHead(status, { 'content-type': 'application/json' })
        res.end(JSON.stringify({ jsonrpc: '2.0', id, ...body }))
      }
      const isModern = req.headers['mcp-protocol-version'] === '2026-07-28'
      if (id === undefined) res.writeHead(202).end()
      else if (age === 'sessions' && isModern) answer(400, { error: { code: -32000, message: 'Bad Request' } })
      else if (age === 'none' && !isModern) answer(400, { error: { code: -32020, message: 'Header mismatch' } })
      else if (method === 'initialize')
        answer(200, {
          result: {
            protocolVersion: '2025-11-25',
            capabilities: { tools: {} },
            serverInfo: { name: 's', version: '1' },
          },
        })
      else if (method === 'server/discover')
        answer(200, { result: { supportedVersions: ['2026-07-28'], capabilities: { tools: {} } } })
      else answer(200, { result: { content: [{ type: 'text', text: age }] } })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
  const gateway = await startGateway(`mcp: { servers: { s: { url: "${at}" } } }\n`)
  open.push(() => gateway.stop())
  const url = `${gateway.url}/mcp`
  const session = { 'mcp-session-id': await begin(url) }
  const ask = async () =>
    said(
      rpc(await post(url, { jsonrpc: '2.0', id: 4, method: 'tools/call', params: { name: 's__x' } }, session)).result,
    )
  expect(await ask()).toBe('sessions')
  age = 'none'
  expect([await ask(), await ask()]).toEqual(['none', 'none'])
  age = 'sessions'
  expect(await ask()).toBe('sessions')
})
