import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSim } from '../../src/sim/index.ts'
import type { Sim } from '../../src/sim/index.ts'
import type { Gateway } from '../support/gateway.ts'
import { call, chat, until } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'

let a: Sim
let b: Sim
let c: Sim
let gateway: Gateway

const OPERATIONS = '[chat, completions, embeddings, responses, passthrough]'

beforeAll(async () => {
  a = await startSim()
  b = await startSim()
  c = await startSim()
  gateway = await startGateway(`
defaults: { retries: { max_attempts: 2, backoff: { base: 0, max: 0 } } }
providers:
  a: { type: openai_compatible, base_url: "${a.url}", operations: ${OPERATIONS} }
  b: { type: openai_compatible, base_url: "${b.url}", operations: ${OPERATIONS} }
  c: { type: openai_compatible, base_url: "${c.url}", operations: [chat], model_patterns: ["vendor-*"] }
models:
  able:
    targets:
      - { provider: a, model: able, capabilities: { tools: false, vision: false, json_schema: false, streaming: false, audio: false, max_output_tokens: 100 } }
      - b/able
  unable: { targets: [{ provider: a, model: unable, capabilities: { tools: false } }] }
  canary: { targets: [a/canary, { provider: b, model: canary, canary: 20% }] }
  shadowed: { targets: [a/shadowed, { provider: b, model: "copy~delay_headers=150", shadow: 1 }] }
  shadow-dead: { targets: [a/shadow-dead, { provider: b, model: "copy~stall", shadow: 1 }], timeouts: { attempt: 200ms } }
  sticky: { strategy: weighted, sticky: prefix, targets: [a/sticky, b/sticky, c/sticky] }
  by-user: { strategy: weighted, sticky: user, targets: [a/by-user, b/by-user, c/by-user] }
  by-header: { strategy: weighted, sticky: "header:x-session", targets: [a/by-header, b/by-header] }
  sticky-broken: { strategy: weighted, sticky: user, targets: ["a/sb~status=500", "b/sb"] }
  weighted: { strategy: weighted, targets: [{ provider: a, model: w, weight: 3 }, { provider: b, model: w, weight: 1 }, { provider: c, model: w, weight: 0 }] }
  least: { strategy: least_busy, targets: ["a/least~delay_headers=250", b/least, c/least] }
  fastest: { strategy: lowest_latency, targets: ["a/fastest~delay_headers=120", "b/fastest", "c/fastest~delay_headers=120"] }
  cheapest:
    strategy: lowest_cost
    targets:
      - { provider: a, model: cheapest, price: { input: 5, output: 1 } }
      - { provider: b, model: cheapest, price: { input: 1, output: 5 } }
      - c/cheapest
  conditional:
    targets:
      - { provider: a, model: cond, when: 'headers["x-tier"] == "paid"' }
      - { provider: b, model: cond, when: 'metadata.team == "search" && !has(request.tools)' }
      - c/cond
  grouped: { strategy: weighted, targets: [{ provider: a, model: "g~status=500", priority: 0 }, { provider: b, model: g, priority: 1 }, { provider: c, model: g, priority: 2 }] }
  "family-*": "a/upstream-*"
  "same-*": b
  "family-special": c/special
  aliased: { targets: [c/aliased], aliases: [other-name] }
  renamed: "a/vendor/model:tag"
`)
})

afterAll(async () => {
  await gateway.stop()
  await Promise.all([a.close(), b.close(), c.close()])
})

const target = (headers: Readonly<Record<string, unknown>>): string => String(headers['x-heddle-target'])
const provider = (headers: Readonly<Record<string, unknown>>): string => target(headers).split('/')[0]!
const user = (content: unknown) => ({ messages: [{ role: 'user', content }] })
const TOOLS = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }]

describe('capabilities', () => {
  test.each([
    ['plain text', {}, 'a'],
    ['tools', { tools: TOOLS }, 'b'],
    [
      'an image',
      user([
        { type: 'text', text: 'x' },
        { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
      ]),
      'b',
    ],
    [
      'a JSON Schema',
      {
        response_format: {
          type: 'json_schema',
          json_schema: { name: 's', schema: { type: 'object', properties: {}, additionalProperties: false } },
        },
      },
      'b',
    ],
    ['a stream', { stream: true }, 'b'],
    ['a long answer', { max_completion_tokens: 101 }, 'b'],
    ['an answer that fits', { max_completion_tokens: 100 }, 'a'],
    ['a mention of the words only', user('"tools": [], "image_url", "json_schema"'), 'a'],
  ])('%s', async (_name, extra, expected) => {
    const answer = await chat(gateway.url, 'able', extra)
    expect([answer.status, provider(answer.headers)]).toEqual([200, expected])
  })

  test('what nobody can do is said, not tried', async () => {
    const { status, error } = await chat(gateway.url, 'unable', { tools: TOOLS })
    expect([status, error?.code]).toEqual([400, 'unsupported_parameter'])
    expect(error?.message).toContain('no tools')
    expect(a.received.some((r) => r.model === 'unable')).toBe(false)
  })
})

const shares = async (
  model: string,
  count: number,
  body: (i: number) => object = () => ({}),
): Promise<Readonly<Record<string, number>>> => {
  const counts: Record<string, number> = { a: 0, b: 0, c: 0 }
  for (let i = 0; i < count; i += 20) {
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, j) => chat(gateway.url, model, body(i + j) as Record<string, unknown>)),
    )
    for (const answer of answers) counts[provider(answer.headers)]!++
  }
  return counts
}

/** Bounds of a binomial count that hold but once in a million runs (five standard deviations). */
const near = (count: number, n: number, p: number): boolean => Math.abs(count - n * p) < 5 * Math.sqrt(n * p * (1 - p))

describe('shares', () => {
  test('weights', async () => {
    const counts = await shares('weighted', 300)
    expect(near(counts['a']!, 300, 0.75)).toBe(true)
    expect(counts['c']).toBe(0)
  })

  test('canary', async () => {
    const counts = await shares('canary', 300)
    expect(near(counts['b']!, 300, 0.2)).toBe(true)
  })
})

describe('shadows', () => {
  test('the copy is complete and does not delay or change the answer', async () => {
    const body = { model: 'shadowed', messages: [{ role: 'user', content: 'copy this ünï' }], temperature: 0.5 }
    const reply = await call(`${gateway.url}/v1/chat/completions`, { body })
    expect([reply.status, provider(reply.headers)]).toEqual([200, 'a'])
    await until(() => b.received.some((r) => r.model.startsWith('copy~delay')))
    const copy = b.received.find((r) => r.model.startsWith('copy~delay'))!
    expect(JSON.parse(copy.body.toString())).toEqual({ ...body, model: 'copy~delay_headers=150' })
    // Answered before the shadow was: nobody waited for it.
    expect(await gateway.metric('heddle_shadow_requests_total')).toBe(0)
    await until(async () => (await gateway.metric('heddle_shadow_requests_total', { result: 'ok' })) === 1)
  })

  test('a shadow that hangs is ended by itself', async () => {
    expect((await chat(gateway.url, 'shadow-dead')).status).toBe(200)
    await until(async () => (await gateway.metric('heddle_shadow_requests_total', { result: 'attempt_timeout' })) === 1)
  })
})

describe('sticky', () => {
  test('a conversation stays, conversations spread', async () => {
    const homes: string[] = []
    for (let i = 0; i < 24; i++) {
      const messages: object[] = [
        { role: 'system', content: 'You weave.' },
        { role: 'user', content: `Conversation ${i}` },
      ]
      const turns: string[] = []
      for (let turn = 0; turn < 3; turn++) {
        const answer = await chat(gateway.url, 'sticky', { messages: [...messages] })
        turns.push(provider(answer.headers))
        messages.push({ role: 'assistant', content: answer.text }, { role: 'user', content: `And then? ${turn}` })
      }
      expect(new Set(turns).size).toBe(1)
      homes.push(turns[0]!)
    }
    const counts = Object.values(Object.groupBy(homes, (home) => home)).map((list) => list?.length ?? 0)
    expect(counts).toHaveLength(3)
    expect(Math.max(...counts)).toBeLessThan(20)
  })

  test('by user and by header', async () => {
    for (const name of ['ann', 'ben', 'cleo']) {
      const users = await Promise.all(Array.from({ length: 4 }, () => chat(gateway.url, 'by-user', { user: name })))
      expect(new Set(users.map((r) => provider(r.headers))).size).toBe(1)
      const sessions = await Promise.all(
        Array.from({ length: 4 }, () => chat(gateway.url, 'by-header', {}, { 'x-session': name })),
      )
      expect(new Set(sessions.map((r) => provider(r.headers))).size).toBe(1)
    }
  })

  test('is no reason to stay with a target that fails', async () => {
    for (let i = 0; i < 8; i++)
      expect(target((await chat(gateway.url, 'sticky-broken', { user: `u${i}` })).headers)).toBe('b/sb')
  })
})

describe('strategies', () => {
  test('least_busy leaves a slow target alone', async () => {
    // What is slow is known after each has been asked.
    await shares('least', 20)
    const counts = await shares('least', 60)
    expect(counts['a']!).toBeLessThan(12)
    expect(Math.min(counts['b']!, counts['c']!)).toBeGreaterThan(5)
  })

  test('lowest_latency asks those it does not know first, then the fastest', async () => {
    for (let i = 0; i < 3; i++) await chat(gateway.url, 'fastest')
    const counts = await shares('fastest', 20)
    expect(counts).toEqual({ a: 0, b: 20, c: 0 })
  })

  test('lowest_cost knows what the request will cost', async () => {
    const cheap = async (extra: object) =>
      provider((await chat(gateway.url, 'cheapest', extra as Record<string, unknown>)).headers)
    expect(await cheap({ ...user('x'.repeat(8000)), max_completion_tokens: 10 })).toBe('b')
    expect(await cheap({ ...user('x'), max_completion_tokens: 1000 })).toBe('a')
  })

  test('priorities go before strategy', async () => {
    expect(target((await chat(gateway.url, 'grouped')).headers)).toBe('b/g')
  })

  test('conditions over headers, metadata and body', async () => {
    expect(provider((await chat(gateway.url, 'conditional', {}, { 'x-tier': 'paid' })).headers)).toBe('a')
    expect(provider((await chat(gateway.url, 'conditional', { metadata: { team: 'search' } })).headers)).toBe('b')
    expect(
      provider((await chat(gateway.url, 'conditional', { metadata: { team: 'search' }, tools: TOOLS })).headers),
    ).toBe('c')
    expect(provider((await chat(gateway.url, 'conditional')).headers)).toBe('c')
  })
})

describe('names', () => {
  test.each([
    ['family-7b', 'a', 'upstream-7b'],
    ['family-special', 'c', 'special'],
    ['same-thing', 'b', 'same-thing'],
    ['aliased', 'c', 'aliased'],
    ['other-name', 'c', 'aliased'],
    ['renamed', 'a', 'vendor/model:tag'],
    ['a/any/thing', 'a', 'any/thing'],
    ['vendor-large', 'c', 'vendor-large'],
  ])('%s', async (model, where, upstream) => {
    const answer = await chat(gateway.url, model)
    expect([answer.status, provider(answer.headers)]).toEqual([200, where])
    const backend = { a, b, c }[where]!
    expect(backend.received.at(-1)!.model).toBe(upstream)
  })

  test('unknown names are 404 with the model as param, and the list has what exists', async () => {
    const { status, error } = await chat(gateway.url, 'family')
    expect([status, error?.code, error?.param]).toEqual([404, 'model_not_found', 'model'])
    const { data } = (await call(`${gateway.url}/v1/models`)).json() as { data: { id: string }[] }
    const ids = data.map((m) => m.id)
    expect(ids).toEqual(expect.arrayContaining(['aliased', 'other-name', 'family-special', 'weighted']))
    expect(ids.filter((id) => id.includes('*'))).toEqual([])
  })

  test('an operation that a provider does not serve is not sent to it', async () => {
    const reply = await call(`${gateway.url}/v1/embeddings`, { body: { model: 'aliased', input: 'x' } })
    expect([reply.status, (reply.json() as { error: { code: string } }).error.code]).toEqual([
      400,
      'unsupported_parameter',
    ])
  })
})
