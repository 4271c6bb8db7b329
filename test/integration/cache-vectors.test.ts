// Answers of other replicas found by meaning: vector sets of a real Redis 8, and a Redis that has none.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Backend } from '../support/backend.ts'
import {
  answerTo as about,
  askOffice as ask,
  cacheStatus as statusOf,
  contentOf as answerOf,
  startOffice,
  THINGS,
  WAYS,
} from '../support/cache-traffic.ts'
import { call, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { redisServer, TestRedis } from '../support/redis.ts'
import { vectorServer } from '../support/redis-vectors.ts'

const closers = closedAfterEach()
const KEY = Buffer.alloc(32, 5).toString('base64')
describe.skipIf(redisServer === null)('with Redis', () => {
  let backend: Backend
  beforeAll(async () => {
    backend = await startOffice()
  })
  afterAll(() => backend.close())

  const server = async (file: string): Promise<TestRedis> => {
    const redis = await TestRedis.startOf(file)
    closers.push(() => redis.stop())
    return redis
  }
  const replica = async (redis: TestRedis, budget = '500ms'): Promise<Gateway> => {
    const made = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: p/m }
ledger: { redis: { url: "${redis.url}", prefix: v, replicas: 2 } }
cache: { mode: semantic, max_wrong_per_request: 20%, redis: { budget: ${budget}, encryption_key: "${KEY}" } }`)
    closers.push(() => made.stop())
    return made
  }
  const requestsOf = async (heddle: Gateway): Promise<number> => {
    const stats = (await call(`${heddle.adminUrl}/admin/cache`)).json() as {
      semantic: { estimates: { requests: number }[] }[]
    }
    return stats.semantic[0]!.estimates[0]?.requests ?? 0
  }
  /** All things in all ways but the last, and all of it is in Redis. */
  const learn = async (heddle: Gateway): Promise<void> => {
    for (let round = 0; round < WAYS.length - 1; round++)
      for (const [at, thing] of THINGS.entries()) await ask(heddle, WAYS[(round + at) % (WAYS.length - 1)]!(thing))
  }
  const numberOf = (text: string): number => Number(/\d+/.exec(text)?.[0] ?? 0)
  const setOf = async (redis: TestRedis): Promise<string> =>
    /(v:vectors:[\w-]{43})/.exec(await redis.ask('KEYS', 'v:vectors:*'))?.[1] ?? ''

  test.skipIf(vectorServer === null)('a replica serves by meaning at once what another has learnt', async () => {
    const redis = await server(vectorServer!)
    const a = await replica(redis)
    await learn(a)
    await until(async () => (await setOf(redis)) !== '')
    const b = await replica(redis)
    await until(async () => (await requestsOf(a)) === (await requestsOf(b)))
    const made = backend.bodies.length
    let hits = 0
    for (const thing of THINGS) {
      const reply = await ask(b, WAYS.at(-1)!(thing))
      if (statusOf(reply) !== 'semantic') continue
      hits++
      expect(answerOf(reply)).toBe(about(thing))
    }
    expect(hits).toBeGreaterThan(3)
    expect(backend.bodies.length).toBe(made + THINGS.length - hits)
    expect(await b.metric('heddle_cache_brought_total')).toBeGreaterThan(3)
    expect(await b.metric('heddle_cache_redis_faults_total')).toBe(0)
    // Nothing there tells what was asked.
    const key = await setOf(redis)
    const elements = (
      await redis.ask('EVAL', `return table.concat(redis.call('VRANDMEMBER', '${key}', 100), ' ')`, '0')
    )
      .split('\r\n')[1]!
      .split(' ')
    for (const element of elements) expect(element).toMatch(/^[\w-]{43}$/)
    expect(numberOf((await redis.ask('PTTL', key)).slice(1))).toBeGreaterThan(1000)
  })

  test.skipIf(vectorServer === null)('points whose answers are gone are taken out', async () => {
    const redis = await server(vectorServer!)
    const a = await replica(redis)
    await ask(a, WAYS[0]!(THINGS[0]!))
    await ask(a, WAYS[0]!(THINGS[1]!))
    await until(async () => numberOf(await redis.ask('VCARD', (await setOf(redis)) || 'none')) === 2)
    const b = await replica(redis)
    const keys = [...(await redis.ask('KEYS', 'v:blob:cache:*')).matchAll(/v:blob:cache:[\w-]{43}/g)]
    for (const [key] of keys) await redis.ask('DEL', key)
    expect(statusOf(await ask(b, WAYS[1]!(THINGS[0]!)))).toBe('miss')
    const key = await setOf(redis)
    // What was asked is there from now on, and nothing else is.
    await until(async () => numberOf(await redis.ask('VCARD', key)) === 1)
  })

  test.skipIf(vectorServer === null)('frozen: a miss waits for the budget, and no longer for the rest', async () => {
    const redis = await server(vectorServer!)
    const a = await replica(redis, '20ms')
    await ask(a, WAYS[0]!(THINGS[0]!))
    redis.freeze()
    const reply = await ask(a, WAYS[1]!(THINGS[0]!))
    expect([reply.status, statusOf(reply)]).toEqual([200, 'miss'])
    expect(await a.metric('heddle_cache_redis_faults_total', { fault: 'late' })).toBe(1)
    redis.thaw()
    await until(async () => {
      await ask(a, `What about number ${Math.random()}?`)
      return numberOf(await redis.ask('VCARD', await setOf(redis))) > 2
    })
  })

  test('a server without vector sets is not asked for them', async () => {
    const old = redisServer === vectorServer ? null : redisServer
    if (old === null) return
    const redis = await server(old)
    const a = await replica(redis)
    const first = await ask(a, WAYS[0]!(THINGS[0]!))
    await until(async () => (await redis.ask('KEYS', 'v:blob:cache:*')).includes('cache:'))
    const b = await replica(redis)
    expect(answerOf(await ask(b, WAYS[0]!(THINGS[0]!)))).toBe(answerOf(first))
    expect(statusOf(await ask(b, WAYS[1]!(THINGS[0]!)))).toBe('miss')
    expect(await b.metric('heddle_cache_redis_faults_total')).toBe(0)
    expect(await redis.ask('KEYS', 'v:vectors:*')).toBe('*0\r\n')
  })
})
