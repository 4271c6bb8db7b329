import type { HeddleConfig } from '../contracts/config.ts'
import type { Clock } from '../core/clock.ts'
import type { Policies, Pricing } from '../pipeline/policies.ts'
import type { LedgerLimiter } from '../ratelimit/limiter.ts'
import type { LedgerMemory } from '../ratelimit/ledger-memory.ts'
import type { Overrides } from '../ratelimit/overrides.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import type { Control } from './messages.ts'
import type { ConfigUpdate } from './worker.ts'
import { GatewayError } from '../core/errors.ts'
import { everyUnref } from '../core/every.ts'
import { chargeOf, PriceBook, TokenEstimator } from '../usage/index.ts'

export interface PolicyParts {
  readonly place: WorkerPlace
  readonly clock: Clock
  readonly metrics: MetricRegistry
}

/** Run-time changes that end by themselves are looked for this often. */
const REFRESH_MS = 1000

/**
 * Builds what configurations ask of requests, and keeps what outlives them. One a worker. What is not configured is
 * not loaded.
 */
export class PolicyKit {
  readonly #parts: PolicyParts
  readonly #estimator = new TokenEstimator()
  #memory: LedgerMemory | null = null
  #overrides: Overrides | null = null
  #limiter: LedgerLimiter | null = null

  constructor(parts: PolicyParts) {
    this.#parts = parts
  }

  async compile(update: ConfigUpdate): Promise<Policies> {
    const { config } = update
    const tenants = new Map(config.tenants.map((t) => [t.name, t]))
    return {
      auth: null,
      limiter: await this.#compileLimiter(update),
      gate: null,
      recorder: null,
      pricing: pricingOf(config, this.#estimator),
      ticketOf({ tenant }) {
        const known = tenants.get(tenant)
        return { tenant, weight: known?.weight ?? 1, priority: known?.priority ?? 0 }
      },
    }
  }

  async #compileLimiter({ config, shared }: ConfigUpdate): Promise<LedgerLimiter | null> {
    if (shared.ledger === null) return null
    const { createLimiter } = await import('../ratelimit/limiter.ts')
    const { clock, place, metrics } = this.#parts
    if (this.#memory === null) {
      const { LedgerMemory } = await import('../ratelimit/ledger-memory.ts')
      const { Overrides } = await import('../ratelimit/overrides.ts')
      this.#memory = new LedgerMemory(shared.ledger, place, clock)
      this.#overrides = new Overrides()
      everyUnref(() => this.#limiter?.refresh(), REFRESH_MS)
    }
    this.#limiter = createLimiter({
      limits: config.limits,
      tenants: config.tenants,
      memory: this.#memory,
      shared: null,
      replicas: 1,
      clock,
      overrides: this.#overrides!,
      onRefused: (limit, unit, shadow) =>
        void metrics.counter('heddle_limit_refusals_total', 'Requests refused by limits.', {
          limit,
          unit,
          shadow: String(shadow),
        }).value++,
      onUnchecked: () =>
        void metrics.counter(
          'heddle_limit_unchecked_requests_total',
          'Requests that passed limits which could not be asked.',
        ).value++,
    })
    return this.#limiter
  }

  async control(control: Control): Promise<unknown> {
    switch (control.kind) {
      case 'limits':
        return []
      case 'change': {
        const limiter = this.#limiter
        if (limiter === null) throw new GatewayError('invalid_request', 'No limits are configured.')
        const { amount, ...target } = control.change
        if (amount === null) limiter.clearOverride(target)
        else limiter.override({ ...target, amount })
        return null
      }
      case 'revoked':
        return []
      case 'revoke':
        throw new GatewayError('invalid_request', 'No keys are configured.')
    }
  }
}

/** Counting and guessing, as the pipeline asks for it. */
function pricingOf(config: HeddleConfig, estimator: TokenEstimator): Pricing {
  const book = new PriceBook(config.usage)
  return {
    charge(target, model, usage, estimated) {
      const quote = book.quote(target, model)
      return chargeOf(quote.price, usage, {
        preferReported: quote.preferReported,
        estimated: estimated || quote.estimated,
      })
    },
    strict: config.usage.unknownPrice === 'deny',
    refuses(target, model) {
      const denial = book.refusal(target, model)
      return denial === null ? null : `${denial.rule}: ${denial.reason}`
    },
    estimate: (route, promptBytes, maxTokens) => estimator.estimate(route, promptBytes, maxTokens),
    learn: (route, promptBytes, usage) => estimator.learn(route, promptBytes, usage),
  }
}
