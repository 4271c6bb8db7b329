import type { HeddleConfig } from '../contracts/config.ts'
import type { Policies, Pricing } from '../pipeline/policies.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { Control } from './messages.ts'
import { GatewayError } from '../core/errors.ts'
import { chargeOf, PriceBook, TokenEstimator } from '../usage/index.ts'

export interface PolicyParts {
  readonly place: WorkerPlace
}

/** Builds what configurations ask of requests, and keeps what outlives them. One a worker. */
export class PolicyKit {
  readonly #estimator = new TokenEstimator()

  constructor(_parts: PolicyParts) {}

  async compile(config: HeddleConfig): Promise<Policies> {
    return {
      auth: null,
      limiter: null,
      gate: null,
      recorder: null,
      pricing: pricingOf(config, this.#estimator),
      ticketOf: () => ({ tenant: '', weight: 1, priority: 0 }),
    }
  }

  async control(_control: Control): Promise<unknown> {
    throw new GatewayError('invalid_request', 'No limits are configured.')
  }
}

/** Counting and guessing, as the pipeline asks for it. */
export function pricingOf(config: HeddleConfig, estimator: TokenEstimator): Pricing {
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
