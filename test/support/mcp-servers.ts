/** Real MCP servers of the official SDK, on free ports of loopback. */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { McpServer, ResourceTemplate } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { completable } from '@modelcontextprotocol/sdk/server/completable.js'
import { CreateMessageResultSchema } from '@modelcontextprotocol/sdk/types.js'
import { z } from 'zod'

export interface Tools {
  readonly url: string
  /** Each request as it came: method of HTTP, headers, JSON. */
  readonly seen: { method: string; headers: IncomingMessage['headers']; body: unknown }[]
  /** Sessions that are open. */
  readonly sessions: Map<string, { readonly server: McpServer; readonly transport: StreamableHTTPServerTransport }>
  /** Requests that servers were told are taken back. */
  readonly cancelled: unknown[]
  /** All sessions are forgotten, as by a restart. */
  forget(): void
  /** No connection is taken any more. */
  die(): Promise<void>
  /** The same port again. */
  revive(): Promise<void>
  close(): Promise<void>
}

export interface ToolsOptions {
  readonly stateful?: boolean
  /** Answers in JSON in place of streams. */
  readonly json?: boolean
  /** What is added to a server before it is connected. */
  readonly fill?: (server: McpServer, told: { cancelled: unknown[] }) => void
}

/** An echo, a counter of the session, and a slow tool that tells its progress. */
export function usualTools(server: McpServer, told: { cancelled: unknown[] }): void {
  server.registerTool('echo', { description: 'Says it again', inputSchema: { text: z.string() } }, ({ text }) => ({
    content: [{ type: 'text', text }],
  }))
  let count = 0
  server.registerTool('count', { description: 'How often was this asked?', inputSchema: {} }, () => ({
    content: [{ type: 'text', text: String(++count) }],
  }))
  server.registerTool(
    'slow',
    { description: 'Takes its time', inputSchema: { steps: z.number() } },
    async ({ steps }, extra) => {
      const token = extra._meta?.progressToken
      for (let i = 1; i <= steps; i++) {
        if (extra.signal.aborted) {
          told.cancelled.push(extra.signal.reason)
          throw new Error('cancelled')
        }
        if (token !== undefined)
          await extra.sendNotification({
            method: 'notifications/progress',
            params: { progressToken: token, progress: i, total: steps },
          })
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      return { content: [{ type: 'text', text: `done ${steps}` }] }
    },
  )
  const question = {
    messages: [{ role: 'user' as const, content: { type: 'text' as const, text: 'who are you?' } }],
    maxTokens: 10,
  }
  server.registerTool('ask', { description: 'Asks the client’s model', inputSchema: {} }, async (_, extra) => {
    const asked = { method: 'sampling/createMessage' as const, params: question }
    const answer = await extra.sendRequest(asked, CreateMessageResultSchema)
    return { content: [{ type: 'text', text: JSON.stringify(answer.content) }] }
  })
  server.registerTool('ask_aside', { description: 'The same, on another stream', inputSchema: {} }, async () => {
    const answer = await server.server.createMessage(question)
    return { content: [{ type: 'text', text: JSON.stringify(answer.content) }] }
  })
  server.registerTool('link', { description: 'Names a resource', inputSchema: {} }, () => ({
    content: [{ type: 'resource_link', uri: 'memo://one', name: 'one' }],
  }))
  server.registerTool('broken', { description: 'Fails', inputSchema: {} }, () => {
    throw new Error('this tool is broken')
  })
  server.registerResource('one', 'memo://one', { description: 'A memo' }, (uri) => ({
    contents: [{ uri: uri.href, text: 'the memo' }],
  }))
  server.registerResource(
    'any',
    new ResourceTemplate('memo://any/{name}', {
      list: undefined,
      complete: { name: (v) => ['alpha', 'beta'].filter((n) => n.startsWith(v)) },
    }),
    { description: 'Memos by name' },
    (uri, { name }) => ({ contents: [{ uri: uri.href, text: `memo ${String(name)}` }] }),
  )
  server.registerPrompt(
    'greet',
    {
      description: 'A greeting',
      argsSchema: { who: completable(z.string(), (v) => ['ann', 'bob'].filter((n) => n.startsWith(v))) },
    },
    ({ who }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Greet ${who}` } }] }),
  )
}

const readBody = async (req: IncomingMessage): Promise<unknown> => {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString()
  return text === '' ? undefined : (JSON.parse(text) as unknown)
}

export async function startTools(name: string, options: ToolsOptions = {}): Promise<Tools> {
  const { stateful = true, json = false, fill = usualTools } = options
  const sessions: Tools['sessions'] = new Map()
  const seen: Tools['seen'] = []
  const cancelled: unknown[] = []
  const make = (): McpServer => {
    const server = new McpServer(
      { name, version: '1.0.0' },
      { instructions: `Use ${name} well.`, capabilities: { logging: {} } },
    )
    fill(server, { cancelled })
    return server
  }
  const begin = async (): Promise<StreamableHTTPServerTransport> => {
    const server = make()
    const transport = new StreamableHTTPServerTransport(
      stateful
        ? {
            sessionIdGenerator: () => randomUUID(),
            enableJsonResponse: json,
            onsessioninitialized: (id) => void sessions.set(id, { server, transport }),
            onsessionclosed: (id) => void sessions.delete(id),
          }
        : { enableJsonResponse: json },
    )
    await server.connect(transport)
    return transport
  }
  const handle = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = await readBody(req)
    seen.push({ method: req.method ?? '', headers: req.headers, body })
    const id = req.headers['mcp-session-id']
    const known = typeof id === 'string' ? sessions.get(id) : undefined
    if (known !== undefined) {
      await known.transport.handleRequest(req, res, body)
      return
    }
    if (stateful && id !== undefined) {
      res.writeHead(404, { 'content-type': 'application/json' })
      res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }))
      return
    }
    if (!stateful && req.method !== 'POST') {
      res.writeHead(405, { allow: 'POST' })
      res.end()
      return
    }
    await (await begin()).handleRequest(req, res, body)
  }
  const listen = (port: number): Promise<Server> => {
    const server = createServer((req, res) => void handle(req, res).catch(() => res.destroy()))
    return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)))
  }
  let http = await listen(0)
  const { port } = http.address() as AddressInfo
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      http.close(() => resolve())
      http.closeAllConnections()
    })
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    seen,
    sessions,
    cancelled,
    forget: () => sessions.clear(),
    die: stop,
    revive: async () => {
      http = await listen(port)
    },
    close: stop,
  }
}
