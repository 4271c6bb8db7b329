import { describe, expect, test } from 'vitest'
import { maskedConfig } from './dump.ts'
import { loadConfigText } from './load.ts'
import type { ConfigError } from './problem.ts'
import type { ProviderPreset } from '../contracts/config.ts'

const preset: ProviderPreset = {
  name: 'alpha',
  title: 'Alpha',
  keyEnv: [],
  keyRequired: false,
  urlEnv: null,
  basePath: '/v1',
  baseUrl: 'https://alpha.example/v1',
  auth: 'none',
  query: {},
  operations: ['chat'],
  modelPatterns: [],
  streamUsage: true,
  streamEnd: 'done',
  notes: '',
}

const load = (text: string) =>
  loadConfigText(`providers:\n  alpha: {}\n${text}`, {
    presets: [preset, { ...preset, name: 'beta' }],
    facts: (type, model) =>
      type === 'alpha' && model === 'known' ? { capabilities: {}, price: { input: 1, output: 2 } } : undefined,
    prices: (type) => (type === 'alpha' ? { known: { input: 1, output: 2 } } : { other: { input: 9, output: 9 } }),
    env: {},
  }).config

const problems = (text: string): readonly string[] => {
  try {
    load(text)
    return []
  } catch (error) {
    return (error as ConfigError).problems.map(({ path, message }) => `${path}: ${message}`)
  }
}

describe('usage', () => {
  test('left out: defaults, and only the rows of the provider types in use', () => {
    expect(load('').usage).toEqual({
      overrides: [],
      known: { alpha: { known: { input: 1, output: 2 } } },
      unknownPrice: 'flag',
      assumedPrice: { input: 5, output: 25 },
      costHeader: true,
      records: { file: null, otlp: null, redis: null },
    })
  })

  test('a price in all its parts', () => {
    const { overrides } = load(`
usage:
  prices:
    alpha/*-big:
      input: 1
      output: 2
      cached_input: 0.1
      cache_write: 1.25
      cache_write_hour: 2
      reasoning: 3
      per_request: 0.005
      long_context: [{ above: 200000, input: 2, output: 4 }]
      tiers: { flex: 0.5, priority: { input: 3, output: 6, cached_input: 0.3 } }
`).usage
    expect(overrides).toEqual([
      {
        pattern: 'alpha/*-big',
        price: {
          input: 1,
          output: 2,
          cachedInput: 0.1,
          cacheWrite5m: 1.25,
          cacheWrite1h: 2,
          reasoning: 3,
          perRequest: 0.005,
          longContext: [{ above: 200_000, input: 2, output: 4 }],
          tiers: { flex: 0.5, priority: { input: 3, output: 6, cachedInput: 0.3 } },
        },
      },
    ])
  })

  test('a target has its own price, else an override, else what is known', () => {
    const { models } = load(`
usage:
  prices: { 'alpha/k*': { input: 5, output: 6 } }
models:
  own: { targets: [{ provider: alpha, model: known, price: { input: 7, output: 8 } }] }
  over: alpha/known
  none: alpha/mystery
`)
    expect(models.map(({ targets }) => targets[0]!.price)).toEqual([
      { input: 7, output: 8 },
      { input: 5, output: 6 },
      null,
    ])
    const known = load('models: { m: alpha/known }').models
    expect(known[0]!.targets[0]!.price).toEqual({ input: 1, output: 2 })
  })

  test.each([
    ['usage: { prices: { gpt: { input: 1, output: 1 } } }', 'must be `provider/model`'],
    ['usage: { prices: { a/b: { input: -1, output: 1 } } }', 'must not be negative'],
    ['usage: { unknown_price: free }', ''],
    ['usage: { records: { otlp: { url: "ftp://a" } } }', 'absolute http or https URL'],
    ['usage: { records: { redis: {} } }', 'needs `ledger.redis`'],
  ])('%s is refused', (text, message) => {
    const found = problems(text)
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(message)
  })

  test('keys of the collector are in no dump', () => {
    const config = load('usage: { records: { otlp: { url: "http://c:4318/v1/logs", headers: { api-key: SECRET1 } } } }')
    expect(config.usage.records.otlp?.headers).toEqual({ 'api-key': 'SECRET1' })
    expect(JSON.stringify(maskedConfig(config))).not.toContain('SECRET1')
  })
})
