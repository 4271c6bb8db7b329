import type { Client } from './client.ts'
import type { Link } from './link.ts'
import type { ListKind } from './state.ts'
import { isObject, textIn, type JsonObject } from './json-rpc.ts'

interface ListRow {
  readonly method: string
  /** Of the result. */
  readonly field: string
  /** What tells entries apart. */
  readonly key: 'name' | 'uri' | 'uriTemplate'
  /** Of the server's capabilities. */
  readonly capability: string
}

export const LISTS: Readonly<Record<ListKind, ListRow>> = {
  tools: { method: 'tools/list', field: 'tools', key: 'name', capability: 'tools' },
  prompts: { method: 'prompts/list', field: 'prompts', key: 'name', capability: 'prompts' },
  resources: { method: 'resources/list', field: 'resources', key: 'uri', capability: 'resources' },
  templates: {
    method: 'resources/templates/list',
    field: 'resourceTemplates',
    key: 'uriTemplate',
    capability: 'resources',
  },
}

export interface Fetched {
  readonly items: readonly JsonObject[]
  /** Ms for which the server says that it holds; -1 = it does not say. */
  readonly ttlMs: number
}

const MAX_PAGES = 100
const MAX_KEY = 4096

/** All pages of one list of one server. max: entries. Rejects as Link.ask(). */
export async function fetchList(link: Link, client: Client, kind: ListKind, max: number): Promise<Fetched> {
  const { method, field, key } = LISTS[kind]
  const items: JsonObject[] = []
  const known = new Set<string>()
  let ttlMs = -1
  let cursor: string | null = null
  for (let page = 0; page < MAX_PAGES; page++) {
    const result: JsonObject = await link.ask(client, method, cursor === null ? {} : { cursor })
    const found = result[field]
    for (const item of Array.isArray(found) ? (found as unknown[]) : []) {
      const name = isObject(item) ? textIn(item, key) : null
      // Of two with one name nobody could say which is called.
      if (name === null || name === '' || name.length > MAX_KEY || known.has(name)) continue
      known.add(name)
      items.push(item as JsonObject)
      if (items.length >= max) return { items, ttlMs }
    }
    const { ttlMs: said } = result
    if (typeof said === 'number' && said >= 0) ttlMs = ttlMs < 0 ? said : Math.min(ttlMs, said)
    const next = textIn(result, 'nextCursor')
    if (next === null || next === cursor) break
    cursor = next
  }
  return { items, ttlMs }
}
