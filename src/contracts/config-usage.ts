/** What becomes of a request whose target has no known price. */
export type UnknownPricePolicy = 'deny' | 'estimate' | 'flag'

export interface UsageConfig {
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
