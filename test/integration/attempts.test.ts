import { afterEach, describe, expect, test } from 'vitest'
import { startSim } from '../../src/sim/index.ts'
import type { Sim, SimOptions } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { chat, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

const cleanups: (() => Promise<unknown>)[] = []

afterEach(async () => {
  // Gateways before their backends, or closing connections would look like failures.
  for (const clean of cleanups.splice(0).toReversed()) await clean()
})

const sim = async (options: SimOptions = {}): Promise<Sim> => {
  const started = await startSim(options)
  cleanups.push(() => started.close())
  return started
}

const gatewayFor = async (yaml: string): Promise<Gateway> => {
  const started = await startGateway(yaml)
  cleanups.push(() => started.stop())
  return started
}

const provider = (name: string, url: string, key = 'k'): string =>
  `  ${name}: { type: openai_compatible, base_url: "${url}", api_key: "${key}" }`
const callsOf = (backend: Sim, model: string): number =>
  backend.received.filter((r) => r.model.split('~')[0] === model).length
const by = (headers: Readonly<Record<string, unknown>>): string => String(headers['x-heddle-target'])

describe('waiting', () => {
  const hints: readonly (readonly [string, Readonly<Record<string, string>>, unknown, number])[] = [
    ['retry-after-ms', { 'retry-after-ms': '60' }, {}, 60],
    ['x-ms-retry-after-ms', { 'x-ms-retry-after-ms': '60' }, {}, 60],
    ['seconds', { 'retry-after': '0.06' }, {}, 60],
    ['Go duration', { 'retry-after': '60ms' }, {}, 60],
    [
      'reset header of the used-up limit',
      { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '60ms' },
      {},
      60,
    ],
    [
      'RetryInfo',
      {},
      {
        error: {
          code: 429,
          status: 'RESOURCE_EXHAUSTED',
          details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '0.06s' }],
        },
      },
      60,
    ],
  ]

  test.each(hints)('a 429 is waited out: %s', async (_name, headers, body, ms) => {
    const backend = await startBackend((res, n) =>
      n === 0 ? sendJson(res, 429, body, headers) : sendJson(res, 200, CHAT_ANSWER),
    )
    cleanups.push(() => backend.close())
    const g = await gatewayFor(
      `providers:\n${provider('p', backend.url)}\nmodels:\n  m: { targets: [p/m], retries: { backoff: { base: 0, max: 0 } } }`,
    )
    const answer = await chat(g.url, 'm')
    expect([answer.status, answer.text, answer.headers['x-heddle-attempts']]).toEqual([200, 'woven', '2'])
    expect(backend.times[1]! - backend.times[0]!).toBeGreaterThanOrEqual(ms)
  })

  test('per_target: the same target is asked again before the next', async () => {
    const [a, b] = [await sim(), await sim()]
    const g = await gatewayFor(`providers:\n${provider('a', a.url)}\n${provider('b', b.url)}
models:
  m: { targets: ["a/x~status=500~times=2", b/y], retries: { per_target: 3, max_attempts: 4, backoff: { base: 1ms, max: 1ms } } }
  n: { targets: ["a/z~status=500", b/y], retries: { per_target: 2, max_attempts: 4, backoff: { base: 1ms, max: 1ms } } }`)
    expect(by((await chat(g.url, 'm')).headers)).toBe('a/x~status=500~times=2')
    expect([callsOf(a, 'x'), callsOf(b, 'y')]).toEqual([3, 0])
    expect(by((await chat(g.url, 'n')).headers)).toBe('b/y')
    expect([callsOf(a, 'z'), callsOf(b, 'y')]).toEqual([2, 1])
  })

  test('a target that said how long it rests is not asked again meanwhile', async () => {
    const [a, b] = [await sim(), await sim()]
    const g = await gatewayFor(`providers:\n${provider('a', a.url)}\n${provider('b', b.url)}
models:
  m: { targets: ["a/x~rate_limit", "b/y~status=500"], retries: { max_attempts: 4, backoff: { base: 1ms, max: 1ms } } }`)
    expect((await chat(g.url, 'm')).status).toBe(502)
    expect(callsOf(a, 'x')).toBe(1)
    expect(callsOf(b, 'y')).toBe(3)
  })

  test('the overall deadline ends waiting, retries and all', async () => {
    const a = await sim()
    const g = await gatewayFor(`providers:\n${provider('a', a.url)}
models:
  m: { targets: ["a/x~stall"], timeouts: { first_token: 100ms, attempt: 100ms, total: 250ms }, retries: { max_attempts: 20, backoff: { base: 0, max: 0 } } }`)
    for (const stream of [false, true]) {
      const { status, error } = await chat(g.url, 'm', { stream })
      expect([status, error?.code]).toEqual([504, 'upstream_timeout'])
    }
    expect(callsOf(a, 'x')).toBeLessThanOrEqual(6)
    await until(() => a.stats().inFlight === 0)
  })
})

test('retry budget: an outage is not multiplied', async () => {
  const [a, b] = [await sim(), await sim()]
  const g = await gatewayFor(`
defaults: { retries: { max_attempts: 5, backoff: { base: 0, max: 0 } } }
providers:
${provider('a', a.url)}
${provider('b', b.url)}
models:
  m: ["a/x~status=500", "b/y~status=500"]`)
  const started = performance.now()
  const requests = 200
  for (let i = 0; i < requests; i += 10) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => chat(g.url, 'm')))
    for (const answer of answers) expect(answer.status).toBe(502)
  }
  const seconds = (performance.now() - started) / 1000
  const attempts = a.received.length + b.received.length
  // A full second of the floor is there at the start; the first ten requests were under way before a failure was known.
  const allowed = requests * 1.2 + 10 * (seconds + 1) + 10
  process.stdout.write(
    `retry budget: ${attempts} attempts for ${requests} requests in ${seconds.toFixed(2)} s, allowed ${allowed.toFixed(0)}\n`,
  )
  expect(attempts).toBeLessThanOrEqual(allowed)
})

describe('circuit breaker', () => {
  const config = (a: Sim, b: Sim, targets: string): string => `
defaults:
  retries: { max_attempts: 2, backoff: { base: 0, max: 0 }, budget: { min_per_second: 10000 } }
  breaker: { consecutive_failures: 3, base_ejection: 250ms, max_ejection: 1s }
providers:
${provider('a', a.url)}
${provider('b', b.url)}
models:
  m: [${targets}]`

  test('opens after failures in a row, lets one probe through, closes', async () => {
    const [a, b] = [await sim({ faults: 'delay_headers=60' }), await sim()]
    const target = 'a/x~status=500~times=4'
    const g = await gatewayFor(config(a, b, `"${target}", b/y`))
    for (let i = 0; i < 3; i++) expect(by((await chat(g.url, 'm')).headers)).toBe('b/y')
    expect((await g.targets())[target]).toMatchObject({ ejections: 1, consecutive_failures: 3 })
    expect(await g.metric('heddle_target_ejected', { target })).toBe(1)
    for (let i = 0; i < 5; i++) await chat(g.url, 'm')
    expect(callsOf(a, 'x')).toBe(3)
    // The first rest is over: of many at once one tries, and fails for the fourth time: the next rest is twice as long.
    await until(async () => (await g.targets())[target]!.ejected_ms === 0)
    await Promise.all(Array.from({ length: 8 }, () => chat(g.url, 'm')))
    expect(callsOf(a, 'x')).toBe(4)
    expect((await g.targets())[target]!.ejected_ms).toBeGreaterThan(250)
    await until(async () => (await g.targets())[target]!.ejected_ms === 0)
    const answers = await Promise.all(Array.from({ length: 8 }, () => chat(g.url, 'm')))
    expect(answers.filter((answer) => by(answer.headers) === target)).toHaveLength(1)
    expect((await g.targets())[target]).toMatchObject({ ejections: 0, consecutive_failures: 0 })
    expect(by((await chat(g.url, 'm')).headers)).toBe(target)
  })

  test('no more than the allowed share is out at once', async () => {
    const [a, b] = [await sim(), await sim()]
    const g = await gatewayFor(config(a, b, '"a/x~status=500", "b/y~status=500"'))
    for (let i = 0; i < 12; i++) expect((await chat(g.url, 'm')).status).toBe(502)
    // Both have failed in a row; half of the targets stays in use, so that the end of the outage is noticed.
    const before = a.received.length + b.received.length
    expect((await chat(g.url, 'm')).status).toBe(502)
    expect(a.received.length + b.received.length).toBeGreaterThan(before)
  })

  test('the only target of a model is never taken out, and a client’s mistakes do not count', async () => {
    const [a, b] = [await sim(), await sim()]
    const g = await gatewayFor(`${config(a, b, '"a/x~status=500"')}\n  n: ["b/y~status=400", a/z]`)
    for (let i = 0; i < 5; i++) expect((await chat(g.url, 'm')).status).toBe(502)
    expect(callsOf(a, 'x')).toBeGreaterThanOrEqual(5)
    for (let i = 0; i < 6; i++) expect((await chat(g.url, 'n')).status).toBe(400)
    expect((await g.targets())['b/y~status=400']).toMatchObject({ ejections: 0, consecutive_failures: 0 })
  })
})

describe('keys', () => {
  test('a dead key and a busy key are told apart', async () => {
    const a = await sim()
    const g = await gatewayFor(
      `providers:\n${provider('a', a.url)}\nmodels:\n  m: ["a/x~auth_401", "a/y~rate_limit", "a/q~insufficient_quota", a/z]\nserver: { log: { level: silent, access: false } }\ndefaults: { retries: { max_attempts: 4 } }`,
    )
    expect(by((await chat(g.url, 'm')).headers)).toBe('a/z')
    const targets = await g.targets()
    expect(targets['a/x~auth_401']).toMatchObject({ busy_ms: 0, ejected_ms: 0 })
    expect(targets['a/x~auth_401']!.dead_ms).toBeGreaterThan(200_000)
    expect(targets['a/q~insufficient_quota']!.dead_ms).toBeGreaterThan(200_000)
    expect(targets['a/y~rate_limit']).toMatchObject({ dead_ms: 0, ejected_ms: 0 })
    expect(targets['a/y~rate_limit']!.busy_ms).toBeGreaterThan(500)
    // Neither is asked while it rests.
    await chat(g.url, 'm')
    expect([callsOf(a, 'x'), callsOf(a, 'y'), callsOf(a, 'q'), callsOf(a, 'z')]).toEqual([1, 1, 1, 2])
  })

  test('a new key is tried at once', async () => {
    const a = await sim({ apiKey: 'right-key' })
    const yaml = (key: string): string => `providers:\n${provider('a', a.url, key)}\nmodels:\n  m: a/x`
    const g = await gatewayFor(yaml('wrong-key'))
    const refused = await chat(g.url, 'm')
    expect([refused.status, refused.error?.code]).toEqual([502, 'upstream_auth'])
    expect(refused.raw).not.toMatch(/wrong|wron\*/)
    expect((await chat(g.url, 'm')).error?.code).toBe('upstream_auth')
    expect(callsOf(a, 'x')).toBe(1)
    expect(await g.reload(yaml('right-key'))).toBe(true)
    expect((await chat(g.url, 'm')).status).toBe(200)
    expect((await g.targets())['a/x']!.dead_ms).toBe(0)
  })
})

describe('fallback models', () => {
  const start = async (): Promise<{ readonly a: Sim; readonly g: Gateway }> => {
    const a = await sim()
    const g = await gatewayFor(`
defaults: { retries: { max_attempts: 2, backoff: { base: 0, max: 0 } } }
providers:
${provider('a', a.url)}
models:
  context: { targets: ["a/x1~context_length"], fallbacks: { context_window: [long], any: [spare] } }
  small: { targets: [{ provider: a, model: x2, capabilities: { context_window: 10 } }], fallbacks: { context_window: [long], any: [spare] } }
  content: { targets: ["a/x3~content_filter"], fallbacks: { content_policy: [spare], any: [long] } }
  down: { targets: ["a/x4~status=500"], fallbacks: [broken, spare] }
  dead: { targets: ["a/x5~auth_401"], fallbacks: [spare] }
  mistake: { targets: ["a/x6~status=422"], fallbacks: [spare] }
  broken: ["a/x7~html"]
  long: a/long
  spare: a/spare`)
    return { a, g }
  }

  test.each([
    ['context', 'a/long'],
    ['content', 'a/spare'],
    ['down', 'a/spare'],
    ['dead', 'a/spare'],
  ])('%s goes on with %s', async (model, target) => {
    const { g } = await start()
    for (const stream of [false, true]) {
      const answer = await chat(g.url, model, { stream })
      expect([answer.status, by(answer.headers), answer.text !== '']).toEqual([200, target, true])
    }
  })

  test('what no target can take by its context window is the fallback’s, without an attempt', async () => {
    const { a, g } = await start()
    expect(
      by((await chat(g.url, 'small', { messages: [{ role: 'user', content: 'loom '.repeat(100) }] })).headers),
    ).toBe('a/long')
    expect(callsOf(a, 'x2')).toBe(0)
    expect(by((await chat(g.url, 'small', { messages: [{ role: 'user', content: 'a' }] })).headers)).toBe('a/x2')
  })

  test('while all targets rest, the fallback serves', async () => {
    const { a, g } = await start()
    for (let i = 0; i < 3; i++) expect(by((await chat(g.url, 'dead')).headers)).toBe('a/spare')
    expect(callsOf(a, 'x5')).toBe(1)
  })

  test('a client’s mistake is nobody else’s to repeat', async () => {
    const { a, g } = await start()
    expect((await chat(g.url, 'mistake')).status).toBe(422)
    expect(callsOf(a, 'spare')).toBe(0)
  })
})
