import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FairQueue, QueueMember } from './fair-queue.ts'

const member = (tenant: string, tokens = 100, { weight = 1, priority = 0 } = {}): QueueMember =>
  new QueueMember({ tenant, tokens, weight, priority })
const names = (queue: FairQueue, count = queue.size): string[] =>
  Array.from({ length: count }, () => {
    const next = queue.peek()!
    queue.settle(queue.take(next), next.ticket.tokens, next.ticket.tokens)
    return next.ticket.tenant
  })

test('tenants in turn, however many requests one of them sends', () => {
  const queue = new FairQueue()
  for (let i = 0; i < 50; i++) queue.push(member('flood'))
  for (let i = 0; i < 5; i++) queue.push(member('calm'))
  expect(names(queue, 10).filter((name) => name === 'calm')).toHaveLength(5)
})

test('inside a tenant in order of arrival', () => {
  const queue = new FairQueue()
  const members = [member('a', 5), member('a', 500), member('a', 1)]
  for (const m of members) queue.push(m)
  const served = members.map(() => {
    const next = queue.peek()!
    queue.take(next)
    return next
  })
  expect(served).toEqual(members)
})

test('the lower priority number goes first, always', () => {
  const queue = new FairQueue()
  queue.push(member('later', 1, { priority: 5 }))
  queue.push(member('first', 10_000, { priority: -1 }))
  queue.push(member('middle'))
  queue.push(member('first', 10_000, { priority: -1 }))
  expect(names(queue)).toEqual(['first', 'first', 'middle', 'later'])
})

test('real tokens count, not estimates: who used more waits longer', () => {
  const queue = new FairQueue()
  const [a, b] = [member('a'), member('b')]
  queue.push(a)
  queue.push(b)
  queue.settle(queue.take(a), 100, 1000)
  queue.settle(queue.take(b), 100, 100)
  for (let i = 0; i < 12; i++) {
    queue.push(member('a'))
    queue.push(member('b'))
  }
  // b catches up with what a has had: 900 tokens.
  expect(names(queue, 9)).toEqual(Array.from({ length: 9 }, () => 'b'))
})

test('a tenant that was away has saved nothing up', () => {
  const queue = new FairQueue()
  for (let i = 0; i < 100; i++) queue.push(member('busy'))
  names(queue, 60)
  for (let i = 0; i < 20; i++) queue.push(member('back'))
  expect(names(queue, 20).filter((name) => name === 'back').length).toBeLessThanOrEqual(11)
})

test('weights: backlogged tenants get tokens in proportion', () => {
  const tenants = fc.array(
    fc.record({ weight: fc.integer({ min: 1, max: 9 }), tokens: fc.integer({ min: 1, max: 900 }) }),
    {
      minLength: 2,
      maxLength: 5,
    },
  )
  fc.assert(
    fc.property(tenants, (list) => {
      const queue = new FairQueue()
      const got = list.map(() => 0)
      const add = (i: number): void => queue.push(member(String(i), list[i]!.tokens, { weight: list[i]!.weight }))
      list.forEach((_, i) => {
        add(i)
        add(i)
      })
      for (let i = 0; i < 3000; i++) {
        const next = queue.peek()!
        const who = Number(next.ticket.tenant)
        queue.settle(queue.take(next), next.ticket.tokens, next.ticket.tokens)
        got[who]! += next.ticket.tokens
        add(who)
      }
      // SFQ's bound: two backlogged flows differ by no more than one request each, in tokens by weight.
      const shares = got.map((tokens, i) => tokens / list[i]!.weight)
      const slack = list.map(({ tokens, weight }) => tokens / weight)
      for (let a = 0; a < list.length; a++)
        for (let b = 0; b < list.length; b++)
          expect(shares[a]! - shares[b]!).toBeLessThanOrEqual(slack[a]! + slack[b]! + 1e-6)
    }),
    { numRuns: 30 },
  )
})

test('whatever is pushed, removed, taken and settled: size is right, the order is kept, nothing is left', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('push' as const), tenant: fc.integer({ min: 0, max: 6 }), tokens: fc.nat(500) }),
    fc.record({ do: fc.constant('take' as const) }),
    fc.record({ do: fc.constant('remove' as const), which: fc.nat() }),
    fc.record({ do: fc.constant('settle' as const), which: fc.nat(), real: fc.nat(900) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const queue = new FairQueue()
      const inside: QueueMember[] = []
      const open: { flow: ReturnType<FairQueue['take']>; tokens: number }[] = []
      for (const s of steps) {
        if (s.do === 'push') {
          const m = member(String(s.tenant), s.tokens, { priority: s.tenant % 2 })
          inside.push(m)
          queue.push(m)
        } else if (s.do === 'take') {
          const next = queue.peek()
          if (next === null) continue
          expect(next.ticket.priority).toBe(Math.min(...inside.map((m) => m.ticket.priority)))
          expect(inside.find((m) => m.ticket.tenant === next.ticket.tenant)).toBe(next)
          inside.splice(inside.indexOf(next), 1)
          open.push({ flow: queue.take(next), tokens: Math.max(1, next.ticket.tokens) })
        } else if (s.do === 'remove' && inside.length > 0) {
          queue.remove(inside.splice(s.which % inside.length, 1)[0]!)
        } else if (s.do === 'settle' && open.length > 0) {
          const { flow, tokens } = open.splice(s.which % open.length, 1)[0]!
          queue.settle(flow, tokens, s.real)
        }
        expect(queue.size).toBe(inside.length)
      }
      for (const m of inside) queue.remove(m)
      expect([queue.size, queue.peek()]).toEqual([0, null])
      for (const { flow, tokens } of open) queue.settle(flow, tokens, 0)
    }),
  )
})

test('tenants that come once are forgotten', () => {
  const queue = new FairQueue()
  for (let i = 0; i < 5000; i++) {
    const flow = queue.charge({ tenant: `t${i}`, tokens: 10, weight: 1, priority: 0 })
    queue.settle(flow, 10, 10)
    // Somebody else moves the virtual time on.
    const other = queue.charge({ tenant: 'steady', tokens: 10, weight: 1, priority: 0 })
    queue.settle(other, 10, 10)
  }
  expect(queue.flows).toBeLessThan(300)
})
