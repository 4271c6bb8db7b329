import { expect, test } from 'vitest'
import type { CapacityConfig, Grant, Ticket, Waiting } from '../contracts/capacity.ts'
import type { Target } from '../contracts/routing.ts'
import { GatewayError } from '../core/errors.ts'
import { TimerWheel } from '../core/wheel.ts'
import { FairGate } from './fair-queue-gate.ts'
import { CapacityTable } from './fair-queue-table.ts'

const EPOCH = 1_700_000_000_000

class World {
  ms = 1000
  readonly wheel = new TimerWheel(() => this.ms, { manual: true })
  readonly clock = { now: () => EPOCH + this.ms, monotonic: () => this.ms }
  readonly buffer: SharedArrayBuffer
  readonly gates: FairGate[]
  readonly tables: CapacityTable[]

  constructor(workers = 1) {
    this.tables = []
    this.buffer = new CapacityTable(4, { worker: 0, workers }).buffer
    this.gates = Array.from({ length: workers }, (_, worker) => {
      const table = new CapacityTable(this.buffer, { worker, workers })
      this.tables.push(table)
      return new FairGate({ table, wheel: this.wheel, clock: this.clock, slotOf: () => 2 })
    })
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 10) {
      this.ms += Math.min(10, left)
      this.wheel.advance()
    }
  }
}

const targetOf = (capacity: Partial<CapacityConfig> | null, health = { busyUntil: 0 }): Target =>
  ({
    name: 'p/m',
    health,
    provider: {
      config: {
        capacity: capacity && { concurrency: 0, queueLength: 200, queueWaitMs: 30_000, learn: false, ...capacity },
      },
    },
  }) as unknown as Target

const ticket = (tenant: string, tokens = 100, more: Partial<Ticket> = {}): Ticket => ({
  tenant,
  tokens,
  weight: 1,
  priority: 0,
  ...more,
})
const never = (): void => {
  throw new Error('not now')
}
const granted = (entry: Grant | Waiting | null): Grant => {
  if (entry === null || !('end' in entry)) throw new Error('no grant')
  return entry
}
const refusal = (run: () => unknown): GatewayError => {
  try {
    run()
  } catch (error) {
    return GatewayError.from(error)
  }
  throw new Error('not refused')
}
const headers = (map: Record<string, string>) => (name: string) => map[name]

test('not bounded: nothing of it', () => {
  const { gates } = new World()
  expect(gates[0]!.enter(targetOf(null), ticket('a'), never)).toBeNull()
  expect(gates[0]!.enter(targetOf({ concurrency: 0, learn: false }), ticket('a'), never)).toBeNull()
})

test('places at once while there are any, then in turn; end() counts once', () => {
  const { gates } = new World()
  const target = targetOf({ concurrency: 2 })
  const gate = gates[0]!
  const first = granted(gate.enter(target, ticket('a'), never))
  granted(gate.enter(target, ticket('a'), never))
  const turns: string[] = []
  gate.enter(target, ticket('a'), (grant) => void turns.push(grant === null ? 'late' : 'third'))
  gate.enter(target, ticket('a'), (grant) => void turns.push(grant === null ? 'late' : 'fourth'))
  expect([turns, gate.waiting()]).toEqual([[], [{ target: 'p/m', waiting: 2, inUse: 2 }]])
  first.end(100)
  first.end(100)
  expect([turns, gate.waiting()]).toEqual([['third'], [{ target: 'p/m', waiting: 1, inUse: 2 }]])
})

test('who waits too long is told so, who cancels is not; both leave nothing', () => {
  const world = new World()
  const gate = world.gates[0]!
  const target = targetOf({ concurrency: 1, queueWaitMs: 500 })
  const held = granted(gate.enter(target, ticket('a'), never))
  const turns: unknown[] = []
  gate.enter(target, ticket('a'), (grant, retryAfterMs) => turns.push(grant, retryAfterMs > 0))
  const cancelled = gate.enter(target, ticket('b'), never) as Waiting
  cancelled.cancel()
  cancelled.cancel()
  world.pass(600)
  expect(turns).toEqual([null, true])
  expect(gate.waiting()[0]!.waiting).toBe(0)
  expect(world.wheel.armed).toBe(0)
  held.end(1)
  expect(gate.waiting()[0]!.inUse).toBe(0)
})

test('a full queue refuses with the time in which it drains at the measured rate', () => {
  const world = new World()
  const gate = world.gates[0]!
  const target = targetOf({ concurrency: 1, queueLength: 4 })
  let running = granted(gate.enter(target, ticket('a'), never))
  const wait = (): unknown =>
    gate.enter(target, ticket('a'), (grant) => {
      running = grant!
    })
  for (let i = 0; i < 4; i++) wait()
  expect(refusal(wait).retryAfterMs).toBe(1000)
  for (let i = 0; i < 6; i++) {
    world.pass(200)
    running.end(100)
    wait()
  }
  const error = refusal(wait)
  expect([error.code, error.retryAfterMs]).toEqual(['rate_limited', 1000])
  // Five at 200 ms each: and that is when it would begin.
  world.pass(200)
  running.end(100)
  expect(gate.waiting()[0]!.waiting).toBe(3)
})

test('eight places, one tenant floods 50 times as much: the other gets its half of the tokens', () => {
  const world = new World()
  const gate = world.gates[0]!
  const target = targetOf({ concurrency: 8, queueLength: 1000, queueWaitMs: 600_000 })
  const got = { flood: 0, calm: 0 }
  const running: { grant: Grant; until: number; tenant: 'flood' | 'calm'; real: number }[] = []
  let seed = 1
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
  const send = (tenant: 'flood' | 'calm'): void => {
    const run = (grant: Grant): void => {
      // What a call really uses is not what was expected of it, and its time follows its tokens.
      const real = Math.round((tenant === 'flood' ? 400 : 150) * (0.5 + random()))
      running.push({ grant, until: world.ms + real, tenant, real })
    }
    const entry = gate.enter(target, ticket(tenant, 200), (grant) => run(grant!))
    if (entry !== null && 'end' in entry) run(entry)
  }
  for (let i = 0; i < 400; i++) send('flood')
  for (let i = 0; i < 8; i++) send('calm')
  for (let step = 0; step < 6000; step++) {
    world.pass(10)
    for (const call of running.filter((r) => r.until <= world.ms)) {
      running.splice(running.indexOf(call), 1)
      got[call.tenant] += call.real
      call.grant.end(call.real)
      send(call.tenant)
    }
  }
  const share = got.calm / (got.calm + got.flood)
  expect(share).toBeGreaterThanOrEqual(0.45)
  expect(share).toBeLessThanOrEqual(0.55)
  expect(gate.waiting()[0]!.inUse).toBe(8)
})

test('a call that does not fit what the provider has left waits for the reset, then goes', () => {
  const world = new World()
  const gate = world.gates[0]!
  const target = targetOf({ learn: true })
  const state = {
    'x-ratelimit-limit-tokens': '1000',
    'x-ratelimit-remaining-tokens': '150',
    'x-ratelimit-reset-tokens': '5',
  }
  const first = granted(gate.enter(target, ticket('a'), never))
  first.answered(headers(state))
  // What is left is for this one; its estimate counts until its own headers are there.
  const second = granted(gate.enter(target, ticket('a', 100), never))
  let third: Grant | null = null
  gate.enter(target, ticket('a', 100), (grant) => (third = grant))
  world.pass(4900)
  expect(third).toBeNull()
  world.pass(200)
  expect(third).not.toBeNull()
  second.end(100)
})

test('a reset beyond the longest wait refuses at once, with the exact time', () => {
  const world = new World()
  const gate = world.gates[0]!
  const target = targetOf({ learn: true, queueWaitMs: 2000 })
  granted(gate.enter(target, ticket('a'), never)).answered(
    headers({
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-limit-requests': '5',
      'x-ratelimit-reset-requests': '60',
    }),
  )
  world.pass(10_000)
  const error = refusal(() => gate.enter(target, ticket('a'), never))
  expect([error.code, error.retryAfterMs]).toEqual(['rate_limited', 50_000])
  world.pass(50_000)
  granted(gate.enter(target, ticket('a'), never))
})

test('a backend that rests after a 429 is left alone: its queue waits, and goes on then', () => {
  const world = new World()
  const gate = world.gates[0]!
  const health = { busyUntil: 0 }
  const target = targetOf({ concurrency: 2, queueWaitMs: 5000 }, health)
  const first = granted(gate.enter(target, ticket('a'), never))
  health.busyUntil = world.ms + 1000
  let turn: Grant | null = null
  gate.enter(target, ticket('a'), (grant) => (turn = grant))
  first.end(0)
  world.pass(980)
  expect(turn).toBeNull()
  world.pass(60)
  expect(turn).not.toBeNull()
  health.busyUntil = world.ms + 9000
  expect(refusal(() => gate.enter(target, ticket('a'), never)).retryAfterMs).toBe(9000)
})

test('two workers never hold more places than there are, and both get their part', () => {
  const world = new World(2)
  const target = targetOf({ concurrency: 4, queueWaitMs: 600_000 })
  const got = [0, 0]
  const running: { grant: Grant; worker: number; until: number }[] = []
  const send = (worker: number): void => {
    const run = (grant: Grant): void => {
      running.push({ grant, worker, until: world.ms + 50 })
    }
    const entry = world.gates[worker]!.enter(target, ticket('t'), (grant) => run(grant!))
    if (entry !== null && 'end' in entry) run(entry)
  }
  for (let i = 0; i < 40; i++) send(0)
  for (let i = 0; i < 8; i++) send(1)
  for (let step = 0; step < 1000; step++) {
    world.pass(10)
    expect(running.length).toBeLessThanOrEqual(4)
    for (const call of running.filter((r) => r.until <= world.ms)) {
      running.splice(running.indexOf(call), 1)
      got[call.worker]!++
      call.grant.end(100)
      send(call.worker)
    }
  }
  const share = got[1]! / (got[0]! + got[1]!)
  expect(share).toBeGreaterThan(0.4)
  expect(share).toBeLessThan(0.6)
})

test('what a worker that died held is free again', () => {
  const world = new World(2)
  const target = targetOf({ concurrency: 2 })
  granted(world.gates[1]!.enter(target, ticket('a'), never))
  granted(world.gates[1]!.enter(target, ticket('a'), never))
  let turn: Grant | null = null
  world.gates[0]!.enter(target, ticket('b'), (grant) => (turn = grant))
  world.pass(100)
  expect(turn).toBeNull()
  world.tables[0]!.forget(1)
  world.pass(100)
  expect(turn).not.toBeNull()
  expect(world.tables[0]!.inUse(2)).toBe(1)
})
