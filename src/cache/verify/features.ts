import { align, alignment } from './align.ts'
import type { Facts } from './facts.ts'
import { CLASS_SPAN } from './lexicon.ts'

/** Names in the order of the vector; the model's file names the same ones. */
export const featureNames = [
  'cosine',
  'stemJaccard',
  'contentJaccard',
  'weightedJaccard',
  'gramDice',
  'meanLow',
  'meanHigh',
  'contentLow',
  'contentHigh',
  'leastLow',
  'leastHigh',
  'secondLow',
  'secondHigh',
  'lostLow',
  'lostHigh',
  'strangersLow',
  'strangersHigh',
  'unknownHigh',
  'bigramDice',
  'sequenceRatio',
  'inversions',
  'lengthRatio',
  'lengthLow',
  'lengthHigh',
  'contentCountLow',
  'contentCountHigh',
  'sameAsk',
  'askKind',
  'numbersOneSided',
  'numbersShared',
  'negationDiffers',
  'opposites',
  'marksOneSided',
  'marksShared',
  'namesLow',
  'namesHigh',
  'namesShared',
  'firstSame',
  'lastSame',
  'han',
  'codeOrQuote',
] as const

const forth = alignment()
const back = alignment()

const lookup = (values: Int32Array, value: number): boolean => {
  for (const found of values) if (found === value) return true
  return false
}

/** Shared values of two sorted lists. */
const overlap = (a: Int32Array, b: Int32Array): number => {
  let shared = 0
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const left = a[i] ?? 0
    const right = b[j] ?? 0
    if (left === right) shared++
    if (left <= right) i++
    if (right <= left) j++
  }
  return shared
}

const ratio = (part: number, whole: number): number => (whole === 0 ? 1 : part / whole)

const lexical = (a: Facts, b: Facts, out: Float64Array): void => {
  let same = 0
  let content = 0
  let weight = 0
  let total = 0
  let contentA = 0
  let contentB = 0
  for (let i = 0; i < a.stems.length; i++) {
    const weighs = a.weights[i] ?? 0
    const found = lookup(b.stems, a.stems[i] ?? 0)
    total += weighs
    contentA += a.content[i] ?? 0
    if (!found) continue
    same++
    weight += weighs
    content += a.content[i] ?? 0
  }
  let sameB = 0
  for (let j = 0; j < b.stems.length; j++) {
    const weighs = b.weights[j] ?? 0
    contentB += b.content[j] ?? 0
    total += weighs
    if (!lookup(a.stems, b.stems[j] ?? 0)) continue
    sameB++
    weight += weighs
    content += b.content[j] ?? 0
  }
  out[1] = ratio(same + sameB, a.stems.length + b.stems.length)
  out[2] = ratio(content, contentA + contentB)
  out[3] = ratio(weight, total)
  out[4] = ratio(2 * overlap(a.grams, b.grams), a.grams.length + b.grams.length)
  out[21] = ratio(Math.min(a.stems.length, b.stems.length), Math.max(a.stems.length, b.stems.length))
  out[22] = Math.min(a.stems.length, b.stems.length)
  out[23] = Math.max(a.stems.length, b.stems.length)
  out[24] = Math.min(contentA, contentB)
  out[25] = Math.max(contentA, contentB)
}

const aligned = (a: Facts, b: Facts, dimensions: number, out: Float64Array): void => {
  align(a, b, dimensions, forth)
  align(b, a, dimensions, back)
  out[5] = Math.min(forth.mean, back.mean)
  out[6] = Math.max(forth.mean, back.mean)
  out[7] = Math.min(forth.contentMean, back.contentMean)
  out[8] = Math.max(forth.contentMean, back.contentMean)
  out[9] = Math.min(forth.least, back.least)
  out[10] = Math.max(forth.least, back.least)
  out[11] = Math.min(forth.second, back.second)
  out[12] = Math.max(forth.second, back.second)
  out[13] = Math.min(forth.lost, back.lost)
  out[14] = Math.max(forth.lost, back.lost)
  out[15] = Math.min(forth.strangers, back.strangers)
  out[16] = Math.max(forth.strangers, back.strangers)
  out[17] = Math.max(forth.unknown, back.unknown)
}

/** Places in b of a's stems, first come first: how many neighbours stay neighbours, and how many change sides. */
const order = (a: Facts, b: Facts, out: Float64Array): void => {
  const left = a.sequence
  const right = b.sequence
  let pairs = 0
  let neighbours = 0
  let turned = 0
  let last = -1
  for (let i = 0; i < left.length; i++) {
    const at = right.indexOf(left[i] ?? 0)
    if (i + 1 < left.length) {
      for (let j = 0; j + 1 < right.length; j++) {
        if (right[j] === left[i] && right[j + 1] === left[i + 1]) {
          neighbours++
          break
        }
      }
    }
    if (at < 0) continue
    if (last >= 0) {
      pairs++
      if (at < last) turned++
    }
    last = at
  }
  out[18] = left.length + right.length < 3 ? 0 : ratio(2 * neighbours, left.length + right.length - 2)
  out[19] = ratio(2 * (pairs + 1 - turned), left.length + right.length)
  out[20] = turned
}

const oneSided = (a: Facts, b: Facts): number => {
  let count = 0
  for (const mark of a.marks) {
    if (lookup(b.marks, mark)) continue
    const group = Math.trunc(mark / CLASS_SPAN)
    let met = false
    for (const other of b.marks) if (Math.trunc(other / CLASS_SPAN) === group) met = true
    if (!met) count++
  }
  return count
}

const missing = (a: Int32Array, b: Int32Array): number => {
  let count = 0
  for (const value of a) if (!lookup(b, value)) count++
  return count
}

const axesOpposed = (a: Facts, b: Facts): number => {
  for (const axis of a.axes) if (lookup(b.axes, -axis) && !lookup(b.axes, axis)) return 1
  return 0
}

const particulars = (a: Facts, b: Facts, out: Float64Array): void => {
  out[26] = a.ask === b.ask ? 1 : a.ask === 0 || b.ask === 0 ? 0.5 : 0
  out[27] = a.ask === b.ask ? a.ask : -1
  out[28] = (a.quantities.length === 0) === (b.quantities.length === 0) ? 0 : 1
  out[29] = Math.min(a.quantities.length, b.quantities.length)
  out[30] = a.negated === b.negated ? 0 : 1
  out[31] = axesOpposed(a, b)
  out[32] = oneSided(a, b) + oneSided(b, a)
  out[33] = overlap(a.marks, b.marks)
  // A name counts as missing where the other text has no such word at all, in whatever case.
  const left = missing(a.names, b.stems)
  const right = missing(b.names, a.stems)
  out[34] = Math.min(left, right)
  out[35] = Math.max(left, right)
  out[36] = overlap(a.names, b.names)
  out[37] = a.sequence[0] === b.sequence[0] ? 1 : 0
  out[38] = a.sequence.at(-1) === b.sequence.at(-1) ? 1 : 0
  out[39] = Math.max(a.han, b.han)
  out[40] = a.quotes.length + b.quotes.length + a.code.length + b.code.length > 0 ? 1 : 0
}

/** Writes what a pair looks like to `out`, of `featureNames.length`. Symmetric in a and b. */
export const features = (a: Facts, b: Facts, cosine: number, dimensions: number, out: Float64Array): void => {
  out[0] = cosine
  lexical(a, b, out)
  aligned(a, b, dimensions, out)
  order(a, b, out)
  const bigrams = out[18] ?? 0
  const sequence = out[19] ?? 0
  const turned = out[20] ?? 0
  order(b, a, out)
  out[18] = (bigrams + (out[18] ?? 0)) / 2
  out[19] = (sequence + (out[19] ?? 0)) / 2
  out[20] = (turned + (out[20] ?? 0)) / 2
  particulars(a, b, out)
}
