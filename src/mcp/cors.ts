import type { HeaderList, Received } from '../contracts/http.ts'
import type { McpEndpoint } from './endpoint.ts'

/**
 * A page that may not call. Browsers name the page's origin; with DNS rebinding the name of the host is the attacker's as
 * well, so that only a list can tell (2025-11-25, transports, security warning).
 */
export function isForeign({ mayCall }: McpEndpoint, received: Received): boolean {
  const origin = received.header('origin')
  return origin !== undefined && !mayCall(origin)
}

/** For pages that may call (Fetch, CORS protocol); none for others. */
export function corsHeaders({ mayCall }: McpEndpoint, received: Received): HeaderList {
  const origin = received.header('origin')
  if (origin === undefined || !mayCall(origin)) return []
  return [
    'access-control-allow-origin',
    origin,
    'access-control-expose-headers',
    'mcp-session-id, mcp-protocol-version, www-authenticate, x-request-id, retry-after',
    'vary',
    'origin',
  ]
}

export function preflight(received: Received): HeaderList {
  if (received.header('origin') === undefined) return ['allow', 'GET, POST, DELETE']
  const asked = received.header('access-control-request-headers') ?? ''
  const allowed = asked.split(',').flatMap((name) => {
    const header = name.trim().toLowerCase()
    return /^(?:authorization|x-api-key|content-type|accept|last-event-id|mcp-[a-z0-9-]{1,60}|x-request-id|traceparent)$/.test(
      header,
    )
      ? [header]
      : []
  })
  return [
    'access-control-allow-methods',
    'GET, POST, DELETE',
    ...(allowed.length === 0 ? [] : ['access-control-allow-headers', allowed.join(', ')]),
    'access-control-max-age',
    '600',
  ]
}
