import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Price } from '../contracts/config.ts'
import type { Usage } from '../contracts/usage.ts'
import { addUsages, NO_USAGE } from '../protocol/usage.ts'
import { chargeOf } from './charge.ts'

const PRICE: Price = { input: 2.5, output: 10, cachedInput: 1.25 }
const used = (usage: Partial<Usage>): Usage => ({ ...NO_USAGE, ...usage })

const rate = fc.integer({ min: 0, max: 100_000_000 }).map((n) => n / 1e6)
const rates = fc.record(
  {
    input: rate,
    output: rate,
    cachedInput: rate,
    cacheWrite5m: rate,
    cacheWrite1h: rate,
    audioInput: rate,
    audioOutput: rate,
    imageInput: rate,
    imageOutput: rate,
    reasoning: rate,
    perSearch: rate,
    perRerankUnit: rate,
    perImage: rate,
    perMinute: rate,
    perMillionCharacters: rate,
  },
  { requiredKeys: ['input', 'output'] },
)
const n = fc.integer({ min: 0, max: 2_000_000 })
/** Parts that fit into their whole. */
const usages = fc
  .record({
    text: n,
    cached: n,
    short: n,
    long: n,
    audioIn: n,
    imageIn: n,
    out: n,
    reasoning: n,
    audioOut: n,
    imageOut: n,
    few: fc.nat(50),
  })
  .map((p) =>
    used({
      inputTokens: p.text + p.cached + p.short + p.long + p.audioIn + p.imageIn,
      outputTokens: p.out + p.reasoning + p.audioOut + p.imageOut,
      cachedInputTokens: p.cached,
      cacheWrite5mTokens: p.short,
      cacheWrite1hTokens: p.long,
      audioInputTokens: p.audioIn,
      imageInputTokens: p.imageIn,
      reasoningTokens: p.reasoning,
      audioOutputTokens: p.audioOut,
      imageOutputTokens: p.imageOut,
      searches: p.few,
      rerankUnits: p.few,
      images: p.few,
      audioSeconds: p.few,
      characters: p.text,
    }),
  )

describe('properties', () => {
  test('more of anything never costs less, and nothing costs less than nothing', () => {
    fc.assert(
      fc.property(rates, usages, usages, (price, a, b) => {
        const one = chargeOf(price, a).nanoUsd
        const both = chargeOf(price, addUsages(a, b)!).nanoUsd
        expect(Number.isSafeInteger(one) && one >= 0).toBe(true)
        expect(both).toBeGreaterThanOrEqual(one)
      }),
    )
  })

  test('two calls cost what they cost together, up to the rounding of each', () => {
    fc.assert(
      fc.property(rates, usages, usages, (price, a, b) => {
        const apart = chargeOf(price, a).nanoUsd + chargeOf(price, b).nanoUsd
        const together = chargeOf(price, addUsages(a, b)!).nanoUsd
        expect(apart - together).toBeGreaterThanOrEqual(0)
        expect(apart - together).toBeLessThanOrEqual(2)
      }),
    )
  })

  test('whatever a backend counted, a charge is a whole number', () => {
    const any = fc.double({ noNaN: true, min: 0, max: 1e10 }).map(Math.ceil)
    fc.assert(
      fc.property(rates, any, any, any, (price, inputTokens, outputTokens, cachedInputTokens) => {
        const { nanoUsd } = chargeOf(price, used({ inputTokens, outputTokens, cachedInputTokens }))
        expect(Number.isSafeInteger(nanoUsd)).toBe(true)
      }),
    )
  })
})

describe('sums', () => {
  test('are exact beyond a double: ten thousand million tokens at an odd price', () => {
    const price: Price = { input: 99.999_999, output: 0.000_001 }
    // 9_999_999_999 x 99999999 + 9_999_999_999 x 1 picodollars
    const exact = (9_999_999_999n * 99_999_999n + 9_999_999_999n + 999n) / 1000n
    expect(BigInt(chargeOf(price, used({ inputTokens: 9_999_999_999, outputTokens: 9_999_999_999 })).nanoUsd)).toBe(
      exact,
    )
  })

  test('are rounded up, once', () => {
    const price: Price = { input: 0.0001, output: 0.0001 }
    expect(chargeOf(price, used({ inputTokens: 10 })).nanoUsd).toBe(1)
    expect(chargeOf(price, used({ inputTokens: 11 })).nanoUsd).toBe(2)
    expect(chargeOf(price, used({ inputTokens: 5, outputTokens: 5 })).nanoUsd).toBe(1)
    expect(chargeOf(price, NO_USAGE).nanoUsd).toBe(0)
  })

  test('parts that are more than their whole are cut to it', () => {
    expect(chargeOf(PRICE, used({ inputTokens: 10, cachedInputTokens: 99 })).nanoUsd).toBe(12_500)
  })
})

describe('what is known of a price', () => {
  test('none is no charge, and says so', () => {
    expect(chargeOf(null, used({ inputTokens: 9 }))).toEqual({ nanoUsd: 0, estimated: false, priced: false })
  })

  test('the reported cost goes first only when told', () => {
    const usage = used({ inputTokens: 1000, reportedUsd: 0.000_000_1 })
    expect(chargeOf(PRICE, usage, { preferReported: true })).toEqual({ nanoUsd: 100, estimated: false, priced: true })
    expect(chargeOf(null, usage, { preferReported: true }).priced).toBe(true)
    expect(chargeOf(PRICE, usage).nanoUsd).toBe(2_500_000)
  })

  test('a tier that the price does not know costs the list price; one that is told wins', () => {
    const price: Price = { ...PRICE, tiers: { flex: 0.5 } }
    const usage = used({ inputTokens: 100, tier: 'warp' })
    expect(chargeOf(price, usage).nanoUsd).toBe(250_000)
    expect(chargeOf(price, usage, { tier: 'flex' }).nanoUsd).toBe(125_000)
  })

  test('of several thresholds the highest exceeded holds, whatever their order', () => {
    const longContext = [
      { above: 1000, input: 5, output: 0 },
      { above: 5000, input: 7, output: 0 },
    ]
    for (const steps of [longContext, longContext.toReversed()]) {
      const price: Price = { input: 1, output: 0, longContext: steps }
      const cost = (inputTokens: number) => chargeOf(price, used({ inputTokens })).nanoUsd / 1000
      expect([1000, 1001, 5000, 5001].map(cost)).toEqual([1000, 5005, 25_000, 35_007])
    }
  })

  test('a price of 0 is a price: free is not unknown', () => {
    expect(chargeOf({ input: 0, output: 0 }, used({ inputTokens: 9 }))).toEqual({
      nanoUsd: 0,
      estimated: false,
      priced: true,
    })
  })
})
