import type { Token } from './scan.ts'

/** A number of a text, with what it counts. */
export interface Quantity {
  /** Same key = same quantity: dimension and value in base units, or the text where digits say more than their value. */
  readonly key: string
  /** As written, without unit; NaN where it has no one value. Says whether two can be the same when one names no unit. */
  readonly raw: number
  readonly bare: boolean
  /** `one`, `first` and 一 are often no numbers: they are compared only with another number in their place. */
  readonly optional: boolean
}

export interface Reading {
  readonly quantities: readonly Quantity[]
  readonly marks: readonly number[]
  /** Tokens read. */
  readonly size: number
}

/** Nine digits: sums of units differ in the last ones. */
export const canonical = (value: number): string => String(Number(value.toPrecision(9)))

/** A number that counts nothing named. */
export const bare = (value: number, optional = false, literal = canonical(value)): Quantity => ({
  key: `:${literal}`,
  raw: value,
  bare: true,
  optional,
})

/** A number of a unit. factor: base units in one. */
export const measured = (value: number, dimension: string, factor: number): Quantity => ({
  key: `${dimension}:${canonical(value * factor)}`,
  raw: value,
  bare: false,
  optional: false,
})

/** Text of a token in lower case; empty beyond the ends. */
export const lowerAt = (tokens: readonly Token[], at: number): string => tokens[at]?.text.toLowerCase() ?? ''
