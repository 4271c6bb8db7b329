export type LimitUnit = 'requests' | 'input_tokens' | 'output_tokens' | 'tokens' | 'usd' | 'concurrency'

export type CalendarUnit = 'hour' | 'day' | 'week' | 'month' | 'quarter' | 'year'

export type LimitPeriod =
  /** At most the amount in any stretch of this length, ms. */
  | { readonly kind: 'sliding'; readonly windowMs: number }
  /** From the beginning of the hour, day, ... in an IANA time zone. */
  | { readonly kind: 'calendar'; readonly unit: CalendarUnit; readonly zone: string }
  /** Concurrency: what is under way now. */
  | { readonly kind: 'open' }

export interface LimitRule {
  readonly unit: LimitUnit
  /** US dollars for `usd`, else a count. */
  readonly amount: number
  readonly period: LimitPeriod
}

/** What tells counters of one limit apart: each combination of values has its own. [] = one for all. */
export type LimitScope =
  | {
      readonly kind:
        | 'key'
        | 'user'
        | 'team'
        | 'tenant'
        | 'peer'
        | 'namespace'
        | 'service_account'
        | 'model'
        | 'target'
        | 'provider'
    }
  /** CEL over the request and `principal` with a string result. */
  | { readonly kind: 'expression'; readonly source: string }

export type StoreFailurePolicy = 'closed' | 'open' | 'local'

export interface LimitConfig {
  readonly name: string
  readonly per: readonly LimitScope[]
  /** CEL; the limit applies to requests for which it is true. null = all. */
  readonly when: string | null
  readonly rules: readonly LimitRule[]
  /** Reports what it would refuse, refuses nothing. */
  readonly shadow: boolean
  /** When the shared store cannot be asked: refuse, let through, or enforce this replica's share. */
  readonly onStoreFailure: StoreFailurePolicy
  /** A stream that needs more than is left ends with an error instead of going over. */
  readonly stopStreams: boolean
}

export interface LedgerConfig {
  /** null = counters live in this process only. */
  readonly redis: {
    readonly urls: readonly string[]
    readonly cluster: boolean
    readonly username: string | null
    readonly password: string | null
    readonly tls: { readonly ca: string | null; readonly rejectUnauthorized: boolean } | null
    readonly prefix: string
    /** A command that takes longer counts as failed, ms. */
    readonly deadlineMs: number
    /** Replicas that share the limits: `local` enforces this part while Redis is away. */
    readonly replicas: number
    /** A worker that has not been heard of for this long has lost its leases, ms. */
    readonly leaseMs: number
  } | null
  /** Without Redis: budgets are kept here over restarts; null = they are not. */
  readonly file: string | null
  /** Counters at a time. */
  readonly maxScopes: number
}
