import { expect, test } from 'vitest'
import { harness, RULES } from './attempt-fixture.ts'
import { RawAttempt } from './raw-attempt.ts'

const timeouts = (more: object) => ({ timeouts: { ...RULES.timeouts, ...more } })

test('bytes go on as they come, and idle is from byte to byte', () => {
  const h = harness()
  h.start(new RawAttempt(h.plan({})), {})
  h.backend.sink.onData(Buffer.from([0, 255, 10]))
  h.clock.pass(900)
  h.backend.sink.onData(Buffer.from([1]))
  h.clock.pass(900)
  expect(h.events).toEqual(['head'])
  h.clock.pass(200)
  expect(h.events).toEqual(['head', 'broken idle_timeout'])
  expect([...h.written()]).toEqual([0, 255, 10, 1])
})

test('idle off is off', () => {
  const h = harness(timeouts({ idleMs: 0 }))
  h.start(new RawAttempt(h.plan({})), {})
  h.clock.pass(20_000)
  expect(h.events).toEqual(['head'])
})

test('no timer at all is none', () => {
  const h = harness(timeouts({ idleMs: 0, attemptMs: 0 }))
  const attempt = new RawAttempt(h.plan({}))
  attempt.start({ method: 'GET', path: '/', headers: [], body: null })
  h.clock.pass(20_000)
  expect(h.events).toEqual([])
})

test('a slow client has its own time', () => {
  const h = harness()
  h.start(new RawAttempt(h.plan({})), {})
  h.clock.pass(950)
  h.accepting = false
  h.backend.sink.onData(Buffer.from('x'))
  h.clock.pass(2900)
  expect(h.events).toEqual(['head'])
  h.clock.pass(200)
  expect(h.events).toEqual(['head', 'stalled'])
})

test('an error status is no answer, and its body is bounded', () => {
  const h = harness()
  h.start(new RawAttempt(h.plan({})), {}, 500)
  for (let i = 0; i < 5; i++) h.backend.sink.onData(Buffer.alloc(20_000))
  expect(h.events).toEqual(['failed http_500'])
  expect(h.backend.aborted).toBe(true)
})
