import type { McpConfig } from '../contracts/config-mcp.ts'
import type { Listed } from './catalog.ts'
import type { Link } from './link.ts'
import type { McpMetrics } from './metrics.ts'
import { isObject, type JsonObject } from './json-rpc.ts'
import { placeOfName, sharedUri } from './names.ts'

/** What one endpoint shows of its servers: all of them under names that tell them apart, or one under its own. */
export interface View {
  readonly links: readonly Link[]
  /** '' = the common endpoint. */
  readonly scope: string
}

/** Entries of a list of names, as clients see them. */
export function showNames(config: McpConfig, listed: readonly Listed[], metrics: McpMetrics): readonly JsonObject[] {
  if (config.names === 'prefixed')
    return listed.map(({ link, key, item }) => ({ ...item, name: link.config.prefix + key }))
  const taken = new Set<string>()
  return listed.map(({ link, key, item }) => {
    // A bare name must not read like the name of another server's tool either.
    const clashes = taken.has(key) || placeOfName(config.servers, key) !== null
    if (clashes) metrics.clash(link.name)
    const name = clashes ? link.config.prefix + key : key
    taken.add(name)
    return { ...item, name }
  })
}

/** Whose name it is, at the common endpoint with bare names; null = nobody lists it. */
export function ownerOf(config: McpConfig, listed: readonly Listed[], name: string): Listed | null {
  return placeOfName(config.servers, name) === null ? (listed.find(({ key }) => key === name) ?? null) : null
}

export const showUris = (listed: readonly Listed[], field: 'uri' | 'uriTemplate'): readonly JsonObject[] =>
  listed.map(({ link, key, item }) => ({ ...item, [field]: sharedUri(link.name, key) }))

/** URIs in a piece of content; null = there is none. */
function shownContent(server: string, content: unknown): JsonObject | null {
  if (!isObject(content)) return null
  const { type, uri, resource } = content
  if (type === 'resource_link' && typeof uri === 'string') return { ...content, uri: sharedUri(server, uri) }
  if (type === 'resource' && isObject(resource) && typeof resource['uri'] === 'string')
    return { ...content, resource: { ...resource, uri: sharedUri(server, resource['uri']) } }
  return null
}

function mapped(list: unknown, change: (item: unknown) => JsonObject | null): readonly unknown[] | null {
  if (!Array.isArray(list)) return null
  let changed = false
  const items = (list as readonly unknown[]).map((item) => {
    const shown = change(item)
    if (shown !== null) changed = true
    return shown ?? item
  })
  return changed ? items : null
}

const shownMessage = (server: string, message: unknown): JsonObject | null => {
  if (!isObject(message)) return null
  const content = shownContent(server, message['content'])
  return content === null ? null : { ...message, content }
}

const shownResource = (server: string, item: unknown): JsonObject | null =>
  isObject(item) && typeof item['uri'] === 'string' ? { ...item, uri: sharedUri(server, item['uri']) } : null

/** An answer of a server as the common endpoint shows it; null = as it is. */
export function showResult(server: string, method: string, result: JsonObject): JsonObject | null {
  if (method === 'tools/call') {
    const content = mapped(result['content'], (item) => shownContent(server, item))
    return content === null ? null : { ...result, content }
  }
  if (method === 'prompts/get') {
    const messages = mapped(result['messages'], (item) => shownMessage(server, item))
    return messages === null ? null : { ...result, messages }
  }
  if (method !== 'resources/read') return null
  const contents = mapped(result['contents'], (item) => shownResource(server, item))
  return contents === null ? null : { ...result, contents }
}
