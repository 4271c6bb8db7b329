import type { McpServerConfig } from '../contracts/config-mcp.ts'
import type { RpcId } from './json-rpc.ts'

/** A thing of a server: a tool or prompt by its name, a resource or template by its URI, as the server has it. */
export interface Place {
  readonly server: string
  readonly name: string
}

/** What keys are granted: the same at the common endpoint and at a server's own, whatever names are shown there. */
export const grantName = (server: McpServerConfig, name: string): string => server.prefix + name

/** By the prefix; no prefix begins another. null = no server has it. */
export function placeOfName(servers: readonly McpServerConfig[], name: string): Place | null {
  for (const { name: server, prefix } of servers)
    if (name.length > prefix.length && name.startsWith(prefix)) return { server, name: name.slice(prefix.length) }
  return null
}

/** A scheme may hold a `+` and all that a server's name may hold (RFC 3986 3.1). */
export const sharedUri = (server: string, uri: string): string => `${server}+${uri}`

/** null = it is none of ours. */
export function placeOfUri(uri: string): Place | null {
  const plus = uri.indexOf('+')
  return plus <= 0 || plus === uri.length - 1 ? null : { server: uri.slice(0, plus), name: uri.slice(plus + 1) }
}

/**
 * Ids of what servers ask of clients, and tokens of their progress: the answer comes to any worker, which must know by it
 * alone whose it is.
 */
export const tagged = (server: string, id: RpcId): string => `${server}:${typeof id === 'number' ? 'n' : 's'}:${id}`

const TAG = /^([a-z][a-z0-9-]{0,31}):([ns]):(.*)$/s

export function untagged(id: RpcId): { readonly server: string; readonly id: RpcId } | null {
  const found = typeof id === 'string' ? TAG.exec(id) : null
  if (found === null) return null
  const [, server, kind, text] = found
  if (kind === 's') return { server: server!, id: text! }
  const number = Number(text)
  return Number.isSafeInteger(number) && String(number) === text ? { server: server!, id: number } : null
}
