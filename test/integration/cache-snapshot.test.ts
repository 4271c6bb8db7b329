// A gateway that ends and begins again has what it had, unless it was not to be.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Backend } from '../support/backend.ts'
import {
  askOffice as ask,
  cacheStatus as statusOf,
  contentOf as answerOf,
  startOffice,
  THINGS,
  WAYS,
} from '../support/cache-traffic.ts'
import { call, until, type Reply } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway, type Gateway } from '../support/gateway.ts'
import { redisServer, TestRedis } from '../support/redis.ts'

const closers = closedAfterEach()
const KEY = Buffer.alloc(32, 5).toString('base64')
let file = ''
let backend: Backend
beforeEach(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-snapshot-'))
  file = join(folder, 'cache.snapshot')
  backend = await startOffice()
  closers.push(
    () => backend.close(),
    () => rmSync(folder, { recursive: true, force: true }),
  )
})

const start = async (cache = '', more = '', workers = 1): Promise<Gateway> => {
  const made = await startGateway(`
server: { log: { level: silent, access: false }, workers: ${workers} }
providers: { p: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: p/m }
cache: { mode: semantic, max_wrong_per_request: 20%, snapshot: "${file}"${cache} }
${more}`)
  closers.push(() => made.stop())
  return made
}
interface Stats {
  readonly stores: readonly { readonly entries: number }[]
  readonly semantic: readonly { readonly entries: number; readonly estimates: readonly { requests: number }[] }[]
}
const statsOf = async (heddle: Gateway): Promise<Stats> =>
  (await call(`${heddle.adminUrl}/admin/cache`)).json() as Stats
const entriesOf = async (heddle: Gateway): Promise<number> => (await statsOf(heddle)).stores[0]!.entries
const purge = (heddle: Gateway, wish: object): Promise<Reply> =>
  call(`${heddle.adminUrl}/admin/cache/purge`, { body: wish })

describe('after a restart', () => {
  test('answers are found at once, by the same question and by its meaning', async () => {
    const first = await start()
    for (let round = 0; round < WAYS.length - 1; round++)
      for (const [at, thing] of THINGS.entries()) await ask(first, WAYS[(round + at) % (WAYS.length - 1)]!(thing))
    const before = await statsOf(first)
    await first.stop()
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const made = backend.bodies.length
    const second = await start()
    const after = await statsOf(second)
    expect(after.stores).toEqual(before.stores)
    expect(after.semantic[0]!.entries).toBe(before.semantic[0]!.entries)
    // What it may serve it says when it has seen of what the traffic is.
    const estimate = { ...before.semantic[0]!.estimates[0], state: expect.any(String), servedUpTo: expect.any(Number) }
    expect(after.semantic[0]!.estimates).toEqual([estimate])
    expect(before.semantic[0]!.estimates[0]!.requests).toBe((WAYS.length - 1) * THINGS.length)
    const question = WAYS[0]!(THINGS[0]!)
    const same = await ask(second, question)
    expect([statusOf(same), answerOf(same)]).toEqual(['hit', expect.stringContaining(THINGS[0]!)])
    expect(backend.bodies).toHaveLength(made)
    let hits = 0
    for (const thing of THINGS) {
      const reply = await ask(second, WAYS.at(-1)!(thing))
      if (statusOf(reply) !== 'semantic') continue
      hits++
      expect(answerOf(reply)).toContain(thing)
    }
    expect(hits).toBeGreaterThan(2)
  })

  test('a file that was altered is not used, and takes nobody down', async () => {
    const first = await start()
    await ask(first, 'one')
    await first.stop()
    const bytes = readFileSync(file)
    bytes[bytes.length - 40]! ^= 1
    writeFileSync(file, bytes)
    const second = await start()
    expect(await entriesOf(second)).toBe(0)
    expect(statusOf(await ask(second, 'one'))).toBe('miss')
    await second.stop()
    // By then it is another one.
    expect(await entriesOf(await start())).toBe(1)
  })

  test('with a key, only what was written with it is read', async () => {
    const redis = { url: 'redis://127.0.0.1:1', prefix: 's' }
    const keyed = (byte: number): Promise<Gateway> =>
      start(
        `, redis: { encryption_key: "${Buffer.alloc(32, byte).toString('base64')}" }`,
        `ledger: { redis: ${JSON.stringify(redis)} }`,
      )
    const first = await keyed(1)
    await ask(first, 'one')
    await first.stop()
    const second = await keyed(1)
    expect(statusOf(await ask(second, 'one'))).toBe('hit')
    await second.stop()
    expect(statusOf(await ask(await keyed(2), 'one'))).toBe('miss')
  })

  test('all workers have all of it', async () => {
    const first = await start('', '', 2)
    for (let n = 0; n < 20; n++) await ask(first, `question ${n}`)
    await until(async () => (await entriesOf(first)) === 20)
    await first.stop()
    const second = await start('', '', 2)
    const made = backend.bodies.length
    for (let n = 0; n < 20; n++) expect(statusOf(await ask(second, `question ${n}`))).toBe('hit')
    expect(backend.bodies).toHaveLength(made)
  })

  test('a change of the configuration loses nothing', async () => {
    const heddle = await start()
    await ask(heddle, 'one')
    const yaml = readFileSync(heddle.file, 'utf8')
    expect(await heddle.reload(yaml.replace('snapshot:', 'max_bytes: 100MiB, snapshot:'))).toBe(true)
    expect(statusOf(await ask(heddle, 'one'))).toBe('hit')
    await heddle.stop()
    expect(statusOf(await ask(await start(), 'one'))).toBe('hit')
  })
})

describe('what was purged', () => {
  test('is not on the disk any more when the purge is answered, and does not come back', async () => {
    const first = await start()
    for (const question of ['one', 'two']) await ask(first, question)
    const kept = (await ask(first, 'two')).headers['x-heddle-cache-key']
    const id = (await ask(first, 'one')).headers['x-heddle-cache-key']
    await first.stop()
    const second = await start()
    expect(existsSync(file)).toBe(true)
    expect((await purge(second, { id })).json()).toEqual({ purged: 1 })
    expect(existsSync(file)).toBe(false)
    await second.stop()
    const third = await start()
    expect(statusOf(await ask(third, 'one'))).toBe('miss')
    expect((await ask(third, 'two')).headers['x-heddle-cache-key']).toBe(kept)
  })

  test.skipIf(redisServer === null)('by another replica while this one was down', async () => {
    const redis = await TestRedis.start()
    closers.push(() => redis.stop())
    const cache = `, redis: { budget: 500ms, encryption_key: "${KEY}" }`
    const ledger = `ledger: { redis: { url: "${redis.url}", prefix: s } }`
    const first = await start(cache, ledger)
    await ask(first, 'one')
    await first.stop()
    const copy = readFileSync(file)
    const other = await start(cache.replace('redis:', 'max_bytes: 100MiB, redis:'), ledger)
    await purge(other, { model: 'm' })
    await until(async () => (await redis.ask('KEYS', '*purged*')).includes('purged'))
    await other.stop()
    writeFileSync(file, copy)
    chmodSync(file, 0o600)
    const again = await start(cache, ledger)
    expect(await entriesOf(again)).toBe(0)
    expect(statusOf(await ask(again, 'one'))).toBe('miss')
    // What it will not have again it does not lose at every start.
    await again.stop()
    const last = await start(cache, ledger)
    expect(statusOf(await ask(last, 'one'))).toBe('hit')
  })
})
