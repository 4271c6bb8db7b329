import { expect, test } from 'vitest'
import { maskedConfig } from './dump.ts'
import { loadConfigText } from './load.ts'
import { ConfigError } from './problem.ts'

const load = (text: string) => loadConfigText(text, { presets: [], env: { SECRET: 'hunter22' } }).config

const faults = (text: string): string => {
  try {
    load(text)
    return ''
  } catch (error) {
    return error instanceof ConfigError ? error.message : String(error)
  }
}

test('without limits there are none, and counters live in the process', () => {
  const { limits, ledger } = load('models: {}')
  expect(limits).toEqual([])
  expect(ledger).toEqual({ redis: null, file: null, maxScopes: 32_768 })
})

test('limits and a ledger in Redis', () => {
  const { limits, ledger } = load(`
limits:
  per_key:
    per: [key, { expression: 'headers["x-app"]' }]
    rules: [{ requests: 60, per: 1m }, { concurrency: 8 }]
    when: model == "gpt"
    on_store_failure: closed
ledger:
  redis: { url: 'rediss://ann:p%40ss@redis:6380/2', replicas: 3 }
  max_scopes: 1000
`)
  expect(limits).toEqual([
    {
      name: 'per_key',
      per: [{ kind: 'key' }, { kind: 'expression', source: 'headers["x-app"]' }],
      when: 'model == "gpt"',
      rules: [
        { unit: 'requests', amount: 60, period: { kind: 'sliding', windowMs: 60_000 } },
        { unit: 'concurrency', amount: 8, period: { kind: 'open' } },
      ],
      shadow: false,
      onStoreFailure: 'closed',
      stopStreams: false,
    },
  ])
  expect(ledger).toEqual({
    redis: {
      urls: ['rediss://redis:6380/2'],
      cluster: false,
      username: 'ann',
      password: 'p@ss',
      tls: { ca: null, rejectUnauthorized: true },
      prefix: 'heddle',
      deadlineMs: 50,
      replicas: 3,
      leaseMs: 15_000,
    },
    file: null,
    maxScopes: 1000,
  })
})

test.each([
  [
    'limits: { key: { rules: [{ requests: 1, per: 1m }] } }',
    /limits\.key: `key` is the name of limits that keys carry/,
  ],
  ['limits: { "a b": { rules: [{ requests: 1, per: 1m }] } }', /must be 1 to 64 letters/],
  ['limits: { a: { rules: [] } }', /at least one rule/],
  ['limits: { a: { per: [planet], rules: [{ requests: 1, per: 1m }] } }', /must be one of key, user/],
  ['limits: { a: { per: [key, key], rules: [{ requests: 1, per: 1m }] } }', /holds `key` twice/],
  ['limits: { a: { when: "model ==", rules: [{ requests: 1, per: 1m }] } }', /limits\.a\.when/],
  [
    'limits: { a: { per: [{ expression: "[1]" }], rules: [{ requests: 1, per: 1m }] } }',
    /limits\.a\.per\[0\]\.expression: must be a string/,
  ],
  ['limits: { a: { rules: [{ requests: 1, tokens: 2, per: 1m }] } }', /limits\.a\.rules\[0\]\.tokens: one entry/],
  ['ledger: { redis: { url: "http://x" } }', /must be a URL such as `redis:/],
  ['ledger: { redis: { url: ["redis://a", "redis://b"] } }', /several addresses/],
  ['ledger: { redis: { url: "redis://a/1", cluster: true } }', /only number 0/],
  ['ledger: { redis: { url: "redis://a?x=1" } }', /nothing else/],
  ['ledger: { redis: { url: "redis://a", lease: 1s } }', /at least 3s/],
  ['ledger: { redis: { url: "redis://a", tls: {} } }', /is for `rediss/],
])('%s is refused with its place', (text, message) => expect(faults(text)).toMatch(message))

test('the password is in no dump and in no message', () => {
  const config = load('ledger: { redis: { url: "redis://:${env:SECRET}@redis" } }')
  expect(config.ledger.redis?.password).toBe('hunter22')
  expect(JSON.stringify(maskedConfig(config))).not.toContain('hunter22')
  const other = load('ledger: { redis: { url: "redis://redis", password: "${env:SECRET}" } }')
  expect(JSON.stringify(maskedConfig(other))).not.toContain('hunter22')
  expect(faults('ledger: { redis: { url: "redis://:${env:SECRET}@redis:port" } }')).not.toContain('hunter22')
})
