// Reloads, the end of an instance, streams that break off, and traces.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { startOtlpSink } from '../mesh/kit/otlp-sink.ts'
import { closedAfterEach } from '../support/closing.ts'
import { call, headOf, open as openRequest, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { begin, connectAgent, INITIALIZE, post, rpc, said } from '../support/mcp-clients.ts'
import { startTools } from '../support/mcp-servers.ts'

const open = closedAfterEach()

async function tools(name: string) {
  const made = await startTools(name)
  open.push(() => made.close())
  return made
}

const toolCall = (name: string, args: object = {}, id = 5) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name, arguments: args },
})

test('without `mcp` the path is nothing', async () => {
  const gateway = await startGateway('providers: { sim: }\n')
  open.push(() => gateway.stop())
  const reply = await post(`${gateway.url}/mcp`, INITIALIZE)
  expect(reply.status).toBe(404)
  expect(await gateway.metrics()).not.toContain('heddle_mcp')
})

test('a reload adds, takes and turns off; sessions go on, and open streams end so that clients open them anew', async () => {
  const [files, desk] = await Promise.all([tools('files'), tools('desk')])
  const yaml = (servers: string): string => `mcp: { servers: { ${servers} } }\n`
  const both = `files: { url: ${files.url} }, desk: { url: ${desk.url} }`
  const gateway = await startGateway(yaml(`files: { url: ${files.url} }`))
  open.push(() => gateway.stop())
  const url = `${gateway.url}/mcp`
  const session = { 'mcp-session-id': await begin(url) }
  expect(said(rpc(await post(url, toolCall('files__count'), session)).result)).toBe('1')
  const stream = await headOf(openRequest(url, { headers: { ...session, accept: 'text/event-stream' } }))
  expect(stream.headers['content-type']).toBe('text/event-stream')
  expect(await gateway.metric('heddle_mcp_streams')).toBe(1)
  const ended = new Promise((resolve) => stream.on('end', resolve).resume())
  expect(await gateway.reload(yaml(both))).toBe(true)
  await ended
  expect(said(rpc(await post(url, toolCall('files__count'), session)).result)).toBe('2')
  expect(said(rpc(await post(url, toolCall('desk__count'), session)).result)).toBe('1')
  expect(await gateway.reload(yaml(`desk: { url: ${desk.url}, deny: [count] }`))).toBe(true)
  for (const name of ['files__count', 'desk__count'])
    expect(rpc(await post(url, toolCall(name), session)).error?.code).toBe(-32602)
  expect(await gateway.reload('models: {}\n')).toBe(true)
  expect((await post(url, toolCall('desk__echo'), session)).status).toBe(404)
  expect(await gateway.reload(yaml(both))).toBe(true)
  expect(said(rpc(await post(url, toolCall('files__count'), session)).result)).toBe('3')
})

test('an instance that ends lets calls end, and keeps no stream open', async () => {
  const files = await tools('files')
  const gateway = await startGateway(`mcp: { servers: { files: { url: ${files.url} } } }\n`)
  const agent = await connectAgent(`${gateway.url}/mcp`)
  const { client } = agent
  open.push(() => agent.close())
  await until(async () => (await gateway.metric('heddle_mcp_streams')) === 1)
  const running = client.callTool({ name: 'files__slow', arguments: { steps: 20 } })
  await until(() => files.seen.some(({ body }) => JSON.stringify(body ?? null).includes('slow')))
  const cut = gateway.stop()
  expect(said(await running)).toBe('done 20')
  expect(await cut).toBe(0)
})

/** What a POST of a call, and a GET, get. */
async function startScript(
  onCall: (res: ServerResponse, id: number) => void,
  onGet: (res: ServerResponse, req: IncomingMessage) => void,
): Promise<string> {
  const server = createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      if (req.method === 'GET') {
        onGet(res, req)
        return
      }
      const text = Buffer.concat(chunks).toString()
      const { id, method } = (text === '' ? {} : JSON.parse(text)) as { id?: number; method?: string }
      if (id === undefined) res.writeHead(202).end()
      else if (method === 'initialize') {
        res.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': 's' })
        const result = {
          protocolVersion: '2025-11-25',
          capabilities: { tools: {} },
          serverInfo: { name: 'x', version: '1' },
        }
        res.end(JSON.stringify({ jsonrpc: '2.0', id, result }))
      } else onCall(res, id)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
}

test('a server may leave its answer in the middle: the rest is asked for', async () => {
  const asked: (string | undefined)[] = []
  let id = 0
  const stream = (res: ServerResponse, text: string): void => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(text)
  }
  const at = await startScript(
    (res, of) => {
      id = of
      stream(res, 'id: e1\nretry: 10\ndata: \n\n')
    },
    (res, req) => {
      asked.push(req.headers['last-event-id'] as string)
      const done = JSON.stringify({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'the rest' }] } })
      // Nothing new at first.
      stream(res, asked.length < 3 ? 'retry: 10\nid: e2\ndata:\n\n' : `id: e3\ndata: ${done}\n\n`)
    },
  )
  const gateway = await startGateway(`mcp: { servers: { s: { url: "${at}" } } }\n`)
  open.push(() => gateway.stop())
  const url = `${gateway.url}/mcp`
  const reply = await post(url, toolCall('s__x'), { 'mcp-session-id': await begin(url) })
  expect(said(rpc(reply).result)).toBe('the rest')
  expect(asked).toEqual(['e1', 'e2', 'e2'])
})

test('a silent stream shows that it is there, and a late fault comes as an event', async () => {
  const at = await startScript(
    (res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(':\n\n')
    },
    (res) => res.writeHead(405).end(),
  )
  const gateway = await startGateway(
    `server: { log: { level: silent, access: false }, heartbeat: 50ms }\nmcp: { servers: { s: { url: "${at}", timeout: 300ms } } }\n`,
  )
  open.push(() => gateway.stop())
  const url = `${gateway.url}/mcp`
  const reply = await post(url, toolCall('s__x'), { 'mcp-session-id': await begin(url) })
  expect(reply.headers['content-type']).toBe('text/event-stream')
  expect(reply.text).toMatch(/^:\n\n/)
  expect(rpc(reply).error).toMatchObject({ code: -32011, data: { server: 's', reason: 'upstream_timeout' } })
})

test('a call is a span by the conventions, below that of the request, and the server may go on with it', async () => {
  const [files, sink] = await Promise.all([tools('files'), startOtlpSink()])
  open.push(() => sink.close())
  Object.assign(process.env, { OTEL_EXPORTER_OTLP_ENDPOINT: sink.httpUrl, OTEL_BSP_SCHEDULE_DELAY: '30' })
  open.push(() => {
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
    delete process.env['OTEL_BSP_SCHEDULE_DELAY']
  })
  const gateway = await startGateway(`mcp: { servers: { files: { url: ${files.url}, class: mesh } } }\n`)
  open.push(() => gateway.stop())
  const url = `${gateway.url}/mcp`
  const session = await begin(url)
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  await post(url, toolCall('files__echo', { text: 'not for traces' }), {
    'mcp-session-id': session,
    traceparent: `00-${trace}-00f067aa0ba902b7-01`,
    'x-request-id': 'req-1',
  })
  await until(() => sink.spans.filter((span) => span.traceId === trace).length === 2)
  const spans = sink.spans.filter((span) => span.traceId === trace)
  const server = spans.find(({ name }) => name === 'POST /mcp')!
  const tool = spans.find(({ name }) => name === 'execute_tool echo')!
  expect(server.parentSpanId).toBe('00f067aa0ba902b7')
  expect(tool.parentSpanId).toBe(server.spanId)
  expect(tool.attributes).toMatchObject({
    'gen_ai.operation.name': 'execute_tool',
    'gen_ai.tool.name': 'echo',
    'mcp.method.name': 'tools/call',
    'mcp.protocol.version': '2025-11-25',
    'jsonrpc.request.id': '5',
    'heddle.target': 'mcp:files',
  })
  expect(JSON.stringify(spans.map(({ attributes }) => attributes))).not.toContain('not for traces')
  const seen = files.seen.findLast(({ body }) => JSON.stringify(body ?? null).includes('tools/call'))!
  expect(seen.headers['x-request-id']).toBe('req-1')
  // Its parent is the span of the call.
  expect(seen.headers['traceparent']).toBe(`00-${trace}-${tool.spanId}-01`)
  expect((await call(`${gateway.url}/mcp`, { method: 'DELETE', headers: { 'mcp-session-id': session } })).status).toBe(
    200,
  )
})
