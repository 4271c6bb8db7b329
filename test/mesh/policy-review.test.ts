// What a real Envoy makes of answers without a body, of times that are over, and of addresses that clients invent.
import { describe, expect, test } from 'vitest'
import { CHAT_ANSWER, sendJson, startBackend } from '../support/backend.ts'
import { call, chat, headOf, open, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { envoy } from './kit/binary.ts'
import { ANSWERS_ONLY, extAuthz, extProc, perRoute, rateLimit } from './kit/policy.ts'
import { AUTH, KEY, policyMesh } from './policy-kit.ts'

const closing = closedAfterEach()
const BEARER = { authorization: `Bearer ${KEY}` }

describe.skipIf(envoy === null)('through external processing', () => {
  test('an answer without a body', async () => {
    const backend = await startBackend((res) => void res.writeHead(204).end())
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const gone = await call(`${mesh.url}/v1/files/f-1?model=small`, { method: 'DELETE', headers: BEARER })
    expect(gone).toMatchObject({ status: 204 })
    expect(gone.headers['x-request-id']).toBeDefined()
    // A body to an answer that has none would be a message that nobody has asked for.
    expect(await mesh.envoy.stat('http.ingress.ext_proc.stream_msgs_received')).toBe(2)
    expect(await mesh.envoy.stat('http.ingress.ext_proc.spurious_msgs_received')).toBe(0)
  })

  test('a backend that is silent: the dialect’s error when its time is over, and nothing stays open', async () => {
    const backend = await startBackend((res, _n, _req, body) => {
      if (!body.toString().includes('"stream":true')) sendJson(res, 200, CHAT_ANSWER)
      else if (body.toString().includes('head'))
        res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    })
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, {
      filters: () => [extProc('policy')],
      backend: backend.url,
      policies: `${AUTH}\ndefaults: { timeouts: { first_token: 300ms } }`,
    })
    for (const content of ['nothing', 'head']) {
      const answer = await chat(mesh.url, 'small', { stream: true, messages: [{ role: 'user', content }] }, BEARER)
      expect(answer).toMatchObject({ status: 504, error: { code: 'upstream_timeout' } })
    }
    expect(await mesh.gateway.metric('heddle_policy_streams')).toBe(0)
    expect(await mesh.gateway.metric('heddle_inflight_requests')).toBe(0)
  })

  test('an address that the client invents does not make its header believed', async () => {
    const backend = await startBackend((res) => sendJson(res, 200, CHAT_ANSWER))
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, {
      filters: () => [extProc('policy')],
      backend: backend.url,
      policies: `
auth:
  keys: [{ id: one, key: "${KEY}" }]
  peers: { header: x-client-id, trust: [10.9.8.7/32], map: [{ id: "spiffe://td/ns/a/sa/root" }] }
`,
    })
    const forged = { 'x-client-id': 'spiffe://td/ns/a/sa/root', 'x-forwarded-for': '10.9.8.7' }
    expect((await chat(mesh.url, 'small', {}, forged)).status).toBe(401)
    expect((await chat(mesh.url, 'small', {}, BEARER)).status).toBe(200)
  })

  test('who leaves in the middle of an answer has not had it for nothing', async () => {
    const backend = await startBackend((res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write('data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    })
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, {
      filters: () => [extAuthz('policy'), rateLimit('policy'), extProc('policy', ANSWERS_ONLY)],
      route: { typed_per_filter_config: perRoute('ext_authz', []) },
      policy: 'authz: { limits: settle }, settle_within: 1s',
      policies: `${AUTH}\nlimits: { tokens: { per: [tenant], rules: [{ tokens: 1000, per: 24h }] } }`,
      backend: backend.url,
    })
    const ask = (): ReturnType<typeof open> =>
      open(`${mesh.url}/v1/chat/completions`, {
        body: { model: 'small', stream: true, max_tokens: 100, messages: [{ role: 'user', content: 'x' }] },
        headers: BEARER,
      })
    const left = async (req: ReturnType<typeof open>): Promise<number> =>
      Number((await headOf(req)).headers['x-ratelimit-remaining-tokens'])
    const first = ask()
    const before = await left(first)
    first.destroy()
    await until(async () => (await mesh.gateway.metric('heddle_policy_leases')) === 0, 6000)
    const second = ask()
    expect(await left(second)).toBe(2 * before - 1000)
    second.destroy()
  })
})
