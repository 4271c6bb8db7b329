import type { Facts } from './facts.ts'

/** Likeness of two words that no vector is known of, when they share all but an ending. */
const SPELT_ALIKE = 0.8

/** What the words of one text find in the other. Reused: read before the next call. */
export interface Alignment {
  /** Weighted mean of each word's best likeness, 0..1. */
  mean: number
  /** Of content words only. */
  contentMean: number
  /** Least and second least of the content words. */
  least: number
  second: number
  /** Sum of weight * (1 - likeness) of the content words: grows with what is new, however long the text. */
  lost: number
  /** Content words without a like of 0.6. */
  strangers: number
  /** Like `lost`, of unknown words only. */
  unknown: number
}

export const alignment = (): Alignment => ({
  mean: 0,
  contentMean: 0,
  least: 0,
  second: 0,
  lost: 0,
  strangers: 0,
  unknown: 0,
})

const dot = (a: Float32Array, from: number, b: Float32Array, at: number, size: number): number => {
  let one = 0
  let two = 0
  // Two sums at a time: half as many steps wait for one before them.
  for (let i = 0; i < size; i += 2) {
    one += (a[from + i] ?? 0) * (b[at + i] ?? 0)
    two += (a[from + i + 1] ?? 0) * (b[at + i + 1] ?? 0)
  }
  return one + two
}

const prefix = (a: string, b: string): number => {
  const size = Math.min(a.length, b.length)
  let same = 0
  while (same < size && a.charCodeAt(same) === b.charCodeAt(same)) same++
  return same
}

/** Likeness by letters, for what has no vector: names and slips of the pen. */
const spelling = (a: string, b: string): number => {
  const longer = Math.max(a.length, b.length)
  if (longer < 4) return 0
  const same = prefix(a, b)
  return same >= 4 && same >= longer * 0.6 ? SPELT_ALIKE : 0
}

const best = (a: Facts, i: number, b: Facts, dimensions: number): number => {
  const stem = a.stems[i] ?? 0
  for (const other of b.stems) if (other === stem) return 1
  // Grammar is met by itself or not at all: what it is near to says nothing.
  if (a.content[i] === 0) return 0
  const word = a.words[i] ?? ''
  let top = 0
  for (const j of b.contentAt) {
    const like =
      a.known[i] === 1 && b.known[j] === 1
        ? dot(a.vectors, i * dimensions, b.vectors, j * dimensions, dimensions)
        : spelling(word, b.words[j] ?? '')
    if (like > top) top = like
  }
  return Math.min(top, 1)
}

/** Soft alignment of a's words to b's, into `out`. Quadratic in words, whose number is bounded. */
export const align = (a: Facts, b: Facts, dimensions: number, out: Alignment): void => {
  let sum = 0
  let all = 0
  let contentSum = 0
  let content = 0
  out.least = 1
  out.second = 1
  out.lost = 0
  out.strangers = 0
  out.unknown = 0
  for (let i = 0; i < a.stems.length; i++) {
    const weight = a.weights[i] ?? 0
    const like = best(a, i, b, dimensions)
    sum += weight * like
    all += weight
    if (a.content[i] === 0) continue
    contentSum += weight * like
    content += weight
    out.lost += weight * (1 - like)
    if (like < 0.6) out.strangers++
    if (a.known[i] === 0) out.unknown += 1 - like
    if (like < out.least) {
      out.second = out.least
      out.least = like
    } else if (like < out.second) out.second = like
  }
  out.mean = all === 0 ? 1 : sum / all
  out.contentMean = content === 0 ? 1 : contentSum / content
}
