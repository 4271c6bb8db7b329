import { describe, expect, test } from 'vitest'
import { HealthTable } from './health.ts'
import { BREAKER } from './routing-fixture.ts'

const start = (breaker: Partial<typeof BREAKER> = {}) => {
  const time = { now: 1000 }
  const table = new HealthTable(2, () => time.now)
  const health = table.slot(0, { ...BREAKER, ...breaker })
  const end = (outcome: 'ok' | 'failure' | 'neutral', ms = -1, stream = false): void => {
    health.begin()
    health.end(outcome, ms, time.now, stream)
  }
  return { time, table, health, end }
}

describe('breaker', () => {
  test('failures in a row eject, a success between does not let them add up', () => {
    const { health, end } = start()
    for (let i = 0; i < 4; i++) end('failure')
    end('ok')
    for (let i = 0; i < 4; i++) end('failure')
    expect(health.ejectedUntil).toBe(0)
    end('failure')
    expect(health.ejectedUntil).toBe(6000)
    expect(health.ejections).toBe(1)
  })

  test('a share of failures ejects once there were enough requests', () => {
    const { health, end } = start({ consecutiveFailures: 1000 })
    for (let i = 0; i < 9; i++) {
      end('failure')
      end('ok')
    }
    expect(health.ejectedUntil).toBe(0)
    end('failure')
    end('failure')
    expect(health.ejectedUntil).toBeGreaterThan(0)
  })

  test('the window forgets', () => {
    const { health, end, time } = start({ consecutiveFailures: 1000 })
    for (let i = 0; i < 19; i++) end(i % 2 === 0 ? 'failure' : 'ok')
    time.now += 10_001
    end('failure')
    expect(health.ejectedUntil).toBe(0)
  })

  test('ejections double up to the maximum; a probe that succeeds starts again', () => {
    const { health, end, time } = start()
    const rests: number[] = []
    for (let i = 0; i < 5; i++) end('failure')
    for (let i = 0; i < 6; i++) {
      rests.push(health.ejectedUntil - time.now)
      time.now = health.ejectedUntil
      expect(health.tryProbe(time.now)).toBe(true)
      expect(health.tryProbe(time.now)).toBe(false)
      end('failure')
    }
    expect(rests).toEqual([5000, 10_000, 20_000, 40_000, 60_000, 60_000])
    time.now = health.ejectedUntil
    expect(health.tryProbe(time.now)).toBe(true)
    end('ok')
    expect([health.ejectedUntil, health.ejections, health.consecutiveFailures]).toEqual([0, 0, 0])
  })

  test('a success that began before the ejection closes nothing', () => {
    const { health, end, time } = start()
    for (let i = 0; i < 5; i++) end('failure')
    time.now += 100
    end('ok')
    expect(health.ejectedUntil).toBeGreaterThan(time.now)
  })

  test('a probe that was called off, or never came back, frees its place', () => {
    const { health, end, time } = start()
    for (let i = 0; i < 5; i++) end('failure')
    time.now = health.ejectedUntil
    expect(health.tryProbe(time.now)).toBe(true)
    end('neutral')
    expect(health.tryProbe(time.now)).toBe(true)
    time.now += 60_001
    expect(health.tryProbe(time.now)).toBe(true)
  })

  test('what is neutral counts neither way, and off is off', () => {
    const { health, end } = start()
    for (let i = 0; i < 50; i++) end('neutral')
    expect([health.consecutiveFailures, health.ejectedUntil, health.inflight]).toEqual([0, 0, 0])
    const off = start({ enabled: false })
    for (let i = 0; i < 50; i++) off.end('failure')
    expect([off.health.consecutiveFailures, off.health.ejectedUntil]).toEqual([50, 0])
  })
})

describe('latency', () => {
  test('a slow answer counts at once, faster ones with time', () => {
    const { health, end, time } = start()
    end('ok', 100)
    end('ok', 900)
    expect(health.latencyMs).toBe(900)
    time.now += 5000
    end('ok', 100)
    const after = health.latencyMs
    expect(after).toBeLessThan(700)
    expect(after).toBeGreaterThan(400)
  })

  test('what is not asked any more is forgotten, so that it is asked again one day', () => {
    const { health, end, time } = start()
    end('ok', 900)
    time.now += 60_000
    expect(health.latencyMs).toBeLessThan(10)
    expect(health.latencyMs).toBeGreaterThan(0)
  })

  test('half of the streams begin within the median; answers that come whole say nothing of it', () => {
    const { health, end, time } = start()
    end('ok', 5000)
    expect(health.p50StreamMs).toBe(0)
    let seed = 1
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    for (let i = 0; i < 5000; i++) end('ok', random() < 0.9 ? 100 * random() : 3000, true)
    expect(health.p50StreamMs).toBeGreaterThan(35)
    expect(health.p50StreamMs).toBeLessThan(85)
    const before = health.p50StreamMs
    time.now += 30_000
    expect(health.p50StreamMs).toBeLessThan(before / 10)
  })

  test('p95 settles near the 95th percentile', () => {
    const { health, end } = start()
    let seed = 1
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    for (let i = 0; i < 20_000; i++) end('ok', 100 * random())
    expect(health.p95Ms).toBeGreaterThan(85)
    expect(health.p95Ms).toBeLessThan(110)
  })
})

describe('retry budget', () => {
  test('requests earn a share, time earns a floor, savings are bounded', () => {
    const { health, time } = start()
    health.earnRetry(0.2, 0, time.now)
    expect(health.spendRetry()).toBe(false)
    for (let i = 0; i < 4; i++) health.earnRetry(0.2, 0, time.now)
    expect([health.spendRetry(), health.spendRetry()]).toEqual([true, false])
    time.now += 500
    health.earnRetry(0, 10, time.now)
    let spent = 0
    while (health.spendRetry()) spent++
    expect(spent).toBe(5)
    time.now += 1e9
    health.earnRetry(0, 10, time.now)
    while (health.spendRetry()) spent++
    expect(spent).toBe(5 + 60)
  })
})

test('slots are apart, and all views of one buffer see the same', () => {
  const { table, end, health } = start()
  for (let i = 0; i < 5; i++) end('failure')
  health.busy(5)
  health.busy(3)
  health.dead(9)
  const other = new HealthTable(table.buffer)
  const same = other.slot(0, BREAKER)
  expect([same.ejections, same.busyUntil, same.deadUntil]).toEqual([1, 5, 9])
  const next = other.slot(1, BREAKER)
  expect([next.ejections, next.busyUntil, next.deadUntil, next.consecutiveFailures]).toEqual([0, 0, 0, 0])
  same.revive()
  expect(health.deadUntil).toBe(0)
  expect(other.capacity).toBe(2)
})

test('requests in flight are counted by worker, read as their sum, and a lost worker takes its share along', () => {
  const places = [0, 1, 2].map((worker) => ({ worker, workers: 3 }))
  const main = new HealthTable(2, () => 0, places[0])
  const [a, b, c] = places.map((place) => new HealthTable(main.buffer, () => 0, place))
  const at = (table: HealthTable | undefined, slot: number) => table!.slot(slot, BREAKER)
  for (let i = 0; i < 3; i++) at(a, 0).begin()
  for (let i = 0; i < 4; i++) at(b, 0).begin()
  at(b, 1).begin()
  at(c, 1).begin()
  const counts = () => [main, a, c].map((table) => [at(table, 0).inflight, at(table, 1).inflight].join(' '))
  expect(counts()).toEqual(Array(3).fill('7 2'))
  main.forget(1)
  expect(counts()).toEqual(Array(3).fill('3 1'))
  // What others count goes on as before, and the replacement begins at nothing.
  const replacement = new HealthTable(main.buffer, () => 0, places[1])
  at(replacement, 0).begin()
  at(replacement, 0).end('ok', 5, 0)
  for (let i = 0; i < 3; i++) at(a, 0).end('failure', -1, 0)
  at(c, 1).end('neutral', -1, 0)
  expect(counts()).toEqual(Array(3).fill('0 0'))
  expect([main.capacity, at(main, 0).consecutiveFailures, at(main, 1).consecutiveFailures]).toEqual([2, 3, 0])
})
