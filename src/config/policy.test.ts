import { describe, expect, test } from 'vitest'
import { modelFacts, modelPrices, PRESETS } from '../providers/index.ts'
import { loadConfigText } from './index.ts'

const load = (policy: string): unknown =>
  loadConfigText(
    `
server: { policy: { ${policy} } }
providers:
  pods: { type: openai_compatible, base_url: "http://m.test/v1", discovery: { type: static, endpoints: ["10.0.0.1:8000"] } }
  one: { type: openai_compatible, base_url: "http://n.test/v1" }
`,
    { presets: PRESETS, facts: modelFacts, prices: modelPrices, env: {} },
  ).config.server.policy

describe('the policy service', () => {
  test('with TLS there must be a certificate: without one nothing would be listened on', () => {
    expect(() => load('tls: true')).toThrow(/server\.tls/)
    expect(load('tls: false')).toMatchObject({ tls: false })
  })

  test('a picker has endpoints to choose from', () => {
    expect(load('pickers: [{ port: 1, provider: pods }]')).toMatchObject({ pickers: [{ provider: 'pods' }] })
    expect(() => load('pickers: [{ port: 1, provider: pod }]')).toThrow(/pickers.*no provider is named.*`pods`/s)
    expect(() => load('pickers: [{ port: 1, provider: one }]')).toThrow(/pickers.*discovery/s)
  })
})
