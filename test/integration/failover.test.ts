import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FAULTS, startSim } from '../../src/sim/index.ts'
import type { Sim } from '../../src/sim/index.ts'
import type { Answer } from '../support/client.ts'
import type { Gateway } from '../support/gateway.ts'
import { call, chat } from '../support/client.ts'
import { startGateway } from '../support/gateway.ts'
import { MATRIX, MAX_ATTEMPTS, matrixPage } from './failover-matrix.ts'
import type { Outcome } from './failover-matrix.ts'

const KEY = 'sk-matrix-0123456789abcdefghij'
const OTHER_KEY = 'plain.key.without.any.known.prefix'

interface Case {
  readonly name: string
  readonly id: string
  readonly fault: string
  readonly stream: boolean
  readonly two: boolean
  readonly outcome: Outcome
}

const CASES: readonly Case[] = MATRIX.flatMap(({ fault, json, stream }, row) =>
  (
    [
      [json, false],
      [stream, true],
    ] as const
  ).flatMap(([outcomes, streamed]) =>
    outcomes.map((outcome, i) => ({
      name: `${fault}, ${streamed ? 'stream' : 'JSON'}, ${i === 0 ? 'one target' : 'two targets'}`,
      // A name of its own for each case: targets of one name share their health.
      id: `c${row}${streamed ? 's' : 'j'}${i + 1}`,
      fault,
      stream: streamed,
      two: i === 1,
      outcome,
    })),
  ),
)

let first: Sim
let second: Sim
let gateway: Gateway

const config = (): string => `
server:
  log: { level: silent, access: false }
  limits: { response_body: 1MiB, sse_event: 1MiB }
defaults:
  timeouts: { first_token: 500ms, idle: 500ms, attempt: 1s }
  retries: { max_attempts: ${MAX_ATTEMPTS}, backoff: { base: 1ms, max: 2ms }, max_retry_after: 500ms }
  breaker: { enabled: false }
providers:
  first: { type: openai_compatible, base_url: "${first.url}", api_key: "${KEY}" }
  second: { type: openai_compatible, base_url: "${second.url}", api_key: "${OTHER_KEY}" }
models:
${CASES.map(({ id, fault, two }) => `  ${id}: ["first/${id}~${fault}"${two ? `, "second/${id}"` : ''}]`).join('\n')}
`

beforeAll(async () => {
  first = await startSim()
  second = await startSim()
  gateway = await startGateway(config())
  // Packs the bomb once: that takes longer than the timers of the cases allow.
  const packed = await call(`${first.url}/chat/completions`, { body: { model: 'warm-up~gzip_bomb=4194304' } })
  if (packed.headers['content-encoding'] !== 'gzip') throw new Error('the bomb is not packed')
})

afterAll(async () => {
  await gateway.stop()
  await Promise.all([first.close(), second.close()])
})

test('every fault of the simulator has a row', () => {
  const named = new Set(MATRIX.flatMap(({ fault }) => fault.split('~').map((part) => part.split('=')[0])))
  expect(FAULTS.map((f) => f.name).filter((name) => !named.has(name))).toEqual([])
})

test('docs/reference/failover-matrix.md says the same: update with vitest -u', async () => {
  await expect(matrixPage()).toMatchFileSnapshot('../../docs/reference/failover-matrix.md')
})

const SECRETS = [KEY, OTHER_KEY, 'backend-secret', 'redirected.invalid', 'node-7', '127.0.0.1']
const FORBIDDEN = [
  'set-cookie',
  'server',
  'x-evil',
  'x-api-key',
  'location',
  'www-authenticate',
  'openai-organization',
  'content-encoding',
  'link',
]

/** Holds for every answer, whatever happened. */
const checkAlways = (answer: Answer, stream: boolean): void => {
  const seen = `${answer.raw}\n${JSON.stringify(answer.headers)}`
  for (const secret of SECRETS) expect(seen).not.toContain(secret)
  for (const name of FORBIDDEN) expect(answer.headers[name]).toBeUndefined()
  expect(answer.headers['x-request-id']).toMatch(/^\S+$/)
  if (answer.error !== undefined) {
    expect(answer.error).toMatchObject({ message: expect.stringMatching(/\S/), type: expect.stringMatching(/\S/) })
    expect(answer.raw).not.toMatch(/<html|doctype/i)
  }
  if (!stream || answer.status !== 200) return
  // Exactly one ending, and nothing after it.
  expect([answer.done, answer.error !== undefined].filter(Boolean)).toHaveLength(1)
  expect(answer.afterEnd).toBe(0)
  // Text of one backend only: two ids in one stream would be two answers.
  expect(new Set(answer.chunks.filter((c) => (c.choices ?? []).length > 0).map((c) => c.id)).size).toBeLessThanOrEqual(
    1,
  )
}

describe.concurrent('matrix', () => {
  test.each(CASES)('$name', async ({ id, stream, outcome }) => {
    const answer = await chat(gateway.url, id, stream ? { stream: true } : {})
    const calls = [first, second].map((sim) => sim.received.filter((r) => r.model.split('~')[0] === id).length)
    const by = answer.headers['x-heddle-target']
    expect({
      status: answer.status,
      code: answer.error?.code ?? null,
      by: by === undefined ? null : String(by).split('/')[0],
      attempts: calls[0]! + calls[1]!,
      content: answer.text !== '',
    }).toEqual({
      status: outcome.status,
      code: outcome.code,
      by: outcome.by,
      attempts: outcome.attempts,
      content: outcome.content,
    })
    const hint = Number(answer.headers['retry-after'] ?? 0)
    // Nobody is told 429 or 503 without a time to come back, where nothing better is known a second.
    const usual = answer.status === 429 || answer.status === 503 ? 1 : 0
    if (outcome.retryAfter === undefined) expect(hint).toBe(usual)
    else expect(hint).toBeGreaterThanOrEqual(outcome.retryAfter)
    if (hint > 0) expect(Number(answer.headers['retry-after-ms'])).toBeGreaterThan(0)
    checkAlways(answer, stream)
  })
})

test('what a client did wrong it reads in the provider’s words, cleaned', async () => {
  const { id } = CASES.find((c) => c.fault === 'context_length')!
  const { error } = await chat(gateway.url, id)
  expect(error?.message).toMatch(/^This model's maximum context length is 128000 tokens/)
  expect(error?.param).toBe('messages')
})
