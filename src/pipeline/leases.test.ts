import { describe, expect, test } from 'vitest'
import fc from 'fast-check'
import type { Amounts, Lease } from '../contracts/admission.ts'
import type { Pending } from './leases.ts'
import { Leases } from './leases.ts'

/** One nano-dollar a token, and a note of what was learned and settled. */
const bench = (waitMs = 1000) => {
  let now = 0
  let holders = 0
  const settled: Amounts[] = []
  const learned: [string, number, number][] = []
  const lease: Lease = {
    addHeaders() {},
    settle: (amounts) => void settled.push(amounts),
    extend: () => true,
    wouldRefuse: [],
  }
  const snapshot = {
    retain: () => void holders++,
    release: () => void holders--,
    policies: {
      pricing: {
        charge: (_t: unknown, _m: unknown, { inputTokens, outputTokens }: Amounts) => ({
          nanoUsd: inputTokens + outputTokens,
        }),
        learn: (name: string, bytes: number, { outputTokens }: Amounts) =>
          void learned.push([name, bytes, outputTokens]),
      },
    },
  }
  const pending = {
    lease,
    expected: { inputTokens: 10, outputTokens: 100, nanoUsd: 110 },
    target: {},
    model: 'm',
    snapshot,
    lesson: { name: 'm', bytes: 40 },
  } as unknown as Pending
  const clock = { now: () => now, monotonic: () => now } as never
  return {
    leases: new Leases(clock, () => waitMs),
    pending,
    settled,
    learned,
    held: () => holders,
    pass: (ms: number) => void (now += ms),
  }
}

describe('leases of calls that others make', () => {
  test('what was counted apart is settled as it was, priced, and learned from', () => {
    const { leases, pending, settled, learned, held } = bench()
    const ticket = leases.keep(pending)
    expect(leases.holds(ticket)).not.toBeNull()
    expect(leases.settle(ticket, { inputTokens: 7, outputTokens: 3, totalTokens: 99 })).toBe(true)
    expect(settled).toEqual([{ inputTokens: 7, outputTokens: 3, nanoUsd: 10 }])
    expect(learned).toEqual([['m', 40, 3]])
    expect([leases.size, held()]).toEqual([0, 0])
  })

  test('of a sum the prompt is what was expected; nothing is learned from it', () => {
    const { leases, pending, settled, learned } = bench()
    const told = (totalTokens: number) => ({ inputTokens: -1, outputTokens: -1, totalTokens })
    leases.settle(leases.keep(pending), told(25))
    leases.settle(leases.keep(pending), told(4))
    expect(settled.map(({ inputTokens, outputTokens }) => [inputTokens, outputTokens])).toEqual([
      [10, 15],
      [4, 0],
    ])
    expect(learned).toEqual([])
  })

  test('nobody says what was used: it counts as expected, and its end comes too late', () => {
    const { leases, pending, settled, pass, held } = bench(1000)
    const ticket = leases.keep(pending)
    pass(999)
    leases.sweep()
    expect(settled).toEqual([])
    pass(1)
    leases.sweep()
    expect(settled).toEqual([pending.expected])
    expect(leases.settle(ticket, { inputTokens: 1, outputTokens: 1, totalTokens: 2 })).toBe(false)
    expect(settled.length).toBe(1)
    expect([leases.expired, held()]).toEqual([1, 0])
  })

  test('property: each ends once, whatever comes in whichever order', () => {
    const step = fc.oneof(
      fc.constant({ kind: 'keep' as const }),
      fc.record({ kind: fc.constant('settle' as const), of: fc.nat(30) }),
      fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(700) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const { leases, pending, settled, pass, held } = bench(1000)
        const tickets: string[] = []
        for (const s of steps) {
          if (s.kind === 'keep') tickets.push(leases.keep(pending))
          else if (s.kind === 'pass') {
            pass(s.ms)
            leases.sweep()
          } else leases.settle(tickets[s.of] ?? 'none', { inputTokens: 1, outputTokens: 1, totalTokens: 2 })
        }
        expect(settled.length + leases.size).toBe(tickets.length)
        leases.close()
        expect(settled.length).toBe(tickets.length)
        expect(held()).toBe(0)
      }),
    )
  })
})
