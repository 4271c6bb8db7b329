import { describe, expect, test } from 'vitest'
import type { ProviderConfig } from '../contracts/config.ts'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'
import { loadConfigText } from './index.ts'

/** The provider of such a file. Throws with the problems. */
const load = (provider: string): ProviderConfig =>
  loadConfigText(
    `providers:\n  p:\n    type: openai_compatible\n${/base_url/.test(provider) ? '' : '    base_url: http://m.test/v1\n'}${provider}`,
    {
      presets: PRESETS,
      facts: modelFacts,
      prices: modelPrices,
      env: {},
    },
  ).config.providers[0]!

const STATIC = '    discovery: { type: static, endpoints: ["10.0.0.1:8000"] }\n'

describe('balancing', () => {
  test('nothing said: by score, with metrics, without a picker elsewhere', () => {
    expect(load(STATIC).balancing).toMatchObject({
      owner: 'gateway',
      policy: 'scored',
      scorers: { prefix: 3, queue: 2, kv: 1, lora: 2, inflight: 2, latency: 1, zone: 1 },
      prefix: { blockBytes: 256, blocksPerEndpoint: 16_384, maxBytes: 262_144 },
      metrics: { path: '/metrics', port: null, intervalMs: 1000, engine: 'auto' },
      saturation: { queue: 5, kv: 0.8 },
      orca: false,
      zone: '',
      epp: null,
    })
    expect(load('').balancing).toBeNull()
  })

  test('metrics are asked for by scores alone', () => {
    expect(load(`${STATIC}    balancing: { policy: random }\n`).balancing?.metrics).toBeNull()
    expect(load(`${STATIC}    balancing: { metrics: false }\n`).balancing?.metrics).toBeNull()
    expect(load(`${STATIC}    balancing: { owner: mesh }\n`).balancing?.metrics).toBeNull()
  })

  test('metrics are asked for without TLS: never at the port of members that speak it', () => {
    const https = (more: string): ProviderConfig['balancing'] =>
      load(`${STATIC}    base_url: https://m.test/v1\n${more}`).balancing
    expect(https('')?.metrics).toBeNull()
    expect(https('    balancing: { metrics: { port: 9090 } }\n')?.metrics).toMatchObject({ port: 9090 })
  })

  test('a picker elsewhere', () => {
    expect(load(`${STATIC}    balancing: { epp: { address: "epp.ns:9002" } }\n`).balancing?.epp).toEqual({
      address: 'epp.ns:9002',
      tls: true,
      ca: null,
      serverName: null,
      failureMode: 'close',
      timeoutMs: 1000,
    })
  })

  test.each([
    ['    balancing: {}\n', 'has no use without `discovery`'],
    [`${STATIC}    balancing: { prefix: { block_bytes: 100 } }\n`, 'must be a multiple of 8'],
    [
      `${STATIC}    balancing: { scorers: { prefix: 0, queue: 0, kv: 0, lora: 0, inflight: 0, latency: 0, zone: 0 } }\n`,
      'nothing speaks for any endpoint',
    ],
    [`${STATIC}    balancing: { epp: { address: nowhere } }\n`, 'must be `host:port`'],
    [`${STATIC}    balancing: { epp: { address: "a:1", timeout: 0 } }\n`, 'must be more than 0'],
    [`${STATIC}    balancing: { epp: { address: "a:1", ca: x } }\n`, 'must be PEM text'],
    [`${STATIC}    balancing: { epp: { address: "a:1", tls: false, server_name: x } }\n`, 'no use without TLS'],
    [`${STATIC}    balancing: { metrics: { path: metrics } }\n`, 'must be a path'],
  ])('%s is refused', (text, why) => {
    expect(() => load(text)).toThrow(why)
  })
})
