import type { FastifyInstance } from 'fastify'
import type { LimitUnit } from '../contracts/config-limits.ts'
import { GatewayError } from '../core/errors.ts'
import { problem } from './guard.ts'

/** A change of one rule of a limit at run time. */
export interface LimitChange {
  readonly limit: string
  /** One combination of scope values, as `GET /admin/limits` shows it; null = all that have no change of their own. */
  readonly scope: readonly string[] | null
  readonly unit: LimitUnit
  /** As `GET /admin/limits` shows it; null = all rules of the unit. */
  readonly period: string | null
  /** US dollars for `usd`, else a count; null = as configured again. */
  readonly amount: number | null
  /** Epoch ms; null = until it is changed back. */
  readonly until: number | null
}

/** Limits and keys as operators see and change them. Rejects with GatewayError `invalid_request`. */
export interface Accounts {
  limits(): Promise<readonly object[]>
  change(change: LimitChange): Promise<void>
  /** Ids by where they were revoked: `configured`, `added` at run time. */
  revoked(): Promise<object>
  revoke(id: string, revoked: boolean): Promise<void>
}

const CHANGE = {
  type: 'object',
  additionalProperties: false,
  required: ['limit', 'unit', 'amount'],
  properties: {
    limit: { type: 'string', minLength: 1, maxLength: 256 },
    scope: { type: ['array', 'null'], maxItems: 16, items: { type: 'string', maxLength: 2000 } },
    period: { type: ['string', 'null'], maxLength: 100 },
    unit: { enum: ['requests', 'input_tokens', 'output_tokens', 'tokens', 'usd', 'concurrency'] },
    amount: { type: ['number', 'null'], minimum: 0, maximum: 1e15 },
    until: { type: ['string', 'null'], format: 'date-time' },
  },
} as const

interface ChangeBody {
  readonly limit: string
  readonly scope?: readonly string[] | null
  readonly unit: LimitUnit
  readonly period?: string | null
  readonly amount: number | null
  readonly until?: string | null
}

const KEY = {
  type: 'object',
  additionalProperties: false,
  required: ['id'],
  properties: { id: { type: 'string', minLength: 1, maxLength: 512 } },
} as const

/** Spend and what remains, changes of limits, revoked keys. */
export function accountRoutes(app: FastifyInstance, accounts: Accounts): void {
  app.get('/admin/limits', async () => ({ limits: await accounts.limits() }))
  app.post<{ Body: ChangeBody }>('/admin/limits', { schema: { body: CHANGE } }, async (request, reply) => {
    const { limit, unit, amount, scope = null, period = null, until = null } = request.body
    await accounts.change({ limit, unit, amount, scope, period, until: until === null ? null : Date.parse(until) })
    return reply.code(204).send()
  })
  app.get('/admin/keys/revoked', async () => accounts.revoked())
  app.post<{ Body: { readonly id: string } }>(
    '/admin/keys/revoked',
    { schema: { body: KEY } },
    async (request, reply) => {
      await accounts.revoke(request.body.id, true)
      return reply.code(204).send()
    },
  )
  app.delete<{ Params: { readonly id: string } }>('/admin/keys/revoked/:id', async (request, reply) => {
    await accounts.revoke(request.params.id, false)
    return reply.code(204).send()
  })
  app.setErrorHandler((error: Error & { readonly statusCode?: number }, _request, reply) => {
    const gateway = GatewayError.is(error) ? error : null
    const status = gateway?.status ?? error.statusCode ?? 500
    return reply.code(status).send(problem(status < 500 ? error.message : 'The request failed.'))
  })
}
