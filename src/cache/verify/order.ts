import type { Facts } from './facts.ts'

/** Longer differences are no exchange of two things. */
const MAX_SPAN = 48

/**
 * Whether two things change places and nothing else differs: `p x m y s` and `p y m x s`, with words `m` between them. Not
 * so if what stands between joins equals (and, or, 和); nothing between is a phrase that moved, which says the same.
 */
export const exchanged = (a: Facts, b: Facts): boolean => {
  const left = a.sequence
  const right = b.sequence
  const length = left.length
  if (length !== right.length) return false
  let from = 0
  while (from < length && left[from] === right[from]) from++
  let to = length
  while (to > from && left[to - 1] === right[to - 1]) to--
  const span = to - from
  if (span < 3 || span > MAX_SPAN) return false
  // What both have before and after may belong to the two: "a x m a y" has x and y behind the same word.
  for (let x = 1; x < span - 1; x++) {
    for (let y = 1; x + y < span; y++) {
      if (isExchange(left, right, from, to, x, y) && !joins(a.symmetric, from + x, to - y)) return true
    }
  }
  return false
}

const isExchange = (left: Int32Array, right: Int32Array, from: number, to: number, x: number, y: number): boolean => {
  for (let i = 0; i < y; i++) if (right[from + i] !== left[to - y + i]) return false
  for (let i = 0; i < x; i++) if (right[to - x + i] !== left[from + i]) return false
  const middle = to - from - x - y
  for (let i = 0; i < middle; i++) if (right[from + y + i] !== left[from + x + i]) return false
  return true
}

const joins = (symmetric: Uint8Array, from: number, to: number): boolean => {
  for (let i = from; i < to; i++) if ((symmetric[i] ?? 0) > 0) return true
  // A list: what comes behind a comma.
  return symmetric[to] === 2
}

/** Whether two words are each behind the other's preposition: `from x to y` and `from y to x`, whatever else is said. */
export const crossed = (a: Facts, b: Facts): boolean => {
  for (let i = 0; i < a.sequence.length; i++) {
    const first = a.governed[i] ?? 0
    if (first === 0) continue
    for (let j = i + 1; j < a.sequence.length; j++) {
      const second = a.governed[j] ?? 0
      if (second === 0 || second === first || a.sequence[i] === a.sequence[j]) continue
      if (governs(b, second, a.sequence[i] ?? 0) && governs(b, first, a.sequence[j] ?? 0)) return true
    }
  }
  return false
}

const governs = (facts: Facts, preposition: number, stem: number): boolean => {
  for (let i = 0; i < facts.sequence.length; i++) {
    if (facts.sequence[i] === stem && facts.governed[i] === preposition) return true
  }
  return false
}
