import type { Price } from '../contracts/config.ts'
import { overrideFor } from '../config/price.ts'
import type { UsageConfig } from '../contracts/config-usage.ts'
import type { Denial } from '../contracts/identity.ts'
import type { Target } from '../contracts/routing.ts'
import { usageHints } from '../protocol/usage.ts'

/** Where a price comes from. `assumed`: the policy `estimate`; `none`: no price is known. */
export type PriceSource = 'target' | 'override' | 'table' | 'assumed' | 'none'

export interface Quote {
  readonly price: Price | null
  readonly source: PriceSource
  /** For chargeOf(): the provider's own figure goes before the table's, never before one that the operator set. */
  readonly preferReported: boolean
  /** The price is assumed. */
  readonly estimated: boolean
}

/** Names come from clients where a route is a pattern: so many are remembered, then all are forgotten. */
const MAX_REMEMBERED = 10_000

/** `-2025-08-07` or `-20250929`: a dated snapshot has the price of the model it was taken from. */
const SNAPSHOT = /-(?:\d{4}-\d{2}-\d{2}|\d{8})$/

/**
 * Prices of targets and the models they are asked for. One a configuration; answers are remembered, so that a price is
 * looked up once a target and model.
 */
export class PriceBook {
  readonly #config: UsageConfig
  readonly #known: ReadonlyMap<string, ReadonlyMap<string, Price>>
  readonly #assumed: Price
  #quotes = new Map<Target, Map<string, Quote>>()
  #remembered = 0

  constructor(config: UsageConfig) {
    this.#config = config
    this.#known = new Map(Object.entries(config.known).map(([type, rows]) => [type, new Map(Object.entries(rows))]))
    this.#assumed = config.assumedPrice
  }

  /** model: what is sent upstream. */
  quote(target: Target, model: string): Quote {
    let models = this.#quotes.get(target)
    const known = models?.get(model)
    if (known !== undefined) return known
    if (this.#remembered >= MAX_REMEMBERED) {
      this.#quotes = new Map()
      this.#remembered = 0
      models = undefined
    }
    if (models === undefined) {
      models = new Map()
      this.#quotes.set(target, models)
    }
    const quote = this.#look(target, model)
    models.set(model, quote)
    this.#remembered++
    return quote
  }

  priceOf(target: Target, model: string): Price | null {
    return this.quote(target, model).price
  }

  /** Null = it may be called; with the policy `deny` a target without a price may not: before any call. */
  refusal(target: Target, model: string): Denial | null {
    if (this.#config.unknownPrice !== 'deny' || this.quote(target, model).price !== null) return null
    return { rule: 'usage.unknown_price', reason: `no price is known for ${target.provider.name}/${model}` }
  }

  #table(type: string, model: string): Price | null {
    const rows = this.#known.get(type)
    return rows?.get(model) ?? rows?.get(model.replace(SNAPSHOT, '')) ?? null
  }

  #look(target: Target, model: string): Quote {
    const { name, config } = target.provider
    const table = this.#table(config.type, model)
    const override = overrideFor(this.#config.overrides, `${name}/${model}`)
    const quote = (price: Price | null, source: PriceSource): Quote => ({
      price,
      source,
      preferReported: source !== 'target' && source !== 'override' && usageHints(config.type).billsReported === true,
      estimated: source === 'assumed',
    })
    // The loader gives a target the table's price when its own entry has none: only another one is the operator's.
    const own = target.price !== null && !samePrice(target.price, table) && !samePrice(target.price, override)
    if (own) return quote(target.price, 'target')
    if (override !== null) return quote(override, 'override')
    if (table !== null) return quote(table, 'table')
    // A simulated model costs nothing, and that is known.
    if (config.type === 'sim') return quote(FREE, 'table')
    return this.#config.unknownPrice === 'estimate' ? quote(this.#assumed, 'assumed') : quote(null, 'none')
  }
}

const FREE: Price = { input: 0, output: 0 }

const samePrice = (a: Price, b: Price | null): boolean =>
  a === b || (b !== null && JSON.stringify(a) === JSON.stringify(b))
