import type { IncomingMessage, ServerResponse } from 'node:http'
import { endHeaders, type Ending } from './drain-headers.ts'

/** What probes are told: no secrets, no names of models or providers, for nobody is asked who they are. */
export interface ProbeFacts extends Ending {
  /** Why this instance is not to be sent requests; empty = it is. */
  unready(): readonly string[]
  config(): {
    readonly hash: string
    /** RFC 3339; null = nothing serves yet. */
    readonly loaded_at: string | null
    /** A newer one could not be used. */
    readonly stale: boolean
    readonly mesh: string
  }
}

const PREFIX = '/healthz/'

export const isProbe = (url: string | undefined): boolean => url !== undefined && url.startsWith(PREFIX)

const statusOf = (name: string, facts: ProbeFacts): { readonly status: number; readonly body: object } => {
  switch (name) {
    // Says that the event loop turns, nothing more: a restart mends nothing else, and no mesh.
    case 'live':
      return { status: 200, body: { status: 'ok' } }
    case 'ready': {
      const reasons = facts.unready()
      if (reasons.length === 0) return { status: 200, body: { status: 'ok' } }
      return { status: 503, body: { status: 'not ready', reasons } }
    }
    case 'config':
      return { status: 200, body: facts.config() }
    default:
      return { status: 404, body: { status: 'not found', probes: ['live', 'ready', 'config'] } }
  }
}

/**
 * `/healthz/*` on the port of the API itself: probes that a mesh rewrites or authorises go to the port of the
 * application. They are no requests of the API: not authenticated, logged, traced, counted or shed. last: the connection
 * ends with this answer.
 */
export function answerProbe(req: IncomingMessage, res: ServerResponse, facts: ProbeFacts, last = false): void {
  const url = req.url ?? ''
  const query = url.indexOf('?')
  const name = url.slice(PREFIX.length, query < 0 ? url.length : query)
  const allowed = req.method === 'GET' || req.method === 'HEAD'
  const { status, body } = allowed
    ? statusOf(name, facts)
    : { status: 405, body: { status: 'method not allowed', allow: ['GET', 'HEAD'] } }
  const text = Buffer.from(`${JSON.stringify(body)}\n`)
  const headers = [
    'content-type',
    'application/json',
    'cache-control',
    'no-store',
    'content-length',
    String(text.length),
  ]
  if (status === 405) headers.push('allow', 'GET, HEAD')
  if (status === 503) headers.push('retry-after', '1')
  headers.push(...endHeaders(facts, req, last))
  res.writeHead(status, headers)
  res.end(req.method === 'HEAD' ? undefined : text)
}
