import { monthMarks } from './lexicon.ts'
import { measuresZh } from './lexicon-zh.ts'
import { bare, measured, type Quantity } from './quantity.ts'
import { numeralZh, unitOf } from './units.ts'

const numeralRun = /第?[零一二三四五六七八九十百千万亿两〇]+/gu

/** A numeral and what is around it. */
interface Numeral {
  readonly digits: string
  readonly ordinal: boolean
  readonly first: boolean
  /** One and two characters before, nearest first, and behind. */
  readonly before: string
  readonly beforeTwo: string
  readonly after: string
  readonly afterTwo: string
}

const within = (character: string, all: string): boolean => character !== '' && all.includes(character)

const counts = (numeral: Numeral): boolean =>
  numeral.ordinal || within(numeral.after, measuresZh) || numeral.afterTwo === '分之' || numeral.beforeTwo === '分之'

const operated = (numeral: Numeral): boolean =>
  within(numeral.after, '乘除加减于比') || within(numeral.before, '以于上去')

/** 一 and its like are parts of many words: whether these characters are a number here. */
const isNumber = (numeral: Numeral, unit: boolean): boolean => {
  const { digits, before, after } = numeral
  // 周一 and 星期一 are days.
  if (within(before, '周期拜')) return false
  // 5千米: the 千 is of the unit.
  if (numeral.first && within(digits[0] ?? '', '百千万亿')) return false
  if (digits === '一' && (after === '下' || after === '个')) return false
  const counted = counts(numeral)
  if (digits.length === 1) return unit || counted || operated(numeral)
  return digits !== '千万' || unit || counted
}

/** Numbers and months written in Chinese characters within a run of them; `一` alone is optional. */
export const readHan = (
  run: string,
): { readonly quantities: readonly Quantity[]; readonly marks: readonly number[] } => {
  const quantities: Quantity[] = []
  const marks: number[] = []
  for (const match of run.matchAll(numeralRun)) {
    const ordinal = match[0].startsWith('第')
    const digits = ordinal ? match[0].slice(1) : match[0]
    const end = match.index + match[0].length
    const afterTwo = run.slice(end, end + 2)
    const after = run[end] ?? ''
    const before = run[match.index - 1] ?? ''
    const beforeTwo = run.slice(Math.max(0, match.index - 2), match.index)
    const value = numeralZh(digits)
    if (Number.isNaN(value)) continue
    if (after === '月' && value >= 1 && value <= 12 && !within(before, '周期拜')) {
      marks.push(monthMarks[value - 1] ?? 0)
      continue
    }
    const unit = unitOf(afterTwo) ?? unitOf(after)
    const numeral = { digits, ordinal, first: match.index === 0, before, beforeTwo, after, afterTwo }
    if (!isNumber(numeral, unit !== null)) continue
    quantities.push(unit === null ? bare(value, value === 1) : measured(value, unit.dimension, unit.factor))
  }
  return { quantities, marks }
}
