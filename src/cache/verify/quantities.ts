import { monthMarks, months } from './lexicon.ts'
import { HAN, NUMBER, SYMBOL, WORD, type Token } from './scan.ts'
import { magnitudes, numeralZh, numerals, ordinalWords, romans, unitOf } from './units.ts'
import { measuresZh } from './lexicon-zh.ts'

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

const canonical = (value: number): string => String(Number(value.toPrecision(9)))

const bare = (value: number, optional = false, literal = canonical(value)): Quantity => ({
  key: `:${literal}`,
  raw: value,
  bare: true,
  optional,
})

const measured = (value: number, dimension: string, factor: number): Quantity => ({
  key: `${dimension}:${canonical(value * factor)}`,
  raw: value,
  bare: false,
  optional: false,
})

const lowerAt = (tokens: readonly Token[], at: number): string => tokens[at]?.text.toLowerCase() ?? ''

const meridiem = (word: string): number =>
  word === 'am' || word === 'a.m'
    ? 0
    : word === 'pm' || word === 'p.m' || word === "o'clock"
      ? word[0] === 'o'
        ? -1
        : 12
      : -2

/** `am`, `p.m.`, `in the morning` from `at` on: hours to add, -1 = none said, and the tokens read. */
const halfOfDay = (tokens: readonly Token[], at: number): readonly [number, number] => {
  const direct = meridiem(lowerAt(tokens, at))
  if (direct > -2) return [direct, tokens[at + 1]?.text === '.' && tokens[at + 1]?.glued === true ? 2 : 1]
  if (lowerAt(tokens, at) === 'in' && lowerAt(tokens, at + 1) === 'the') {
    const part = lowerAt(tokens, at + 2)
    if (part === 'morning') return [0, 3]
    if (part === 'afternoon' || part === 'evening') return [12, 3]
  }
  return [-1, 0]
}

const clock = (hour: number, minute: number, half: number): Quantity => {
  const full = half < 0 ? hour : (hour % 12) + half
  return {
    key: `clock:${String(full * 60 + minute)}`,
    raw: minute === 0 ? hour : Number.NaN,
    bare: false,
    optional: false,
  }
}

/** `2001-09-11`, `10/12/2025`, `1.2.3`: a date by ISO 8601, else as written. */
const dotted = (text: string): Reading => {
  const iso = text.split('-')
  const month = Number(iso[1])
  if (iso.length === 3 && (iso[0] ?? '').length === 4 && month >= 1 && month <= 12) {
    const quantities = [bare(Number(iso[0])), bare(Number(iso[2]))]
    return { quantities, marks: [monthMarks[month - 1] ?? 0], size: 1 }
  }
  return { quantities: [{ key: `text:${text}`, raw: Number.NaN, bare: false, optional: false }], marks: [], size: 1 }
}

const namedHours = new Map([
  ['noon', 12],
  ['midday', 12],
  ['midnight', 0],
])

interface Value {
  readonly value: number
  readonly literal: string
  readonly size: number
  readonly optional: boolean
}

/** `twenty-one`, `ten`, `third`. */
const named = (tokens: readonly Token[], at: number): Value | null => {
  const word = lowerAt(tokens, at)
  const ordinal = ordinalWords.get(word)
  if (ordinal !== undefined) {
    return { value: ordinal, literal: String(ordinal), size: 1, optional: word === 'first' || word === 'second' }
  }
  const roman = romans.get(tokens[at]?.text ?? '')
  if (roman !== undefined) return { value: roman, literal: String(roman), size: 1, optional: false }
  const value = numerals.get(word)
  if (value === undefined) return null
  if (value >= 20 && value % 10 === 0) {
    const skip = tokens[at + 1]?.text === '-' ? 2 : 1
    const ones = numerals.get(lowerAt(tokens, at + skip)) ?? ordinalWords.get(lowerAt(tokens, at + skip))
    if (ones !== undefined && ones > 0 && ones < 10) {
      return { value: value + ones, literal: String(value + ones), size: skip + 1, optional: false }
    }
  }
  return { value, literal: String(value), size: 1, optional: value <= 1 }
}

const numeral = (tokens: readonly Token[], at: number): Value | null => {
  const token = tokens[at]
  if (token === undefined) return null
  if (token.kind === WORD) return named(tokens, at)
  if (token.kind !== NUMBER) return null
  const text = token.text.replaceAll(',', '').replace(/^[vV]/, '')
  const value = Number(text)
  // 3.1 and 3.10 are two versions, but one length.
  return { value, literal: text.includes('.') ? text : canonical(value), size: 1, optional: false }
}

const magnified = (tokens: readonly Token[], value: Value, at: number): Value => {
  const skip = tokens[at + value.size]?.text === '-' ? 1 : 0
  const next = tokens[at + value.size + skip]
  const word = next?.text.toLowerCase() ?? ''
  const times = magnitudes.get(next?.kind === HAN ? (word[0] ?? '') : word)
  if (times === undefined || next === undefined || (word === 'k' && !next.glued)) return value
  if (next.kind === HAN && word.length > 1) return value
  const product = value.value * times
  return { value: product, literal: canonical(product), size: value.size + skip + 1, optional: false }
}

const ordinalEnds = new Set(['st', 'nd', 'rd', 'th'])

/** Unit behind a number: `km`, ` kilometers per hour`, `-inch`, `%`, `°C`, `degrees celsius`; null = none. */
const unitBehind = (
  tokens: readonly Token[],
  at: number,
): { dimension: string; factor: number; size: number } | null => {
  const fraction = lowerAt(tokens, at - 1)
  const article =
    fraction === 'half' || fraction === 'quarter' ? ['a', 'an', 'of'].includes(lowerAt(tokens, at)) : false
  const skip = tokens[at]?.text === '-' || article ? 1 : 0
  const token = tokens[at + skip]
  if (token === undefined) return null
  const word = token.text.toLowerCase()
  if (token.kind === HAN) {
    for (let size = 3; size > 0; size--) {
      const unit = word.length >= size ? unitOf(word.slice(0, size)) : null
      if (unit !== null) return { ...unit, size: 0 }
    }
    return null
  }
  if (token.kind !== WORD && token.kind !== SYMBOL) return null
  // `in` and `a` behind a number are words far more often than inches or years.
  if ((word === 's' || word === 'm' || word === 'h' || word === 'g' || word === 'l') && !token.glued) {
    if (word !== 's' && word !== 'g') return null
  }
  const next = lowerAt(tokens, at + skip + 1)
  if ((word === 'degree' || word === 'degrees' || word === '°') && unitOf(next) !== null) {
    const scale = unitOf(next)
    if (scale !== null) return { ...scale, size: skip + 2 }
  }
  if (word === 'per' && next === 'cent') return { dimension: 'percent', factor: 1, size: skip + 2 }
  const unit = unitOf(word)
  if (unit === null) return null
  const after = lowerAt(tokens, at + skip + 2)
  if (unit.dimension === 'length' && (next === 'per' || next === '/') && (after === 'hour' || after === 'h')) {
    return { dimension: 'speed', factor: unit.factor / 1_000, size: skip + 3 }
  }
  return { ...unit, size: skip + 1 }
}

const currencyBefore = (tokens: readonly Token[], at: number): string | null => {
  const before = tokens[at - 1]
  if (before === undefined) return null
  const word = before.text.toLowerCase()
  const unit =
    before.kind === SYMBOL || word === 'rs' || word === 'usd' || word === 'eur' || word === 'inr' ? unitOf(word) : null
  return unit === null || unit.dimension === 'percent' ? null : unit.dimension
}

const negative = (tokens: readonly Token[], at: number): boolean => {
  const sign = tokens[at - 1]
  if (sign?.text !== '-' || tokens[at]?.glued !== true) return false
  return !sign.glued || at === 1
}

/** Reads a number, its unit and what else belongs to it at `at`; null = there is none. */
export const readQuantity = (tokens: readonly Token[], at: number): Reading | null => {
  const token = tokens[at]
  if (token === undefined || (token.kind !== NUMBER && token.kind !== WORD)) return null
  if (token.kind === NUMBER) {
    if (token.text.includes(':')) {
      const [hour, minute] = token.text.split(':')
      const [half, size] = halfOfDay(tokens, at + 1)
      return { quantities: [clock(Number(hour), Number(minute), half)], marks: [], size: 1 + size }
    }
    if (/[-/]/.test(token.text) || token.text.split('.').length > 2) return dotted(token.text.replace(/^[vV]/, ''))
  }
  const hour = namedHours.get(lowerAt(tokens, at))
  if (hour !== undefined)
    return { quantities: [{ ...clock(hour, 0, -1), raw: 12, optional: true }], marks: [], size: 1 }
  const first = numeral(tokens, at)
  if (first === null || Number.isNaN(first.value)) return null
  const number = magnified(tokens, first, at)
  const value = negative(tokens, at) ? -number.value : number.value
  const next = at + number.size
  const behind = tokens[next]
  const word = behind?.text.toLowerCase() ?? ''
  if (behind?.glued === true && ordinalEnds.has(word)) {
    return { quantities: [bare(value)], marks: [], size: number.size + 1 }
  }
  if (
    behind?.glued === true &&
    token.kind === NUMBER &&
    (word === 's' || word === "'s") &&
    value % 10 === 0 &&
    (value >= 1_000 || (value < 100 && ['the', 'early', 'late', 'mid'].includes(lowerAt(tokens, at - 1))))
  ) {
    const decade = value < 100 ? 1_900 + value : value
    return {
      quantities: [{ key: `decade:${String(decade)}`, raw: Number.NaN, bare: false, optional: false }],
      marks: [],
      size: number.size + 1,
    }
  }
  if (behind?.kind === HAN && word.startsWith('月') && value >= 1 && value <= 12) {
    return { quantities: [], marks: [monthMarks[value - 1] ?? 0], size: number.size }
  }
  const [half, said] = value > 0 && value <= 12 ? halfOfDay(tokens, next) : [-1, 0]
  if (said > 0) return { quantities: [clock(value, 0, half)], marks: [], size: number.size + said }
  const currency = currencyBefore(tokens, at)
  if (currency !== null) return { quantities: [measured(value, currency, 1)], marks: [], size: number.size }
  const unit = first.optional && ordinalWords.has(lowerAt(tokens, at)) ? null : unitBehind(tokens, next)
  if (unit !== null) {
    return { quantities: [measured(value, unit.dimension, unit.factor)], marks: [], size: number.size + unit.size }
  }
  const literal = value < 0 ? canonical(value) : number.literal
  return { quantities: [bare(value, number.optional, literal)], marks: [], size: number.size }
}

/** Month by name at `at`; `may`, `march`, `jun` and their like need a number or a preposition beside them. */
export const readMonth = (tokens: readonly Token[], at: number): number => {
  const token = tokens[at]
  if (token === undefined || token.kind !== WORD) return -1
  const word = token.text.toLowerCase()
  if (word === 'may' || word === 'march' || word === 'mar') {
    const before = tokens[at - 1]
    const after = tokens[at + 1]
    const beside =
      before?.kind === NUMBER ||
      after?.kind === NUMBER ||
      ['in', 'of', 'since', 'until', 'next', 'last', 'by', 'th', 'st', 'nd', 'rd'].includes(
        before?.text.toLowerCase() ?? '',
      )
    if (!beside || (token.text[0] === 'm' && before?.kind !== NUMBER && after?.kind !== NUMBER)) return -1
    return monthMarks[word === 'may' ? 4 : 2] ?? -1
  }
  const month = months.get(word)
  return month === undefined ? -1 : (monthMarks[month] ?? -1)
}

const numeralRun = /第?[零一二三四五六七八九十百千万亿两〇]+/gu

/** Numbers and months written in Chinese characters within a run of them; `一` alone is optional. */
export const readHan = (
  run: string,
): { readonly quantities: readonly Quantity[]; readonly marks: readonly number[] } => {
  const quantities: Quantity[] = []
  const marks: number[] = []
  for (const match of run.matchAll(numeralRun)) {
    const text = match[0]
    const before = run[match.index - 1] ?? ''
    const rest = run.slice(match.index + text.length)
    const after = rest[0] ?? ''
    if (before === '周' || before === '期' || before === '拜') continue
    const digits = text.startsWith('第') ? text.slice(1) : text
    const value = numeralZh(digits)
    if (Number.isNaN(value)) continue
    if (after === '月' && value >= 1 && value <= 12) {
      marks.push(monthMarks[value - 1] ?? 0)
      continue
    }
    const unit = unitOf(rest.slice(0, 2)) ?? unitOf(after)
    const operated =
      '乘除加减于比'.includes(after === '' ? ' ' : after) || '以于上去'.includes(before === '' ? ' ' : before)
    const counted =
      text.startsWith('第') ||
      measuresZh.includes(after === '' ? ' ' : after) ||
      after + (rest[1] ?? '') === '分之' ||
      before + (run[match.index - 2] ?? '') === '之分'
    if (digits.length === 1 && unit === null && !counted && !operated) continue
    if (match.index === 0 && '百千万亿'.includes(digits[0] ?? '')) continue
    if (digits === '一' && (after === '下' || after === '个')) continue
    if (digits === '十分' || (digits === '千万' && unit === null && !counted)) continue
    if (unit === null || (after === '分' && unit.dimension !== 'time')) quantities.push(bare(value, value === 1))
    else quantities.push(measured(value, unit.dimension, unit.factor))
  }
  return { quantities, marks }
}
