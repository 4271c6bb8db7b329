// Questions that mean the same, through a running gateway: what is served, what is learnt, and what never is.
import { describe, expect, test } from 'vitest'
import type { Gateway } from '../support/gateway.ts'
import {
  answerTo,
  askOffice as ask,
  cacheStatus as statusOf,
  contentOf,
  startOffice,
  THINGS,
  WAYS,
} from '../support/cache-traffic.ts'
import { call, type Reply } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { closedAfterEach } from '../support/closing.ts'

const closers = closedAfterEach()

interface Running {
  readonly heddle: Gateway
  readonly asked: () => number
}
const running = async (cache: string, more = ''): Promise<Running> => {
  const backend = await startOffice()
  closers.push(() => backend.close())
  const heddle = await startGateway(`
providers: { p: { type: openai_compatible, base_url: "${backend.url}" } }
models: { m: p/m }
cache: ${cache}
${more}`)
  closers.push(() => heddle.stop())
  return { heddle, asked: () => backend.bodies.length }
}

/** All things in all ways, the ways of one thing apart from each other. */
async function replay(heddle: Gateway): Promise<{ hits: number; wrong: number; last: Reply | null }> {
  let last: Reply | null = null
  let hits = 0
  let wrong = 0
  for (let round = 0; round < WAYS.length; round++)
    for (const [at, thing] of THINGS.entries()) {
      const question = WAYS[(round + at) % WAYS.length]!(thing)
      const reply = await ask(heddle, question)
      if (statusOf(reply) !== 'semantic') continue
      hits++
      last = reply
      if (contentOf(reply) !== answerTo(question)) wrong++
    }
  return { hits, wrong, last }
}

describe('semantic', () => {
  test('learns from misses what it may serve, and serves it', async () => {
    const { heddle, asked } = await running('{ mode: semantic, max_wrong_per_request: 20% }')
    const { hits, wrong, last } = await replay(heddle)
    expect(hits).toBeGreaterThan(10)
    expect(wrong).toBe(0)
    expect(asked()).toBe(THINGS.length * WAYS.length - hits)
    expect(Number(last?.headers['x-heddle-cache-similarity'])).toBeGreaterThan(0.5)
    expect(Number(last?.headers['x-heddle-cache-confidence'])).toBeGreaterThan(0.5)
    const labels = await heddle.metric('heddle_cache_labels_total')
    expect(labels).toBeGreaterThan(0)
    const stats = (await call(`${heddle.adminUrl}/admin/cache`)).json() as { semantic: { estimates: object[] }[] }
    expect(stats.semantic[0]!.estimates[0]).toMatchObject({ state: 'serving', hits: expect.any(Number) })
  })

  test('at its defaults it serves nothing before it has learnt', async () => {
    const { heddle } = await running('{ mode: semantic }')
    await ask(heddle, WAYS[0]!(THINGS[0]!))
    expect(statusOf(await ask(heddle, WAYS[1]!(THINGS[0]!)))).toBe('miss')
  })

  test('shadow counts, and serves nothing', async () => {
    const { heddle, asked } = await running('{ mode: shadow, max_wrong_per_request: 20% }')
    expect(await replay(heddle)).toEqual({ hits: 0, wrong: 0, last: null })
    expect(asked()).toBe(THINGS.length * WAYS.length)
    expect(await heddle.metric('heddle_cache_labels_total', { shadow: 'true', right: 'true' })).toBeGreaterThan(10)
  })

  test('across a boundary nothing is found, however alike', async () => {
    const { heddle } = await running(
      '{ mode: semantic, max_wrong_per_request: 20% }',
      `
auth:
  keys:
    - { id: a, key: sk-heddle-a-00000000000000000, tenant: a }
    - { id: b, key: sk-heddle-b-00000000000000000, tenant: b }
tenants: { a: {}, b: {} }`,
    )
    const as = (id: string) => ({ authorization: `Bearer sk-heddle-${id}-00000000000000000` })
    for (let round = 0; round < 4; round++) for (const thing of THINGS) await ask(heddle, WAYS[round]!(thing), as('a'))
    for (const way of WAYS) expect(statusOf(await ask(heddle, way(THINGS[0]!), as('b')))).toBe('miss')
  })

  test('what is asked about now is not found by meaning', async () => {
    const { heddle } = await running('{ mode: semantic, max_wrong_per_request: 20% }')
    await replay(heddle)
    await ask(heddle, 'How do I apply for a library card today?')
    expect(statusOf(await ask(heddle, 'how do i apply for a library card today'))).toBe('miss')
  })

  test('a hit that somebody says was wrong is gone, and counted', async () => {
    const { heddle } = await running('{ mode: semantic, max_wrong_per_request: 20% }')
    await replay(heddle)
    let key: unknown
    for (const thing of THINGS) {
      const reply = await ask(heddle, `How should I apply for ${thing}?`)
      if (statusOf(reply) === 'semantic') key = reply.headers['x-heddle-cache-key']
    }
    expect(key).toBeDefined()
    expect((await call(`${heddle.adminUrl}/admin/cache/feedback`, { body: { key, wrong: true } })).status).toBe(204)
    const stats = (await call(`${heddle.adminUrl}/admin/cache`)).json() as {
      semantic: { estimates: { wrong: number }[] }[]
    }
    expect(stats.semantic[0]!.estimates[0]!.wrong).toBeGreaterThanOrEqual(1)
  })
})
