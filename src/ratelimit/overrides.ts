import type { LimitUnit } from '../contracts/config-limits.ts'
import { inUnits } from './counter.ts'
import type { Counter } from './counter.ts'

/** An amount that somebody has set at run time. */
export interface LimitOverride {
  readonly limit: string
  readonly unit: LimitUnit
  /** `sliding:60000`, `month:Europe/Berlin`, `open`; null = the rules of the unit, whatever their period. */
  readonly period: string | null
  /** Values of the scope in the order of `per`; null = every counter of the limit. */
  readonly scope: readonly string[] | null
  /** US dollars for `usd`, else a count. */
  readonly amount: number
  /** Epoch ms; null = until it is cleared. */
  readonly until: number | null
}

export type OverrideTarget = Omit<LimitOverride, 'amount' | 'until'>

/** One override holds for one target: this text is the same for the same target in every process. */
export const overrideKey = ({ limit, unit, period, scope }: OverrideTarget): string =>
  JSON.stringify([limit, unit, period, scope])

/** The inverse of `JSON.stringify(override)`; null = no override, or one of another version. */
export const readOverride = (text: string): LimitOverride | null => {
  try {
    const value = JSON.parse(text) as LimitOverride | null
    return value !== null && typeof value.limit === 'string' && Number.isFinite(value.amount) ? value : null
  } catch {
    return null
  }
}

const fits = (override: LimitOverride, { rule, scope }: Counter): boolean =>
  override.limit === rule.limit &&
  override.unit === rule.unit &&
  (override.period === null || override.period === rule.period) &&
  (override.scope === null ||
    (override.scope.length === scope.length && override.scope.every((value, i) => value === scope[i]?.value)))

/** The more an override says of what it is for, the stronger it is. */
const weight = ({ scope, period }: LimitOverride): number => (scope === null ? 0 : 2) + (period === null ? 0 : 1)

/** Amounts set at run time, of this thread. */
export class Overrides {
  #entries = new Map<string, LimitOverride>()

  get all(): readonly LimitOverride[] {
    return [...this.#entries.values()]
  }

  set(override: LimitOverride): void {
    this.#entries.set(overrideKey(override), override)
  }

  clear(target: OverrideTarget): boolean {
    return this.#entries.delete(overrideKey(target))
  }

  /** Takes over what all replicas share. False = nothing has changed. */
  replace(entries: ReadonlyMap<string, LimitOverride>): boolean {
    const same =
      entries.size === this.#entries.size &&
      [...entries].every(([key, entry]) => JSON.stringify(entry) === JSON.stringify(this.#entries.get(key)))
    if (!same) this.#entries = new Map(entries)
    return !same
  }

  /** Drops what is over. False = nothing was. */
  expire(now: number): boolean {
    const over = [...this.#entries].filter(([, { until }]) => until !== null && until <= now)
    for (const [key] of over) this.#entries.delete(key)
    return over.length > 0
  }

  /** What holds for the counter, in whole units. */
  amountOf(counter: Counter): number {
    let best: LimitOverride | null = null
    for (const override of this.#entries.values()) {
      if (fits(override, counter) && (best === null || weight(override) > weight(best))) best = override
    }
    return best === null ? counter.rule.amount : inUnits(counter.rule.unit, best.amount)
  }
}
