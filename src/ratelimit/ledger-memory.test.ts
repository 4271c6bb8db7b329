import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { LimitRule } from '../contracts/config-limits.ts'
import { Counter, CounterSet, toRules } from './counter.ts'
import { LedgerMemory } from './ledger-memory.ts'
import type { Taken } from './ledger-memory.ts'

const WINDOW_MS = 1000
const START = Date.parse('2026-03-28T12:00:00Z')

const manual = () => {
  const clock = { time: START, now: () => clock.time, monotonic: () => clock.time }
  return clock
}

const setOf = (rules: readonly LimitRule[], name = 'limit', extra: { shadow?: boolean } = {}, value = 'v') => {
  const traits = { name, shadow: false, stopStreams: false, onStoreFailure: 'local', ...extra } as const
  return new CounterSet(toRules(rules, traits).map((rule) => new Counter(rule, [{ kind: 'key', value }], 't')))
}

const sliding = (unit: LimitRule['unit'], amount: number): LimitRule => ({
  unit,
  amount,
  period: { kind: 'sliding', windowMs: WINDOW_MS },
})
const daily = (unit: LimitRule['unit'], amount: number): LimitRule => ({
  unit,
  amount,
  period: { kind: 'calendar', unit: 'day', zone: 'Europe/Berlin' },
})
const open = (amount: number): LimitRule => ({ unit: 'concurrency', amount, period: { kind: 'open' } })

const tokens = (inputTokens: number) => ({ inputTokens, outputTokens: 0, nanoUsd: inputTokens })

test('a counter has one id, wherever it is counted and listed', () => {
  const ledger = new LedgerMemory(1000)
  for (let i = 0; i < 64; i++) {
    const set = setOf([daily('tokens', 100)], 'limit', {}, `key-${i}`)
    expect(ledger.reserve(set, tokens(1))).toBe(true)
    const [counter] = set.counters
    expect(ledger.table.id(counter!.slot)).toBe(counter!.id)
  }
})

const take = (ledger: LedgerMemory, set: CounterSet, count: number): Taken | null => {
  if (!ledger.reserve(set, tokens(count))) return null
  const { at, skipped } = ledger.outcome
  return { at, skipped, ...tokens(count), tokens: count }
}

const step = fc.record({
  wait: fc.oneof(fc.integer({ min: 0, max: 120 }), fc.integer({ min: 0, max: 2500 })),
  cost: fc.integer({ min: 0, max: 60 }),
  settle: fc.boolean(),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
})

test('a window never holds more than its limit, in any stretch, and refuses only what could be too much', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 5, maxLength: 80 }), fc.integer({ min: 1, max: 100 }), (steps, limit) => {
      const clock = manual()
      const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
      const set = setOf([sliding('tokens', limit)])
      const charges: { at: number; amount: number; taken: Taken | null }[] = []
      const within = (ms: number): number =>
        charges.reduce((sum, { at, amount }) => sum + (at > clock.time - ms ? amount : 0), 0)
      for (const { wait, cost, settle, share } of steps) {
        clock.time += wait
        if (settle) {
          const charge = charges.find(({ taken }) => taken !== null)
          if (charge?.taken == null) continue
          const used = Math.floor(charge.amount * share)
          ledger.settle(set, charge.taken, tokens(used))
          charge.amount = used
          charge.taken = null
          continue
        }
        const longest = within(WINDOW_MS * 1.05 + 1) + cost
        const taken = take(ledger, set, cost)
        if (taken !== null) charges.push({ at: clock.time, amount: cost, taken })
        else if (charges.every(({ taken: held }) => held !== null)) expect(longest).toBeGreaterThan(limit)
        expect(within(WINDOW_MS)).toBeLessThanOrEqual(limit)
      }
    }),
    { numRuns: 500 },
  )
})

test('a refused window says when it would admit: not a millisecond before, and then it does', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 3, maxLength: 40 }), (steps) => {
      const clock = manual()
      const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
      const set = setOf([sliding('tokens', 100)])
      for (const { wait, cost } of steps) {
        clock.time += wait
        if (ledger.reserve(set, tokens(cost))) continue
        clock.time += ledger.outcome.waitMs - 1
        expect(ledger.reserve(set, tokens(cost))).toBe(false)
        clock.time += 1
        expect(ledger.reserve(set, tokens(cost))).toBe(true)
      }
    }),
    { numRuns: 300 },
  )
})

test('budgets and places: what is held and settled is conserved, and never above the limit unless a call used more', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const clock = manual()
      const ledger = new LedgerMemory(64, { worker: 0, workers: 2 }, clock)
      const set = setOf([daily('tokens', 200), open(3)])
      const held: Taken[] = []
      let settled = 0
      for (const { wait, cost, settle, share } of steps) {
        clock.time += wait
        if (settle) {
          const taken = held.shift()
          if (taken === undefined) continue
          const used = Math.floor(taken.tokens * share)
          settled += used
          ledger.settle(set, taken, tokens(used))
        } else {
          const taken = take(ledger, set, cost)
          const sum = held.reduce((all, item) => all + item.tokens, settled)
          expect(taken !== null).toBe((cost === 0 || sum + cost <= 200) && held.length < 3)
          if (taken !== null) held.push(taken)
        }
      }
      // All of it, to the last token.
      const left = 200 - held.reduce((all, item) => all + item.tokens, settled)
      for (const taken of held.splice(0)) ledger.settle(set, taken, tokens(taken.tokens))
      expect(take(ledger, set, left + 1)).toBeNull()
      expect(take(ledger, set, left)).not.toBeNull()
    }),
    { numRuns: 300 },
  )
})

test('all or none: what one limit refuses takes nothing from another', () => {
  const clock = manual()
  const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const both = setOf([sliding('requests', 5), sliding('tokens', 10)])
  for (let i = 0; i < 20; i++) expect(take(ledger, both, 11)).toBeNull()
  for (let i = 0; i < 5; i++) expect(take(ledger, both, 1)).not.toBeNull()
  expect(take(ledger, both, 1)).toBeNull()
  expect(ledger.outcome).toMatchObject({ refusedBy: 0, never: false })
})

test('a budget begins anew at midnight of its zone, but for what calls under way hold', () => {
  const clock = manual()
  const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const set = setOf([daily('tokens', 100)])
  const first = take(ledger, set, 60)!
  ledger.settle(set, first, tokens(60))
  const second = take(ledger, set, 40)!
  expect(take(ledger, set, 1)).toBeNull()
  expect(clock.time + ledger.outcome.waitMs).toBe(Date.parse('2026-03-28T23:00:00Z'))
  clock.time = Date.parse('2026-03-28T23:00:00Z')
  expect(take(ledger, set, 61)).toBeNull()
  ledger.settle(set, second, tokens(10))
  expect(take(ledger, set, 91)).toBeNull()
  expect(take(ledger, set, 90)).not.toBeNull()
})

test('a worker that is forgotten holds nothing any more; what it settled stays', () => {
  const clock = manual()
  const main = new LedgerMemory(64, { worker: 2, workers: 2 }, clock)
  const [one, two] = [0, 1].map((worker) => new LedgerMemory(main.buffer, { worker, workers: 2 }, clock))
  const set = () => setOf([daily('tokens', 100), open(2)])
  const taken = take(one!, set(), 30)!
  one!.settle(set(), taken, tokens(30))
  take(one!, set(), 40)
  take(one!, set(), 30)
  expect(take(two!, set(), 1)).toBeNull()
  main.forget(0)
  expect(take(two!, set(), 71)).toBeNull()
  expect(take(two!, set(), 70)).not.toBeNull()
})

test('a lock that a dead worker held is taken from it', () => {
  const clock = manual()
  const main = new LedgerMemory(64, { worker: 1, workers: 1 }, clock)
  const worker = new LedgerMemory(main.buffer, { worker: 0, workers: 1 }, clock)
  worker.table.lock.acquire()
  main.forget(0)
  expect(take(main, setOf([open(1)]), 0)).not.toBeNull()
})

test('what shadow mode would refuse is told and not taken', () => {
  const clock = manual()
  const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const shadow = setOf([sliding('requests', 1), sliding('tokens', 100)], 'dark', { shadow: true })
  const set = new CounterSet([...setOf([sliding('requests', 3)]).counters, ...shadow.counters])
  expect(take(ledger, set, 90)).not.toBeNull()
  expect(ledger.outcome.wouldRefuse).toEqual([])
  const second = take(ledger, set, 90)!
  expect(ledger.outcome.wouldRefuse).toEqual(['dark'])
  ledger.settle(set, second, tokens(5))
  expect(take(ledger, set, 10)).not.toBeNull()
  expect(take(ledger, set, 0)).toBeNull()
  expect(set.counters[ledger.outcome.refusedBy]!.rule.limit).toBe('limit')
})

test('more than was taken is taken as it comes, and settled by what was used', () => {
  const clock = manual()
  const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const set = setOf([sliding('tokens', 100), daily('output_tokens', 100)])
  const taken = take(ledger, set, 10)!
  expect(ledger.extend(set, taken, { inputTokens: 10, outputTokens: 50, nanoUsd: 0 })).toBe(true)
  expect(take(ledger, set, 41)).toBeNull()
  ledger.settle(set, taken, { inputTokens: 10, outputTokens: 60, nanoUsd: 0 })
  expect(take(ledger, set, 31)).toBeNull()
  expect(take(ledger, set, 30)).not.toBeNull()
})

test('slots whose content is over are used again; a table that is full says so', () => {
  const clock = manual()
  const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const one = (i: number) => setOf([sliding('requests', 1)], 'limit', {}, `value ${i}`)
  let admitted = 0
  for (let i = 0; i < 1000; i++) {
    take(ledger, one(i), 0)
    if (ledger.outcome.skipped === null) admitted++
  }
  expect(admitted).toBe(ledger.table.slots)
  expect(ledger.table.turnedAway).toBe(1000 - admitted)
  clock.time += WINDOW_MS * 2
  for (let i = 2000; i < 2050; i++) {
    expect(take(ledger, one(i), 0)).not.toBeNull()
    expect(ledger.outcome.skipped).toBeNull()
    expect(take(ledger, one(i), 0)).toBeNull()
  }
})

test('standing in for a shared ledger it enforces its part', () => {
  const clock = manual()
  const ledger = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
  const set = setOf([sliding('requests', 10)])
  let admitted = 0
  for (let i = 0; i < 10; i++) if (ledger.reserve(set, tokens(0), 4)) admitted++
  expect(admitted).toBe(2)
})
