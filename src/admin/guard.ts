import { createHash, timingSafeEqual } from 'node:crypto'
import { isLoopback } from '../core/loopback.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Asked by balancers and scrapers, which hold no token. They tell of models and tenants, never of single callers. */
const OPEN_PATHS = new Set(['/livez', '/readyz', '/metrics'])

/** Ids of keys and users, and what they spend. */
const TELLING = /^\/admin\/(?:limits|keys|cache)/

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** A name or address of this machine, with or without a port. */
const isLocal = (host: string): boolean =>
  isLoopback(
    host
      .replace(/:\d+$/, '')
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase(),
  )

export interface GuardOptions {
  /** null = none is asked for. */
  readonly token: string | null
  /** Reachable from this machine only. */
  readonly loopback: boolean
}

/** Who may ask the admin API what. Answers, or lets pass. */
export function adminGuard({ token, loopback }: GuardOptions) {
  const wanted = token === null ? null : digest(`Bearer ${token}`)
  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    if (OPEN_PATHS.has(request.routeOptions.url ?? '')) return
    if (wanted !== null) {
      if (timingSafeEqual(digest(request.headers.authorization ?? ''), wanted)) return
      await reply.code(401).header('www-authenticate', 'Bearer').send(problem('The admin API wants its token.'))
      return
    }
    // A page can give its own name the address of loopback (DNS rebinding), and read what it is answered.
    if (loopback && !isLocal(request.headers.host ?? '')) {
      await reply.code(403).send(problem('By other names than those of this machine: set `server.admin_token`.'))
      return
    }
    if (!loopback && TELLING.test(request.routeOptions.url ?? '')) {
      await reply.code(403).send(problem('To see callers from other machines set `server.admin_token`.'))
      return
    }
    if (request.method === 'GET' || request.method === 'HEAD') return
    // A page in an operator's browser can reach loopback too; browsers say so.
    if (request.headers.origin !== undefined || request.headers['sec-fetch-site'] !== undefined)
      await reply.code(403).send(problem('Browsers may change nothing here: set `server.admin_token`.'))
    else if (!loopback)
      await reply.code(403).send(problem('To change anything from other machines set `server.admin_token`.'))
  }
}

export const problem = (message: string): object => ({ error: { message } })
