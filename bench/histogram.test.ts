import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Histogram } from './histogram.ts'

const exact = (values: readonly number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
}

test('percentiles are within one percent of the exact ones, over the whole range', () => {
  const value = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0x7fffffff }))
  fc.assert(
    fc.property(
      fc.array(value, { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0, 0.5, 0.9, 0.99, 1),
      (values, share) => {
        const histogram = new Histogram()
        for (const one of values) histogram.add(one)
        const expected = exact(values, share)
        expect(Math.abs((histogram.percentile(share) ?? -1) - expected)).toBeLessThanOrEqual(
          Math.max(1, expected * 0.01),
        )
        expect(histogram.max).toBe(Math.max(...values))
        expect(histogram.count).toBe(values.length)
      },
    ),
  )
})

test('an empty histogram has no percentiles, and what is out of range counts at its edge', () => {
  const histogram = new Histogram()
  expect(histogram.percentile(0.5)).toBeNull()
  histogram.add(-5)
  expect(histogram.percentile(0.5)).toBe(0)
  histogram.add(1e12)
  expect(histogram.max).toBe(0x7fffffff)
})
