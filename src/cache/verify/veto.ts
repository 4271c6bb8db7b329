import type { Facts } from './facts.ts'
import { CLASS_SPAN, isTimeClass } from './lexicon.ts'
import { crossed, exchanged } from './order.ts'
import { opposed } from './prefixes.ts'
import type { Quantity } from './quantity.ts'

/** Words must be as alike as this to be taken for a slip of the pen. */
const SLIP = 0.5
/** Words of a text in which one negation, number or opposite more may be of another sentence. */
const LONG = 32

const has = (sorted: Int32Array, value: number): boolean => {
  for (const found of sorted) if (found === value) return true
  return false
}

/** A quantity is met by its like, or by the bare number where one of the two names no unit. */
const met = (one: Quantity, all: readonly Quantity[]): boolean => {
  for (const other of all) {
    if (one.key === other.key) return true
    if (one.bare !== other.bare && one.raw === other.raw) return true
  }
  return false
}

/** How many of a's quantities b lacks. `one` and its like count only where b has a number instead. */
const missing = (a: Facts, b: Facts): number => {
  let count = 0
  for (const quantity of a.quantities) if (!quantity.optional && !met(quantity, b.quantities)) count++
  return count
}

const optionalMissing = (a: Facts, b: Facts): boolean => {
  for (const quantity of a.quantities) if (quantity.optional && !met(quantity, b.quantities)) return true
  return false
}

const long = (a: Facts, b: Facts): boolean => a.words.length > LONG || b.words.length > LONG

const quantities = (a: Facts, b: Facts): boolean => {
  if (a.quantities.length === 0 && b.quantities.length === 0) return false
  const left = missing(a, b)
  const right = missing(b, a)
  if (left > 0 && right > 0) return true
  // Long texts say much by the way: a number more need not be asked about.
  if (left + right > 0 && !long(a, b)) return true
  return optionalMissing(a, b) && optionalMissing(b, a)
}

/** Class in which each names something that the other does not; -1 = none. */
const exclusive = (a: Facts, b: Facts): number => {
  for (const mark of a.marks) {
    if (has(b.marks, mark)) continue
    const group = Math.trunc(mark / CLASS_SPAN)
    for (const other of b.marks) {
      if (Math.trunc(other / CLASS_SPAN) === group && !has(a.marks, other)) return group
    }
  }
  return -1
}

const antonym = (a: Facts, b: Facts): boolean => {
  for (const axis of a.axes) {
    if (has(b.axes, -axis) && !has(b.axes, axis) && !has(a.axes, -axis)) return true
  }
  return opposed(a, b)
}

const lacksQuote = (a: Facts, b: Facts): boolean => {
  for (const quote of a.quotes) if (quote !== '' && !b.quotes.includes(quote)) return true
  return false
}

const lacksCode = (a: readonly string[], b: Facts): boolean => {
  for (const code of a) if (!b.code.includes(code) && !b.words.includes(code.toLowerCase())) return true
  return false
}

const lacksLink = (a: Facts, b: Facts): boolean => {
  for (const link of a.links) if (!b.links.includes(link)) return true
  return false
}

const shared = (a: string, b: string): number => {
  let same = 0
  for (let i = 0; i + 1 < a.length; i++) if (b.includes(a.slice(i, i + 2))) same++
  return same / Math.max(a.length, b.length, 2)
}

const textOf = (facts: Facts, from: number, to: number): string => {
  let text = ''
  for (let i = 0; i < facts.words.length; i++) {
    for (let at = from; at < to; at++) {
      if (facts.stems[i] === facts.sequence[at]) {
        text += `${facts.words[i] ?? ''} `
        break
      }
    }
  }
  return text.trim()
}

const allNamed = (facts: Facts, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) if (facts.named[i] !== 1) return false
  return from < to
}

const initials = (text: string): string => {
  let letters = ''
  for (let i = 0; i < text.length; i++)
    if (i === 0 || text[i - 1] === ' ' || text[i - 1] === '-') letters += text[i] ?? ''
  return letters
}

/** The texts differ in one place only, which holds names on both sides that are no slip, part or short form of each other. */
const renamed = (a: Facts, b: Facts): boolean => {
  const left = a.sequence
  const right = b.sequence
  const shorter = Math.min(left.length, right.length)
  let from = 0
  while (from < shorter && left[from] === right[from]) from++
  let same = 0
  while (same < shorter - from && left[left.length - 1 - same] === right[right.length - 1 - same]) same++
  if (from + same < 2 || !allNamed(a, from, left.length - same) || !allNamed(b, from, right.length - same)) return false
  const one = textOf(a, from, left.length - same)
  const other = textOf(b, from, right.length - same)
  if (initials(one) === other || initials(other) === one) return false
  return shared(one, other) < SLIP
}

const WHO = 1
const WHEN = 2
const WHY = 4
const HOW = 5

/** Who, when, where, why, and measures: none is ever another way to ask one of the others. */
const strict = (ask: number): boolean => (ask > 0 && ask < 5) || ask >= 10

/** Where it is done often says how; who may, and when, never does. */
const byWhom = (one: number, other: number): boolean => (one === WHO || one === WHEN) && other === HOW

const sameContent = (a: Facts, b: Facts): boolean => {
  for (const at of a.contentAt) if (!has(b.stems, a.stems[at] ?? 0)) return false
  return true
}

/** The same words are asked about, but not the same of them. */
const asksOther = (a: Facts, b: Facts): boolean => {
  if (
    a.ask === b.ask ||
    a.ask === 0 ||
    b.ask === 0 ||
    !(
      a.ask === WHY ||
      b.ask === WHY ||
      (strict(a.ask) && strict(b.ask)) ||
      byWhom(a.ask, b.ask) ||
      byWhom(b.ask, a.ask)
    )
  )
    return false
  // "What" asks for anything: "what time" is "when".
  if (a.ask === 6 || b.ask === 6 || long(a, b)) return false
  return sameContent(a, b) && sameContent(b, a)
}

/** What is written as it is meant: addresses, quotations, code. */
const literal = (a: Facts, b: Facts): string | null => {
  if (lacksLink(a, b) || lacksLink(b, a)) return 'url'
  // On one side only they may be said in other words.
  if (lacksQuote(a, b) && lacksQuote(b, a)) return 'quote'
  if (lacksCode(a.code, b) && lacksCode(b.code, a)) return 'code'
  return a.operators !== b.operators && a.operators !== '' && b.operators !== '' ? 'code' : null
}

const polarity = (a: Facts, b: Facts): string | null => {
  if (long(a, b)) return null
  const opposite = antonym(a, b)
  // Both: "not cheap" and "expensive" may say the same, and the score decides.
  if (opposite === (a.negated !== b.negated)) return null
  return opposite ? 'antonym' : 'negation'
}

const things = (a: Facts, b: Facts): string | null => {
  if (asksOther(a, b)) return 'question'
  if (a.tasks !== b.tasks && !long(a, b)) return 'task'
  const group = exclusive(a, b)
  if (group >= 0) return isTimeClass(group) ? 'date' : 'entity'
  if (exchanged(a, b) || exchanged(b, a) || crossed(a, b) || crossed(b, a)) return 'order'
  return renamed(a, b) ? 'entity' : null
}

/** Why two texts must not share an answer whatever their likeness; null = nothing sure says so. Symmetric. */
export const vetoOf = (a: Facts, b: Facts): string | null => {
  if (a.tail !== b.tail) return 'length'
  if (Math.abs(a.han - b.han) > 0.5 || Math.abs(a.other - b.other) > 0.5) return 'language'
  if (quantities(a, b)) return 'number'
  return literal(a, b) ?? polarity(a, b) ?? things(a, b)
}
