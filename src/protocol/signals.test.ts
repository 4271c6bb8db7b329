import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NO_SIGNALS, readSignals } from './signals.ts'

const read = (...raw: string[]) => readSignals(raw)

test('a request without them costs no object', () => {
  expect(read('Host', 'a', 'Content-Type', 'application/json')).toBe(NO_SIGNALS)
})

test('names in any case, values as they came', () => {
  const signals = read('TraceParent', 'x', 'X-Stainless-Retry-Count', '1', 'x-envoy-attempt-count', '2')
  expect(signals).toMatchObject({ traceparent: 'x', sdkRetryCount: '1', attemptCount: '2', b3: undefined })
})

test('what stands twice, or more often, counts as absent', () => {
  const once = read('traceparent', 'a', 'Traceparent', 'b', 'traceparent', 'c', 'b3', '0')
  expect(once.traceparent).toBeUndefined()
  expect(once.b3).toBe('0')
  expect(read('sw8', 'a', 'SW8', 'b', 'sw8', 'c').otherTracers).toEqual([])
})

test('lists of several lines are one list; an empty line adds nothing', () => {
  expect(read('tracestate', '', 'tracestate', 'a=1', 'tracestate', 'b=2').tracestate).toBe('a=1,b=2')
})

test('contexts of other tracers are kept as they are, whatever their values say', () => {
  const raw = ['sw8', 'x-amzn-trace-id', 'X-Amzn-Trace-Id', 'Root=1']
  expect(readSignals(raw).otherTracers).toEqual(['sw8', 'x-amzn-trace-id', 'x-amzn-trace-id', 'Root=1'])
})

test('values too long for anybody are dropped', () => {
  expect(read('baggage', 'a'.repeat(8193))).toBe(NO_SIGNALS)
})

test('one request does not see the headers of another', () => {
  read('sw8', 'a', 'traceparent', 'b')
  expect(NO_SIGNALS.otherTracers).toEqual([])
  expect(NO_SIGNALS.traceparent).toBeUndefined()
})

test('anything can be read, and names outside of the table never show', () => {
  const name = fc.oneof(fc.string({ maxLength: 40 }), fc.constantFrom('traceparent', 'sw8', 'tracestate', '__proto__'))
  fc.assert(
    fc.property(fc.array(fc.tuple(name, fc.string())), (headers) => {
      const signals = readSignals(headers.flat())
      expect(signals.otherTracers.length % 2).toBe(0)
      const lines = headers.filter(([n]) => n.toLowerCase() === 'traceparent')
      expect(signals.traceparent).toBe(lines.length === 1 ? lines[0]![1] : undefined)
    }),
  )
})
