import type { Services } from '../pipeline/services.ts'
import type { GatewayError } from '../core/errors.ts'

/** When a proxy's question is not taken up: the filter's own fail mode then decides. */
export interface PolicyGate {
  /** Nothing is decided yet, or any more; null = it is. */
  refusal(): GatewayError | null
  /** Why new work is refused right now; null = it is taken. */
  overload(): string | null
  /** This instance is about to end. */
  readonly draining: boolean
}

/** What all services of the policy port share. */
export interface PolicyParts {
  readonly services: Services
  readonly gate: PolicyGate
  /** +1 and -1 around each question. */
  inflight(change: number): void
  /** How a question was answered: `allowed`, `denied`, or why it was not. */
  decided(service: string, decision: string, ms: number): void
}
