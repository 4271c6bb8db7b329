import { afterEach, describe, expect, test } from 'vitest'
import type { Lease } from '../../src/contracts/admission.ts'
import type { LimitConfig } from '../../src/contracts/config-limits.ts'
import { RESERVE, WRITE } from '../../src/ratelimit/redis-scripts.ts'
import type { RedisConfig } from '../../src/store/redis.ts'
import { redisServer, TestRedis } from '../support/redis.ts'
import { admitted, atOnce, attempt, instanceOf, limitOf, pause, queryOf, redisConfig } from './ledger-kit.ts'
import { sliding, until, used, yearly } from './ledger-kit.ts'
import type { Instance } from './ledger-kit.ts'

const cleanUp: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const clean of cleanUp.splice(0).toReversed()) await clean()
})

const startRedis = async (...options: readonly string[]): Promise<TestRedis> => {
  const redis = await TestRedis.start(...options)
  cleanUp.push(() => redis.stop())
  return redis
}

const startInstances = async (
  count: number,
  config: RedisConfig,
  limits: readonly LimitConfig[],
): Promise<readonly Instance[]> => {
  const instances = Array.from({ length: count }, () => instanceOf(config, limits))
  for (const { ledger } of instances) cleanUp.push(() => ledger.close())
  const ready = await Promise.all(instances.map(({ ledger }) => ledger.ready(5000)))
  expect(ready).not.toContain(false)
  return instances
}

const year = 'per_key'

describe.skipIf(redisServer === null)('the ledger in Redis', () => {
  test('200 concurrent calls of 4 workers against a budget for 50: exactly 50', async () => {
    const redis = await startRedis()
    const instances = await startInstances(4, redisConfig(redis.url, { deadlineMs: 2000 }), [
      limitOf([yearly('usd', 50)]),
    ])
    const calls = Array.from({ length: 200 }, (_, i) => attempt(instances[i % 4]!.limiter, queryOf(1, 1e9)))
    const results = await Promise.all(calls)
    expect(admitted(results)).toHaveLength(50)
    expect(results.filter((result) => result === 'budget_exceeded')).toHaveLength(150)
    // Half of the money comes back: 25 more calls fit, wherever they come in.
    for (const lease of admitted(results)) lease.settle(used(1, 5e8))
    await until(() => instances.every(({ ledger }) => ledger.pending === 0))
    const more = await Promise.all(calls.map((_, i) => attempt(instances[i % 4]!.limiter, queryOf(1, 1e9))))
    expect(admitted(more)).toHaveLength(25)
  })

  test('one round trip for all limits of a request, whatever their number', async () => {
    const redis = await startRedis()
    const rules = [sliding('requests', 1e6, 60_000), sliding('tokens', 1e9, 60_000), yearly('usd', 1000), atOnce(1000)]
    const [instance] = await startInstances(1, redisConfig(redis.url, { leaseMs: 60_000 }), [limitOf(rules)])
    await attempt(instance!.limiter, queryOf(1))
    await redis.ask('CONFIG', 'RESETSTAT')
    for (let i = 0; i < 100; i++) expect(typeof (await attempt(instance!.limiter, queryOf(1)))).toBe('object')
    const calls = await redis.calls()
    expect(calls['evalsha']).toBe(100)
    expect(calls['eval']).toBeUndefined()
  })

  test('scripts that are forgotten are sent again', async () => {
    const redis = await startRedis()
    const [instance] = await startInstances(1, redisConfig(redis.url), [limitOf([sliding('requests', 5, 60_000)])])
    for (let i = 0; i < 8; i++) {
      await redis.ask('SCRIPT', 'FLUSH')
      expect(typeof (await attempt(instance!.limiter, queryOf(1)))).toBe(i < 5 ? 'object' : 'string')
    }
    expect(instance!.log).toEqual(['info ledger: redis is there'])
  })

  test('EVALSHA and SCRIPT refused, as by proxies: whole texts from then on', async () => {
    const redis = await startRedis()
    await redis.ask('ACL', 'SETUSER', 'gate', 'on', '>secret', '~*', '+@all', '-script', '-evalsha')
    const config = redisConfig(redis.url, { username: 'gate', password: 'secret' })
    const [instance] = await startInstances(1, config, [limitOf([sliding('requests', 5, 60_000), atOnce(9)])])
    await redis.ask('CONFIG', 'RESETSTAT')
    const results = []
    for (let i = 0; i < 9; i++) results.push(await attempt(instance!.limiter, queryOf(1)))
    expect(admitted(results)).toHaveLength(5)
    expect(instance!.log).toEqual(['info ledger: redis is there'])
    const calls = await redis.calls()
    expect(calls['eval']).toBe(9)
    expect(calls['evalsha']).toBeUndefined()
  })

  test('a wrong password: away, by policy, without an end of the process', async () => {
    const redis = await startRedis('--requirepass', 'right')
    const limits = [limitOf([sliding('requests', 4, 60_000)])]
    const { ledger, limiter } = instanceOf(redisConfig(redis.url, { password: 'wrong', replicas: 2 }), limits)
    cleanUp.push(() => ledger.close())
    expect(await ledger.ready(200)).toBe(false)
    const results = await Promise.all(Array.from({ length: 8 }, () => attempt(limiter, queryOf(1))))
    expect(admitted(results)).toHaveLength(2)
  })

  test('what a dead worker held is free after its lease, what it settled stays', async () => {
    const redis = await startRedis()
    const limits = [limitOf([yearly('tokens', 100), atOnce(3)])]
    const [one, two] = await startInstances(2, redisConfig(redis.url, { leaseMs: 1000 }), limits)
    const settled = (await attempt(one!.limiter, queryOf(30))) as Lease
    settled.settle(used(30))
    await attempt(one!.limiter, queryOf(20))
    await attempt(one!.limiter, queryOf(20))
    await until(() => one!.ledger.pending === 0)
    expect(await attempt(two!.limiter, queryOf(31))).toBe('rate_limited')
    // No farewell: heartbeats simply end.
    one!.ledger.store.close()
    await one!.ledger.close()
    expect(await attempt(two!.limiter, queryOf(31))).toBe('rate_limited')
    const started = performance.now()
    let lease: Lease | string = ''
    await until(async () => typeof (lease = await attempt(two!.limiter, queryOf(70))) === 'object')
    expect(performance.now() - started).toBeLessThan(3000)
    expect(await attempt(two!.limiter, queryOf(1))).toBe('rate_limited')
    ;(lease as unknown as Lease).settle(used(70))
  })

  test('after a silence nobody is taken for dead before having had the time to speak', async () => {
    const redis = await startRedis()
    const [one, two] = await startInstances(2, redisConfig(redis.url, { leaseMs: 600 }), [limitOf([atOnce(1)])])
    expect(typeof (await attempt(one!.limiter, queryOf(1)))).toBe('object')
    one!.ledger.store.close()
    await pause(1000)
    const started = performance.now()
    expect(await attempt(two!.limiter, queryOf(1))).toBe('rate_limited')
    await until(async () => typeof (await attempt(two!.limiter, queryOf(1))) === 'object', 3000)
    expect(performance.now() - started).toBeGreaterThan(500)
  })

  test('a batch whose answer was lost counts once', async () => {
    const redis = await startRedis()
    const [instance] = await startInstances(1, redisConfig(redis.url), [limitOf([sliding('tokens', 100, 60_000)])])
    const { limiter, ledger } = instance!
    expect(typeof (await attempt(limiter, queryOf(50)))).toBe('object')
    const lease = (await attempt(limiter, queryOf(50))) as Lease
    redis.freeze()
    lease.settle(used(20))
    await until(() => !ledger.up)
    redis.thaw()
    await until(() => ledger.up && ledger.pending === 0)
    expect(await attempt(limiter, queryOf(31))).toBe('rate_limited')
    expect(typeof (await attempt(limiter, queryOf(30)))).toBe('object')
  })

  test('what Redis was told while a request waited for its refusal is corrected', async () => {
    const redis = await startRedis()
    const [one, two] = await startInstances(2, redisConfig(redis.url), [limitOf([yearly('tokens', 100)])])
    const lease = (await attempt(one!.limiter, queryOf(60))) as Lease
    const asked = attempt(one!.limiter, queryOf(60))
    lease.settle(used(10))
    expect(await asked).toBe('rate_limited')
    await until(() => one!.ledger.pending === 0)
    expect(typeof (await attempt(two!.limiter, queryOf(90)))).toBe('object')
  })

  test('a request that Redis reads after newer amounts takes nothing; older amounts change nothing', async () => {
    const redis = await startRedis()
    const [instance] = await startInstances(1, redisConfig(redis.url), [])
    const { store } = instance!.ledger
    const key = 'heddle:{x}:a:1'
    const write = (seq: number, reserved: number) =>
      store.run(WRITE, [key, 'heddle:{x}:b:me'], ['me', 3000, seq, seq, 'a', 0, 0, 0, 0, '', reserved])
    const reserve = (seq: number) => store.run(RESERVE, [key], ['me', 3000, 0, seq, 1, 'a', 100, 10, 0, 0, 0])
    await write(10, 30)
    expect(await reserve(9)).toEqual([expect.any(Number), [-1]])
    expect(((await write(8, 70)) as unknown[])[1]).toBe('')
    expect(((await reserve(11)) as [number, number[]])[1][1]).toBe(60)
  })

  test('who lives keeps what it holds, however long a call takes', async () => {
    const redis = await startRedis()
    const [one, two] = await startInstances(2, redisConfig(redis.url, { leaseMs: 600 }), [limitOf([atOnce(1)])])
    const lease = (await attempt(one!.limiter, queryOf(1))) as Lease
    for (let i = 0; i < 20; i++) {
      expect(await attempt(two!.limiter, queryOf(1))).toBe('rate_limited')
      await pause(100)
    }
    lease.settle(used(1))
    await until(async () => typeof (await attempt(two!.limiter, queryOf(1))) === 'object', 1000)
  })

  test('frozen: requests under way wait for the deadline, no others do; thawed, all is counted', async () => {
    const redis = await startRedis()
    const limits = [limitOf([sliding('requests', 1000, 60_000), yearly('tokens', 1000)])]
    const config = redisConfig(redis.url, { replicas: 2, leaseMs: 1000 })
    const [one, two] = await startInstances(2, config, limits)
    const held = (await attempt(one!.limiter, queryOf(100))) as Lease
    redis.freeze()
    const first = Array.from({ length: 5 }, () => attempt(one!.limiter, queryOf(10)))
    expect(admitted(await Promise.all(first))).toHaveLength(5)
    expect(one!.ledger.up).toBe(false)
    const started = performance.now()
    const local = []
    for (let i = 0; i < 100; i++) local.push(await attempt(one!.limiter, queryOf(10)))
    // No round trip, no wait: a hundred at once.
    expect(performance.now() - started).toBeLessThan(50)
    // Its half of the budget: 500, of which 150 were its own already.
    expect(admitted(local)).toHaveLength(35)
    for (const lease of [...admitted(local), ...admitted(await Promise.all(first)), held]) lease.settle(used(10))
    await pause(2500)
    redis.thaw()
    await until(() => one!.ledger.up && two!.ledger.up && one!.ledger.pending === 0)
    expect(one!.log).toEqual([
      'info ledger: redis is there',
      'warn ledger: redis is away',
      'info ledger: redis is back',
    ])
    // 41 calls used 10 each, to the last: 410 of 1000.
    expect(await attempt(two!.limiter, queryOf(591))).toBe('rate_limited')
    expect(typeof (await attempt(two!.limiter, queryOf(590)))).toBe('object')
  })

  test.each([
    ['closed', 0],
    ['open', 20],
    ['local', 2],
  ] as const)('killed, with the policy %s: %i of 20', async (onStoreFailure, count) => {
    const redis = await startRedis()
    const limits = [limitOf([sliding('requests', 4, 60_000)], { onStoreFailure })]
    const [instance] = await startInstances(1, redisConfig(redis.url, { replicas: 2 }), limits)
    await redis.kill()
    await until(() => !instance!.ledger.up)
    const results = await Promise.all(Array.from({ length: 20 }, () => attempt(instance!.limiter, queryOf(1))))
    expect(admitted(results)).toHaveLength(count)
    if (onStoreFailure === 'closed') expect(new Set(results)).toEqual(new Set(['overloaded']))
  })

  test.each([
    ['empty', []],
    ['from its AOF', ['--appendonly', 'yes', '--appendfsync', 'always']],
  ] as const)('killed and started %s: budgets are what they were, nothing is counted twice', async (_, options) => {
    const redis = await startRedis(...options)
    const limits = [limitOf([yearly('tokens', 1000)])]
    const [one, two] = await startInstances(2, redisConfig(redis.url), limits)
    for (const { limiter } of [one!, two!, one!, two!])
      ((await attempt(limiter, queryOf(100))) as Lease).settle(used(90))
    const held = (await attempt(one!.limiter, queryOf(40))) as Lease
    await until(() => one!.ledger.pending + two!.ledger.pending === 0)
    await redis.kill()
    await until(() => !one!.ledger.up && !two!.ledger.up)
    const local = (await attempt(two!.limiter, queryOf(100))) as Lease
    local.settle(used(50))
    await redis.start()
    await until(() => one!.ledger.up && two!.ledger.up && two!.ledger.pending === 0)
    // 4 times 90, 50 while it was away, 40 held: 450.
    expect(await attempt(one!.limiter, queryOf(551))).toBe('rate_limited')
    held.settle(used(10))
    await until(() => one!.ledger.pending === 0)
    expect(await attempt(two!.limiter, queryOf(581))).toBe('rate_limited')
    expect(typeof (await attempt(two!.limiter, queryOf(580)))).toBe('object')
  })

  test('a worker that was away for longer than its lease counts what it has used once', async () => {
    const redis = await startRedis()
    const limits = [limitOf([yearly('tokens', 100), sliding('requests', 1000, 60_000)])]
    const [one, two] = await startInstances(2, redisConfig(redis.url, { leaseMs: 600 }), limits)
    ;((await attempt(one!.limiter, queryOf(50))) as Lease).settle(used(40))
    await until(() => one!.ledger.pending === 0)
    // The other one folds what it takes for dead: it needs to be refused twice, a lease apart.
    const end = performance.now() + 2500
    while (performance.now() < end) {
      expect(await attempt(two!.limiter, queryOf(61))).toBe('rate_limited')
      await pause(100)
    }
    ;((await attempt(one!.limiter, queryOf(20))) as Lease).settle(used(20))
    await until(() => one!.ledger.pending === 0)
    expect(await attempt(two!.limiter, queryOf(41))).toBe('rate_limited')
    expect(typeof (await attempt(two!.limiter, queryOf(40)))).toBe('object')
  })

  test('a shadow limit refuses nothing and takes nothing that it would have refused', async () => {
    const redis = await startRedis()
    const limits = [
      limitOf([sliding('requests', 4, 60_000)]),
      limitOf([sliding('requests', 2, 60_000), yearly('tokens', 1000)], { name: 'dark', shadow: true }),
    ]
    const [instance] = await startInstances(1, redisConfig(redis.url), limits)
    const results = []
    for (let i = 0; i < 6; i++) results.push(await attempt(instance!.limiter, queryOf(10)))
    expect(admitted(results).map(({ wouldRefuse }) => wouldRefuse)).toEqual([[], [], ['dark'], ['dark']])
    for (const lease of admitted(results)) lease.settle(used(10))
    await until(() => instance!.ledger.pending === 0)
  })

  test('a stream is stopped by what the last answer has told, and all that it used is counted', async () => {
    const redis = await startRedis()
    const limits = [limitOf([sliding('tokens', 100, 60_000), yearly('tokens', 1000)], { stopStreams: true })]
    const [one, two] = await startInstances(2, redisConfig(redis.url), limits)
    const lease = (await attempt(one!.limiter, queryOf(40))) as Lease
    expect(lease.extend(used(70))).toBe(true)
    await until(() => one!.ledger.pending === 0)
    expect(await attempt(two!.limiter, queryOf(31))).toBe('rate_limited')
    expect(typeof (await attempt(two!.limiter, queryOf(20)))).toBe('object')
    expect(lease.extend(used(100))).toBe(true)
    expect(lease.extend(used(101))).toBe(false)
    lease.settle(used(101))
    await until(() => one!.ledger.pending === 0)
    expect(await attempt(two!.limiter, queryOf(1))).toBe('rate_limited')
    const headers: string[] = []
    lease.addHeaders(headers)
    expect(headers.slice(0, 4)).toEqual(['x-ratelimit-limit-tokens', '100', 'x-ratelimit-remaining-tokens', '60'])
  })

  test('an amount set at run time is shared', async () => {
    const redis = await startRedis()
    const limits = [limitOf([sliding('requests', 2, 60_000)])]
    const [one, two] = await startInstances(2, redisConfig(redis.url), limits)
    const target = { limit: year, unit: 'requests', period: null, scope: ['k1'] } as const
    const key = JSON.stringify(target)
    await one!.ledger.writeOverride(key, { ...target, amount: 5, until: null })
    two!.limiter.refresh((await two!.ledger.readOverrides())!)
    const results = []
    for (let i = 0; i < 9; i++) results.push(await attempt(two!.limiter, queryOf(1)))
    expect(admitted(results)).toHaveLength(5)
    await one!.ledger.writeOverride(key, null)
    two!.limiter.refresh((await two!.ledger.readOverrides())!)
    expect(await attempt(two!.limiter, queryOf(1))).toBe('rate_limited')
  })
})
