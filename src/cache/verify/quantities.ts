import { monthMarks, months } from './lexicon.ts'
import { bare, canonical, lowerAt, measured, type Quantity, type Reading } from './quantity.ts'
import { HAN, NUMBER, WORD, type Token } from './scan.ts'
import { currencyBefore, unitBehind } from './unit-behind.ts'
import { magnitudes, numerals, ordinalWords, romans } from './units.ts'

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

const negative = (tokens: readonly Token[], at: number): boolean => {
  const sign = tokens[at - 1]
  if (sign?.text !== '-' || tokens[at]?.glued !== true) return false
  // Behind a letter or a digit it joins; Han is written without spaces.
  return !sign.glued || at === 1 || /^\p{Script=Han}/u.test(tokens[at - 2]!.text)
}

const decadeWords = new Set(['the', 'early', 'late', 'mid'])

/** `1980s`, `the 80s`: the first year; NaN = none. 30s alone are seconds. */
const decadeOf = (value: number, suffix: string, before: string): number => {
  if ((suffix !== 's' && suffix !== "'s") || value % 10 !== 0) return Number.NaN
  if (value >= 1_000) return value
  return value < 100 && decadeWords.has(before) ? 1_900 + value : Number.NaN
}

const reading = (quantity: Quantity, size: number): Reading => ({ quantities: [quantity], marks: [], size })

/** `7:30 pm`, `2001-09-11`, `1.2.3`; null = a number like others. */
const shaped = (tokens: readonly Token[], at: number): Reading | null => {
  const text = tokens[at]?.text ?? ''
  if (text.includes(':')) {
    const [hour, minute] = text.split(':')
    const [half, size] = halfOfDay(tokens, at + 1)
    return reading(clock(Number(hour), Number(minute), half), 1 + size)
  }
  return /[-/]/.test(text) || text.split('.').length > 2 ? dotted(text.replace(/^[vV]/, '')) : null
}

/** What the token behind makes of a number: `4th`, `80s`, 5月; null = nothing of these. */
const suffixed = (tokens: readonly Token[], at: number, value: number, size: number): Reading | null => {
  const behind = tokens[at + size]
  if (behind === undefined) return null
  const word = behind.text.toLowerCase()
  if (behind.kind === HAN && word.startsWith('月') && value >= 1 && value <= 12) {
    return { quantities: [], marks: [monthMarks[value - 1] ?? 0], size }
  }
  if (!behind.glued) return null
  if (ordinalEnds.has(word)) return reading(bare(value), size + 1)
  const decade = tokens[at]?.kind === NUMBER ? decadeOf(value, word, lowerAt(tokens, at - 1)) : Number.NaN
  if (Number.isNaN(decade)) return null
  return reading({ key: `decade:${String(decade)}`, raw: Number.NaN, bare: false, optional: false }, size + 1)
}

const ordinalEnds = new Set(['st', 'nd', 'rd', 'th'])

/** Reads a number, its unit and what else belongs to it at `at`; null = there is none. */
export const readQuantity = (tokens: readonly Token[], at: number): Reading | null => {
  const token = tokens[at]
  if (token === undefined || (token.kind !== NUMBER && token.kind !== WORD)) return null
  const shape = token.kind === NUMBER ? shaped(tokens, at) : null
  if (shape !== null) return shape
  const hour = namedHours.get(lowerAt(tokens, at))
  if (hour !== undefined) return reading({ ...clock(hour, 0, -1), raw: 12, optional: true }, 1)
  const first = numeral(tokens, at)
  if (first === null || Number.isNaN(first.value)) return null
  const number = magnified(tokens, first, at)
  const value = negative(tokens, at) ? -number.value : number.value
  const suffix = suffixed(tokens, at, value, number.size)
  if (suffix !== null) return suffix
  const next = at + number.size
  const [half, said] = value > 0 && value <= 12 ? halfOfDay(tokens, next) : [-1, 0]
  if (said > 0) return reading(clock(value, 0, half), number.size + said)
  const currency = currencyBefore(tokens, at)
  if (currency !== null) return reading(measured(value, currency, 1), number.size)
  const unit = first.optional && ordinalWords.has(lowerAt(tokens, at)) ? null : unitBehind(tokens, next)
  if (unit !== null) return reading(measured(value, unit.dimension, unit.factor), number.size + unit.size)
  return reading(bare(value, number.optional, value < 0 ? canonical(value) : number.literal), number.size)
}

const beforeMonth = new Set(['in', 'of', 'since', 'until', 'next', 'last', 'by', 'th', 'st', 'nd', 'rd'])

/** Month by name at `at`; `may`, `march`, `jun` and their like need a number or a preposition beside them. */
export const readMonth = (tokens: readonly Token[], at: number): number => {
  const token = tokens[at]
  if (token === undefined || token.kind !== WORD) return -1
  const word = token.text.toLowerCase()
  if (word === 'may' || word === 'march' || word === 'mar') {
    const before = tokens[at - 1]
    const after = tokens[at + 1]
    const beside = before?.kind === NUMBER || after?.kind === NUMBER || beforeMonth.has(lowerAt(tokens, at - 1))
    if (!beside || (token.text[0] === 'm' && before?.kind !== NUMBER && after?.kind !== NUMBER)) return -1
    return monthMarks[word === 'may' ? 4 : 2] ?? -1
  }
  const month = months.get(word)
  return month === undefined ? -1 : (monthMarks[month] ?? -1)
}
