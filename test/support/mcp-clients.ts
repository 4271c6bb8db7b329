/** Clients of the official SDK, and messages by hand. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { ClientCapabilities } from '@modelcontextprotocol/sdk/types.js'
import { call, type Reply } from './client.ts'

export interface Agent {
  readonly client: Client
  readonly transport: StreamableHTTPClientTransport
  close(): Promise<void>
}

export interface AgentOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly capabilities?: ClientCapabilities
  /** Before it is connected. */
  readonly prepare?: (client: Client) => void
}

export async function connectAgent(url: string, options: AgentOptions = {}): Promise<Agent> {
  const client = new Client({ name: 'agent', version: '1.0.0' }, { capabilities: options.capabilities ?? {} })
  options.prepare?.(client)
  const transport = new StreamableHTTPClientTransport(new URL(url), {
    requestInit: { headers: { ...options.headers } },
  })
  await client.connect(transport)
  return { client, transport, close: () => client.close() }
}

/** Text of the first piece of content of a tool's answer. */
export const said = (result: unknown): string => (result as { content: { text: string }[] }).content[0]!.text

export const BOTH = 'application/json, text/event-stream'

/** One message by hand. */
export const post = (url: string, message: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
  call(url, {
    method: 'POST',
    body: typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message),
    headers: { accept: BOTH, ...headers },
  })

export const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'by hand', version: '1' } },
}

/** A session by hand: its id. */
export async function begin(url: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const reply = await post(url, INITIALIZE, headers)
  const id = reply.headers['mcp-session-id']
  if (typeof id !== 'string') throw new Error(`no session: ${reply.status} ${reply.text}`)
  return id
}

export interface RpcReply {
  readonly id: string | number | null
  readonly result?: Record<string, unknown>
  readonly error?: { readonly code: number; readonly message: string; readonly data?: Record<string, unknown> }
}

/** The answer, whether it came as JSON or as the last event of a stream. */
export function rpc(reply: Reply): RpcReply {
  if (reply.headers['content-type']?.startsWith('text/event-stream') !== true) return reply.json() as RpcReply
  const events = [...reply.text.matchAll(/^data: (.*)$/gm)].map((found) => JSON.parse(found[1]!) as RpcReply)
  return events.at(-1)!
}
