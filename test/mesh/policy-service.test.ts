// AC-PS-1: the rules of mesh filters, against a real Envoy whose filters ask the policy service.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { call, chat, headOf, open, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { sendJson, startBackend, CHAT_ANSWER } from '../support/backend.ts'
import { envoy } from './kit/binary.ts'
import { ANSWERS_ONLY, extAuthz, extProc, generic, httpAuthz, perRoute, rateLimit } from './kit/policy.ts'
import { AUTH, KEY, OTHER_KEY, policyMesh, type PolicyMesh } from './policy-kit.ts'

const closing = closedAfterEach()
const BEARER = { authorization: `Bearer ${KEY}` }

/** A backend that notes heads and answers chat. */
const recording = async () => {
  const heads: { path: string; headers: Record<string, unknown> }[] = []
  const backend = await startBackend((res, _n, req) => {
    heads.push({ path: req.url ?? '', headers: { ...req.headers } })
    sendJson(res, 200, CHAT_ANSWER)
  })
  closing.push(() => backend.close())
  return { backend, heads }
}

describe.skipIf(envoy === null)('AC-PS-1 external authorization', () => {
  test('a caller with a key goes on, without the key; who it is goes with the request', async () => {
    const { backend, heads } = await recording()
    const mesh = await policyMesh(closing, { filters: () => [extAuthz('policy')], backend: backend.url })
    const answer = await chat(
      mesh.url,
      'small',
      {},
      { ...BEARER, 'x-heddle-tenant': 'forged', 'x-heddle-key': 'forged' },
    )
    expect(answer.status).toBe(200)
    const { headers } = heads[0]!
    expect(headers['authorization']).toBeUndefined()
    expect(headers).toMatchObject({
      'x-heddle-tenant': 'acme',
      'x-heddle-key': 'one',
      'x-heddle-provider': 'alpha',
      'x-heddle-model': 'sim-small',
      'x-heddle-target': 'alpha/sim-small',
    })
  })

  test('a stranger, a model that is not the caller’s, a model that is not there: the envelope of the dialect', async () => {
    const { backend, heads } = await recording()
    const mesh = await policyMesh(closing, { filters: () => [extAuthz('policy')], backend: backend.url })
    expect(await chat(mesh.url, 'small')).toMatchObject({ status: 401, error: { code: 'unauthenticated' } })
    const other = { authorization: `Bearer ${OTHER_KEY}` }
    expect(await chat(mesh.url, 'large', {}, other)).toMatchObject({
      status: 403,
      error: { code: 'permission_denied' },
    })
    expect(await chat(mesh.url, 'none', {}, BEARER)).toMatchObject({ status: 404, error: { code: 'model_not_found' } })
    expect(heads).toEqual([])
  })

  test('the list of models is answered in the backend’s place', async () => {
    const { backend, heads } = await recording()
    const mesh = await policyMesh(closing, { filters: () => [extAuthz('policy')], backend: backend.url })
    const reply = await call(`${mesh.url}/v1/models`, { headers: BEARER })
    expect(reply.status).toBe(200)
    expect((reply.json() as { data: { id: string }[] }).data.map(({ id }) => id)).toEqual(['small', 'large'])
    expect(heads).toEqual([])
  })

  test('a body that the proxy has cut is refused, and one that it does not show is the operator’s mistake', async () => {
    const { backend } = await recording()
    const cut = { with_request_body: { max_request_bytes: 100, allow_partial_message: true, pack_as_bytes: true } }
    const mesh = await policyMesh(closing, { filters: () => [extAuthz('policy', cut)], backend: backend.url })
    expect(await chat(mesh.url, 'small', { user: 'x'.repeat(200) }, BEARER)).toMatchObject({
      status: 413,
      error: { code: 'payload_too_large' },
    })
    const blind = await policyMesh(closing, {
      filters: () => [extAuthz('policy', { with_request_body: undefined })],
      backend: backend.url,
    })
    expect(await chat(blind.url, 'small', {}, BEARER)).toMatchObject({
      status: 500,
      error: { code: 'proxy_misconfigured' },
    })
  })

  test('over HTTP on the API’s own port', async () => {
    const { backend, heads } = await recording()
    const mesh = await policyMesh(closing, {
      filters: (gateway) => [httpAuthz('api', gateway.port)],
      clusters: (gateway) => [
        {
          name: 'api',
          type: 'STATIC',
          connect_timeout: '1s',
          load_assignment: {
            cluster_name: 'api',
            endpoints: [
              {
                lb_endpoints: [
                  { endpoint: { address: { socket_address: { address: '127.0.0.1', port_value: gateway.port } } } },
                ],
              },
            ],
          },
        },
      ],
      backend: backend.url,
    })
    expect((await chat(mesh.url, 'small', {}, BEARER)).status).toBe(200)
    expect(heads[0]!.headers).toMatchObject({ 'x-heddle-tenant': 'acme', 'x-heddle-model': 'sim-small' })
    expect(heads[0]!.headers['authorization']).toBeUndefined()
    expect(await chat(mesh.url, 'small')).toMatchObject({ status: 401, error: { code: 'unauthenticated' } })
    // Without the filter's prefix nothing changes; and what asks nothing of a policy has no such door.
    expect((await call(`${mesh.gateway.url}/ext-authz/v1/models`, { headers: BEARER })).status).toBe(404)
  })
})

describe.skipIf(envoy === null)('AC-PS-1 external processing', () => {
  test('a call is rewritten: model, path, credentials; nothing of the client’s goes to the provider', async () => {
    const { backend, heads } = await recording()
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url })
    const answer = await chat(mesh.url, 'small', {}, { ...BEARER, 'x-secret-of-client': 'private', cookie: 'a=b' })
    expect(answer).toMatchObject({ status: 200, text: 'woven' })
    expect(JSON.parse(backend.bodies[0]!.toString())).toMatchObject({ model: 'sim-small' })
    expect(heads[0]).toMatchObject({ path: '/v1/chat/completions' })
    expect(heads[0]!.headers).toMatchObject({
      authorization: 'Bearer sk-of-the-provider',
      'x-heddle-target': 'alpha/sim-small',
    })
    expect(heads[0]!.headers['cookie']).toBeUndefined()
    expect(heads[0]!.headers['x-secret-of-client']).toBeUndefined()
    expect(answer.headers).toMatchObject({ 'x-heddle-target': 'alpha/sim-small' })
  })

  test('a refusal is the dialect’s, and the proxy’s log says why', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-policy-'))
    closing.push(() => rmSync(folder, { recursive: true, force: true }))
    const log = join(folder, 'log')
    const { backend, heads } = await recording()
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], backend: backend.url, log })
    expect(await chat(mesh.url, 'small')).toMatchObject({ status: 401, error: { code: 'unauthenticated' } })
    expect(await chat(mesh.url, 'none', {}, BEARER)).toMatchObject({ status: 404, error: { code: 'model_not_found' } })
    expect(heads).toEqual([])
    await until(() => readLines(log).length === 2)
    expect(readLines(log).map(({ details }) => details)).toEqual(['heddle_unauthenticated', 'heddle_model_not_found'])
  })

  test('a stream passes event by event, and its tokens are told at its end', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-policy-'))
    closing.push(() => rmSync(folder, { recursive: true, force: true }))
    const log = join(folder, 'log')
    const mesh = await policyMesh(closing, { filters: () => [extProc('policy')], log })
    const answer = await chat(mesh.url, 'small', { stream: true }, BEARER)
    expect(answer).toMatchObject({ status: 200, done: true })
    expect(answer.text.length).toBeGreaterThan(10)
    await until(() => readLines(log).length === 1)
    expect(readLines(log)[0]).toMatchObject({ target: 'alpha/sim-small' })
    expect(Number(readLines(log)[0]!.tokens)).toBeGreaterThan(5)
  })
})

describe.skipIf(envoy === null)('AC-PS-1 rate limits', () => {
  const LIMITED = `${AUTH}
limits:
  tokens: { per: [tenant], rules: [{ tokens: 1000, per: 24h }] }
  calls: { per: [key], rules: [{ requests: 4, per: 24h }] }
`
  const used = async (mesh: PolicyMesh): Promise<number> => usedOf(await mesh.gateway.metrics(), mesh)

  test('what external authorization has taken is settled with the tokens that the answer tells of', async () => {
    const { backend } = await recording()
    const mesh = await policyMesh(closing, {
      filters: () => [extAuthz('policy'), rateLimit('policy'), extProc('policy', ANSWERS_ONLY)],
      route: { typed_per_filter_config: perRoute('ext_authz', []) },
      policy: 'authz: { limits: settle }',
      policies: LIMITED,
      backend: backend.url,
    })
    const first = await chat(mesh.url, 'small', { max_tokens: 100 }, BEARER)
    expect(first.status).toBe(200)
    // As the proxy mode has it: what is left while the call holds what it may need.
    expect(Number(first.headers['x-ratelimit-remaining-tokens'])).toBeLessThan(900)
    await until(async () => (await mesh.gateway.metric('heddle_policy_leases')) === 0)
    const second = await chat(mesh.url, 'small', { max_tokens: 100 }, BEARER)
    // The answer told of 5 tokens: they, and what the second call may need, are gone.
    expect(Number(second.headers['x-ratelimit-remaining-tokens'])).toBe(
      Number(first.headers['x-ratelimit-remaining-tokens']) - 5,
    )
    expect(await used(mesh)).toBe(2)
    for (let i = 0; i < 2; i++) expect((await chat(mesh.url, 'small', { max_tokens: 1 }, BEARER)).status).toBe(200)
    expect(await chat(mesh.url, 'small', { max_tokens: 1 }, BEARER)).toMatchObject({
      status: 429,
      error: { code: 'rate_limited' },
    })
  })

  test('a client that leaves in the middle, and an answer of the proxy’s own, settle as well', async () => {
    const backend = await startBackend((res, n) => {
      if (n > 0) {
        sendJson(res, 200, CHAT_ANSWER)
        return
      }
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write('data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    })
    closing.push(() => backend.close())
    const mesh = await policyMesh(closing, {
      filters: () => [extAuthz('policy'), rateLimit('policy'), extProc('policy', ANSWERS_ONLY)],
      route: { typed_per_filter_config: perRoute('ext_authz', []) },
      policy: 'authz: { limits: settle }, settle_within: 2s',
      policies: LIMITED,
      backend: backend.url,
    })
    const req = open(`${mesh.url}/v1/chat/completions`, {
      body: { model: 'small', stream: true, max_tokens: 50, messages: [{ role: 'user', content: 'x' }] },
      headers: BEARER,
    })
    await headOf(req)
    expect(await mesh.gateway.metric('heddle_policy_leases')).toBe(1)
    req.destroy()
    // Nobody could count what an unfinished answer used: the lease counts as expected, soon after.
    await until(async () => (await mesh.gateway.metric('heddle_policy_leases')) === 0, 6000)
    expect(await chat(mesh.url, 'small')).toMatchObject({ status: 401 })
    expect(await mesh.gateway.metric('heddle_policy_leases')).toBe(0)
  })

  test('without external authorization the limits go by what descriptors say', async () => {
    const { backend } = await recording()
    const mesh = await policyMesh(closing, {
      filters: () => [rateLimit('policy'), extProc('policy', ANSWERS_ONLY)],
      route: {
        typed_per_filter_config: perRoute('ratelimit', [
          generic('tenant', 'acme'),
          generic('key', 'one'),
          generic('model', 'small'),
        ]),
      },
      policies: LIMITED,
      backend: backend.url,
    })
    const statuses = []
    for (let i = 0; i < 6; i++) statuses.push((await chat(mesh.url, 'small')).status)
    expect(statuses).toEqual([200, 200, 200, 200, 429, 429])
    const refused = await chat(mesh.url, 'small')
    expect(refused).toMatchObject({ status: 429, error: { code: 'rate_limited' } })
    expect(refused.headers).toMatchObject({ 'x-envoy-ratelimited': 'true', 'content-type': 'application/json' })
    await until(async () => (await mesh.gateway.metric('heddle_policy_leases')) === 0)
    expect(await used(mesh)).toBe(4)
  })
})

/** Settled calls, by the service's own count. */
const usedOf = (metrics: string, _mesh: PolicyMesh): number => {
  const line = metrics
    .split('\n')
    .find(
      (l) =>
        l.startsWith('heddle_policy_decisions_total{') &&
        l.includes('service="ratelimit"') &&
        l.includes('decision="settled"'),
    )
  return line === undefined ? 0 : Number(line.split(' ').at(-1))
}

interface LogLine {
  readonly code: number
  readonly details: string
  readonly tokens: number | null
  readonly target: string | null
}

const readLines = (path: string): LogLine[] => {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine)
  } catch {
    return []
  }
}
