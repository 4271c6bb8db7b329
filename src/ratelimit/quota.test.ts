import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Ticket } from '../contracts/capacity.ts'
import type { LimitHeaders, LimitState } from '../protocol/limit-headers.ts'
import { LearnedQuota, QUOTA_FLOATS, QUOTA_KINDS } from './quota.ts'

const NOW = 5000
const ticket = (tokens: number, inputTokens?: number): Ticket => ({
  tenant: '',
  weight: 1,
  priority: 0,
  tokens,
  ...(inputTokens === undefined ? {} : { inputTokens }),
})
const state = (limit: number, remaining: number, resetMs: number, refills = false): LimitState => ({
  limit,
  remaining,
  resetMs,
  refills,
})
const quotas = (count = 1): LearnedQuota[] => {
  const rows = Array.from({ length: count }, () => new Float64Array(QUOTA_KINDS))
  const known = new Float64Array(QUOTA_FLOATS)
  return rows.map((own) => new LearnedQuota({ known, own, rows }))
}
const learned = (headers: LimitHeaders): LearnedQuota => {
  const quota = quotas()[0]!
  quota.learn(headers, NOW)
  return quota
}

test('nothing known: nothing waits', () => {
  expect(quotas()[0]!.waitMs(ticket(1e9), NOW)).toBe(0)
})

test('all at once: until the reset, then the whole limit', () => {
  const quota = learned({ tokens: state(1000, 50, 8000) })
  expect(quota.waitMs(ticket(50), NOW)).toBe(0)
  expect(quota.waitMs(ticket(51), NOW + 3000)).toBe(5000)
  expect(quota.waitMs(ticket(51), NOW + 8000)).toBe(0)
  quota.pending(ticket(990), 1)
  expect(quota.waitMs(ticket(51), NOW + 8000)).toBe(Infinity)
  quota.pending(ticket(990), -1)
  expect(quota.waitMs(ticket(51), NOW + 8000)).toBe(0)
})

test('a bucket that refills: until exactly so much has come back', () => {
  const quota = learned({ tokens: state(60_000, 0, 60_000, true) })
  expect(quota.waitMs(ticket(1000), NOW)).toBe(1000)
  expect(quota.waitMs(ticket(1000), NOW + 900)).toBe(100)
  expect(quota.waitMs(ticket(1000), NOW + 1000)).toBe(0)
  expect(quota.waitMs(ticket(90_000), NOW)).toBe(60_000)
})

test('what is on its way counts, in all workers', () => {
  const [a, b] = quotas(2)
  a!.learn({ requests: state(10, 2, 1000) }, NOW)
  b!.pending(ticket(1), 1)
  expect(a!.waitMs(ticket(1), NOW)).toBe(0)
  a!.pending(ticket(1), 1)
  expect([a!.waitMs(ticket(1), NOW), b!.waitMs(ticket(1), NOW)]).toEqual([1000, 1000])
})

test('prompt and answer have limits of their own', () => {
  const quota = learned({ inputTokens: state(100, 10, 1000), outputTokens: state(100, 90, 2000) })
  expect(quota.waitMs(ticket(50, 10), NOW)).toBe(0)
  expect(quota.waitMs(ticket(50, 11), NOW)).toBe(1000)
  expect(quota.waitMs(ticket(200, 10), NOW)).toBe(2000)
})

test('a call that no quota could ever hold goes when the quota is whole and nothing else is on its way', () => {
  const quota = learned({ tokens: state(100, 100, 60_000) })
  expect(quota.waitMs(ticket(500), NOW)).toBe(0)
  quota.pending(ticket(10), 1)
  expect(quota.waitMs(ticket(500), NOW)).toBeGreaterThan(0)
})

test('the wait is enough, and not a millisecond too long', () => {
  const amount = fc.integer({ min: 0, max: 100_000 })
  fc.assert(
    fc.property(
      amount,
      amount,
      amount,
      fc.integer({ min: 1, max: 90_000 }),
      fc.boolean(),
      (a, b, need, ms, refills) => {
        const quota = learned({ tokens: state(Math.max(a, b), Math.min(a, b), ms, refills) })
        const wait = quota.waitMs(ticket(need), NOW)
        expect(wait).toBeLessThanOrEqual(ms)
        expect(quota.waitMs(ticket(need), NOW + wait + 0.01)).toBe(0)
        if (wait > 2) expect(quota.waitMs(ticket(need), NOW + wait - 1)).toBeGreaterThan(0)
      },
    ),
  )
})
