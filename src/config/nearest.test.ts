import fc from 'fast-check'
import { expect, test } from 'vitest'
import { didYouMean, editDistance, nearest } from './nearest.ts'

test.each([
  ['', '', 0],
  ['abc', '', 3],
  ['abc', 'abc', 0],
  ['abc', 'acb', 1],
  ['kitten', 'sitting', 3],
])('distance of %s and %s', (a, b, expected) => {
  expect(editDistance(a, b)).toBe(expected)
})

test('distance is a symmetric measure that never exceeds the longer length', () => {
  const word = fc.string({ maxLength: 12 })
  fc.assert(
    fc.property(word, word, (a, b) => {
      const distance = editDistance(a, b)
      expect(distance).toBe(editDistance(b, a))
      expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length))
      expect(distance === 0).toBe(a === b)
    }),
  )
})

const KEYS = ['max_attempts', 'per_target', 'statuses', 'backoff', 'timeouts']

test.each([
  ['max_atempts', 'max_attempts'],
  ['maxAttempts', 'max_attempts'],
  ['timeout', 'timeouts'],
  ['status', 'statuses'],
  ['zebra', undefined],
  ['x'.repeat(500), undefined],
])('nearest to %s', (name, expected) => {
  expect(nearest(name, KEYS)).toBe(expected)
})

test('a hint is ready to append', () => {
  expect(didYouMean('backof', KEYS)).toBe('; did you mean `backoff`?')
  expect(didYouMean('zebra', KEYS)).toBe('')
})
