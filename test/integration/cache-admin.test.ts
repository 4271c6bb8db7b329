// What operators see of kept answers, and how they drop them.
import { describe, expect, test } from 'vitest'
import type { Gateway } from '../support/gateway.ts'
import type { Io } from '../../src/cli/io.ts'
import { execute } from '../../src/cli/main.ts'
import { call, type CallOptions, type Reply } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

const AUTH = `
auth:
  keys:
    - { id: a, key: sk-heddle-a-00000000000000000, tenant: a }
    - { id: b, key: sk-heddle-b-00000000000000000, tenant: b }
tenants: { a: {}, b: {} }`
const gateway = async (server = ''): Promise<Gateway> => {
  const made = await startGateway(`
server: { log: { level: silent, access: false }${server} }
providers: { sim: {} }
models: { m: sim/m, n: sim/n }
cache: {}
${AUTH}`)
  closers.push(() => made.stop())
  return made
}
const ask = (heddle: Gateway, who: string, content: string, model = 'm', more: CallOptions['headers'] = {}) =>
  call(`${heddle.url}/v1/chat/completions`, {
    body: { model, messages: [{ role: 'user', content }] },
    headers: { authorization: `Bearer sk-heddle-${who}-00000000000000000`, ...more },
  })
const statusOf = (reply: Reply): unknown => reply.headers['x-heddle-cache']
const admin = (heddle: Gateway, path: string, body?: object): Promise<Reply> =>
  call(`${heddle.adminUrl}${path}`, body === undefined ? {} : { body })

async function fill(heddle: Gateway): Promise<void> {
  await ask(heddle, 'a', 'What is a loom?', 'm', { 'x-heddle-cache-tags': 'book-1, craft' })
  await ask(heddle, 'a', 'What is a heddle?')
  await ask(heddle, 'a', 'Who wove first?', 'n')
  await ask(heddle, 'b', 'What is a loom?')
}

describe('purge', () => {
  test.each<[object, number]>([
    [{ tenant: 'a' }, 3],
    [{ model: 'n' }, 1],
    [{ tag: 'craft' }, 1],
    [{ prefix: 'What is' }, 3],
    [{ tenant: 'b', prefix: 'What is' }, 1],
    [{ tenant: 'b', model: 'n' }, 0],
    [{ all: true }, 4],
  ])('%o', async (wish, gone) => {
    const heddle = await gateway()
    await fill(heddle)
    expect((await admin(heddle, '/admin/cache/purge', wish)).json()).toEqual({ purged: gone })
    expect((await admin(heddle, '/admin/cache')).json()).toMatchObject({ stores: [{ entries: 4 - gone }] })
  })

  test('reaches all workers', async () => {
    const heddle = await gateway(', workers: 2')
    await fill(heddle)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await admin(heddle, '/admin/cache/purge', { tenant: 'b' })
    await new Promise((resolve) => setTimeout(resolve, 50))
    const fresh = { connection: 'close' }
    const found = await Promise.all(Array.from({ length: 6 }, () => ask(heddle, 'b', 'What is a loom?', 'm', fresh)))
    // The first makes it anew, in one of the workers or in both; none has the old one.
    expect(found.map(statusOf)).toContain('miss')
  })

  test.each([{}, { tenant: 1 }, { everything: true }, { all: false }])('not by %o', async (wish) => {
    const heddle = await gateway()
    expect((await admin(heddle, '/admin/cache/purge', wish)).status).toBe(400)
  })
})

test('an answer that was wrong is gone', async () => {
  const heddle = await gateway()
  await fill(heddle)
  const key = String((await ask(heddle, 'a', 'What is a heddle?')).headers['x-heddle-cache-key'])
  expect((await admin(heddle, '/admin/cache/feedback', { key, wrong: false })).status).toBe(204)
  expect(statusOf(await ask(heddle, 'a', 'What is a heddle?'))).toBe('hit')
  expect((await admin(heddle, '/admin/cache/feedback', { key, wrong: true })).status).toBe(204)
  expect((await admin(heddle, '/admin/cache/feedback', { key, wrong: true })).status).toBe(404)
  expect(statusOf(await ask(heddle, 'a', 'What is a heddle?'))).toBe('miss')
})

test('without a cache there is nothing to see', async () => {
  const heddle = await startGateway('providers: { sim: {} }')
  closers.push(() => heddle.stop())
  expect((await admin(heddle, '/admin/cache')).status).toBe(404)
})

test('heddle cache asks a running gateway', async () => {
  const heddle = await gateway()
  await fill(heddle)
  let out = ''
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (out += text),
    env: {},
    cwd: '/',
    exists: () => false,
    read: () => '',
  }
  const none = (): never => {
    throw new Error('not of this command')
  }
  const run = (...args: string[]): Promise<number> => execute(args, io, { serve: none, explain: none, sim: none })
  const cache = (...args: string[]): Promise<number> => run('cache', ...args, '--admin', heddle.adminUrl)
  expect(await cache('stats')).toBe(0)
  expect(JSON.parse(out)).toMatchObject({ stores: [{ entries: 4 }] })
  out = ''
  expect(await cache('purge', '--model', 'n')).toBe(0)
  expect(out).toBe('1 answers are gone.\n')
  expect(await cache('purge')).toBe(2)
  expect(await run('cache', 'stats', '--admin', 'http://127.0.0.1:1')).toBe(1)
})
