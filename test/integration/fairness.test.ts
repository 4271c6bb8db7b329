// Two tenants at one bounded backend, through a whole gateway.
import { createHash } from 'node:crypto'
import { Agent, request } from 'undici'
import { afterEach, expect, test } from 'vitest'
import { startGateway } from '../support/gateway.ts'
import type { Gateway } from '../support/gateway.ts'

let gateway: Gateway | null = null
afterEach(async () => {
  await gateway?.stop()
  gateway = null
})

const keyOf = (tenant: string): string => `sk-fairness-${tenant}-0123456789`
const sha = (text: string): string => createHash('sha256').update(text).digest('hex')

const config = (workers: number): string => `
server: { workers: ${workers}, log: { level: silent, access: false } }
providers: { sim: { type: sim, capacity: { concurrency: 8, queue: { length: 1000, wait: 30s } } } }
models: { m: sim/sim-small }
tenants: { loud: {}, quiet: {} }
auth:
  keys:
    - { id: loud, hash: 'sha256:${sha(keyOf('loud'))}', tenant: loud }
    - { id: quiet, hash: 'sha256:${sha(keyOf('quiet'))}', tenant: quiet }
`

interface Served {
  tokens: number
  refused: number
  readonly waits: number[]
}

/** 800 connections are opened in it: until all callers are there nobody floods. */
const WARM_MS = 1500
const RUN_MS = 5500
const SERVICE_MS = 25

/** So many callers at a time, each with its next question as soon as it has an answer. */
const offer = async (dispatcher: Agent, tenant: string, callers: number, until: number): Promise<Served> => {
  const served: Served = { tokens: 0, refused: 0, waits: [] }
  const body = JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content: `Tell me about ${tenant}.` }],
    max_tokens: 30,
  })
  const headers = {
    'content-type': 'application/json',
    authorization: `Bearer ${keyOf(tenant)}`,
    'x-sim-fault': `delay_headers=${SERVICE_MS}`,
  }
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      const began = performance.now()
      const answer = await request(`${gateway!.url}/v1/chat/completions`, { method: 'POST', headers, body, dispatcher })
      const text = await answer.body.text()
      if (performance.now() > until) return
      if (performance.now() < until - RUN_MS + WARM_MS) continue
      if (answer.statusCode !== 200) served.refused++
      else {
        served.tokens += (JSON.parse(text) as { usage: { total_tokens: number } }).usage.total_tokens
        served.waits.push(performance.now() - began - SERVICE_MS)
      }
    }
  }
  await Promise.all(Array.from({ length: callers }, one))
  return served
}

const percentile = (values: readonly number[], p: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * p)] ?? 0

test.each([1, 2])(
  '%i workers: one tenant floods with fifty times as much, the other keeps its half',
  async (workers) => {
    gateway = await startGateway(config(workers))
    const dispatcher = new Agent({ connections: 1000 })
    const until = performance.now() + RUN_MS
    const [loud, quiet] = await Promise.all([
      offer(dispatcher, 'loud', 800, until),
      offer(dispatcher, 'quiet', 16, until),
    ])
    await dispatcher.destroy()
    const share = quiet.tokens / (quiet.tokens + loud.tokens)
    const wait = (of: Served): string =>
      `${percentile(of.waits, 0.5).toFixed(0)} / ${percentile(of.waits, 0.99).toFixed(0)} ms`
    process.stdout.write(
      `fairness, ${workers} worker(s), 8 places, 800 against 16 callers: the quiet tenant has ${(share * 100).toFixed(1)} % of the tokens, ` +
        `waits (p50 / p99) ${wait(quiet)}, the loud one ${wait(loud)}\n`,
    )
    expect([loud.refused, quiet.refused]).toEqual([0, 0])
    expect(share).toBeGreaterThanOrEqual(0.45)
    expect(loud.tokens).toBeGreaterThan(0)
  },
)
