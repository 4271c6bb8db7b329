// Knows what calls cost, and records it. Reads no configuration file and calls no model.
// Contracts: src/contracts/usage.ts, config-usage.ts. The recorder is loaded apart, only when a sink is configured:
// `await import('../usage/recorder.ts')`.
export { chargeOf } from './charge.ts'
export type { ChargeOptions } from './charge.ts'
export { TokenEstimator } from './estimate.ts'
export { PriceBook } from './price-book.ts'
export type { PriceSource, Quote } from './price-book.ts'
