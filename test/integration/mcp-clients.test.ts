// The official SDK's client against the gateway, with servers of the official SDK behind it.
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { expect, test } from 'vitest'
import { closedAfterEach } from '../support/closing.ts'
import { until } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { connectAgent, said, type Agent, type AgentOptions } from '../support/mcp-clients.ts'
import { startTools, usualTools, type Tools } from '../support/mcp-servers.ts'

const open = closedAfterEach()

interface Set {
  readonly gateway: Gateway
  readonly files: Tools
  readonly web: Tools
  readonly desk: Tools
}

/** One that keeps sessions and streams, one that keeps none and answers in JSON, one that keeps them and answers in JSON. */
async function startSet(extra = ''): Promise<Set> {
  const [files, web, desk] = await Promise.all([
    startTools('files'),
    startTools('web', { stateful: false, json: true }),
    startTools('desk', { json: true }),
  ])
  open.push(
    () => files.close(),
    () => web.close(),
    () => desk.close(),
  )
  const gateway = await startGateway(
    `mcp:\n${extra}  servers:\n    files: { url: ${files.url} }\n    web: { url: ${web.url}, prefix: w_ }\n    desk: { url: ${desk.url} }\n`,
  )
  open.push(() => gateway.stop())
  return { gateway, files, web, desk }
}

async function connect(url: string, options?: AgentOptions): Promise<Agent> {
  const agent = await connectAgent(url, options)
  open.push(() => agent.close())
  return agent
}

const TOOLS = ['echo', 'count', 'slow', 'ask', 'ask_aside', 'link', 'broken']

test('tools of all servers stand in one list under names of their own, and are called by those', async () => {
  const { gateway } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp`)
  expect(client.getServerVersion()?.name).toBe('heddle')
  expect(client.getInstructions()).toContain('Use desk well.')
  const { tools } = await client.listTools()
  expect(tools.map(({ name }) => name)).toEqual([
    ...TOOLS.map((name) => `files__${name}`),
    ...TOOLS.map((name) => `w_${name}`),
    ...TOOLS.map((name) => `desk__${name}`),
  ])
  expect(tools[0]).toMatchObject({ description: 'Says it again', inputSchema: { required: ['text'] } })
  for (const prefix of ['files__', 'w_', 'desk__']) {
    const result = await client.callTool({ name: `${prefix}echo`, arguments: { text: `to ${prefix}` } })
    expect(said(result)).toBe(`to ${prefix}`)
  }
  const broken = await client.callTool({ name: 'files__broken' })
  expect(broken.isError).toBe(true)
  await expect(client.callTool({ name: 'nobody__echo' })).rejects.toThrow(/Unknown tool: nobody__echo/)
})

test('a server keeps one session for each client, and none is shared', async () => {
  const { gateway, files } = await startSet()
  const ann = await connect(`${gateway.url}/mcp`)
  const bob = await connect(`${gateway.url}/mcp`)
  const count = async ({ client }: Agent): Promise<string> => said(await client.callTool({ name: 'files__count' }))
  expect([await count(ann), await count(ann), await count(bob), await count(ann)]).toEqual(['1', '2', '1', '3'])
  expect(files.sessions.size).toBe(2)
  await ann.transport.terminateSession()
  await until(() => files.sessions.size === 1)
  expect(await count(bob)).toBe('2')
})

test('a server’s own endpoint shows its tools under their own names', async () => {
  const { gateway } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp/web`)
  expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(TOOLS)
  expect(said(await client.callTool({ name: 'echo', arguments: { text: 'x' } }))).toBe('x')
  expect((await client.readResource({ uri: 'memo://one' })).contents[0]).toEqual({
    uri: 'memo://one',
    text: 'the memo',
  })
  await expect(connect(`${gateway.url}/mcp/nobody`)).rejects.toThrow(/No MCP server has this path/)
})

test('progress comes while the tool runs, from streams', async () => {
  const { gateway } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp`)
  const seen: number[] = []
  const result = await client.callTool({ name: 'files__slow', arguments: { steps: 4 } }, undefined, {
    onprogress: ({ progress }) => void seen.push(progress),
  })
  expect(said(result)).toBe('done 4')
  expect(seen).toEqual([1, 2, 3, 4])
})

test('a request that is taken back is taken back at the server', async () => {
  const { gateway, files } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp`)
  const stop = new AbortController()
  const running = client.callTool({ name: 'files__slow', arguments: { steps: 500 } }, undefined, {
    signal: stop.signal,
    onprogress: () => stop.abort('enough'),
  })
  await expect(running).rejects.toThrow(/enough/)
  await until(() => files.cancelled.length === 1)
  expect(files.cancelled).toEqual(['enough'])
  const ended = await gateway.metric('heddle_mcp_tool_calls_total', { outcome: 'client_closed' })
  expect(ended).toBe(1)
})

test('resources and templates keep the server in their URIs, also where tools name them', async () => {
  const { gateway } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp`)
  const { resources } = await client.listResources()
  expect(resources.map(({ uri }) => uri)).toEqual(['files+memo://one', 'web+memo://one', 'desk+memo://one'])
  const { resourceTemplates } = await client.listResourceTemplates()
  expect(resourceTemplates[1]?.uriTemplate).toBe('web+memo://any/{name}')
  for (const server of ['files', 'web', 'desk']) {
    const { contents } = await client.readResource({ uri: `${server}+memo://any/x` })
    expect(contents).toEqual([{ uri: `${server}+memo://any/x`, text: 'memo x' }])
  }
  const named = await client.callTool({ name: 'desk__link' })
  expect(named.content).toEqual([{ type: 'resource_link', uri: 'desk+memo://one', name: 'one' }])
  await expect(client.readResource({ uri: 'memo://one' })).rejects.toThrow(/Unknown resource/)
})

test('prompts, and what completes their arguments', async () => {
  const { gateway } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp`)
  expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual([
    'files__greet',
    'w_greet',
    'desk__greet',
  ])
  const { messages } = await client.getPrompt({ name: 'w_greet', arguments: { who: 'ann' } })
  expect(messages[0]?.content).toEqual({ type: 'text', text: 'Greet ann' })
  const prompt = await client.complete({
    ref: { type: 'ref/prompt', name: 'files__greet' },
    argument: { name: 'who', value: 'b' },
  })
  expect(prompt.completion.values).toEqual(['bob'])
  const template = await client.complete({
    ref: { type: 'ref/resource', uri: 'desk+memo://any/{name}' },
    argument: { name: 'name', value: 'a' },
  })
  expect(template.completion.values).toEqual(['alpha'])
})

test('what a server asks of the client’s model comes through, and the answer goes back', async () => {
  const { gateway, files } = await startSet()
  const agent = await connect(`${gateway.url}/mcp`, {
    capabilities: { sampling: {}, elicitation: {} },
    prepare: (client) => {
      client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => ({
        role: 'assistant',
        model: 'mine',
        content: { type: 'text', text: `asked ${params.messages.length}` },
      }))
      client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'decline' }))
    },
  })
  const result = await agent.client.callTool({ name: 'files__ask' })
  expect(said(result)).toContain('asked 1')
  await until(() => files.seen.some(({ method }) => method === 'GET'))
  // The server has the stream a moment after it has read the request for it.
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(said(await agent.client.callTool({ name: 'files__ask_aside' }))).toContain('asked 1')
})

test('messages that belong to no call come on the client’s own stream: logs, changes of lists, updates', async () => {
  const { gateway, files } = await startSet()
  const logs: unknown[] = []
  const updated: string[] = []
  let changes = 0
  const { client } = await connect(`${gateway.url}/mcp`, {
    prepare: (c) => {
      c.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void logs.push(params.data))
      c.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updated.push(params.uri))
      c.setNotificationHandler(ToolListChangedNotificationSchema, () => void changes++)
    },
  })
  await client.setLoggingLevel('debug')
  // The stream opens beside other requests: what servers say before goes nowhere.
  await until(() => files.seen.some(({ method }) => method === 'GET'))
  const [session] = files.sessions.values()
  const { server } = session!
  await until(async () => {
    await server.sendLoggingMessage({ level: 'info', data: 'hello' })
    return logs.length > 0
  })
  await server.server.sendResourceUpdated({ uri: 'memo://one' })
  await until(() => updated.length > 0)
  expect(updated[0]).toBe('files+memo://one')
  expect((await client.listTools()).tools).toHaveLength(21)
  server.registerTool('late', { description: 'Came later' }, () => ({ content: [] }))
  await until(() => changes > 0)
  expect((await client.listTools()).tools.map(({ name }) => name)).toContain('files__late')
})

test('one server down does not take the others away; its tools come back with it', async () => {
  const { gateway, desk, files } = await startSet('  list_ttl: 0\n')
  const { client } = await connect(`${gateway.url}/mcp`)
  await desk.die()
  const names = async (): Promise<string[]> => (await client.listTools()).tools.map(({ name }) => name)
  expect((await names()).some((name) => name.startsWith('desk__'))).toBe(false)
  expect((await names()).some((name) => name.startsWith('files__'))).toBe(true)
  expect(await gateway.metric('heddle_mcp_server_up', { server: 'desk' })).toBe(0)
  expect(await gateway.metric('heddle_mcp_lists_missing_total', { server: 'desk', list: 'tools' })).toBeGreaterThan(0)
  const failed = client.callTool({ name: 'desk__echo', arguments: { text: 'x' } })
  await expect(failed).rejects.toMatchObject({ code: -32010, data: { server: 'desk', reason: 'upstream_unavailable' } })
  // A client that comes while it is down gets its tools, too, once it is up.
  const late = await connect(`${gateway.url}/mcp`)
  await desk.revive()
  await until(async () => (await names()).includes('desk__echo'), 6000)
  expect(said(await client.callTool({ name: 'desk__echo', arguments: { text: 'again' } }))).toBe('again')
  expect(said(await late.client.callTool({ name: 'desk__count' }))).toBe('1')
  expect(said(await late.client.callTool({ name: 'desk__count' }))).toBe('2')
  expect(files.sessions.size).toBe(2)
})

test('a server that has forgotten its sessions gets new ones, and nobody notices', async () => {
  const { gateway, files } = await startSet()
  const { client } = await connect(`${gateway.url}/mcp`)
  expect(said(await client.callTool({ name: 'files__count' }))).toBe('1')
  files.forget()
  expect(said(await client.callTool({ name: 'files__count' }))).toBe('1')
  expect(said(await client.callTool({ name: 'files__count' }))).toBe('2')
  expect(files.sessions.size).toBe(1)
  expect(await gateway.metric('heddle_mcp_sessions_total', { server: 'files', event: 'forgotten' })).toBe(1)
})

test('bare names where they are asked for; of two that clash the second keeps its prefix', async () => {
  const { gateway } = await startSet('  names: unique\n')
  const { client } = await connect(`${gateway.url}/mcp`)
  const { tools } = await client.listTools()
  expect(tools.slice(0, 9).map(({ name }) => name)).toEqual([...TOOLS, 'w_echo', 'w_count'])
  expect(said(await client.callTool({ name: 'echo', arguments: { text: 'first' } }))).toBe('first')
  expect(said(await client.callTool({ name: 'desk__echo', arguments: { text: 'third' } }))).toBe('third')
  expect((await client.getPrompt({ name: 'greet', arguments: { who: 'x' } })).messages).toHaveLength(1)
  await expect(client.callTool({ name: 'nothing' })).rejects.toThrow(/Unknown tool/)
})

test('numbers that no double can hold pass as they are', async () => {
  const wide = await startTools('wide', {
    fill: (server) => {
      usualTools(server, { cancelled: [] })
    },
  })
  open.push(() => wide.close())
  const gateway = await startGateway(`mcp:\n  servers:\n    wide: { url: ${wide.url} }\n`)
  open.push(() => gateway.stop())
  const { client, transport } = await connect(`${gateway.url}/mcp`)
  await client.listTools()
  const body = `{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"name":"wide__echo","arguments":{"text":"x","id":9007199254740993123,"f":1.0}}}`
  const reply = await fetch(`${gateway.url}/mcp`, {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-session-id': transport.sessionId!,
    },
  })
  expect(reply.status).toBe(200)
  expect(await reply.text()).toContain('"text":"x"')
})
