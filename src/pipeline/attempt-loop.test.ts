import { expect, test } from 'vitest'
import type { HedgeConfig } from '../contracts/config.ts'
import type { GatewayError } from '../core/errors.ts'
import type { Call, UpstreamSink } from '../contracts/upstream.ts'
import type { Exchange } from './exchange.ts'
import { factsOf, routeOf, targetsOf } from '../routing/routing-fixture.ts'
import { FakeClock, RULES } from './attempt-fixture.ts'
import { AttemptLoop } from './attempt-loop.ts'

type Answer = 'throws' | 'fails' | 'hangs'

/** A loop over targets that do what is asked of them, one step a call. */
const start = (answers: readonly Answer[], targets: number, hedge: HedgeConfig | null = null) => {
  const clock = new FakeClock()
  const failed: GatewayError[] = []
  const called: number[] = []
  const aborted: number[] = []
  const upstream = (index: number) => ({
    call: (_request: unknown, sink: UpstreamSink): Call => {
      const n = called.push(index) - 1
      const answer = answers[n] ?? 'hangs'
      if (answer === 'fails') queueMicrotask(() => sink.onFault({ kind: 'reset', detail: 'x' }))
      return { abort: () => aborted.push(n), pause: () => {}, resume: () => {} }
    },
  })
  const provider = (index: number) => ({
    name: 'p',
    config: {
      class: 'vendor',
      baseUrl: 'https://p.test',
      egress: { mode: 'direct-tls' },
      operations: ['chat'],
      wire: 'openai.chat',
      paths: {},
      type: 'openai',
      streamEnd: 'done',
      apiKey: null,
      headers: {},
      query: {},
    },
    upstream: upstream(index),
    credentials: null,
    basePath: '',
    query: '',
    get jsonHeaders() {
      if (answers[called.length] !== 'throws') return []
      called.push(index)
      throw new Error('a fault of ours')
    },
  })
  const list = targetsOf(
    Array.from({ length: targets }, (_, i) => ({ provider: provider(i) as never })),
    () => clock.ms,
  )
  const retries = { ...RULES.retries, maxAttempts: 4, backoff: { baseMs: 100, maxMs: 100 } }
  const route = routeOf(list, { ...RULES, retries, hedge })
  const x = {
    ...factsOf(),
    door: null,
    services: {
      clock: { now: () => clock.ms, monotonic: () => clock.ms },
      random: { next: () => 0.5 },
      wheel: clock.wheel,
      limits: {},
      loop: { draining: false },
      telemetry: { attempt: () => {} },
      log: () => {},
    },
    match: { route, wildcard: '' },
    limiter: null,
    snapshot: {
      table: { match: () => null },
      policies: { gate: null, pricing: { strict: false }, mesh: { kind: 'none' } },
    },
    received: { startedAt: clock.ms, header: () => undefined, method: 'POST', body: Buffer.from('{}'), query: '' },
    upstreamPath: '/x',
    attempts: [],
    budgetMs: Infinity,
    deadlineAt: Infinity,
    repeated: false,
    mayRepeat: true,
    queueMs: 0,
    trace: null,
    inMesh: false,
    fields: null,
    upgrade: null,
    over: false,
    fail: (error: GatewayError) => {
      failed.push(error)
      x.over = true
      loop.close()
    },
    uncarried: () => null,
    counting: false,
    own: null,
    claim: () => true,
    onAttemptClosed: () => {},
    onAttemptFailed: (attempt: never, failure: never) => loop.onFailed(attempt, failure),
  }
  const loop = new AttemptLoop(x as unknown as Exchange)
  return { clock, failed, called, aborted, loop, x }
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await Promise.resolve()
}

test('targets in order, then again after a pause, while attempts last', async () => {
  const run = start(['fails', 'fails', 'fails', 'fails'], 2)
  run.loop.begin()
  await settled()
  expect(run.called).toEqual([0, 1])
  run.clock.pass(40)
  await settled()
  expect(run.called).toEqual([0, 1])
  for (let i = 0; i < 10; i++) {
    run.clock.pass(20)
    await settled()
  }
  expect(run.called).toEqual([0, 1, 0, 1])
  expect(run.failed.map((e) => e.code)).toEqual(['upstream_error'])
  expect(run.clock.wheel.armed).toBe(0)
})

test.each([
  ['in the next attempt', ['fails', 'throws'], 2],
  ['in an attempt after a pause', ['fails', 'throws'], 1],
] as const)('a fault of ours %s ends the request, not the process', async (_name, answers, targets) => {
  const run = start(answers, targets)
  run.loop.begin()
  await settled()
  expect(() => run.clock.pass(200)).not.toThrow()
  expect(run.failed.map((e) => e.code)).toEqual(['internal'])
})

test('a fault of ours in a hedge does not touch the first attempt', async () => {
  const run = start(['hangs', 'throws'], 2, { afterMs: 20, maxShare: 1, maxCostPerMinute: 1 })
  run.loop.begin()
  expect(() => run.clock.pass(100)).not.toThrow()
  await settled()
  expect([run.called, run.failed]).toEqual([[0, 1], []])
  run.loop.close()
  expect(run.aborted).toEqual([0])
})

test('close() ends what is under way and what is waited for', async () => {
  const waiting = start(['fails'], 1)
  waiting.loop.begin()
  await settled()
  waiting.x.over = true
  waiting.loop.close()
  waiting.clock.pass(500)
  expect([waiting.called, waiting.clock.wheel.armed]).toEqual([[0], 0])
})
