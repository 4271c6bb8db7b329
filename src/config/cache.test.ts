import { expect, test } from 'vitest'
import { loadConfigText } from './load.ts'
import { ConfigError, formatProblem } from './problem.ts'
import { maskedConfig } from './dump.ts'
import type { HeddleConfig } from '../contracts/config.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const BASE = `
providers: { p: { type: openai_compatible, base_url: "http://127.0.0.1:1/v1" } }
ledger: { redis: { url: "redis://127.0.0.1:6379" } }
`
const load = (yaml: string): HeddleConfig => loadConfigText(BASE + yaml, { presets: [], env: {} }).config
const problems = (yaml: string): readonly string[] => {
  try {
    load(yaml)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => formatProblem(problem).replace(/^\S+ /, ''))
  }
}
const model = (cache: string): string => `models: { m: { targets: [p/m], cache: ${cache} } }`
const routeOf = (yaml: string) => load(yaml).models[0]!.cache

test('nothing is kept unless it is said', () => {
  const config = load('models: { m: p/m }')
  expect(config.cache).toBeNull()
  expect(config.models[0]!.cache).toBeNull()
})

test('an empty section keeps the same request, for its tenant, for an hour', () => {
  const config = load('cache: {}\nmodels: { m: p/m }')
  expect(config.models[0]!.cache).toEqual({
    mode: 'exact',
    scope: 'tenant',
    ttlMs: 3_600_000,
    maxTemperature: 0.3,
    tokensPerSecond: 0,
    bound: { measure: 'wrong_per_request', bound: 0.01, confidence: 0.95 },
    timeWordsTtlMs: 60_000,
  })
  expect(config.cache).toMatchObject({ maxBytes: 64 * 1024 * 1024, semantic: null, redis: null, singleFlight: true })
  expect(config.defaults.cache).toEqual(config.models[0]!.cache)
})

test('a model may say otherwise, by a word or a map; of two error rates its own counts', () => {
  expect(routeOf(`cache: {}\n${model('off')}`)).toBeNull()
  expect(routeOf(`cache: {}\n${model('semantic')}`)!.mode).toBe('semantic')
  expect(routeOf(`cache: { max_wrong_per_request: 2% }\n${model('{ max_wrong_per_hit: 3% }')}`)!.bound).toMatchObject({
    measure: 'wrong_per_hit',
    bound: 0.03,
  })
  expect(routeOf(`cache: { max_wrong_per_request: 2%, ttl: 2h }\n${model('{ scope: key }')}`)).toMatchObject({
    scope: 'key',
    ttlMs: 7_200_000,
    bound: { bound: 0.02 },
  })
})

test('what nobody uses is not there', () => {
  expect(load('cache: { mode: off }\nmodels: { m: p/m }').cache).toBeNull()
  expect(load('cache: {}\nmodels: { m: p/m }').cache!.semantic).toBeNull()
  expect(load(`cache: {}\n${model('shadow')}`).cache!.semantic).toMatchObject({ embedder: { kind: 'table' } })
})

test('faults are named where they are', () => {
  expect(problems(model('exact'))).toEqual(['models.m.cache: needs a `cache` section'])
  expect(problems('cache: { ttl: 10ms, max_bytes: 1KiB, max_wrong_per_request: 0% }').toSorted()).toEqual([
    'cache.max_bytes: must be at least 1MiB',
    'cache.max_entry: is more than `max_bytes`',
    'cache.max_wrong_per_request: must be more than 0% and less than 100%',
    'cache.ttl: must be at least 1s',
  ])
  expect(problems('cache: { max_wrong_per_request: 1%, max_wrong_per_hit: 2% }')).toEqual([
    'cache.max_wrong_per_hit: stands beside `max_wrong_per_request`: one of them is kept, not both',
  ])
  expect(problems('cache: { semantic: { embedder: { provider: q, model: e } } }')[0]).toMatch(
    /there is no provider `q`/,
  )
  expect(problems('cache: { mode: fuzzy }')).toHaveLength(1)
  expect(problems('cache: { mod: exact }')[0]).toMatch(/mode/)
})

test('keys are read, never shown', () => {
  const config = load(`cache: { redis: { encryption_key: "${KEY}" } }\nmodels: { m: p/m }`)
  expect(config.cache!.redis).toEqual({ budgetMs: 5, keys: [KEY] })
  expect(maskedConfig(config).cache!.redis!.keys).toEqual(['***'])
  const [fault] = problems('cache: { redis: { encryption_key: secret } }')
  expect(fault).toContain('must be 32 bytes in base64')
  expect(fault).not.toContain('secret')
})
