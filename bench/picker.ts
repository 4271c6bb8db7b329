/**
 * What it is worth to choose the pod: `npm run bench:picker -- [--rounds N] [--seconds S] [--json FILE] [--chart FILE.svg]`, about
 * three minutes. Eight simulated pods, one of them three times as slow, one that dies half way; agents with long system prompts
 * and conversations that grow. Three gateways that differ in `balancing.policy` alone are loaded in turn, slice by slice, each
 * with empty caches. Figures of one run are compared with each other only.
 */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { PodServerOptions, PodStats } from '../src/sim/pod.ts'
import type { Order } from './picker-child.ts'
import { chartOf } from './picker-chart.ts'
import { runLoad, type LoadPlan } from './picker-load.ts'
import { cpuMicros } from './proc.ts'

const POLICIES = ['random', 'least_busy', 'scored'] as const
type Policy = (typeof POLICIES)[number]
const TITLES: Readonly<Record<Policy, string>> = {
  random: 'random',
  least_busy: 'least busy',
  scored: 'Heddle, scored',
}

/** p99 of the time to the first token must be this many times better than with random, and the hit rate at least so high. */
const TTFT_BAR = 2
const HIT_BAR = 0.9

const PODS = 8
const SLOW = 2
const DYING = 5
const POD: PodServerOptions = { maxRunning: 16, blocks: 4096, prefillRate: 20_000, tokensPerEvent: 8 }

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '16' },
    json: { type: 'string' },
    chart: { type: 'string' },
  },
})
const ROUNDS = Number(values.rounds)
const SECONDS = Number(values.seconds)
const PLAN: Omit<LoadPlan, 'salt'> = {
  seconds: SECONDS,
  conversations: 48,
  kinds: 12,
  turns: 10,
  systemChars: 16_000,
  turnChars: 900,
  thinkMs: 300,
}

const children: ChildProcess[] = []
const once = <T>(child: ChildProcess): Promise<T> =>
  new Promise((resolve) => void child.once('message', resolve as never))

interface Started {
  readonly ports: readonly number[]
  readonly port: number
}

async function start(...args: string[]): Promise<{ readonly child: ChildProcess; readonly told: Started }> {
  const child = fork(join(import.meta.dirname, 'picker-child.ts'), args)
  children.push(child)
  return { child, told: await once<Started>(child) }
}

interface Slice {
  readonly firstTokens: readonly number[]
  readonly answered: number
  readonly failed: number
  readonly boundHit: number
  readonly boundQueried: number
  readonly queried: number
  readonly hit: number
  /** Answers of the pod that had most, against the mean of those that lived all along. */
  readonly hotSpot: number
  readonly gatewayMicros: number
}

/** Calls under way on the fullest pod against the mean over all pods, over the slice. */
class HotSpots {
  #top = 0
  #all = 0
  #stop = false
  readonly #done: Promise<void>

  constructor(stats: () => Promise<readonly PodStats[]>) {
    const watch = async (): Promise<void> => {
      while (!this.#stop) {
        const busy = (await stats()).map(({ running, waiting }) => running + waiting)
        this.#top += Math.max(...busy)
        this.#all += busy.reduce((sum, one) => sum + one, 0) / PODS
        await new Promise((resolve) => void setTimeout(resolve, 100))
      }
    }
    this.#done = watch()
  }

  async end(): Promise<number> {
    this.#stop = true
    await this.#done
    return this.#top / this.#all
  }
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN

function summary(slices: readonly Slice[]) {
  const sum = (of: (slice: Slice) => number): number => slices.reduce((all, slice) => all + of(slice), 0)
  const sorted = slices.flatMap(({ firstTokens }) => firstTokens).toSorted((a, b) => a - b)
  return {
    hitRate: sum((s) => s.hit) / sum((s) => s.queried),
    /** Of the same prompts, in one cache without bounds. */
    boundRate: sum((s) => s.boundHit) / sum((s) => s.boundQueried),
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    answered: sum((s) => s.answered),
    failed: sum((s) => s.failed),
    hotSpot: sum((s) => s.hotSpot) / slices.length,
    microsPerRequest: sum((s) => s.gatewayMicros) / sum((s) => s.answered),
  }
}
export type Summary = ReturnType<typeof summary>

const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
try {
  const options = Array.from({ length: PODS }, (_, i) => ({ ...POD, seed: i, slow: i === SLOW ? 3 : 1 }))
  const pods = await start('pods', JSON.stringify(options))
  // One at a time, as answers come in the order of the orders.
  let line: Promise<unknown> = Promise.resolve()
  const order = (what: Order): Promise<readonly PodStats[]> => {
    const next = line.then(async () => {
      pods.child.send(what)
      return (await once<{ stats: readonly PodStats[] }>(pods.child)).stats
    })
    line = next
    return next
  }
  const endpoints = pods.told.ports.map((port) => `"127.0.0.1:${port}"`).join(', ')
  const gateways = new Map<Policy, { readonly child: ChildProcess; readonly port: number }>()
  for (const policy of POLICIES) {
    const file = join(folder, `${policy}.yaml`)
    writeFileSync(
      file,
      `server: { workers: 1, log: { level: error, access: false } }
providers:
  pods:
    type: openai_compatible
    base_url: http://models.internal/v1
    discovery: { type: static, endpoints: [${endpoints}] }
    balancing: { policy: ${policy} }
models: { m: pods/m }
mesh: { kind: none }
`,
    )
    const { child, told } = await start('gateway', file)
    gateways.set(policy, { child, port: told.port })
  }

  const slice = async (policy: Policy, salt: string): Promise<Slice> => {
    const { child, port } = gateways.get(policy)!
    await order('reset')
    const cpu = cpuMicros(child.pid!)
    const hot = new HotSpots(() => order('stats'))
    const dying = new Promise((resolve) => void setTimeout(resolve, (SECONDS * 1000) / 2)).then(() =>
      order({ die: DYING }),
    )
    const load = await runLoad(port, { ...PLAN, salt })
    await dying
    const hotSpot = await hot.end()
    const stats = await order('stats')
    const sum = (of: (one: PodStats) => number): number => stats.reduce((all, one) => all + of(one), 0)
    return {
      ...load,
      queried: sum((s) => s.queriedTokens),
      hit: sum((s) => s.hitTokens),
      hotSpot,
      gatewayMicros: cpuMicros(child.pid!) - cpu,
    }
  }

  const slices: Record<Policy, Slice[]> = { random: [], least_busy: [], scored: [] }
  for (let round = 0; round < ROUNDS; round++)
    for (let i = 0; i < POLICIES.length; i++) {
      // Each first in turn.
      const policy = POLICIES[(i + round) % POLICIES.length]!
      slices[policy].push(await slice(policy, `run ${round}-${i} of ${Date.now()}`))
    }

  const results = Object.fromEntries(POLICIES.map((policy) => [policy, summary(slices[policy])])) as Record<
    Policy,
    Summary
  >
  console.log(
    `${PODS} pods, one slow (3x), one dies half way; ${PLAN.conversations} conversations of ${PLAN.turns} turns at a time, ${PLAN.kinds} kinds of agents; ${ROUNDS} rounds of ${SECONDS} s each; ${cpus().length} cores\n`,
  )
  console.log(
    '| policy | prefix hit rate | at best | TTFT p50 | TTFT p99 | answers | failures | hot spot | gateway CPU a request |',
  )
  console.log('|---|---|---|---|---|---|---|---|---|')
  for (const policy of POLICIES) {
    const r = results[policy]
    const cells = [
      `${(r.hitRate * 100).toFixed(1)} %`,
      `${(r.boundRate * 100).toFixed(1)} %`,
      `${r.p50.toFixed(0)} ms`,
      `${r.p99.toFixed(0)} ms`,
      r.answered,
      r.failed,
      `${r.hotSpot.toFixed(2)}x`,
      `${r.microsPerRequest.toFixed(0)} us`,
    ]
    console.log(`| ${TITLES[policy]} | ${cells.join(' | ')} |`)
  }
  console.log(
    '\nAt best: all pods one, with a cache without bounds. New to any: what each turn adds, and system prompts that several begin with at a time.',
  )
  const better = results.random.p99 / results.scored.p99
  const bars = [
    {
      name: 'TTFT p99 against random',
      value: better,
      bar: TTFT_BAR,
      text: `TTFT p99 ${better.toFixed(1)}x better than random (bar ${TTFT_BAR}x)`,
    },
    {
      name: 'prefix hit rate',
      value: results.scored.hitRate,
      bar: HIT_BAR,
      text: `prefix hit rate ${(results.scored.hitRate * 100).toFixed(1)} % (bar ${HIT_BAR * 100} %)`,
    },
  ].map((bar) => ({ ...bar, verdict: bar.value >= bar.bar ? 'holds' : 'NOT MET' }))
  console.log(`\nbench:picker: ${bars.map(({ text, verdict }) => `${text} ${verdict}`).join('; ')}`)
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ rounds: ROUNDS, seconds: SECONDS, bars, results }, null, 2)}\n`)
  if (values.chart !== undefined)
    writeFileSync(
      values.chart,
      chartOf(POLICIES.map((policy) => ({ name: TITLES[policy], ours: policy === 'scored', ...results[policy] }))),
    )
} finally {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
}
