import Fastify, { type FastifyInstance } from 'fastify'
import type { Accounts } from './accounts.ts'
import type { GuardOptions } from './guard.ts'
import type { FamilySnapshot } from '../telemetry/metrics.ts'
import type { CacheAdmin } from './cache.ts'
import { accountRoutes } from './accounts.ts'
import { cacheRoutes } from './cache.ts'
import { adminGuard, problem } from './guard.ts'
import { OPENMETRICS_TYPE, PROMETHEUS_TYPE, renderMetrics } from '../telemetry/metrics.ts'

/** What the process tells its operators. */
export interface AdminState {
  /** Why the process is not to be sent requests; empty = it is ready. The same rule as on the port of the API. */
  unready(): readonly string[]
  state(): object
  /** Secrets masked. */
  config(): object
  metrics(): Promise<FamilySnapshot[]>
  reload(): Promise<boolean>
  readonly controls: { readonly accounts: Accounts; readonly cache: CacheAdmin }
  readonly guard: GuardOptions
}

/** By default unknown members are dropped and texts turned into numbers: a slip would change something else. */
const STRICT = { removeAdditional: false, coerceTypes: false } as const

/** Health, metrics and state, apart from the traffic: its own port, loopback unless configured otherwise. */
export class AdminListener {
  readonly #app: FastifyInstance

  constructor(state: AdminState) {
    const app = Fastify({ logger: false, forceCloseConnections: true, ajv: { customOptions: STRICT } })
    app.addHook('onRequest', adminGuard(state.guard))
    // Liveness says that the event loop turns, nothing more: a restart mends nothing else.
    app.get('/livez', async () => ({ status: 'ok' }))
    app.get('/readyz', async (_request, reply) => {
      const reasons = state.unready()
      if (reasons.length === 0) return { status: 'ok' }
      return reply.code(503).header('retry-after', '1').send({ status: 'not ready', reasons })
    })
    app.get('/metrics', async (request, reply) => {
      const open = request.headers.accept?.includes('application/openmetrics-text') === true
      return reply.type(open ? OPENMETRICS_TYPE : PROMETHEUS_TYPE).send(renderMetrics(await state.metrics(), open))
    })
    app.get('/admin/state', async () => state.state())
    app.get('/admin/config', async () => state.config())
    app.post('/admin/reload', async (_request, reply) => {
      const taken = await state.reload()
      return reply.code(taken ? 200 : 422).send(state.state())
    })
    cacheRoutes(app, state.controls.cache)
    accountRoutes(app, state.controls.accounts)
    app.setNotFoundHandler((request, reply) =>
      reply.code(404).send(problem(`There is nothing at ${request.method} ${request.url.slice(0, 200)}.`)),
    )
    this.#app = app
  }

  /** Resolves with the port. */
  async listen(port: number, host: string): Promise<number> {
    await this.#app.listen({ port, host })
    const address = this.#app.server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }

  async close(): Promise<void> {
    await this.#app.close()
  }
}
