import fc from 'fast-check'
import { expect, test } from 'vitest'
import { usdText } from './usd.ts'

test('exact decimals', () => {
  expect([0, 1, 10, 1_000_000_000, 1_500_000_000, 123_456_789].map(usdText)).toEqual([
    '0',
    '0.000000001',
    '0.00000001',
    '1',
    '1.5',
    '0.123456789',
  ])
})

test('the text says the number, digit by digit', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }), (nano) => {
      const [whole = '', places = ''] = usdText(nano).split('.')
      expect(BigInt(whole) * 1_000_000_000n + BigInt(places.padEnd(9, '0'))).toBe(BigInt(nano))
      expect(places.endsWith('0')).toBe(false)
    }),
  )
})
