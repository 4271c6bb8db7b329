// AC-PS-3: the same configuration decides the same, whichever way it is asked: as the proxy itself, by external
// authorization with the rate limit service, or by external processing.
import { describe, expect, test } from 'vitest'
import type { Backend } from '../support/backend.ts'
import type { Reply } from '../support/client.ts'
import { startBackend } from '../support/backend.ts'
import { call, until } from '../support/client.ts'
import { closedAfterEach } from '../support/closing.ts'
import { startGateway } from '../support/gateway.ts'
import { envoy } from './kit/binary.ts'
import { ANSWERS_ONLY, extAuthz, extProc, perRoute, rateLimit } from './kit/policy.ts'
import { KEY, OTHER_KEY, policyMesh, policyYaml } from './policy-kit.ts'

const closing = closedAfterEach()
const REQUESTS = 500
const THIRD_KEY = 'hk-Lk4dN8vQy2SxM6bR9zEu'

/** Keys, roles, conditions, several targets, limits of requests, tokens and money: what a configuration decides by. */
const POLICIES = `  strict: { targets: [{ provider: alpha, model: tools, capabilities: { tools: false } }] }
  routed:
    targets:
      - { provider: alpha, model: for-long, when: 'request.max_tokens > 100.0' }
      - { provider: alpha, model: for-eu, when: 'headers["x-region"] == "eu"' }
      - { provider: alpha, model: for-others }
    strategy: priority
  priced: { targets: [{ provider: alpha, model: dear, price: { input: 1000, output: 1000 } }] }
  narrow: { targets: [{ provider: alpha, model: short, capabilities: { context_window: 60 } }], fallbacks: { context_window: [small] } }
  "wild-*": { targets: [{ provider: alpha, model: "w-*" }] }
auth:
  roles:
    reader: { models: [small, routed, "wild-*"], operations: [chat] }
    toolless: { tools: [] }
  keys:
    - { id: one, key: "${KEY}", tenant: acme, user: ann }
    - { id: two, key: "${OTHER_KEY}", tenant: other, roles: [reader] }
    - { id: three, key: "${THIRD_KEY}", tenant: other, team: t3, roles: [toolless] }
tenants:
  acme: {}
  other: { models: [small, routed, priced, strict, "wild-*"] }
limits:
  calls: { per: [key], rules: [{ requests: 120, per: 24h }] }
  tokens: { per: [tenant], rules: [{ tokens: 4000, per: 24h }] }
  money: { per: [key], rules: [{ usd: 12, per: 24h }], when: model == "priced" }
  few: { per: [team], rules: [{ requests: 30, per: 24h }] }
`

interface Recorded {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** mulberry32: the same requests each time. */
const seeded = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const recordedRequests = (count: number): readonly Recorded[] => {
  const random = seeded(20_26)
  const pick = <const T extends readonly unknown[]>(...of: T): T[number] => of[Math.floor(random() * of.length)]!
  const credentials = (): Readonly<Record<string, string>> =>
    pick(
      { authorization: `Bearer ${KEY}` },
      { authorization: `Bearer ${KEY}` },
      { authorization: `Bearer ${KEY}` },
      { authorization: `Bearer ${KEY}` },
      { authorization: `Bearer ${KEY}` },
      { authorization: `Bearer ${OTHER_KEY}` },
      { authorization: `Bearer ${OTHER_KEY}` },
      { authorization: `Bearer ${THIRD_KEY}` },
      { authorization: `Bearer ${THIRD_KEY}` },
      { authorization: `Bearer ${THIRD_KEY}` },
      { 'x-api-key': KEY },
      { authorization: 'Bearer nobody-knows-this' },
      { authorization: 'Basic dTpw' },
      {},
    )
  const chatBody = (): string => {
    const body: Record<string, unknown> = {
      model: pick(
        'small',
        'small',
        'large',
        'routed',
        'routed',
        'priced',
        'strict',
        'narrow',
        'wild-one',
        'none',
        '',
        7,
      ),
      messages: [{ role: 'user', content: 'thread '.repeat(1 + Math.floor(random() * 60)) }],
    }
    if (random() < 0.7) body['max_tokens'] = Math.floor(random() * 200)
    if (random() < 0.15) body['tools'] = [{ type: 'function', function: { name: 'weave', parameters: {} } }]
    if (random() < 0.2) Object.assign(body, { stream: true, stream_options: { include_usage: true } })
    if (random() < 0.1) body['user'] = pick('ann', 'bob', 3)
    return random() < 0.04
      ? JSON.stringify(body).slice(0, -3)
      : random() < 0.03
        ? `{"model":"small","model":"large"}`
        : JSON.stringify(body)
  }
  return Array.from({ length: count }, () => {
    const headers: Record<string, string> = {
      ...credentials(),
      'content-type': random() < 0.04 ? 'text/xml' : 'application/json',
    }
    if (random() < 0.3) headers['x-region'] = pick('eu', 'us')
    if (random() < 0.05) headers['x-heddle-tenant'] = 'acme'
    const kind = random()
    if (kind < 0.05) return { method: 'GET', path: '/v1/models', headers: credentials() }
    if (kind < 0.07) return { method: 'GET', path: '/nowhere', headers: credentials() }
    if (kind < 0.1)
      return {
        method: 'POST',
        path: '/v1/embeddings',
        headers,
        body: JSON.stringify({ model: pick('small', 'none'), input: 'warp' }),
      }
    if (kind < 0.12) return { method: 'PUT', path: '/v1/chat/completions', headers, body: '{}' }
    return { method: 'POST', path: '/v1/chat/completions', headers, body: chatBody() }
  })
}

/** Says which model it was asked for, and that five tokens were used. */
const loom = async (): Promise<Backend & { readonly models: (string | undefined)[] }> => {
  const models: (string | undefined)[] = []
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  const backend = await startBackend((res, _n, req, body) => {
    const asked = JSON.parse(body.toString() || '{}') as { model?: string; stream?: boolean }
    models.push((req.headers['x-heddle-model'] as string | undefined) ?? asked.model)
    if (req.url!.endsWith('/embeddings')) {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(
        JSON.stringify({
          object: 'list',
          model: 'm',
          data: [{ object: 'embedding', index: 0, embedding: [1] }],
          usage: { prompt_tokens: 3, total_tokens: 5 },
        }),
      )
      return
    }
    const chunk = (more: object): string =>
      `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', ...more })}\n\n`
    if (asked.stream === true) {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(chunk({ choices: [{ index: 0, delta: { content: 'ok' }, finish_reason: null }] }))
      res.write(chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }))
      res.end(`${chunk({ choices: [], usage })}data: [DONE]\n\n`)
      return
    }
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(
      JSON.stringify({
        id: 'c',
        object: 'chat.completion',
        created: 1,
        model: 'm',
        choices: [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }],
        usage,
      }),
    )
  })
  closing.push(() => backend.close())
  return Object.assign(backend, { models })
}

interface Decision {
  readonly status: number
  /** Of a refusal the whole envelope but the request's id; else nothing of the answer. */
  readonly error: unknown
  /** As the backend was told; undefined = it was not called. */
  readonly model: string | undefined
  readonly requestsLeft: string | undefined
  readonly tokensLeft: string | undefined
  readonly retryAfter: string | undefined
}

const decisionOf = (reply: Reply, model: string | undefined): Decision => {
  const { headers, status } = reply
  const envelope = status < 400 ? null : (reply.json() as { error: Record<string, unknown> }).error
  const { request_id: _, ...error } = envelope ?? {}
  const text = (name: string): string | undefined => headers[name] as string | undefined
  return {
    status,
    error,
    model,
    requestsLeft: text('x-ratelimit-remaining-requests'),
    tokensLeft: text('x-ratelimit-remaining-tokens'),
    retryAfter: text('retry-after') === undefined ? undefined : 'told',
  }
}

/** Plays the recording, one request after the other. settled: what a call has taken is counted before the next. */
const play = async (
  url: string,
  backend: Awaited<ReturnType<typeof loom>>,
  settled: () => Promise<void>,
): Promise<Decision[]> => {
  const decisions: Decision[] = []
  for (const { method, path, headers, body } of recordedRequests(REQUESTS)) {
    const before = backend.models.length
    const reply = await call(`${url}${path}`, { method, headers, ...(body === undefined ? {} : { body }) })
    await settled()
    decisions.push(decisionOf(reply, backend.models[before]))
  }
  return decisions
}

describe.skipIf(envoy === null)('AC-PS-3', () => {
  test(`${REQUESTS} recorded requests: identical decisions through all doors`, async () => {
    const direct = await loom()
    const proxy = await startGateway(policyYaml(direct.url, POLICIES))
    closing.push(() => proxy.stop())
    const asProxy = await play(proxy.url, direct, async () => {})

    const behindAuthz = await loom()
    const authz = await policyMesh(closing, {
      filters: () => [extAuthz('policy'), rateLimit('policy'), extProc('policy', ANSWERS_ONLY)],
      route: { typed_per_filter_config: perRoute('ext_authz', []) },
      policy: 'authz: { limits: settle }',
      policies: POLICIES,
      backend: behindAuthz.url,
    })
    const byAuthz = await play(authz.url, behindAuthz, () =>
      until(async () => (await authz.gateway.metric('heddle_policy_leases')) === 0),
    )

    const behindProc = await loom()
    const proc = await policyMesh(closing, {
      filters: () => [extProc('policy')],
      policies: POLICIES,
      backend: behindProc.url,
    })
    const byProc = await play(proc.url, behindProc, async () => {})

    const requests = recordedRequests(REQUESTS)
    const mismatches = asProxy.flatMap((decision, i) => {
      const others = { ext_authz: byAuthz[i]!, ext_proc: byProc[i]! }
      return Object.entries(others).flatMap(([door, other]) =>
        JSON.stringify(decision) === JSON.stringify(other)
          ? []
          : [{ i, door, request: requests[i], proxy: decision, other }],
      )
    })
    const counts = new Map<string, number>()
    for (const { status, error } of asProxy) {
      const name = `${status} ${(error as { code?: string }).code ?? 'ok'}`
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    const table = [...counts]
      .toSorted((a, b) => b[1] - a[1])
      .map(([name, count]) => `    ${String(count).padStart(4)}  ${name}`)
    process.stdout.write(
      `  AC-PS-3 decisions of ${REQUESTS} requests, each through three doors:\n${table.join('\n')}\n    mismatches: ${mismatches.length}\n`,
    )
    expect(mismatches.slice(0, 3)).toEqual([])
    // It would show nothing if nearly all were alike.
    expect(counts.size).toBeGreaterThan(8)
    expect(new Set(asProxy.map(({ model }) => model)).size).toBeGreaterThan(7)
  }, 120_000)
})
