import type { Policies, Pricing } from '../pipeline/policies.ts'

const pricing: Pricing = {
  charge: (target, _model, usage, estimated) => ({
    nanoUsd:
      target.price === null
        ? 0
        : Math.ceil((usage.inputTokens * target.price.input + usage.outputTokens * target.price.output) * 1000),
    estimated,
    priced: target.price !== null,
  }),
  refuses: () => null,
  estimate: (_route, promptBytes, maxTokens) => ({
    inputTokens: Math.ceil(promptBytes / 3),
    outputTokens: maxTokens || 1000,
  }),
  learn() {},
}

export const NO_POLICIES: Policies = {
  auth: null,
  limiter: null,
  gate: null,
  pricing,
  ticketOf: () => ({ tenant: '', weight: 1, priority: 0 }),
}
