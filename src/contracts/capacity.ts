import type { Target } from './routing.ts'

/** What a backend can take. From the configuration, or learned from its limit headers. */
export interface CapacityConfig {
  /** Calls at a time; 0 = not bounded. */
  readonly concurrency: number
  /** Waiting requests per worker; above it new ones are refused at once. */
  readonly queueLength: number
  /** Longest wait, ms. */
  readonly queueWaitMs: number
  /** Take quotas from the provider's limit headers, and pace by them. */
  readonly learn: boolean
}

/** Who waits, and how much the call is worth. */
export interface Ticket {
  readonly tenant: string
  /** > 0. Share of the tenant relative to others. */
  readonly weight: number
  /** Lower goes first, always. */
  readonly priority: number
  /** Estimated tokens of the call, prompt and answer. */
  readonly tokens: number
}

/** Right to make one call of a target. */
export interface Grant {
  /** Once: the call is over; what it really used, and the limit headers of its answer if any. */
  end(tokens: number): void
}

/** A request that waits for its turn. */
export interface Waiting {
  /** It does not want to any more. */
  cancel(): void
}

/** Called once for a request that waited: with its grant, or null when it waited too long. */
export type OnTurn = (grant: Grant | null) => void

export interface CapacityGate {
  /**
   * A grant at once, or a place in the queue, whose turn is told to onTurn later (never during the call). null = the
   * target is not bounded. Throws GatewayError `rate_limited` with an exact `retryAfterMs` when the queue is full.
   */
  enter(target: Target, ticket: Ticket, onTurn: OnTurn): Grant | Waiting | null
  /** Limit headers of an answer of the target (lower-case names), any provider's form. */
  learn(target: Target, header: (name: string) => string | undefined, status: number): void
}
