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
  /** Those of the prompt, for providers that limit prompt and answer apart. Left out: all are taken for the prompt. */
  readonly inputTokens?: number
}

/** Right to make one call of a target. */
export interface Grant {
  /**
   * The head of the answer is here: its limit headers (lower-case names), any provider's form. At most once, before
   * end(); from then on the provider's own count is taken to include the call.
   */
  answered(header: (name: string) => string | undefined): void
  /** Once, later calls do nothing: the call is over, with what it really used; 0 = nothing was called. */
  end(tokens: number): void
}

/** A request that waits for its turn. */
export interface Waiting {
  /** It does not want to any more; its place in the queue is gone, onTurn is not called. */
  cancel(): void
}

/**
 * Called once for a request that waited: with its grant, or null when it waited too long, and then with the time after
 * which it is worth asking again, ms.
 */
export type OnTurn = (grant: Grant | null, retryAfterMs: number) => void

export interface CapacityGate {
  /**
   * A grant at once, or a place in the queue, whose turn is told to onTurn later (never during the call). null = the
   * target is not bounded. Throws GatewayError `rate_limited` with `retryAfterMs` when the queue is full, or when the
   * provider's quota will not be there again within the longest wait.
   */
  enter(target: Target, ticket: Ticket, onTurn: OnTurn): Grant | Waiting | null
}
