import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { loadConfigText } from '../config/index.ts'
import { PRESETS } from '../providers/index.ts'
import { explainRequest } from './explain.ts'

const hash = createHash('sha256').update('sk-0123456789abcdef').digest('hex')
const { config } = loadConfigText(
  `
providers:
  near: { type: openai_compatible, base_url: http://near.test/v1, data: { region: eu, retention: false } }
  far: { type: openai_compatible, base_url: http://far.test/v1 }
models:
  m: { targets: [far/x, { provider: near, model: y, price: { input: 1, output: 2 } }] }
  n: far/x
tenants:
  acme: { regions: [eu], limits: [{ usd: 5, per: day }] }
auth:
  keys: [{ id: dev, hash: 'sha256:${hash}', tenant: acme, models: [m] }]
limits:
  calls: { per: [key], rules: [{ requests: 60, per: 1m }] }
  streams: { per: [], when: stream, rules: [{ concurrency: 2 }] }
`,
  { presets: PRESETS },
)

const explain = (model: string, key?: string) =>
  explainRequest(config, {
    operation: 'chat',
    body: { model, messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 },
    headers: {},
    ...(key === undefined ? {} : { key }),
  })

test('who asks, what counts it, which targets it may not reach and by which rule, what it will cost', () => {
  const { text, order, skipped, caller, limits } = explain('m', 'dev')
  expect(caller).toEqual({ key: 'dev', tenant: 'acme' })
  expect(order.map((t) => t.target)).toEqual(['near/y'])
  expect(Number(order[0]!.usd)).toBeCloseTo(0.002, 4)
  expect(skipped).toEqual([{ target: 'far/x', reason: expect.stringMatching(/^not allowed: tenant acme/) as string }])
  expect(limits).toEqual(['calls (key): 60 requests in 60 s', 'carried by the tenant (tenant): 5 usd a day (UTC)'])
  expect(text).toContain('caller     key dev of tenant acme')
})

test('a refusal names its rule, here where only operators read it', () => {
  expect(explain('n', 'dev').error).toMatchObject({ code: 'permission_denied', status: 403 })
  expect(explain('n', 'dev').text).toMatch(/key dev: models/)
  expect(explain('m', 'nobody').error).toMatchObject({ code: 'invalid_request' })
})

test('without a key nobody is known', () => {
  expect(explain('n')).toMatchObject({ caller: null, error: null })
})
