// What workers of all replicas learn together, over a real Redis that loses its mind.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { News } from '../../src/cache/semantic.ts'
import { RedisCalibration } from '../../src/cache/redis-calibration.ts'
import { RedisStore } from '../../src/store/redis.ts'
import { Seal } from '../../src/store/seal.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { redisServer, TestRedis } from '../support/redis.ts'

const closers = closedAfterEach()
const KEY = Buffer.alloc(32, 5).toString('base64')
const BANDS = 4
const SCOPE: News['scope'] = {
  key: 'weavers m',
  tenant: 'weavers',
  model: 'm',
  bound: { measure: 'wrong_per_request', bound: 0.01, confidence: 0.95 },
}

const THINGS = [
  'a savings account',
  'a new passport',
  'my parking permit',
  'a library card',
  'the school lunch plan',
  'a fishing licence',
  'my pension statement',
  'a travel refund',
  'my dental appointment',
  'a museum ticket',
]

/** Counts what it is told, as a calibrator does. */
class Pupil {
  readonly version = 'v1'
  known = 0
  #fresh = 0

  see(requests: number): void {
    this.known += requests
    this.#fresh += requests
  }
  *news(): Iterable<News> {
    if (this.#fresh === 0) return
    const none = Array.from({ length: BANDS }, () => 0)
    const record = { epoch: 0, requests: this.#fresh, hits: 0, seenWrong: 0, labels: none, wrong: none, served: none }
    this.#fresh = 0
    yield { scope: SCOPE, record }
  }
  absorb({ record }: News): void {
    this.known += record.requests
  }
}

describe.skipIf(redisServer === null)('with Redis', () => {
  let redis: TestRedis
  beforeAll(async () => {
    redis = await TestRedis.start()
  })
  afterAll(() => redis.stop())
  let prefix = ''
  let prefixes = 0
  beforeEach(() => {
    prefix = `c${prefixes++}`
  })

  const config = () => ({
    urls: [redis.url],
    cluster: false,
    username: null,
    password: null,
    tls: null,
    prefix,
    deadlineMs: 500,
    replicas: 2,
    leaseMs: 1000,
  })
  interface Member {
    readonly pupil: Pupil
    readonly link: RedisCalibration
    readonly store: RedisStore
  }
  const member = async (keys = [KEY], leaseMs = 30_000): Promise<Member> => {
    const store = new RedisStore({ config: config() })
    closers.push(() => store.close())
    const pupil = new Pupil()
    const link = new RedisCalibration({
      store,
      seal: new Seal(keys),
      semantic: pupil,
      prefix,
      onFault: () => {},
      leaseMs,
    })
    await store.ready(5000)
    await link.sync()
    return { pupil, link, store }
  }
  const exchange = async (...members: readonly Member[]): Promise<void> => {
    for (let round = 0; round < 2; round++) for (const { link } of members) await link.sync()
  }
  const slots = async (): Promise<number> =>
    Number(
      (
        await redis.ask(
          'EVAL',
          `return #redis.call('KEYS', '${prefix}:*slots') > 0 and redis.call('HLEN', redis.call('KEYS', '${prefix}:*slots')[1]) or 0`,
          '0',
        )
      ).slice(1),
    )

  test('everybody knows all, also who comes later, and nothing twice', async () => {
    const [a, b] = [await member(), await member()]
    a.pupil.see(100)
    b.pupil.see(10)
    await exchange(a, b)
    await exchange(a, b)
    expect([a.pupil.known, b.pupil.known]).toEqual([110, 110])
    const late = await member()
    expect(late.pupil.known).toBe(110)
    late.pupil.see(1)
    await exchange(late, a, b)
    expect([a.pupil.known, b.pupil.known, late.pupil.known]).toEqual([111, 111, 111])
    expect(await slots()).toBe(3)
  })

  test('names of tenants do not lie there', async () => {
    const a = await member()
    a.pupil.see(5)
    await exchange(a)
    const all = await redis.ask(
      'EVAL',
      `local out = '' for _, k in ipairs(redis.call('KEYS', '${prefix}:*')) do
  local kind = redis.call('TYPE', k).ok
  if kind == 'hash' then out = out .. table.concat(redis.call('HGETALL', k), ' ') end
  if kind == 'zset' then out = out .. table.concat(redis.call('ZRANGE', k, 0, -1), ' ') end
  out = out .. k
end return out`,
      '0',
    )
    expect(all).toContain(':totals')
    const values = [...all.matchAll(/[\w+/=-]{60,}/g)].map(([text]) => Buffer.from(text, 'base64').toString('latin1'))
    expect(values.length).toBeGreaterThan(0)
    expect([all, ...values].join(' ')).not.toContain('weavers')
  })

  test('one ends, another goes on in its place', async () => {
    const [a, b] = [await member(), await member()]
    a.pupil.see(100)
    await a.link.end()
    await exchange(b)
    const next = await member()
    expect([b.pupil.known, next.pupil.known, await slots()]).toEqual([100, 100, 2])
    next.pupil.see(7)
    await exchange(next, b)
    expect([b.pupil.known, next.pupil.known]).toEqual([107, 107])
    // The first was only believed to be dead: what it counts now is counted, and what it had not told is not doubled.
    a.pupil.see(30)
    await exchange(a, b, next)
    a.pupil.see(5)
    await exchange(a, b, next)
    expect(b.pupil.known).toBe(next.pupil.known)
    expect(b.pupil.known).toBeGreaterThanOrEqual(112)
    expect(b.pupil.known).toBeLessThanOrEqual(142)
    const last = await member()
    expect(last.pupil.known).toBe(b.pupil.known)
  })

  test('Redis away, then empty: all go on, and are told what they missed', async () => {
    const [a, b] = [await member(), await member()]
    a.pupil.see(40)
    b.pupil.see(2)
    await exchange(a, b)
    await redis.kill()
    a.pupil.see(1)
    await a.link.sync()
    await redis.start()
    await Promise.all([a, b].map(({ store }) => store.ready(5000)))
    await exchange(a, b)
    await exchange(a, b)
    expect([a.pupil.known, b.pupil.known]).toEqual([43, 43])
    expect((await member()).pupil.known).toBe(43)
  })

  test('workers that die, are believed dead and come back, and a Redis that forgets: nothing is counted twice', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    let state = seed
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
      return Math.floor((state / 0x80000000) * below)
    }
    // So short that most are lost before they are renewed.
    const begin = (): Promise<Member> => member([KEY], 3)
    const living = await Promise.all(Array.from({ length: 4 }, begin))
    let counted = 0
    for (let step = 0; step < 300; step++) {
      const one = living[random(living.length)]!
      const what = random(20)
      if (what < 10) {
        const requests = 1 + random(9)
        one.pupil.see(requests)
        counted += requests
      } else if (what < 18) await Promise.all([one.link.sync(), living[random(living.length)]!.link.sync()])
      else if (what === 18) {
        // Dies: what it had not told is lost.
        living[living.indexOf(one)] = await begin()
        one.store.close()
      } else if (random(4) === 0)
        await redis.ask(
          'EVAL',
          `for _, k in ipairs(redis.call('KEYS', '${prefix}:*')) do redis.call('DEL', k) end`,
          '0',
        )
      for (const { pupil } of living) expect(pupil.known, `seed ${seed}, step ${step}`).toBeLessThanOrEqual(counted)
    }
    await exchange(...living)
    const known = living.map(({ pupil }) => pupil.known)
    expect(Math.max(...known)).toBeLessThanOrEqual(counted)
    expect(Math.min(...known)).toBeGreaterThan(0)
  })

  test('frozen in the midst of a command: whether it was carried out or not, it counts once', async () => {
    const [a, b] = [await member(), await member()]
    redis.freeze()
    a.pupil.see(9)
    await a.link.sync()
    redis.thaw()
    await until(() => a.store.up && b.store.up)
    await exchange(a, b)
    expect([a.pupil.known, b.pupil.known]).toEqual([9, 9])
  })

  test('a key of yesterday opens nothing, and harms nothing', async () => {
    const a = await member()
    a.pupil.see(3)
    await exchange(a)
    const other = await member([Buffer.alloc(32, 6).toString('base64')])
    expect(other.pupil.known).toBe(0)
    other.pupil.see(1)
    await exchange(other, a)
    expect([other.pupil.known, a.pupil.known]).toEqual([1, 3])
    const both = await member([Buffer.alloc(32, 6).toString('base64'), KEY])
    expect(both.pupil.known).toBe(4)
  })

  test('a replica that starts later begins with what another has learnt', async () => {
    const backend = await startBackend((res, _n, _req, body) => {
      const { messages } = JSON.parse(body.toString()) as { messages: { content: string }[] }
      const thing = THINGS.find((one) => messages.at(-1)!.content.includes(one)) ?? 'that'
      const content = `Fill in the form for ${thing} and bring it to the office.`
      const choices = [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }]
      sendJson(res, 200, { ...CHAT_ANSWER, choices })
    })
    closers.push(() => backend.close())
    const replica = async (): Promise<Gateway> => {
      const made = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: p/m }
ledger: { redis: { url: "${redis.url}", prefix: ${prefix}, replicas: 2 } }
cache: { mode: semantic, max_wrong_per_request: 20%, redis: { budget: 500ms, encryption_key: "${KEY}" } }`)
      closers.push(() => made.stop())
      return made
    }
    const ask = async (heddle: Gateway, content: string): Promise<unknown> =>
      (
        await call(`${heddle.url}/v1/chat/completions`, {
          body: { model: 'm', messages: [{ role: 'user', content }] },
        })
      ).headers['x-heddle-cache']
    const estimate = async (heddle: Gateway): Promise<{ requests: number; labels: number }> => {
      const stats = (await call(`${heddle.adminUrl}/admin/cache`)).json() as {
        semantic: { estimates: { requests: number; labels: number }[] }[]
      }
      return stats.semantic[0]!.estimates[0] ?? { requests: 0, labels: 0 }
    }
    const a = await replica()
    for (const thing of THINGS)
      for (const way of [`How do I apply for ${thing}?`, `how can i apply for ${thing}`]) await ask(a, way)
    const learnt = await estimate(a)
    expect(learnt.labels).toBeGreaterThan(5)
    await until(async () => Number((await redis.ask('EXISTS', ...(await keys(prefix)))).slice(1)) > 0)
    const b = await replica()
    await until(async () => (await estimate(b)).requests === learnt.requests)
    expect(await estimate(b)).toEqual(await estimate(a))
    await ask(b, 'Where is the office?')
    await until(async () => (await estimate(a)).requests === learnt.requests + 1)
  })
  const keys = async (of: string): Promise<readonly string[]> => {
    const found = (await redis.ask('KEYS', `${of}:*:totals`)).split('\r\n').filter((line) => line.startsWith(of))
    return found.length === 0 ? ['none'] : found
  }
})
