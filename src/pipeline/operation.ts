import type { Operation } from '../contracts/config.ts'

/** `models` is answered here; the others go to a target. */
export type Endpoint =
  | { readonly kind: 'call'; readonly operation: Operation; readonly upstreamPath: string }
  | { readonly kind: 'models'; readonly id: string | null }

const CALLS: ReadonlyMap<string, Endpoint> = new Map(
  (['chat/completions', 'completions', 'embeddings', 'responses'] as const).flatMap((path) => {
    const operation: Operation = path === 'chat/completions' ? 'chat' : path
    const endpoint: Endpoint = { kind: 'call', operation, upstreamPath: `/${path}` }
    // Some clients are given a base URL without /v1, some with it twice; some end their paths with a slash.
    return [`/v1/${path}`, `/${path}`, `/v1/v1/${path}`].flatMap(
      (p) =>
        [
          [p, endpoint],
          [`${p}/`, endpoint],
        ] as const,
    )
  }),
)

const MODELS: ReadonlySet<string> = new Set(['/v1/models', '/models'])

/** Methods that pass through to a backend. */
const PASSED = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']

/** The methods that a path takes, for the `allow` header (RFC 9110 10.2.1). */
export function methodsOf(path: string): readonly string[] {
  if (CALLS.has(path)) return ['POST']
  return MODELS.has(path) ? ['GET', 'HEAD'] : PASSED
}

const SAFE_PATH = /^(?:\/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+\/?$/
// However often encoded, and with path parameters (RFC 3986 3.3), which some servers drop before they resolve dots.
const DOTS = /(?:^|\/)(?:\.|%(?:25)*2e){1,2}(?:(?:;|%(?:25)*3b)[^/]*)?(?:\/|$)/i
const ENCODED_SLASH = /%(?:25)*(?:2f|5c|00)/i

/**
 * Some servers would take the path for one that is a call of its own here: with escapes of letters, another case, or
 * parameters (RFC 3986 3.3), which they drop. What callers may do is asked by operation, so that none may pass as another.
 */
function isDisguised(path: string): boolean {
  let bare = path
  // Twice: a proxy in between may resolve them, too.
  for (let i = 0; i < 2 && bare.includes('%'); i++) bare = decodeId(bare)
  bare = bare
    .replaceAll(/;[^/]*/g, '')
    .toLowerCase()
    .replace(/\/+$/, '')
  return bare !== path && (CALLS.has(bare) || MODELS.has(bare))
}

/**
 * What a path asks for; null = no such path. Paths that could mean something else to a backend than they do here (dot
 * segments, encoded slashes) are none.
 */
export function endpointOf(method: string, path: string): Endpoint | null {
  const call = CALLS.get(path)
  // With any method: what another one than POST means there no backend is asked.
  if (call !== undefined) return call
  if (MODELS.has(path)) return { kind: 'models', id: null }
  if (path.startsWith('/v1/models/') && (method === 'GET' || method === 'HEAD'))
    return { kind: 'models', id: decodeId(path.slice('/v1/models/'.length)) }
  if (
    !path.startsWith('/v1/') ||
    path.length === 4 ||
    !SAFE_PATH.test(path) ||
    DOTS.test(path) ||
    ENCODED_SLASH.test(path) ||
    isDisguised(path)
  )
    return null
  return { kind: 'call', operation: 'passthrough', upstreamPath: path.slice(3) }
}

function decodeId(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
