import type { Price } from './config.ts'

/** What becomes of a request whose target has no known price. */
export type UnknownPricePolicy = 'deny' | 'estimate' | 'flag'

/** A user's price; `*` in the pattern stands for any text. The first that fits `provider/model` holds. */
export interface PriceOverride {
  readonly pattern: string
  readonly price: Price
}

export interface UsageConfig {
  /** In the order of the file. Stronger than config/models.json, weaker than a target's own `price`. */
  readonly overrides: readonly PriceOverride[]
  /**
   * What config/models.json knows of the providers in use: provider type, model, price. For models whose names are the
   * client's (`provider/*`); the loader hands it over so that the serving process need not hold the whole file.
   */
  readonly known: Readonly<Record<string, Readonly<Record<string, Price>>>>
  readonly unknownPrice: UnknownPricePolicy
  /** Taken as the price by `estimate`; US dollars per million tokens. */
  readonly assumedPrice: { readonly input: number; readonly output: number }
  /** The cost of the answer as a header of the answer. */
  readonly costHeader: boolean
  readonly records: {
    readonly file: {
      readonly path: string
      /** Bytes; a larger file is renamed and a new one begun. 0 = never. */ readonly rotateBytes: number
    } | null
    readonly otlp: { readonly url: string; readonly headers: Readonly<Record<string, string>> } | null
    /** Redis stream of the ledger's Redis. */
    readonly redis: { readonly stream: string; readonly maxLength: number } | null
  }
}
