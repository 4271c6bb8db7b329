import type { McpConfig, McpServerConfig } from '../contracts/config-mcp.ts'
import type { z } from 'zod'
import type { Build } from './build.ts'
import { checkPlaintext } from './normalise-egress.ts'
import type { Path } from './problem.ts'
import { presetTable, toProvider } from './providers.ts'
import { SERVER_NAME } from './schema-mcp.ts'
import type { mcpServerSchema } from './schema-mcp.ts'
import { providerSchema } from './schema-provider.ts'

type Entry = z.output<typeof mcpServerSchema>

/** What a server of tools has in common with a backend of models; the rest is as nothing was said. */
const toServer = (name: string, entry: Entry, build: Build): McpServerConfig | undefined => {
  const path: Path = ['mcp', 'servers', name]
  const { map, problems, env } = build
  if (!SERVER_NAME.test(name)) {
    problems.push(
      map.problem(
        path,
        'must be lower-case letters, digits and `-`, begin with a letter, at most 32 characters',
        'key',
      ),
    )
    return undefined
  }
  const { url, timeout, tools, deny, prefix, pin, pins, ...common } = entry
  const full = {
    ...providerSchema.parse({}),
    ...common,
    type: 'openai_compatible',
    base_url: url,
    auth: entry.api_key === undefined && entry.credentials === undefined ? 'none' : (entry.auth ?? 'bearer'),
  } as const
  const context = { env, map, problems, presets: presetTable([]) }
  const provider = toProvider(`mcp:${name}`, full, context, path)
  if (provider === undefined) return undefined
  problems.push(...checkPlaintext(provider, map, [...path, 'url']))
  return {
    name,
    // It speaks of no models.
    provider: { ...provider, operations: [], wire: null },
    path: new URL(url).pathname,
    timeoutMs: timeout,
    tools: tools === undefined ? null : [...new Set(tools)],
    deny: [...new Set(deny)],
    prefix: prefix ?? `${name}__`,
    pin,
    pins: pins ?? {},
  }
}

/** One prefix that begins another would leave open whose tool a name is. */
const checkPrefixes = (servers: readonly McpServerConfig[], { map, problems }: Build): void => {
  for (const one of servers)
    for (const other of servers) {
      if (one === other || !one.prefix.startsWith(other.prefix)) continue
      // Two that are the same are told of once.
      if (one.prefix === other.prefix && one.name < other.name) continue
      const path: Path = ['mcp', 'servers', one.name]
      problems.push(
        map.problem(
          map.get([...path, 'prefix']) === undefined ? path : [...path, 'prefix'],
          `begins like the prefix of \`${other.name}\`: whose tool a name is could not be told`,
          'key',
        ),
      )
    }
}

/** The paths that the API has at the same port. */
const TAKEN = /^\/(?:v1|v1beta|api|livez|readyz|healthz|startupz|\.well-known)(?:\/|$)/

export const toMcp = (build: Build): McpConfig | null => {
  const { mcp } = build.parsed
  if (mcp === undefined) return null
  const { map, problems } = build
  if (TAKEN.test(mcp.path) || mcp.path.includes('//') || /(?:^|\/)\.{1,2}(?:\/|$)/.test(mcp.path))
    problems.push(map.problem(['mcp', 'path'], 'is a path that something else has, or that proxies would change'))
  const servers = Object.entries(mcp.servers).flatMap(([name, entry]) => toServer(name, entry, build) ?? [])
  if (Object.keys(mcp.servers).length === 0) problems.push(map.problem(['mcp', 'servers'], 'names no server', 'key'))
  checkPrefixes(servers, build)
  return {
    path: mcp.path,
    names: mcp.names,
    origins: mcp.origins ?? [],
    publicUrl: mcp.public_url ?? null,
    session: { ttlMs: mcp.session.ttl, secrets: mcp.session.secrets ?? [] },
    listTtlMs: mcp.list_ttl,
    limits: mcp.limits,
    servers,
  }
}
