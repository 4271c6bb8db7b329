import type { FastifyInstance } from 'fastify'
import type { PurgeWish } from '../cache/store/exact.ts'
import { problem } from './guard.ts'

/** Kept answers, as operators see and drop them. */
export interface CacheAdmin {
  /** null = no route keeps answers. */
  stats(): Promise<object | null>
  /** How many went here. */
  purge(wish: PurgeWish): Promise<number>
  /** wrong: the answer was not one to the question. False = there is no such answer (any more). */
  feedback(key: string, wrong: boolean): Promise<boolean>
}

const text = { type: 'string', minLength: 1, maxLength: 1000 } as const
const WISH = {
  type: 'object',
  additionalProperties: false,
  properties: {
    tenant: { ...text, minLength: 0 },
    model: text,
    tag: text,
    prefix: text,
    id: text,
    all: { const: true },
  },
  minProperties: 1,
} as const
const FEEDBACK = {
  type: 'object',
  additionalProperties: false,
  required: ['key', 'wrong'],
  properties: { key: text, wrong: { type: 'boolean' } },
} as const

/** What is kept, what is to go, and which hits were wrong. */
export function cacheRoutes(app: FastifyInstance, cache: CacheAdmin): void {
  app.get('/admin/cache', async (_request, reply) => {
    const stats = await cache.stats()
    return stats ?? reply.code(404).send(problem('No model keeps answers: there is no `cache` section.'))
  })
  app.post<{ Body: PurgeWish & { readonly all?: true } }>(
    '/admin/cache/purge',
    { schema: { body: WISH } },
    async ({ body: { all: _all, ...wish } }) => ({ purged: await cache.purge(wish) }),
  )
  app.post<{ Body: { readonly key: string; readonly wrong: boolean } }>(
    '/admin/cache/feedback',
    { schema: { body: FEEDBACK } },
    async ({ body: { key, wrong } }, reply) => {
      if (await cache.feedback(key, wrong)) return reply.code(204).send()
      return reply.code(404).send(problem('There is no such answer: it has gone, or the key is another one.'))
    },
  )
}
