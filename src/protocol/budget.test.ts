import fc from 'fast-check'
import { expect, test } from 'vitest'
import { callerBudgetMs, isRepeated } from './budget.ts'
import { readSignals } from './signals.ts'

const budget = (...raw: string[]): number => callerBudgetMs(readSignals(raw))

test('the least of what anybody says', () => {
  expect(budget('x-envoy-expected-rq-timeout-ms', '15000', 'x-stainless-timeout', '600')).toBe(15_000)
  expect(budget('grpc-timeout', '2S', 'x-request-timeout-ms', '800')).toBe(800)
  expect(budget('x-stainless-read-timeout', '0.5')).toBe(500)
  expect(budget('grpc-timeout', '1500000u')).toBe(1500)
  expect(budget()).toBe(Infinity)
})

test.each(['', '0', '-5', 'not_given', '1e3', 'Infinity', 'NaN', '0x10', ' 5', '99999999999', '5, 6', '５'])(
  'what is no time says nothing: %j',
  (value) => {
    for (const name of [
      'x-envoy-expected-rq-timeout-ms',
      'x-request-timeout-ms',
      'x-stainless-timeout',
      'grpc-timeout',
    ])
      expect(budget(name, value)).toBe(Infinity)
  },
)

test('two values for one thing say nothing', () => {
  expect(budget('x-request-timeout-ms', '5', 'X-Request-Timeout-Ms', '900')).toBe(Infinity)
})

test('repeated by a proxy, or by an SDK', () => {
  const repeated = (...raw: string[]): boolean => isRepeated(readSignals(raw))
  expect(repeated('x-envoy-attempt-count', '1')).toBe(false)
  expect(repeated('x-envoy-attempt-count', '2')).toBe(true)
  expect(repeated('x-stainless-retry-count', '0')).toBe(false)
  expect(repeated('x-stainless-retry-count', '1')).toBe(true)
  expect(repeated('x-envoy-attempt-count', '2', 'x-envoy-attempt-count', '3')).toBe(false)
  expect(repeated('x-stainless-retry-count', 'many')).toBe(false)
})

test('any value: a positive time or none', () => {
  const names = fc.constantFrom('x-envoy-expected-rq-timeout-ms', 'grpc-timeout', 'x-stainless-timeout')
  fc.assert(
    fc.property(names, fc.oneof(fc.string(), fc.double().map(String), fc.integer().map(String)), (name, value) => {
      expect(budget(name, value)).toBeGreaterThan(0)
    }),
  )
})
