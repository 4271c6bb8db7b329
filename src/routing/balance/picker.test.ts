import { describe, expect, test } from 'vitest'
import type { Member } from '../../contracts/cluster.ts'
import { ALONE, balancing, bodyOf, hints, member, pickerOf, TestCluster } from './balance-fixture.ts'
import { ClusterMemory } from './cluster-memory.ts'
import { CountedCall } from './picked-call.ts'

const NOW = 1_000_000
const three = (): Member[] => [member(0), member(1), member(2)]
const long = (text: string): string => text.repeat(40)

/** Slots of so many picks, without any call begun. */
const slotsOf = (picks: number, pick: () => number): Map<number, number> => {
  const counts = new Map<number, number>()
  for (let i = 0; i < picks; i++) {
    const slot = pick()
    counts.set(slot, (counts.get(slot) ?? 0) + 1)
  }
  return counts
}

describe('who may be picked', () => {
  test('nobody known: upstream_unavailable, and why is in the detail', () => {
    const picker = pickerOf(new TestCluster([]))
    expect(() => picker.pick(hints(), { now: NOW })).toThrow(
      expect.objectContaining({ code: 'upstream_unavailable', detail: 'no endpoint of the cluster is known' }),
    )
  })

  test('the lowest priority number gets everything until none of it is left; draining ones come last', () => {
    const cluster = new TestCluster([
      member(0, { priority: 1 }),
      member(1),
      member(2, { state: 'draining' }),
      member(3, { priority: 1 }),
    ])
    const picker = pickerOf(cluster)
    const pick = (tried: number[] = []): number => picker.pick(hints(), { now: NOW, tried }).members[0]!.slot
    expect([...slotsOf(20, () => pick()).keys()]).toEqual([1])
    expect([...slotsOf(20, () => pick([1])).keys()].toSorted((a, b) => a - b)).toEqual([0, 3])
    expect(pick([0, 1, 3])).toBe(2)
    expect(() => pick([0, 1, 2, 3])).toThrow(expect.objectContaining({ detail: 'all endpoints were tried: 4 of 4' }))
  })

  test('only those of a subset', () => {
    const picker = pickerOf(new TestCluster(three()))
    const subset = new Set(['10.0.0.1:8002'])
    expect(picker.pick(hints(), { now: NOW, subset }).members.map((m) => m.slot)).toEqual([2])
    expect(() => picker.pick(hints(), { now: NOW, subset: new Set(['9.9.9.9:1']) })).toThrow(
      expect.objectContaining({ code: 'upstream_unavailable' }),
    )
  })

  test('who cannot be reached rests longer each time; when all rest, all are asked', () => {
    const cluster = new TestCluster([member(0), member(1)])
    const picker = pickerOf(cluster)
    const fail = (slot: number, now: number): void => {
      const picked = picker.pick(hints(), { now, subset: new Set([member(slot).address]) })
      picker.begin(picked.members[0]!, picked, now).end('unreachable', now)
    }
    fail(0, NOW)
    expect([...slotsOf(20, () => picker.pick(hints(), { now: NOW + 1 }).members[0]!.slot).keys()]).toEqual([1])
    expect(picker.usable(NOW + 1)).toBe(1)
    expect(picker.usable(NOW + 1, member(1).address)).toBe(0)
    // After its rest one call tries it, and no other before that is over.
    const later = NOW + 2001
    expect(slotsOf(40, () => picker.pick(hints(), { now: later }).members[0]!.slot).size).toBe(2)
    const picked = picker.pick(hints(), { now: later, tried: [1] })
    const probe = picker.begin(picked.members[0]!, picked, later)
    expect([...slotsOf(20, () => picker.pick(hints(), { now: later }).members[0]!.slot).keys()]).toEqual([1])
    probe.end('failed', later)
    expect(cluster.state.ejectedUntil(0)).toBe(later + 4000)
    fail(1, later)
    expect(slotsOf(40, () => picker.pick(hints(), { now: later + 1 }).members[0]!.slot).size).toBe(2)
  })

  test('three failures in a row eject, a success in between does not let it come to that', () => {
    const cluster = new TestCluster([member(0)])
    const run = (...outcomes: ('ok' | 'failed' | 'neutral')[]): boolean => {
      for (const outcome of outcomes) new CountedCall(cluster.state, member(0), 1, NOW, false).end(outcome, NOW)
      return cluster.state.resting(0, NOW + 1)
    }
    expect(run('failed', 'failed', 'ok', 'failed', 'neutral', 'failed')).toBe(false)
    expect(run('failed')).toBe(true)
  })

  test('saturated ones get nothing while another is below; when all are, calls that may wait are refused', () => {
    const cluster = new TestCluster(three())
    const picker = pickerOf(cluster)
    cluster.state.signals(0, { queue: 6 }, NOW)
    cluster.state.signals(1, { kv: 0.9 }, NOW)
    expect([...slotsOf(20, () => picker.pick(hints(), { now: NOW }).members[0]!.slot).keys()]).toEqual([2])
    cluster.state.signals(2, { queue: 9 }, NOW)
    expect(() => picker.pick(hints(null, { priority: -1 }), { now: NOW })).toThrow(
      expect.objectContaining({ code: 'overloaded' }),
    )
    expect(picker.pick(hints(), { now: NOW }).members).toHaveLength(3)
    // What was said long ago does not count.
    expect(picker.pick(hints(null, { priority: -1 }), { now: NOW + 60_000 }).members).toHaveLength(3)
  })
})

describe('by score', () => {
  test('a cold start spreads', () => {
    const picker = pickerOf(new TestCluster(three()))
    const counts = slotsOf(300, () => picker.pick(hints(), { now: NOW }).members[0]!.slot)
    for (const slot of [0, 1, 2]) expect(counts.get(slot)).toBeGreaterThan(60)
  })

  test('weights count where everything else is alike', () => {
    const picker = pickerOf(new TestCluster([member(0, { weight: 3 }), member(1)]))
    const counts = slotsOf(400, () => picker.pick(hints(), { now: NOW }).members[0]!.slot)
    expect(counts.get(0)).toBeGreaterThan(260)
    expect(counts.get(1)).toBeGreaterThan(60)
  })

  test('a conversation that goes on goes where it began', () => {
    const picker = pickerOf(new TestCluster(three()))
    const first = bodyOf(long('You are an agent. '), long('What is a loom? '))
    const one = picker.pick(hints(first), { now: NOW })
    picker.begin(one.members[0]!, one, NOW).end('ok', NOW)
    const longer = bodyOf(long('You are an agent. '), long('What is a loom? '), long('It weaves. '), 'And a shuttle?')
    for (let i = 0; i < 20; i++)
      expect(picker.pick(hints(longer), { now: NOW }).members[0]!.slot).toBe(one.members[0]!.slot)
  })

  test('another model does not share a cache', () => {
    const cluster = new TestCluster(three())
    const picker = pickerOf(cluster)
    const body = bodyOf(long('You are an agent. '))
    const one = picker.pick(hints(body), { now: NOW })
    picker.begin(one.members[0]!, one, NOW).end('ok', NOW)
    const counts = slotsOf(60, () => picker.pick(hints(body, { model: 'n' }), { now: NOW }).members[0]!.slot)
    expect(counts.size).toBe(3)
  })

  test('a prompt that all send has no hot spot: affinity loses against load', () => {
    const picker = pickerOf(new TestCluster(three()))
    const body = bodyOf(long('The same for all. '))
    const counts = slotsOf(30, () => {
      const picked = picker.pick(hints(body), { now: NOW })
      picker.begin(picked.members[0]!, picked, NOW)
      return picked.members[0]!.slot
    })
    expect(Math.max(...counts.values())).toBeLessThanOrEqual(15)
    expect(counts.size).toBe(3)
  })

  test('a session without a prompt to go by stays where it was', () => {
    const picker = pickerOf(new TestCluster(three()))
    const one = picker.pick(hints(null, { session: 'alice' }), { now: NOW })
    picker.begin(one.members[0]!, one, NOW).end('ok', NOW)
    for (let i = 0; i < 20; i++)
      expect(picker.pick(hints(null, { session: 'alice' }), { now: NOW }).members[0]!.slot).toBe(one.members[0]!.slot)
  })

  test.each([
    ['queue', { queue: 0 }, { queue: 3 }],
    ['kv', { kv: 0.1 }, { kv: 0.7 }],
    ['utilisation in place of the queue', { utilisation: 0.1 }, { utilisation: 0.9 }],
    ['adapter loaded before room for it', { loraMax: 2, loras: ['m'] }, { loraMax: 2, loras: ['x'] }],
    ['room before none', { loraMax: 2, loras: ['x'] }, { loraMax: 1, loras: ['x'] }],
  ])('%s', (_name, good, bad) => {
    const cluster = new TestCluster([member(0), member(1)])
    const picker = pickerOf(cluster)
    cluster.state.signals(0, bad, NOW)
    cluster.state.signals(1, good, NOW)
    expect([...slotsOf(20, () => picker.pick(hints(), { now: NOW }).members[0]!.slot).keys()]).toEqual([1])
  })

  test('stale signals fade until nothing is known', () => {
    const cluster = new TestCluster([member(0), member(1)])
    const picker = pickerOf(cluster)
    cluster.state.signals(0, { queue: 0 }, NOW)
    cluster.state.signals(1, { queue: 4 }, NOW)
    const counts = slotsOf(60, () => picker.pick(hints(), { now: NOW + 4001 }).members[0]!.slot)
    expect(counts.size).toBe(2)
  })

  test('own zone first, and hints for zones before the zone of the address', () => {
    const cluster = new TestCluster([
      member(0, { zone: 'b' }),
      member(1, { zone: 'b', forZones: ['a'] }),
      member(2, { zone: 'a', forZones: ['b'] }),
    ])
    const picker = pickerOf(cluster, balancing({ zone: 'a' }))
    expect([...slotsOf(20, () => picker.pick(hints(), { now: NOW }).members[0]!.slot).keys()]).toEqual([1])
  })

  test('a slow one gets less, and its chance again once its slowness is long ago', () => {
    const cluster = new TestCluster([member(0), member(1)])
    const picker = pickerOf(cluster)
    for (const [slot, ms] of [
      [0, 900],
      [1, 100],
    ] as const) {
      const call = new CountedCall(cluster.state, member(slot), 0, NOW, false)
      call.began(NOW + ms)
      call.end('ok', NOW + ms)
    }
    const at = NOW + 1000
    expect([...slotsOf(20, () => picker.pick(hints(), { now: at }).members[0]!.slot).keys()]).toEqual([1])
    const other = new CountedCall(cluster.state, member(1), 0, at + 60_000, false)
    other.began(at + 60_100)
    other.end('ok', at + 60_100)
    expect(picker.pick(hints(), { now: at + 60_200 }).members[0]!.slot).toBe(0)
  })

  test('the note tells the scores, when asked for', () => {
    const picker = pickerOf(new TestCluster(three()))
    expect(picker.pick(hints(), { now: NOW }).note).toBe('')
    expect(picker.pick(hints(), { now: NOW, explain: true }).note).toMatch(
      /^10\.0\.0\.1:800\d of 3: prefix 0\.00, queue 0\.50, .*inflight 1\.00/,
    )
  })
})

describe('without scores', () => {
  test('round robin goes round, random draws by weight', () => {
    const cluster = new TestCluster([member(0, { weight: 3 }), member(1), member(2)])
    const round = pickerOf(cluster, balancing({ policy: 'round_robin' }))
    const slots = Array.from({ length: 6 }, () => round.pick(hints(), { now: NOW }).members[0]!.slot)
    expect(slots.slice(0, 3).toSorted((a, b) => a - b)).toEqual([0, 1, 2])
    expect(slots.slice(3)).toEqual(slots.slice(0, 3))
    const random = pickerOf(cluster, balancing({ policy: 'random' }))
    const counts = slotsOf(500, () => random.pick(hints(), { now: NOW }).members[0]!.slot)
    expect(counts.get(0)).toBeGreaterThan(250)
    expect(counts.get(2)).toBeGreaterThan(50)
  })

  test('least busy: who has the most under way is never chosen out of two', () => {
    const cluster = new TestCluster(three())
    const picker = pickerOf(cluster, balancing({ policy: 'least_busy' }))
    for (let i = 0; i < 9; i++) cluster.state.begin(1, 0)
    expect(slotsOf(50, () => picker.pick(hints(), { now: NOW }).members[0]!.slot).has(1)).toBe(false)
  })
})

describe('memory of all threads', () => {
  test('other workers’ calls count, and are forgotten with the worker', () => {
    const cluster = new TestCluster(three(), 2)
    const other = new ClusterMemory(cluster.memory, { worker: 1, workers: 2 })
    other.begin(1, 500)
    cluster.state.begin(1, 20)
    expect([cluster.state.calls(1), cluster.state.tokens(1)]).toEqual([2, 520])
    cluster.state.forget(1)
    expect([other.calls(1), other.tokens(1)]).toEqual([1, 20])
    expect(other.seed).toBe(cluster.state.seed)
  })

  test('a slot that gets another member starts clean, and calls of the one before it change nothing', () => {
    const cluster = new TestCluster([member(0)])
    const picker = pickerOf(cluster)
    const picked = picker.pick(hints(bodyOf(long('The same. '))), { now: NOW })
    const call = picker.begin(picked.members[0]!, picked, NOW)
    cluster.state.signals(0, { queue: 3, loraMax: 1, loras: ['a'] }, NOW)
    cluster.state.reset(0)
    expect([cluster.state.calls(0), cluster.state.queue(0), cluster.state.loraMax(0)]).toEqual([0, -1, 0])
    call.began(NOW + 5)
    call.end('unreachable', NOW + 5)
    expect([cluster.state.calls(0), cluster.state.resting(0, NOW + 6), cluster.state.latency(0, NOW + 6)]).toEqual([
      0,
      false,
      0,
    ])
    const note = picker.pick(hints(bodyOf(long('The same. '))), { now: NOW, explain: true }).note
    expect(note).toContain('prefix 0.00')
  })

  test('a call ends once', () => {
    const memory = new ClusterMemory(new TestCluster([]).memory, ALONE)
    const call = new CountedCall(memory, member(0), 7, NOW, false)
    call.end('ok', NOW)
    call.end('failed', NOW)
    expect([memory.calls(0), memory.tokens(0)]).toEqual([0, 0])
  })
})

test('a long answer that has begun does not keep others from a member that was tried with it', () => {
  const cluster = new TestCluster([member(0)])
  new CountedCall(cluster.state, member(0), 1, NOW, false).end('unreachable', NOW)
  const later = NOW + 2001
  const probe = new CountedCall(cluster.state, member(0), 1, later, false)
  expect(cluster.state.resting(0, later + 1)).toBe(true)
  probe.began(later + 1)
  expect(cluster.state.resting(0, later + 1)).toBe(false)
  // Well again only at its end: until then one failure is enough, and its rest is longer.
  probe.end('failed', later + 2)
  expect(cluster.state.ejectedUntil(0)).toBe(later + 2 + 4000)
})

test('who has failed this very call comes after all others but those that rest', () => {
  const cluster = new TestCluster([member(0), member(1), member(2)])
  const picker = pickerOf(cluster)
  const failed = [member(0).address]
  const slots = (now: number): number[] =>
    [...slotsOf(30, () => picker.pick(hints(), { now, failed }).members[0]!.slot).keys()].toSorted((a, b) => a - b)
  expect(slots(NOW)).toEqual([1, 2])
  for (const slot of [1, 2]) new CountedCall(cluster.state, member(slot), 1, NOW, false).end('unreachable', NOW)
  expect(slots(NOW + 1)).toEqual([0])
})
