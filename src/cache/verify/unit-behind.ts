import { lowerAt } from './quantity.ts'
import { HAN, SYMBOL, WORD, type Token } from './scan.ts'
import { unitOf, type Unit } from './units.ts'

/** size: tokens that say it. */
export interface Counted extends Unit {
  readonly size: number
}

const hanUnit = (word: string): Counted | null => {
  for (let size = Math.min(3, word.length); size > 0; size--) {
    const unit = unitOf(word.slice(0, size))
    if (unit !== null) return { ...unit, size: 0 }
  }
  return null
}

/** Letters that are units only where no space is before them: `5m`, but `5 m`. */
const onlyGlued = new Set(['m', 'h', 'l'])
const degrees = new Set(['degree', 'degrees', '°'])
const articles = new Set(['a', 'an', 'of'])
const parts = new Set(['half', 'quarter'])

const skipped = (tokens: readonly Token[], at: number): number =>
  tokens[at]?.text === '-' || (parts.has(lowerAt(tokens, at - 1)) && articles.has(lowerAt(tokens, at))) ? 1 : 0

/** `per hour` behind a length. */
const perHour = (unit: Unit, next: string, after: string): boolean =>
  unit.dimension === 'length' && (next === 'per' || next === '/') && (after === 'hour' || after === 'h')

/** Unit behind a number: `km`, ` kilometers per hour`, `-inch`, `%`, `°C`, `degrees celsius`; null = none. */
export const unitBehind = (tokens: readonly Token[], at: number): Counted | null => {
  const skip = skipped(tokens, at)
  const token = tokens[at + skip]
  if (token === undefined) return null
  const word = token.text.toLowerCase()
  if (token.kind === HAN) return hanUnit(word)
  if (token.kind !== WORD && token.kind !== SYMBOL) return null
  if (onlyGlued.has(word) && !token.glued) return null
  const next = lowerAt(tokens, at + skip + 1)
  const scale = degrees.has(word) ? unitOf(next) : null
  if (scale !== null) return { ...scale, size: skip + 2 }
  if (word === 'per' && next === 'cent') return { dimension: 'percent', factor: 1, size: skip + 2 }
  const unit = unitOf(word)
  if (unit === null) return null
  if (perHour(unit, next, lowerAt(tokens, at + skip + 2))) {
    return { dimension: 'speed', factor: unit.factor / 1_000, size: skip + 3 }
  }
  return { ...unit, size: skip + 1 }
}

const currencyWords = new Set(['rs', 'usd', 'eur', 'inr'])

/** Dimension of the currency before a number: `$5`, `Rs 5`; null = none. */
export const currencyBefore = (tokens: readonly Token[], at: number): string | null => {
  const before = tokens[at - 1]
  if (before === undefined) return null
  const word = before.text.toLowerCase()
  const unit = before.kind === SYMBOL || currencyWords.has(word) ? unitOf(word) : null
  return unit === null || unit.dimension === 'percent' ? null : unit.dimension
}
