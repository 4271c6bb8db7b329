// Every dollar and token adds up: some hundred random requests of two tenants through whole gateways, with faults,
// hedges, failover, continuations, queues and clients that leave; then records, log, metrics and counters are compared.
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { parseUsd } from '../../src/usage/report.ts'
import { open, until } from '../support/client.ts'
import { redisServer, TestRedis } from '../support/redis.ts'

const cleanUp: (() => Promise<unknown> | void)[] = []
afterEach(async () => {
  for (const clean of cleanUp.splice(0).toReversed()) await clean()
})

const TENANTS = ['loom', 'reed'] as const
const keyOf = (tenant: string): string => `sk-money-${tenant}-0123456789abcdef`
const hashOf = (tenant: string): string => createHash('sha256').update(keyOf(tenant)).digest('hex')

const configOf = (folder: string, workers: number, redis: string | null): string => `
server: { workers: ${workers}, log: { level: info, access: true } }
${redis === null ? '' : `ledger: { redis: { url: "${redis}", deadline: 5s } }`}
usage: { cost_header: true, records: { file: { path: "${folder}/usage.jsonl" } } }
providers:
  a: { type: sim, capacity: { concurrency: 6, learn: false, queue: { length: 30, wait: 300ms } } }
  b: { type: sim }
defaults:
  retries: { max_attempts: 3, max_retry_after: 50ms, backoff: { base: 1ms, max: 5ms } }
  timeouts: { first_token: 700ms, idle: 400ms, attempt: 900ms, total: 1500ms }
  breaker: { consecutive_failures: 10000 }
  continuation: true
models:
  m:
    targets:
      - { provider: a, model: sim-chat, price: { input: 3, output: 15.000001, cached_input: 0.3, per_request: 0.000000007 } }
      - { provider: b, model: sim-chat, price: { input: 1.5, output: 7 } }
    hedge: { after: 25ms, max_share: 100%, max_cost_per_minute: 1000000 }
    fallbacks: { any: [last], context_window: [last], content_policy: [last] }
  last: { targets: [{ provider: b, model: o4-mini, price: { input: 0.7, output: 30 } }] }
tenants: { loom: {}, reed: { limits: [{ usd: 900, per: month }] } }
auth:
  keys:
    - { id: loom, hash: "sha256:${hashOf('loom')}", tenant: loom, limits: [{ tokens: 100000000, per: day }] }
    - { id: reed, hash: "sha256:${hashOf('reed')}", tenant: reed, team: cloth }
limits:
  budget: { per: [tenant], rules: [{ usd: 1000, per: month }, { tokens: 1000000000, per: month }] }
  split: { per: [tenant], rules: [{ input_tokens: 1000000000, per: month }, { output_tokens: 1000000000, per: month }] }
  window: { per: [key, model], rules: [{ requests: 100000, per: 30d }, { usd: 1000, per: 30d }, { tokens: 100000000, per: 30d }] }
  places: { per: [key], rules: [{ concurrency: 17 }] }
  target: { per: [target], rules: [{ tokens: 1000000000, per: month }, { usd: 1000, per: month }, { concurrency: 12 }] }
  stops: { per: [key], when: 'headers["x-stop"] == "yes"', stop_streams: true, rules: [{ output_tokens: 3000, per: 1h }] }
  users: { per: [user], rules: [{ usd: 0.05, per: day }] }
  trial: { per: [team], shadow: true, rules: [{ requests: 5, per: 1h }] }
`

interface Process {
  readonly url: string
  readonly admin: string
  readonly output: () => string
  readonly stop: () => Promise<void>
}

const startProcess = async (config: string): Promise<Process> => {
  const bin = new URL('../../bin/heddle.mjs', import.meta.url).pathname
  const args = [bin, 'serve', '--config', config, '--port', '0', '--admin-port', '0']
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<void>((resolve) => void child.once('exit', () => resolve()))
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
  }
  cleanUp.push(stop)
  let output = ''
  child.stdout!.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const find = (name: string): string | undefined =>
    new RegExp(`^${name} +(http://127\\.0\\.0\\.1:\\d+)`, 'm').exec(output)?.[1]
  await until(() => (find('API') !== undefined && find('Admin') !== undefined) || child.exitCode !== null, 15_000)
  return { url: find('API')!, admin: find('Admin')!, output: () => output, stop }
}

/** Mulberry32: the same requests each time. */
const randomOf = (seed: number) => {
  let a = seed
  return (): number => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const FAULTS = [
  'times=1; reset_before_headers', 'prob=0.6; reset_after=2; interval=3', 'prob=0.5; stall_after=2', 'prob=0.5; status=500',
  'prob=0.7; rate_limit=ms', 'context_length', 'content_filter', 'prob=0.6; cut_stream_after=3; interval=3',
  'prob=0.6; error_after=3; interval=3', 'prob=0.5; error_after=8; interval=2', 'prob=0.6; truncated_event=2; interval=2', 'prob=0.6; no_done', 'prob=0.5; html',
  'prob=0.5; no_choices', 'prob=0.5; truncated_json', 'prob=0.5; early_error', 'delay_headers=60', 'delay_first=60',
  'interval=4', 'prob=0.6; delay_headers=80; interval=3', 'duplicate_frames', 'prob=0.4; stall', 'slow_body=4',
  'prob=0.5; overloaded_body=200', 'split_utf8', 'prob=0.5; empty_body',
] // prettier-ignore

interface Shot {
  readonly path: string
  readonly body: Record<string, unknown> | undefined
  readonly headers: Record<string, string>
  /** Ms after which the client leaves; -1 = it stays. */
  readonly leaves: number
}

const shotOf = (random: () => number): Shot => {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
  const words = `Say ${'warp weft heddle '.repeat(1 + Math.floor(random() * 40))}`
  const messages = [{ role: 'user', content: words }]
  const stream = random() < 0.55 ? { stream: true } : {}
  const most = random() < 0.5 ? { max_tokens: 1 + Math.floor(random() * 80) } : {}
  const user = random() < 0.3 ? { user: pick(['ada', 'joan']) } : {}
  const common = { model: pick(['m', 'm', 'm', 'last']), ...user }
  const [path, body] = pick<readonly [string, Record<string, unknown> | undefined]>([
    ['chat/completions', { ...common, ...stream, ...most, messages }],
    ['chat/completions', { ...common, ...stream, ...most, messages }],
    ['chat/completions', { ...common, ...stream, ...most, messages, n: 1 + Math.floor(random() * 3) }],
    ['chat/completions', { ...common, ...stream, messages, stream_options: { include_usage: true } }],
    ['chat/completions', { ...common, model: 'm', stream: true, messages, max_tokens: 150 }],
    ['chat/completions', { ...common, model: 'm', stream: true, messages, max_tokens: 150 }],
    ['completions', { ...common, ...stream, ...most, prompt: words }],
    ['responses', { ...common, ...stream, input: words, ...(random() < 0.5 ? { max_output_tokens: 50 } : {}) }],
    ['embeddings', { ...common, input: words }],
    ['moderations', { ...common, input: words }],
    ['images/generations', { ...common, prompt: words }],
    ['something/else', { ...common, messages }],
    ['files', undefined],
  ])
  return {
    path,
    body,
    headers: {
      authorization: `Bearer ${keyOf(pick(TENANTS))}`,
      ...(random() < 0.6 ? { 'x-sim-fault': pick(FAULTS) } : {}),
      ...(random() < 0.1 ? { 'x-stop': 'yes' } : {}),
    },
    leaves: random() < 0.25 ? Math.floor(random() * 120) : -1,
  }
}

/** Resolves when the answer has ended, or its client has left. */
const fire = (url: string, { path, body, headers, leaves }: Shot): Promise<number> =>
  new Promise((resolve) => {
    const req = open(`${url}/v1/${path}`, { headers, ...(body === undefined ? {} : { body }) })
    let status = 0
    req.on('error', () => {})
    req.on('close', () => resolve(status))
    req.on('response', (res) => {
      status = res.statusCode ?? 0
      res.on('error', () => {})
      res.resume()
    })
    if (leaves >= 0) setTimeout(() => req.destroy(), leaves)
  })

interface Row {
  readonly limit: string
  readonly unit: string
  readonly period: string
  readonly used: number
  readonly reserved: number
  readonly scope: readonly { readonly kind: string; readonly value: string }[]
}

interface Line {
  readonly request_id: string
  readonly tenant: string
  readonly cost_usd: string
  readonly operation: string
  readonly estimated: boolean
  readonly input_tokens?: number
  readonly output_tokens?: number
  readonly target: string
  readonly attempts?: readonly Omit<Line, 'attempts'>[]
  readonly would_refuse?: readonly string[]
}

const nano = (usd: number): number => Math.round(usd * 1e9)
const nanoOf = ({ cost_usd }: Pick<Line, 'cost_usd'>): number => Number(parseUsd(cost_usd))
const tokensOf = (line: Pick<Line, 'input_tokens' | 'output_tokens'>): number =>
  (line.input_tokens ?? 0) + (line.output_tokens ?? 0)
const sum = <T>(list: readonly T[], of: (item: T) => number): number => list.reduce((all, item) => all + of(item), 0)

const sampleOf = (text: string, name: string, label = ''): number =>
  sum(
    text
      .split('\n')
      .filter((l) => l.startsWith(`${name}{`) || l.startsWith(`${name} `))
      .filter((l) => l.includes(label)),
    (l) => Number(l.slice(l.lastIndexOf(' '))),
  )

const rowsOf = async (admin: string): Promise<readonly Row[]> =>
  ((await (await fetch(`${admin}/admin/limits`)).json()) as { readonly limits: readonly Row[] }).limits
const metricsOf = async (admin: string): Promise<string> => (await fetch(`${admin}/metrics`)).text()

/** All is over: nothing held, nobody waits. */
const quiet = async (admin: string): Promise<void> => {
  const held = async (): Promise<object> => {
    const metrics = await metricsOf(admin)
    const rows = await rowsOf(admin)
    return {
      inflight: sampleOf(metrics, 'heddle_inflight_requests'),
      atTargets: sampleOf(metrics, 'heddle_target_inflight'),
      waiting: sampleOf(metrics, 'heddle_queue_waiting'),
      reserved: rows.filter(({ reserved }) => reserved !== 0),
      places: rows.filter(({ unit, used }) => unit === 'concurrency' && used !== 0),
    }
  }
  const nothing = { inflight: 0, atTargets: 0, waiting: 0, reserved: [], places: [] }
  await until(async () => JSON.stringify(await held()) === JSON.stringify(nothing), 8000).catch(() => {})
  expect(await held()).toEqual(nothing)
}

const AT_ONCE = 24

const storm = async (url: string, count: number, seed: number): Promise<readonly number[]> => {
  const random = randomOf(seed)
  const shots = Array.from({ length: count }, () => shotOf(random))
  const statuses: number[] = []
  const one = async (): Promise<void> => {
    for (let shot = shots.shift(); shot !== undefined; shot = shots.shift()) statuses.push(await fire(url, shot))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  return statuses
}

const compare = async (folder: string, { admin, output }: Process, count: number): Promise<readonly Line[]> => {
  const read = (): readonly Line[] =>
    readFileSync(join(folder, 'usage.jsonl'), 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line)
  const logged = (): readonly string[] =>
    output()
      .split('\n')
      .filter((line) => line.includes('"msg":"request"'))
  await until(() => read().length >= count && logged().length >= count, 5000)
  const lines = read()
  expect([lines.length, logged().length]).toEqual([count, count])
  expect(new Set(lines.map(({ request_id }) => request_id)).size).toBe(count)

  const metrics = await metricsOf(admin)
  const rows = await rowsOf(admin)
  const total = sum(lines, nanoOf)
  const inLog = logged().map((line) => ({ cost_usd: /"cost_usd":([\d.]+)/.exec(line)?.[1] ?? '0' }))
  expect(sum(inLog, nanoOf)).toBe(total)
  expect(nano(sampleOf(metrics, 'heddle_cost_usd_total'))).toBe(total)

  for (const tenant of TENANTS) {
    const own = lines.filter((line) => line.tenant === tenant)
    const label = `tenant="${tenant}"`
    const used = (limit: string, unit: string, factor = 1): number[] =>
      rows
        .filter((row) => row.limit === limit && row.unit === unit && row.scope.some(({ value }) => value === tenant))
        .map((row) => Math.round(row.used * factor))
    const [usd, input, output] = [
      sum(own, nanoOf),
      sum(own, (l) => l.input_tokens ?? 0),
      sum(own, (l) => l.output_tokens ?? 0),
    ]
    expect({
      metric: nano(sampleOf(metrics, 'heddle_tenant_cost_usd_total', label)),
      tokens: sampleOf(metrics, 'heddle_tenant_tokens_total', label),
      budget: used('budget', 'usd', 1e9),
      budgetTokens: used('budget', 'tokens'),
      input: used('split', 'input_tokens'),
      output: used('split', 'output_tokens'),
      window: sum(used('window', 'usd', 1e9), (n) => n),
      windowTokens: sum(used('window', 'tokens'), (n) => n),
    }).toEqual({
      metric: usd, tokens: input + output, budget: [usd], budgetTokens: [input + output], input: [input], output: [output],
      window: usd, windowTokens: input + output,
    }) // prettier-ignore
  }
  // By target: the attempts of a record, or the one that answered.
  const calls = lines.flatMap((line) => line.attempts ?? [line])
  for (const target of ['a/sim-chat', 'b/sim-chat', 'b/o4-mini']) {
    const own = calls.filter((call) => call.target === target)
    const used = (unit: string): number | undefined =>
      rows.find((row) => row.limit === 'target' && row.unit === unit && row.scope[0]!.value === target)?.used
    expect([target, nano(used('usd') ?? 0), used('tokens')]).toEqual([target, sum(own, nanoOf), sum(own, tokensOf)])
    expect(nano(sampleOf(metrics, 'heddle_cost_usd_total', `target="${target}"`))).toBe(sum(own, nanoOf))
  }
  // Attempts add up to their request.
  for (const line of lines) if (line.attempts !== undefined) expect(sum(line.attempts, nanoOf)).toBe(nanoOf(line))
  return lines
}

const run = async (workers: number, redis: string | null, shots: number, seed: number): Promise<number> => {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-money-'))
  cleanUp.push(() => rmSync(folder, { recursive: true }))
  const config = join(folder, 'heddle.yaml')
  writeFileSync(config, configOf(folder, workers, redis))
  const gateway = await startProcess(config)
  const statuses = await storm(gateway.url, shots, seed)
  await quiet(gateway.admin)
  // A client that leaves before its request is whole has made none.
  const count = sampleOf(await metricsOf(gateway.admin), 'heddle_requests_total')
  expect(count).toBeGreaterThanOrEqual(statuses.filter((status) => status > 0).length)
  const lines = await compare(folder, gateway, count)
  const metrics = await metricsOf(gateway.admin)
  // All of it has happened, or the sums say little.
  const seen = {
    hedges: sampleOf(metrics, 'heddle_hedges_total'),
    continuations: sampleOf(metrics, 'heddle_continuations_total'),
    failovers: lines.filter(({ attempts }) => (attempts?.length ?? 0) > 1).length,
    estimated: lines.filter(({ estimated }) => estimated).length,
    left: statuses.filter((status) => status === 0).length,
    answered: statuses.filter((status) => status === 200).length,
    trial: lines.filter(({ would_refuse }) => would_refuse !== undefined).length,
  }
  for (const [name, times] of Object.entries(seen)) expect([name, times > 0]).toEqual([name, true])
  return lines.length
}

test('in memory: records, log, metrics and counters say the same, and nothing is held', async () => {
  expect(await run(1, null, 400, 7)).toBeGreaterThan(300)
}, 60_000)

test.skipIf(redisServer === null)(
  'with Redis and two workers: the same',
  async () => {
    const redis = await TestRedis.start()
    cleanUp.push(() => redis.stop())
    expect(await run(2, redis.url, 400, 11)).toBeGreaterThan(300)
  },
  60_000,
)
