// What is told to Redis adds up, in whatever order it happens.
import { expect, test } from 'vitest'
import type { Lease } from '../../src/contracts/admission.ts'
import { redisServer, TestRedis } from '../support/redis.ts'
import { atOnce, attempt, instanceOf, limitOf, queryOf, redisConfig, sliding, until, used } from './ledger-kit.ts'

test.skipIf(redisServer === null)('what goes over its reserve is not lost among what others give back', async () => {
  const redis = await TestRedis.start()
  const { ledger, limiter } = instanceOf(redisConfig(redis.url), [limitOf([sliding('tokens', 10_000, 3_600_000)])])
  try {
    expect(await ledger.ready(5000)).toBe(true)
    const leases: Lease[] = []
    for (let i = 0; i < 3; i++) leases.push((await attempt(limiter, queryOf(100))) as Lease)
    const [first, second, third] = leases
    // All in one batch: given back, taken, and most of that given back again.
    first!.settle(used(90))
    second!.extend(used(1000))
    second!.settle(used(150))
    third!.settle(used(100))
    await until(() => ledger.pending === 0)
    const headers: string[] = []
    const probe = (await attempt(limiter, queryOf(1))) as Lease
    probe.addHeaders(headers)
    probe.settle(used(1))
    expect(headers.slice(0, 4)).toEqual([
      'x-ratelimit-limit-tokens',
      '10000',
      'x-ratelimit-remaining-tokens',
      String(10_000 - 90 - 150 - 100 - 1),
    ])
  } finally {
    await ledger.close()
    await redis.stop()
  }
})

test.skipIf(redisServer === null)(
  'the heartbeat may come between a request and the turn in which it is asked for',
  async () => {
    const redis = await TestRedis.start()
    // A heartbeat every millisecond: with each turn of the event loop.
    const config = redisConfig(redis.url, { leaseMs: 3, deadlineMs: 5000 })
    const { ledger, limiter } = instanceOf(config, [limitOf([atOnce(5)])])
    const failed: unknown[] = []
    const note = (error: unknown): void => void failed.push(error)
    process.on('uncaughtException', note)
    try {
      expect(await ledger.ready(5000)).toBe(true)
      for (let i = 0; i < 100; i++) {
        const asked = attempt(limiter, queryOf(1))
        // Timers that are due go before what waits for the end of the turn.
        const end = performance.now() + 3
        while (performance.now() < end);
        const lease = await asked
        if (typeof lease !== 'string') lease.settle(used(1))
      }
      expect(failed).toEqual([])
    } finally {
      process.off('uncaughtException', note)
      await ledger.close()
      await redis.stop()
    }
  },
  10_000,
)
