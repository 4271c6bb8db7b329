import { describe, expect, test } from 'vitest'
import { NO_USAGE } from '../protocol/usage.ts'
import { TokenEstimator } from './estimate.ts'

const used = (inputTokens: number, outputTokens: number) => ({ ...NO_USAGE, inputTokens, outputTokens })

describe('TokenEstimator', () => {
  test('knows nothing: 3 bytes a token, 1000 tokens of answer, or what the client allows', () => {
    const estimator = new TokenEstimator()
    expect(estimator.estimate('m', 301, 0)).toEqual({ inputTokens: 101, outputTokens: 1000 })
    expect(estimator.estimate('m', 0, 40)).toEqual({ inputTokens: 0, outputTokens: 40 })
    expect(estimator.estimate('m', 3, 9000)).toEqual({ inputTokens: 1, outputTokens: 9000 })
  })

  test('begins with the second largest it saw, and comes to where nine of ten fit', () => {
    const estimator = new TokenEstimator()
    for (let i = 1; i <= 15; i++) estimator.learn('m', 400, used(100, i * 10))
    expect(estimator.estimate('m', 400, 0).outputTokens).toBe(1000)
    estimator.learn('m', 400, used(100, 160))
    expect(estimator.estimate('m', 400, 0)).toEqual({ inputTokens: 100, outputTokens: 150 })
    // Evenly from 1 to 1000, in an order that is no trend.
    for (let i = 0; i < 20_000; i++) estimator.learn('m', 400, used(100, ((i * 379) % 1000) + 1))
    const { inputTokens, outputTokens } = estimator.estimate('m', 400, 0)
    expect(outputTokens).toBeGreaterThan(820)
    expect(outputTokens).toBeLessThan(970)
    expect(inputTokens).toBeGreaterThanOrEqual(95)
    expect(inputTokens).toBeLessThanOrEqual(105)
    // What the client allows is reserved whole, however much is usual.
    expect(estimator.estimate('m', 400, 50).outputTokens).toBe(50)
    expect(estimator.estimate('m', 400, 5000).outputTokens).toBe(5000)
  })

  test('one answer that is like no other does not become the measure', () => {
    const estimator = new TokenEstimator()
    for (let i = 0; i < 16; i++) estimator.learn('m', 400, used(100, i === 3 ? 128_000 : 200))
    expect(estimator.estimate('m', 400, 0)).toEqual({ inputTokens: 100, outputTokens: 200 })
  })

  test('forgets the oldest model when there are too many', () => {
    const estimator = new TokenEstimator()
    for (let model = 0; model < 2001; model++)
      for (let i = 0; i < 16; i++) estimator.learn(`m${model}`, 100, used(50, 7))
    expect(estimator.estimate('m0', 100, 0)).toEqual({ inputTokens: 34, outputTokens: 1000 })
    expect(estimator.estimate('m1', 100, 0)).toEqual({ inputTokens: 50, outputTokens: 7 })
  })
})
