import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { PRESETS } from '../providers/index.ts'
import { maskedConfig } from './dump.ts'
import { ConfigError } from './problem.ts'
import { loadConfigText } from './load.ts'

const KEY = randomBytes(32).toString('base64')
const REDIS = 'ledger: { redis: { url: "redis://127.0.0.1:1" } }\n'
const load = (text: string, env: Record<string, string> = {}) =>
  loadConfigText(`providers: { sim: {} }\n${text}`, { presets: PRESETS, env }).config

function problems(text: string): string[] {
  try {
    load(text)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
}

test('nothing is kept unless it is said', () => {
  expect(load('').responses).toBeNull()
  expect(load('responses: { store: off }').responses).toBeNull()
  expect(load('').batches).toBeNull()
})

test('memory is the default, with its bounds', () => {
  expect(load('responses: {}').responses).toEqual({
    store: 'memory',
    ttlMs: 86_400_000,
    maxBytes: 256 * 1024 * 1024,
    maxItemBytes: 8 * 1024 * 1024,
    maxChain: 200,
    background: 32,
    keys: [],
  })
})

test('Redis needs an address and a key', () => {
  const { responses } = load(`${REDIS}responses: { store: redis, encryption_key: "\${env:K}" }`, { K: KEY })
  expect(responses).toMatchObject({ store: 'redis', keys: [KEY] })
  expect(problems('responses: { store: redis }')).toEqual([
    'responses.store: needs `ledger.redis`, which says where Redis is',
    'responses.store: needs `encryption_key`: what clients say must not lie in Redis for all to read',
  ])
})

test('a key that is none is refused and never shown', () => {
  for (const bad of ['hunter2hunter2', KEY.slice(2), `${KEY}${KEY}`]) {
    const found = problems(`${REDIS}responses: { store: redis, encryption_key: "${bad}" }`)
    expect(found).toEqual([
      'responses.encryption_key: must be 32 bytes in base64, as `openssl rand -base64 32` makes them',
    ])
  }
  expect(problems(`${REDIS}responses: { store: redis, encryption_key: ["${KEY}", nope] }`)[0]).toContain(
    'responses.encryption_key[1]',
  )
})

test('a dump shows how many keys there are, not what they are', () => {
  const config = load(`${REDIS}responses: { store: redis, encryption_key: ["${KEY}", "${KEY}"] }`)
  const dump = JSON.stringify(maskedConfig(config))
  expect(dump).not.toContain(KEY)
  expect(maskedConfig(config).responses!.keys).toEqual(['***', '***'])
})

test('bounds that cannot hold are refused', () => {
  expect(problems('responses: { ttl: 10ms, max_bytes: 1KiB, max_item: 1MiB }')).toEqual([
    'responses.ttl: must be at least 1s',
    'responses.max_bytes: must be at least 1MiB',
    'responses.max_item: is more than `max_bytes`',
  ])
  expect(problems('batches: {}')).toEqual(['batches: needs `responses`, whose store keeps files and results'])
  expect(problems('responses: {}\nbatches: { ttl: 1s }')).toEqual(['batches.ttl: must be at least 1h'])
})
