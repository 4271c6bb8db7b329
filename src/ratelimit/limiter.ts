import type { AdmissionQuery, Amounts, Lease, Limiter } from '../contracts/admission.ts'
import type { LimitConfig } from '../contracts/config-limits.ts'
import type { TenantConfig } from '../contracts/config-auth.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import type { CounterSet } from './counter.ts'
import { LedgerLease } from './lease.ts'
import type { LedgerMemory } from './ledger-memory.ts'
import { Overrides } from './overrides.ts'
import type { LimitOverride, OverrideTarget } from './overrides.ts'
import { refusal, unavailable } from './refusal.ts'
import { NO_ROOM, tightest } from './room.ts'
import { Selector } from './selector.ts'
import type { SharedHold, SharedLedger } from './shared-ledger.ts'

/** A refusal because the shared ledger is away: it is asked again soon, ms. */
const AWAY_RETRY_MS = 1000

export interface LimiterParts {
  readonly limits: readonly LimitConfig[]
  readonly tenants: readonly TenantConfig[]
  /** Counters of this process. */
  readonly memory: LedgerMemory
  /** Counters of all replicas; null = there is one process only. */
  readonly shared: SharedLedger | null
  /** Replicas among which limits are divided while the shared ledger is away. */
  readonly replicas: number
  readonly clock?: Clock
  /** Outlives the limiter, so that a reload of the configuration does not forget what was set at run time. */
  readonly overrides?: Overrides
  /** A limit has refused a request, or would have. For counting: called on the request path. */
  readonly onRefused?: (limit: string, unit: string, shadow: boolean) => void
  /** A request passed limits that could not be asked (`open`), or for which there was no slot. */
  readonly onUnchecked?: () => void
}

/** What either ledger says of a request that it has admitted. */
interface Found {
  readonly skipped: Uint8Array | null
  readonly wouldRefuse: readonly string[]
  readonly left: readonly number[]
  readonly reset: readonly number[]
}

/** The limits of a configuration, counted in the ledgers that outlive it. */
export class LedgerLimiter implements Limiter {
  readonly #parts: LimiterParts
  readonly #memory: LedgerMemory
  readonly #shared: SharedLedger | null
  readonly #selector: Selector
  readonly #overrides: Overrides
  readonly #clock: Clock

  constructor(parts: LimiterParts) {
    this.#parts = parts
    this.#memory = parts.memory
    this.#shared = parts.shared
    this.#clock = parts.clock ?? systemClock
    this.#overrides = parts.overrides ?? new Overrides()
    this.#selector = new Selector(parts.limits, parts.tenants, (counter) => this.#overrides.amountOf(counter))
  }

  /** Some limit looks at the target: `admit` must be asked again before each attempt. */
  get byTarget(): boolean {
    return this.#selector.byTarget
  }

  admit(query: AdmissionQuery): Lease | null | Promise<Lease | null> {
    const set = this.#selector.select(query)
    if (set === null) return null
    const amounts = set.toTake(query.estimate)
    if (this.#shared === null) return this.#here(set, amounts, null)
    return this.#shared.up ? this.#everywhere(this.#shared, set, amounts) : this.#away(this.#shared, set, amounts)
  }

  /** away: the shared ledger that should have been asked. */
  #here(set: CounterSet, amounts: Amounts, away: SharedLedger | null): LedgerLease {
    const memory = this.#memory
    if (!memory.reserve(set, amounts, away === null ? 0 : this.#parts.replicas)) {
      const { outcome } = memory
      const { rule } = set.counters[outcome.refusedBy]!
      this.#parts.onRefused?.(rule.limit, rule.unit, false)
      if (outcome.full) throw unavailable(rule.limit, 'no room for another counter: raise max_scopes', outcome.waitMs)
      throw refusal(set, outcome, amounts)
    }
    return this.#lease(set, amounts, away === null ? null : away.uncounted(set, amounts), memory.outcome)
  }

  #lease(set: CounterSet, amounts: Amounts, shared: SharedHold | null, outcome: Found): LedgerLease {
    const { skipped, wouldRefuse, left, reset } = outcome
    for (const limit of wouldRefuse) this.#parts.onRefused?.(limit, '', true)
    if (shared === null && skipped !== null && wouldRefuse.length === 0) this.#parts.onUnchecked?.()
    return new LedgerLease({
      memory: this.#memory,
      set,
      shared,
      amounts,
      at: this.#memory.outcome.at,
      skipped,
      wouldRefuse,
      requests: set.requests.length === 0 ? NO_ROOM : tightest(set, set.requests, left, reset),
      tokens: set.tokens.length === 0 ? NO_ROOM : tightest(set, set.tokens, left, reset),
    })
  }

  async #everywhere(shared: SharedLedger, set: CounterSet, amounts: Amounts): Promise<Lease> {
    const answer = await shared.reserve(set, amounts)
    if (answer === null) return this.#away(shared, set, amounts)
    if (!answer.ok) {
      const { rule } = set.counters[answer.refusedBy]!
      this.#parts.onRefused?.(rule.limit, rule.unit, false)
      throw refusal(set, answer, amounts)
    }
    // Kept up with here too: should the shared ledger go away, this process knows what it has used already.
    this.#memory.record(set, amounts, answer.skipped)
    const { skipped } = this.#memory.outcome
    const { wouldRefuse, left, reset } = answer
    return this.#lease(set, amounts, answer.hold, { skipped, wouldRefuse, left, reset })
  }

  /** Each limit by its own policy: `closed` refuses, `open` does not ask, `local` divides by the number of replicas. */
  #away(shared: SharedLedger, set: CounterSet, amounts: Amounts): Lease {
    const closed = set.counters.find(({ rule }) => rule.onStoreFailure === 'closed' && !rule.shadow)
    if (closed !== undefined) {
      this.#parts.onRefused?.(closed.rule.limit, closed.rule.unit, false)
      throw unavailable(closed.rule.limit, 'the ledger in Redis cannot be asked', AWAY_RETRY_MS)
    }
    if (set.counters.some(({ rule }) => rule.onStoreFailure === 'open')) this.#parts.onUnchecked?.()
    return this.#here(set, amounts, shared)
  }

  /** Sets an amount in this thread; with several threads it is told to each. */
  override(override: LimitOverride): void {
    this.#overrides.set(override)
    this.#selector.forget()
  }

  /** False = there was none. */
  clearOverride(target: OverrideTarget): boolean {
    const found = this.#overrides.clear(target)
    if (found) this.#selector.forget()
    return found
  }

  /** The overrides have been changed. */
  changed(): void {
    this.#selector.forget()
  }

  get overrides(): readonly LimitOverride[] {
    return this.#overrides.all
  }

  /** To be called every second: drops overrides that are over, and takes over those that all replicas share. */
  refresh(shared?: ReadonlyMap<string, LimitOverride>): void {
    const replaced = shared !== undefined && this.#overrides.replace(shared)
    const expired = this.#overrides.expire(this.#clock.now())
    if (replaced || expired) this.#selector.forget()
  }
}

/** The limits of a configuration. Cheap: what has been counted is in the ledgers. */
export const createLimiter = (parts: LimiterParts): LedgerLimiter => new LedgerLimiter(parts)
