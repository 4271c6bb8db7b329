import { expect, test } from 'vitest'
import { ONLY_THIS } from '../../contracts/credentials.ts'
import { GatewayError } from '../../core/errors.ts'
import { FixedCredential } from './fixed.ts'
import { Renewal, type Obtained } from './renewal.ts'

const EPOCH = 1_700_000_000_000

/** A source that answers as the test says, and a clock by hand. */
const setUp = () => {
  const state = { ms: 0, asked: 0, log: [] as string[], stopped: false }
  let tick = (): void => {}
  const answers: { resolve: (o: Obtained) => void; reject: (e: Error) => void }[] = []
  const parts = {
    clock: { now: () => EPOCH + state.ms, monotonic: () => state.ms },
    random: { next: () => 0.5 },
    log: (level: string, fields: object, text: string) =>
      void state.log.push(`${level} ${text} ${JSON.stringify(fields)}`),
    every: (task: () => void) => {
      tick = task
      return () => {
        state.stopped = true
      }
    },
  }
  const renewal = new Renewal('test credentials', parts, () => {
    state.asked++
    return new Promise((resolve, reject) => answers.push({ resolve, reject }))
  })
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) await Promise.resolve()
  }
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      state.ms += 1000
      tick()
      await settle()
    }
  }
  const give = async (token: string, seconds: number): Promise<void> => {
    await settle()
    const credential = new FixedCredential('t', ['authorization', token], [token])
    answers.shift()!.resolve({ credential, expiresAt: EPOCH + state.ms + seconds * 1000 })
    await settle()
  }
  const refuse = async (): Promise<void> => {
    await settle()
    answers.shift()!.reject(new Error('host answered 500'))
    await settle()
  }
  const token = (): string => {
    try {
      return renewal.choose('', state.ms, 'p/m').secrets[0]!
    } catch (error) {
      const { code, retryAfterMs } = GatewayError.from(error)
      return `${code} ${retryAfterMs}`
    }
  }
  return { state, renewal, settle, pass, give, refuse, token }
}

test('asked for at once, by one call, and nobody waits for it', async () => {
  const { state, pass, give, token, settle } = setUp()
  await settle()
  expect([state.asked, token()]).toEqual([1, 'upstream_unavailable 500'])
  await pass(5)
  expect(state.asked).toBe(1)
  await give('one', 3600)
  expect(token()).toBe('one')
})

test('renewed ahead of time; the old one serves until the new one is there', async () => {
  const { state, pass, give, token } = setUp()
  await give('one', 1000)
  await pass(740)
  expect(state.asked).toBe(1)
  await pass(20)
  expect([state.asked, token()]).toEqual([2, 'one'])
  await give('two', 1000)
  expect(token()).toBe('two')
})

test('an outage: the last good one until it really ends, retries that grow apart, then recovery', async () => {
  const { state, pass, give, refuse, token } = setUp()
  await give('one', 1000)
  await pass(751)
  await refuse()
  const asked: number[] = []
  let before = state.asked
  for (let second = 0; second < 230; second++) {
    await pass(1)
    if (state.asked === before) continue
    before = state.asked
    asked.push(second)
    await refuse()
  }
  expect(token()).toBe('one')
  const pauses = asked.slice(1).map((at, i) => at - asked[i]!)
  expect(Math.max(...pauses)).toBeGreaterThan(20)
  expect(asked.length).toBeLessThan(14)
  await pass(30)
  expect(token()).toMatch(/^upstream_unavailable \d+$/)
  expect(state.log.some((line) => line.startsWith('warn credentials could not be renewed'))).toBe(true)
  while (token() !== 'two') {
    if (state.asked > before) await give('two', 1000)
    else await pass(1)
  }
  expect(state.log.at(-1)).toContain('renewed after failures')
})

test('one that was refused is replaced at once, though not by a storm of calls', async () => {
  const { state, renewal, pass, give, token } = setUp()
  await give('one', 1000)
  await pass(10)
  expect(renewal.choose('', state.ms, 'p/m').dead(state.ms + 300_000, state.ms, '')).toBe(ONLY_THIS)
  expect(token()).toMatch(/^upstream_auth/)
  await pass(1)
  expect(state.asked).toBe(2)
  await give('two', 1000)
  expect(token()).toBe('two')
  renewal.choose('', state.ms, 'p/m').dead(state.ms + 300_000, state.ms, '')
  await pass(3)
  expect(state.asked).toBe(2)
  await pass(3)
  expect(state.asked).toBe(3)
})

test('one that has expired already is a failure; closed, it stops', async () => {
  const { state, renewal, pass, give, token } = setUp()
  await give('stale', -1)
  expect(token()).toMatch(/^upstream_unavailable/)
  renewal.close()
  await pass(100)
  expect([state.asked, state.stopped]).toEqual([1, true])
})
