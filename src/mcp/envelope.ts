import type { Client } from './client.ts'
import type { JsonObject, RpcId } from './json-rpc.ts'
import { isObject, requestText, textIn } from './json-rpc.ts'
import { META, MODERN } from './revisions.ts'
import type { ServerTicket } from './session-token.ts'

/** What goes to a server: the body, and the headers that repeat it (2026-07-28, streamable HTTP, request metadata). */
export interface Envelope {
  readonly body: string
  readonly headers: readonly string[]
}

const OWN_META = /^io\.modelcontextprotocol\//

/** Without what only 2026-07-28 knows. */
function plainParams(params: JsonObject): JsonObject {
  const { inputResponses: _, requestState: __, _meta: meta, ...rest } = params
  if (!isObject(meta)) return rest
  const kept = Object.entries(meta).filter(([key]) => !OWN_META.test(key))
  return kept.length === 0 ? rest : { ...rest, _meta: Object.fromEntries(kept) }
}

function modernParams(params: JsonObject, client: Client): JsonObject {
  const meta = isObject(params['_meta']) ? params['_meta'] : {}
  return {
    ...params,
    _meta: {
      ...meta,
      [META.revision]: MODERN,
      [META.clientInfo]: client.clientInfo,
      // Of a client with a session none is served: it could not be asked in the way of this revision.
      [META.clientCapabilities]: client.modern ? client.capabilities : {},
    },
  }
}

const VISIBLE = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/
const SENTINEL = /^=\?base64\?.*\?=$/s

/** A value as a header can carry it (2026-07-28, streamable HTTP, value encoding). */
export const headerValue = (text: string): string =>
  VISIBLE.test(text) && !SENTINEL.test(text) ? text : `=?base64?${Buffer.from(text).toString('base64')}?=`

/** The value that a header carries; null = it is not well formed. */
export function decodedHeader(text: string): string | null {
  if (!SENTINEL.test(text)) return text
  const base64 = text.slice('=?base64?'.length, -2)
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 ? bytes.toString() : null
}

/** What `Mcp-Name` repeats. */
export function namedIn(method: string, params: JsonObject): string | null {
  if (method === 'tools/call' || method === 'prompts/get') return textIn(params, 'name')
  return method === 'resources/read' ? textIn(params, 'uri') : null
}

/** revision '' = none is agreed yet. */
export const ticketHeaders = ({ id, revision }: ServerTicket): readonly string[] => [
  ...(id === '' ? [] : ['mcp-session-id', id]),
  ...(revision === '' ? [] : ['mcp-protocol-version', revision]),
]

interface Asked {
  readonly id: RpcId
  readonly method: string
  readonly params: JsonObject
  /** Of a tool's arguments: flat, `mcp-param-*`. */
  readonly more?: readonly string[]
}

export function requestTo(client: Client, ticket: ServerTicket, { id, method, params, more = [] }: Asked): Envelope {
  if (ticket.revision !== MODERN)
    return {
      body: requestText(id, method, client.modern ? plainParams(params) : params),
      headers: ticketHeaders(ticket),
    }
  const name = namedIn(method, params)
  return {
    body: requestText(id, method, modernParams(params, client)),
    headers: [
      'mcp-protocol-version',
      MODERN,
      'mcp-method',
      method,
      ...(name === null ? [] : ['mcp-name', headerValue(name)]),
      ...more,
    ],
  }
}
