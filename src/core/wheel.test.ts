import * as fc from 'fast-check'
import { afterEach, expect, test, vi } from 'vitest'
import { TimerWheel, WheelTimer } from './wheel.ts'

class Probe extends WheelTimer {
  readonly fired: number[] = []
  readonly #log: () => number
  constructor(log: () => number) {
    super()
    this.#log = log
  }
  override onTimer(): void {
    this.fired.push(this.#log())
  }
}

afterEach(() => {
  vi.useRealTimers()
})

test('timers fire once, never early and at most 30 ms late, whatever the order of arming', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 30_000 }), fc.integer({ min: 0, max: 5_000 })), { maxLength: 40 }),
      (plan) => {
        let now = 5
        const wheel = new TimerWheel(() => now, { manual: true })
        const probes = plan.map(([ms, startAt]) => ({ ms, startAt, probe: new Probe(() => now), armedAt: -1 }))
        for (; now < 36_000; now += 7) {
          for (const p of probes) {
            if (p.armedAt < 0 && now >= p.startAt) {
              p.armedAt = now
              wheel.arm(p.probe, p.ms)
            }
          }
          wheel.advance()
        }
        for (const p of probes) {
          expect(p.probe.fired).toHaveLength(1)
          expect(p.probe.fired[0]! - p.armedAt).toBeGreaterThanOrEqual(p.ms)
          expect(p.probe.fired[0]! - p.armedAt).toBeLessThanOrEqual(p.ms + 30 + 7)
        }
        expect(wheel.armed).toBe(0)
      },
    ),
    { numRuns: 30 },
  )
})

test('a disarmed timer stays silent, a moved one fires at its new time only, and callbacks may disarm others', () => {
  let now = 0
  const wheel = new TimerWheel(() => now, { manual: true })
  const a = new Probe(() => now)
  const b = new Probe(() => now)
  const killer = new (class extends WheelTimer {
    override onTimer(): void {
      wheel.disarm(b)
    }
  })()
  wheel.arm(a, 50)
  wheel.arm(a, 500)
  wheel.arm(killer, 100)
  wheel.arm(b, 100)
  for (now = 0; now <= 1000; now += 10) wheel.advance()
  expect(a.fired).toHaveLength(1)
  expect(a.fired[0]).toBeGreaterThanOrEqual(500)
  expect(b.fired).toEqual([])
})

test('after a stall of the event loop, what waited in sockets is read before timers are judged', () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setImmediate'] })
  let now = 0
  const wheel = new TimerWheel(() => now)
  const answered = new Probe(() => now)
  const silent = new Probe(() => now)
  wheel.arm(answered, 100)
  wheel.arm(silent, 100)
  now = 600
  // The interval's turn: nothing yet, but whoever reads now reads at the right time.
  vi.advanceTimersToNextTimer()
  expect([answered.fired, silent.fired, wheel.coarseNow]).toEqual([[], [], 600])
  wheel.arm(answered, 100)
  vi.advanceTimersToNextTimer()
  expect([answered.fired, silent.fired]).toEqual([[], [600]])
  // On time it needs no detour.
  for (now = 610; now <= 720; now += 10) vi.advanceTimersByTime(10)
  expect(answered.fired).toEqual([700])
  expect([silent.fired, wheel.armed, vi.getTimerCount()]).toEqual([[600], 0, 0])
})
