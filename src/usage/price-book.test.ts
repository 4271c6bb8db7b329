import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fitsPattern } from '../config/price.ts'
import type { Price } from '../contracts/config.ts'
import type { UsageConfig } from '../contracts/config-usage.ts'
import type { Target } from '../contracts/routing.ts'
import { PriceBook } from './price-book.ts'

const TABLE: Price = { input: 1, output: 2 }
const OVER: Price = { input: 3, output: 4 }
const OWN: Price = { input: 5, output: 6 }

const config = (part: Partial<UsageConfig> = {}): UsageConfig => ({
  overrides: [{ pattern: 'mine/*-x', price: OVER }],
  known: { openai: { 'gpt-5': TABLE, 'gpt-5-x': TABLE } },
  unknownPrice: 'flag',
  assumedPrice: { input: 7, output: 8 },
  costHeader: false,
  records: { file: null, otlp: null, redis: null },
  ...part,
})

/** Only what a price depends on. */
const target = (price: Price | null, type = 'openai', name = 'mine'): Target =>
  ({ price, provider: { name, config: { type } } }) as unknown as Target

describe('quote', () => {
  test.each([
    ['the target’s own price before all', target(OWN), 'gpt-5-x', OWN, 'target'],
    ['an override before the table', target(null), 'gpt-5-x', OVER, 'override'],
    ['an override also where the loader gave the target the table’s', target(TABLE), 'gpt-5-x', OVER, 'override'],
    ['a target that the loader gave the override', target({ ...OVER }), 'gpt-5-x', OVER, 'override'],
    ['the table by type', target(null), 'gpt-5', TABLE, 'table'],
    ['a dated snapshot is its model', target(null), 'gpt-5-2025-08-07', TABLE, 'table'],
    ['another provider’s name does not fit the override', target(null, 'openai', 'other'), 'gpt-5-x', TABLE, 'table'],
    ['unknown', target(null), 'gpt-6', null, 'none'],
    ['a simulated model is free, and that is known', target(null, 'sim'), 'sim', { input: 0, output: 0 }, 'table'],
  ] as const)('%s', (_name, to, model, price, source) => {
    expect(new PriceBook(config()).quote(to, model)).toMatchObject({ price, source, estimated: false })
  })

  test('is remembered, and bounded', () => {
    const book = new PriceBook(config())
    const to = target(null)
    const first = book.quote(to, 'gpt-5')
    expect(book.quote(to, 'gpt-5')).toBe(first)
    for (let i = 0; i < 10_000; i++) book.quote(to, `m${i}`)
    expect(book.quote(to, 'gpt-5')).not.toBe(first)
    expect(book.quote(to, 'gpt-5').price).toBe(TABLE)
  })

  test('the provider’s own bill goes before the table, not before the operator', () => {
    const book = new PriceBook(config())
    expect(book.quote(target(null, 'openrouter'), 'gpt-6').preferReported).toBe(true)
    expect(book.quote(target(OWN, 'openrouter'), 'gpt-6').preferReported).toBe(false)
    expect(book.quote(target(null, 'openrouter'), 'gpt-6-x').preferReported).toBe(false)
    // A server of anybody's could say it cost nothing.
    expect(book.quote(target(null, 'openai_compatible'), 'gpt-6').preferReported).toBe(false)
  })
})

describe('an unknown price', () => {
  const at = (unknownPrice: UsageConfig['unknownPrice']) => new PriceBook(config({ unknownPrice }))

  test('flag: allowed, and there is none', () => {
    expect(at('flag').refusal(target(null), 'gpt-6')).toBeNull()
    expect(at('flag').quote(target(null), 'gpt-6')).toMatchObject({ price: null, source: 'none' })
  })

  test('estimate: the assumed price, and says so', () => {
    const book = at('estimate')
    expect(book.refusal(target(null), 'gpt-6')).toBeNull()
    expect(book.quote(target(null), 'gpt-6')).toMatchObject({ price: { input: 7, output: 8 }, estimated: true })
  })

  test('deny: refused before the call, with what is missing', () => {
    const book = at('deny')
    expect(book.refusal(target(null), 'gpt-6')).toEqual({
      rule: 'usage.unknown_price',
      reason: 'no price is known for mine/gpt-6',
    })
    expect(book.refusal(target(null), 'gpt-5')).toBeNull()
    expect(book.refusal(target(OWN), 'gpt-6')).toBeNull()
  })
})

test('patterns: like the regular expression they stand for', () => {
  const part = fc.stringMatching(/^[ab/]{0,3}$/)
  fc.assert(
    fc.property(fc.array(part, { minLength: 1, maxLength: 4 }), fc.stringMatching(/^[ab/]{0,8}$/), (parts, text) => {
      const pattern = parts.join('*')
      expect(fitsPattern(pattern, text)).toBe(new RegExp(`^${parts.join('.*')}$`).test(text))
    }),
    { numRuns: 2000 },
  )
})
