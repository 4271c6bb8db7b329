// Answers of all replicas, in a real Redis that freezes, dies and comes back.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { redisServer, TestRedis } from '../support/redis.ts'
import { CHAT_ANSWER, sendJson, startBackend, type Backend } from '../support/backend.ts'
import { call, until, type CallOptions, type Reply } from '../support/client.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()
const KEY = Buffer.alloc(32, 5).toString('base64')

describe.skipIf(redisServer === null)('with Redis', () => {
  let redis: TestRedis
  let backend: Backend
  beforeAll(async () => {
    redis = await TestRedis.start()
    backend = await startBackend((res, n) =>
      sendJson(res, 200, {
        ...CHAT_ANSWER,
        choices: [{ index: 0, message: { role: 'assistant', content: `woven ${n}` }, finish_reason: 'stop' }],
      }),
    )
  })
  afterAll(async () => {
    await backend.close()
    await redis.stop()
  })

  let prefixes = 0
  const replicas = async (count: number, budget = '500ms'): Promise<readonly Gateway[]> => {
    const prefix = `t${prefixes++}`
    const all = await Promise.all(
      Array.from({ length: count }, () =>
        startGateway(`
server: { log: { level: silent, access: false } }
providers: { p: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: p/m }
ledger: { redis: { url: "redis://127.0.0.1:${redis.port}", prefix: ${prefix} } }
cache: { redis: { budget: ${budget}, encryption_key: "${KEY}" } }`),
      ),
    )
    for (const heddle of all) closers.push(() => heddle.stop())
    return all
  }
  const ask = (heddle: Gateway, content: string, options: CallOptions = {}): Promise<Reply> =>
    call(`${heddle.url}/v1/chat/completions`, {
      body: { model: 'm', messages: [{ role: 'user', content }] },
      ...options,
    })
  const statusOf = (reply: Reply): unknown => reply.headers['x-heddle-cache']
  /** What one replica has made is on its way to the others. */
  const known = (heddle: Gateway, content: string): Promise<unknown> =>
    until(async () => statusOf(await ask(heddle, content)) === 'hit')

  test('what one replica has made the other serves, and nobody can read it there', async () => {
    const [a, b] = await replicas(2)
    const first = await ask(a!, 'What is a heddle?')
    expect(statusOf(first)).toBe('miss')
    await until(async () => (await redis.ask('KEYS', 't*:blob:cache:*')).includes('cache:'))
    const made = backend.bodies.length
    const second = await ask(b!, 'What is a heddle?')
    expect([statusOf(second), second.text]).toEqual(['hit', first.text])
    expect(backend.bodies).toHaveLength(made)
    // From now on without Redis.
    expect(await b!.metric('heddle_cache_entries')).toBe(1)
    const key = /(t\d+:blob:cache:[\w-]+)/.exec(await redis.ask('KEYS', 't*:blob:cache:*'))![1]!
    const stored = Buffer.from((await redis.ask('GET', key)).split('\r\n')[1]!, 'base64').toString('latin1')
    expect(stored).not.toContain('woven')
    expect(stored).not.toContain('heddle')
  })

  test('a purge, and a wrong answer, are gone everywhere', async () => {
    const [a, b] = await replicas(2)
    await ask(a!, 'one')
    await known(b!, 'one')
    expect((await call(`${a!.adminUrl}/admin/cache/purge`, { body: { model: 'm' } })).json()).toEqual({ purged: 1 })
    await until(async () => (await b!.metric('heddle_cache_entries')) === 0)
    expect(statusOf(await ask(b!, 'one'))).toBe('miss')
    await ask(a!, 'two')
    await known(b!, 'two')
    const key = (await ask(a!, 'two')).headers['x-heddle-cache-key']
    await call(`${a!.adminUrl}/admin/cache/feedback`, { body: { key, wrong: true } })
    await until(async () => (await b!.metric('heddle_cache_entries')) === 1)
    expect(statusOf(await ask(b!, 'two'))).toBe('miss')
  })

  test('frozen, killed and started again under load: no request fails', async () => {
    const [a, b] = await replicas(2, '5ms')
    let n = 0
    const failed: unknown[] = []
    const state = { going: true }
    const load = async (heddle: Gateway): Promise<void> => {
      while (state.going) {
        const reply = await ask(heddle, `question ${n++ % 50}`)
        if (reply.status !== 200) failed.push([reply.status, reply.text])
      }
    }
    const running = [a!, b!, a!, b!].map(load)
    const faults = async (): Promise<number> =>
      (await a!.metric('heddle_cache_redis_faults_total')) + (await b!.metric('heddle_cache_redis_faults_total'))
    await until(() => n > 100)
    redis.freeze()
    // What is not in memory yet has to ask it.
    const frozen = await ask(a!, 'asked while it is frozen')
    expect([frozen.status, statusOf(frozen)]).toEqual([200, 'miss'])
    await until(async () => (await faults()) > 0)
    redis.thaw()
    await redis.kill()
    const dead = await ask(b!, 'asked while it is dead')
    expect([dead.status, statusOf(dead)]).toEqual([200, 'miss'])
    await redis.start()
    const until_ = n + 100
    await until(() => n > until_)
    state.going = false
    await Promise.all(running)
    expect(failed).toEqual([])
    // And it is of use again.
    await until(async () => {
      const question = `after ${n++}`
      await ask(a!, question)
      return statusOf(await ask(b!, question)) === 'hit'
    })
  })

  test('what was altered there is not served', async () => {
    const [a, b] = await replicas(2)
    await ask(a!, 'to be altered')
    await until(async () => (await redis.ask('KEYS', `t${prefixes - 1}:blob:cache:*`)).includes('cache:'))
    const key = /(t\d+:blob:cache:[\w-]+)/.exec(await redis.ask('KEYS', `t${prefixes - 1}:blob:cache:*`))![1]!
    const stored = (await redis.ask('GET', key)).split('\r\n')[1]!
    const bytes = Buffer.from(stored, 'base64')
    bytes[bytes.length - 20]! ^= 1
    await redis.ask('SET', key, bytes.toString('base64'))
    expect(statusOf(await ask(b!, 'to be altered'))).toBe('miss')
  })
})
