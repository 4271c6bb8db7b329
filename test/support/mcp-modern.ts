/** Servers and clients of revision 2026-07-28, by the second major of the official SDK. */
import { Client, StreamableHTTPClientTransport, type ClientOptions } from '@modelcontextprotocol/client'
import { acceptedContent, createMcpHandler, inputRequired, McpServer } from '@modelcontextprotocol/server'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { z } from 'zod'

export interface ModernTools {
  readonly url: string
  readonly seen: { method: string; headers: IncomingHttpHeaders; body: Record<string, unknown> | null }[]
  readonly aborted: string[]
  notify(kind: 'tools' | 'memo'): void
  close(): Promise<void>
}

function fill(server: McpServer, aborted: string[]): void {
  server.registerTool(
    'echo',
    { description: 'Says it again', inputSchema: z.object({ text: z.string() }) },
    ({ text }) => ({
      content: [{ type: 'text', text }],
    }),
  )
  const region = z.string().meta({ 'x-mcp-header': 'Region' })
  server.registerTool(
    'query',
    { description: 'Asks a region', inputSchema: z.object({ region, sql: z.string() }) },
    (args) => ({
      content: [{ type: 'text', text: `${args.sql} in ${args.region}` }],
    }),
  )
  server.registerTool(
    'slow',
    { description: 'Takes its time', inputSchema: z.object({ steps: z.number() }) },
    async ({ steps }, ctx) => {
      const token = ctx.mcpReq._meta?.progressToken
      for (let i = 1; i <= steps; i++) {
        if (ctx.mcpReq.signal.aborted) {
          aborted.push('slow')
          throw new Error('aborted')
        }
        if (token !== undefined)
          await ctx.mcpReq.notify({
            method: 'notifications/progress',
            params: { progressToken: token, progress: i, total: steps },
          })
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      return { content: [{ type: 'text', text: `done ${steps}` }] }
    },
  )
  server.registerTool('confirm', { description: 'Asks before it does', inputSchema: z.object({}) }, (_, ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'sure')
    if (given?.['yes'] === true) return { content: [{ type: 'text', text: 'confirmed' }] }
    return inputRequired({
      inputRequests: {
        sure: inputRequired.elicit({
          message: 'Sure?',
          requestedSchema: { type: 'object', properties: { yes: { type: 'boolean' } }, required: ['yes'] },
        }),
      },
    })
  })
  server.registerResource('one', 'memo://one', { description: 'A memo' }, (uri) => ({
    contents: [{ uri: uri.href, text: 'the memo' }],
  }))
}

export async function startModern(name: string): Promise<ModernTools> {
  const seen: ModernTools['seen'] = []
  const aborted: string[] = []
  const handler = createMcpHandler(
    () => {
      const server = new McpServer(
        { name, version: '1.0.0' },
        {
          instructions: `Use ${name} well.`,
          capabilities: { tools: { listChanged: true }, resources: { subscribe: true } },
        },
      )
      fill(server, aborted)
      return server
    },
    { legacy: 'reject' },
  )
  const http = createServer((req, res) => {
    const chunks: Buffer[] = []
    const gone = new AbortController()
    res.on('close', () => gone.abort())
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      const text = Buffer.concat(chunks).toString()
      seen.push({
        method: req.method ?? '',
        headers: req.headers,
        body: text === '' ? null : (JSON.parse(text) as Record<string, unknown>),
      })
      const request = new Request(`http://${req.headers.host}${req.url}`, {
        method: req.method ?? 'GET',
        headers: Object.entries(req.headers).map(([key, value]) => [key, String(value)] as [string, string]),
        signal: gone.signal,
        ...(text === '' ? {} : { body: text }),
      })
      void handler.fetch(request).then((answer) => {
        res.writeHead(answer.status, Object.fromEntries(answer.headers))
        if (answer.body === null) res.end()
        else
          Readable.fromWeb(answer.body as never)
            .on('error', () => res.destroy())
            .pipe(res)
      })
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    seen,
    aborted,
    notify(kind) {
      if (kind === 'tools') handler.notify.toolsChanged()
      else handler.notify.resourceUpdated('memo://one')
    },
    close: async () => {
      await handler.close()
      await new Promise<void>((resolve) => {
        http.close(() => resolve())
        http.closeAllConnections()
      })
    },
  }
}

export interface ModernAgent {
  readonly client: Client
  close(): Promise<void>
}

export async function connectModern(
  url: string,
  options: ClientOptions = {},
  prepare: (client: Client) => void = () => {},
  headers: Readonly<Record<string, string>> = {},
): Promise<ModernAgent> {
  const client = new Client(
    { name: 'modern agent', version: '2' },
    { versionNegotiation: { mode: { pin: '2026-07-28' } }, ...options },
  )
  prepare(client)
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }))
  return { client, close: () => client.close() }
}
