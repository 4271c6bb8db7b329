import type { EmbedAnswer } from '../../contracts/dialect.ts'
import type { Usage } from '../../contracts/usage.ts'

const isVector = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length > 0 && value.every((n) => typeof n === 'number' && Number.isFinite(n))

/** What a backend gave for `count` texts, in their order; `invalid` when that is something else than so many vectors. */
export function vectorsAnswer(values: unknown, count: number, usage: Usage | null): EmbedAnswer | 'invalid' {
  if (!Array.isArray(values) || values.length !== count || !values.every(isVector)) return 'invalid'
  return { vectors: values, usage }
}
