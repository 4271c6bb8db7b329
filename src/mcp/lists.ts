import type { Client } from './client.ts'
import type { McpExchange } from './exchange.ts'
import type { Listed } from './catalog.ts'
import type { ListKind } from './state.ts'
import { OPEN_ACCESS } from '../auth/anonymous.ts'
import { GatewayError } from '../core/errors.ts'
import { CallFacts } from './facts.ts'
import { RPC, RpcFault, textIn, type JsonObject, type RpcRequest } from './json-rpc.ts'
import { LISTS } from './list-fetch.ts'
import { grantName } from './names.ts'
import { showNames, showUris } from './shown.ts'

export const LIST_METHODS: ReadonlyMap<string, ListKind> = new Map(
  (Object.keys(LISTS) as ListKind[]).map((kind) => [LISTS[kind].method, kind]),
)

/** By which an entry would be used. */
const USES: Readonly<Record<ListKind, string>> = {
  tools: 'tools/call',
  prompts: 'prompts/get',
  resources: 'resources/read',
  templates: 'resources/read',
}

/** Clients that do not ask for the next page are common. */
const PAGE = 1000

/** Only what the caller may use is shown. */
function permitted(x: McpExchange, kind: ListKind, listed: readonly Listed[]): readonly Listed[] {
  const { access } = x.principal
  if (access === OPEN_ACCESS) return listed
  const method = USES[kind]
  return listed.filter(({ link, key }) => {
    const about = { server: link.name, method, name: grantName(link.config, key), tool: kind === 'tools' ? key : '' }
    return access.request(new CallFacts(x.received, x.principal, about, {})) === null
  })
}

function shownItems(x: McpExchange, kind: ListKind, listed: readonly Listed[]): readonly JsonObject[] {
  if (x.view.scope !== '') return listed.map(({ item }) => item)
  const field = LISTS[kind].key
  return field === 'name' ? showNames(x.endpoint.config, listed, x.metrics) : showUris(listed, field)
}

/** Place in the list, of which nobody but us needs to know. */
function startOf(params: JsonObject): number {
  const cursor = textIn(params, 'cursor')
  if (cursor === null) return 0
  const found = /^p(\d{1,9})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'))
  if (found === null) throw new RpcFault(RPC.params, 'The cursor is not one of this list.')
  return Number(found[1])
}

/** A list of all servers, as this caller may see it. Rejects with RpcFault, GatewayError. */
export async function list(
  x: McpExchange,
  client: Client,
  kind: ListKind,
  { params }: RpcRequest,
): Promise<JsonObject> {
  const start = startOf(params)
  const { found, missing } = await x.endpoint.catalog.all(x.view.links, client, kind)
  if (x.view.scope !== '' && missing.length > 0)
    throw new GatewayError('upstream_unavailable', `MCP server '${x.view.scope}' cannot be asked for this list.`)
  // Names are given before anything is left out: what a caller may see must not change how it is called.
  const shown = shownItems(x, kind, found)
  const allowed = new Set(permitted(x, kind, found))
  const visible = shown.filter((_, i) => allowed.has(found[i]!))
  const end = start + PAGE
  return {
    [LISTS[kind].field]: visible.slice(start, end),
    ...(end < visible.length ? { nextCursor: Buffer.from(`p${end}`).toString('base64url') } : {}),
    ...(client.modern ? { resultType: 'complete', ttlMs: x.endpoint.config.listTtlMs, cacheScope: 'private' } : {}),
    ...(missing.length > 0 ? { _meta: { 'heddle/unavailable': missing } } : {}),
  }
}
