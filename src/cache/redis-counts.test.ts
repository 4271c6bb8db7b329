import { expect, test } from 'vitest'
import fc from 'fast-check'
import type { CalibrationRecord } from './decide/ledger.ts'
import type { News } from './semantic.ts'
import { BANDS } from './decide/curve.ts'
import { SharedCounts, totalOf, type Total } from './redis-counts.ts'

const scope = (key: string): News['scope'] => ({
  key,
  tenant: 'weavers',
  model: 'm',
  bound: { measure: 'wrong_per_request', bound: 0.01, confidence: 0.95 },
})
const record = (requests: number, epoch = 0): CalibrationRecord => ({
  epoch,
  requests,
  hits: Math.floor(requests / 2),
  seenWrong: 0,
  labels: Array.from({ length: BANDS }, () => requests),
  wrong: Array.from({ length: BANDS }, () => Math.floor(requests / 3)),
  served: Array.from({ length: BANDS }, () => 1),
})
const heardBy = (counts: SharedCounts, totals: Iterable<Total>): number => {
  let requests = 0
  for (const total of totals) requests += counts.learn(total)?.record.requests ?? 0
  return requests
}

test('however often and in whatever order totals are heard, each is counted once', () => {
  const counted = fc.array(fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 1, max: 50 })), { minLength: 1 })
  fc.assert(
    fc.property(counted, fc.array(fc.nat()), (events, order) => {
      const one = new SharedCounts('one')
      const told: Total[] = []
      let sum = 0
      for (const [key, requests] of events) {
        one.count({ scope: scope(key), record: record(requests) })
        sum += requests
        const totals = one.untold(10)
        told.push(...totals)
        one.told(totals)
      }
      expect(one.dirty).toBe(false)
      const other = new SharedCounts('other')
      const heard = heardBy(
        other,
        order.map((at) => told[at % told.length]!),
      )
      // What is last says all of it.
      expect(heard + heardBy(other, told)).toBe(sum)
      expect(heardBy(other, told)).toBe(0)
    }),
  )
})

test('of a later epoch it is all new, of an earlier one nothing', () => {
  const counts = new SharedCounts('me')
  const of = (requests: number, epoch: number): Total => ({
    life: 'x',
    scope: scope('a'),
    record: record(requests, epoch),
  })
  expect(counts.learn(of(10, 0))?.record.requests).toBe(10)
  expect(counts.learn(of(4, 1))?.record).toMatchObject({ requests: 4, epoch: 1 })
  expect(counts.learn(of(20, 0))).toBeNull()
  expect(counts.learn(of(5, 1))?.record).toMatchObject({ requests: 1, epoch: 1 })
})

test('who goes on in the place of another adds to its totals', () => {
  const dead = new SharedCounts('dead')
  dead.count({ scope: scope('a'), record: record(7) })
  const [total] = dead.untold(1)
  const next = new SharedCounts('next')
  next.become('dead')
  expect(next.learn(total!)?.record.requests).toBe(7)
  expect(next.dirty).toBe(false)
  next.count({ scope: scope('a'), record: record(3) })
  expect(next.untold(1)[0]).toMatchObject({ life: 'dead', record: { requests: 10 } })
  const third = new SharedCounts('third')
  expect([heardBy(third, [total!]), heardBy(third, next.untold(1))]).toEqual([7, 3])
})

test('what is counted while it is told is told again', () => {
  const counts = new SharedCounts('me')
  counts.count({ scope: scope('a'), record: record(1) })
  const totals = counts.untold(1)
  counts.count({ scope: scope('a'), record: record(1) })
  counts.told(totals)
  expect(counts.untold(1)[0]!.record.requests).toBe(2)
})

test('what is no total is none', () => {
  const total: Total = { life: 'x', scope: scope('a'), record: record(3) }
  const read = (value: unknown): Total | null => totalOf(Buffer.from(JSON.stringify(value)))
  expect(read(total)).toEqual(total)
  expect(read({ ...total, record: { ...total.record, epoch: 1e15 } })).toBeNull()
  expect(read({ ...total, record: { ...total.record, labels: [] } })).toBeNull()
  expect(read({ ...total, scope: { ...total.scope, bound: { ...total.scope.bound, bound: 2 } } })).toBeNull()
  expect(read(null)).toBeNull()
  expect(totalOf(Buffer.from('{'))).toBeNull()
})
