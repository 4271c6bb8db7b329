import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadPlan, LoadResult } from './load-plan.ts'
import { freePort, gatewayCores, load, loadCore, runScript, start, stop, until } from './machine.ts'
import type { Mock } from './machine.ts'
import { KEY, redisCalls, redisServer } from './policies.ts'
import { cpuMicros, residentKb } from './proc.ts'
import type { Profile } from './profiles.ts'
import type { Samples } from './samples.ts'
import { FLOOR, HEDDLE, HEDDLE_TWO, IN_PROCESS, firstStart } from './targets.ts'
import type { Target } from './targets.ts'

/** A started target; `process` is null for the backend itself. */
interface Live {
  readonly target: Target
  readonly port: number
  readonly process: ChildProcess | null
  readonly startupMs: number
}

type Plan = Omit<LoadPlan, 'port' | 'pid' | 'token'>

const START_LIMIT_MS = 15_000
const CHUNKS = 32
const SMALL = 200
const CONNECTIONS = 64

const question = (port: number, token = KEY): Promise<void> =>
  fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] }),
  }).then(async (response) => {
    const text = await response.text()
    if (response.status !== 200) throw new Error(`status ${response.status}: ${text.slice(0, 200)}`)
  })

export class Bench {
  readonly #profile: Profile
  readonly #samples: Samples
  readonly #mock: Mock
  readonly #folder: string
  readonly #say: (line: string) => void
  /** What went wrong, by target: any of it makes the figures of that target worthless. */
  readonly problems = new Map<string, string[]>()
  /** Not measured, and why. */
  readonly absent = new Map<string, string>()

  constructor(profile: Profile, samples: Samples, mock: Mock, folder: string, say: (line: string) => void) {
    this.#profile = profile
    this.#samples = samples
    this.#mock = mock
    this.#folder = folder
    this.#say = say
  }

  #tests = 0

  #problem(target: string, text: string): void {
    this.problems.set(target, [...(this.problems.get(target) ?? []), text])
    this.#say(`  ${target}: ${text}`)
  }

  async #launch(target: Target): Promise<Live | null> {
    if (target.group === 'direct') return { target, port: this.#mock.port, process: null, startupMs: 0 }
    const port = await freePort()
    const redis = target.redis === true ? await this.#redis() : 0
    const folder = join(this.#folder, target.name.replaceAll(/\W+/g, '-'))
    const command = redis === null ? null : target.command(port, this.#mock.port, folder, redis)
    if (command === null) {
      if (!this.absent.has(target.name)) this.#say(`  ${target.name}: not installed, left out`)
      this.absent.set(target.name, 'not installed')
      return null
    }
    const startedAt = performance.now()
    const child = start(gatewayCores(target.workers), command, this.#log(target.name))
    if ((await this.#awaitFirstAnswer(child, port, target.token)) === null) {
      this.#problem(
        target.name,
        `gave no answer within ${START_LIMIT_MS / 1000} s of its start or ended before that; see ${this.#log(target.name)}`,
      )
      await stop(child)
      return null
    }
    return { target, port, process: child, startupMs: performance.now() - startedAt }
  }

  #redisPort: number | null = null

  /** One for the whole run. Null when it is not installed. */
  async #redis(): Promise<number | null> {
    if (this.#redisPort !== null) return this.#redisPort
    const port = await freePort()
    const command = redisServer(port, join(this.#folder, 'redis'))
    if (command === null) return null
    start(loadCore, command, this.#log('redis'))
    if ((await until(START_LIMIT_MS, () => redisCalls(port))) === null) return null
    this.#redisPort = port
    return port
  }

  #log(name: string): string {
    return join(this.#folder, `${name.replaceAll(/\W+/g, '-')}.log`)
  }

  #awaitFirstAnswer(child: ChildProcess, port: number, token?: string): Promise<true | null> {
    return until(START_LIMIT_MS, async () => {
      if (child.exitCode !== null || child.signalCode !== null) return null
      await question(port, token)
      return true as const
    })
  }

  #load(live: Live, plan: Plan): Promise<LoadResult> {
    const pid = live.process?.pid
    return load({ ...plan, port: live.port, token: live.target.token ?? KEY, ...(pid === undefined ? {} : { pid }) })
  }

  /** One test of one target; its errors are noted. */
  async #test(live: Live, name: string, plan: Plan): Promise<LoadResult> {
    const before = (await this.#mock.stats()).requests
    const calls = live.target.redis === true ? await redisCalls(this.#redisPort!) : 0
    const result = await this.#load(live, plan)
    const forwarded = (await this.#mock.stats()).requests - before
    if (live.target.redis === true && forwarded > 0) {
      const trips = ((await redisCalls(this.#redisPort!)) - calls) / forwarded
      this.#samples.add(live.target.name, 'redis.calls', this.#tests++, trips)
    }
    const { status, reset, cut } = result.errors
    if (status + reset + cut > 0) {
      this.#problem(live.target.name, `${name}: ${status} not 200, ${reset} reset, ${cut} without [DONE]`)
    }
    if (forwarded < result.answered * 0.9) {
      this.#problem(live.target.name, `${name}: ${result.answered} answered but ${forwarded} seen by the backend`)
    }
    if (plan.mode !== 'hold' && result.answered === 0) this.#problem(live.target.name, `${name}: nothing answered`)
    return result
  }

  /** Until CPU per request settles: compiling and heap growth must not be charged to the steady state. */
  async #warm(live: Live): Promise<void> {
    if (live.process === null) return
    const series: number[] = []
    const step = this.#profile.warm / 2
    const plan = { mode: 'closed', promptBytes: SMALL, warmupMs: 0, durationMs: step } as const
    const connections = CONNECTIONS * live.target.workers
    await this.#load(live, { ...plan, kind: 'stream', connections })
    for (let spent = step; spent < this.#profile.warm * 8; spent += step) {
      const { cpuPerRequest } = await this.#load(live, { ...plan, kind: 'chat', connections })
      series.push(cpuPerRequest ?? 0)
      const last = series.slice(-3)
      const settled = last.length === 3 && Math.max(...last) - Math.min(...last) < 0.08 * (last.at(-1) ?? 0)
      if (spent >= this.#profile.warm && settled) break
    }
  }

  async round(targets: readonly Target[], round: number): Promise<void> {
    await this.#mock.configure({ chunks: CHUNKS, interval: 0 })
    const live: Live[] = []
    for (const target of targets) {
      const started = await this.#launch(target)
      if (started === null) continue
      live.push(started)
      if (started.process?.pid === undefined) continue
      this.#samples.add(target.name, 'startup', round, started.startupMs)
      await sleep(1000)
      this.#samples.add(target.name, 'rss', round, residentKb(started.process.pid) / 1024)
    }
    this.#say(`round ${round + 1}: warming ${live.length - 1} targets`)
    for (const one of live) await this.#warm(one)
    await this.#throughput(live, round)
    await this.#atHalfLoad(live, round)
    await this.#bodies(live, round)
    for (const one of live) if (one.process !== null) await stop(one.process)
    for (const target of targets) await this.#hold(target, round)
    await this.#installedStartup(targets, round)
  }

  /** What policies add, without sockets: what neighbours on the machine do shows less in it. */
  async inProcess(): Promise<void> {
    this.#say('policies, in process')
    const redis = (await this.#redis()) ?? 0
    const results = await runScript<Record<string, number[]>>('inprocess.ts', [String(redis)])
    for (const [name, micros] of Object.entries(results))
      for (const [round, value] of micros.entries()) this.#samples.add(IN_PROCESS, name, round, value)
  }

  /** One test of all targets in turn, slice by slice; figures of one slice are compared with each other. */
  async #inTurns(
    live: readonly Live[],
    name: string,
    plan: (target: Target) => Omit<Plan, 'durationMs'>,
    note: (target: string, result: LoadResult, slice: number) => void | Promise<void>,
    round: number,
  ): Promise<void> {
    const { window, slices } = this.#profile
    for (let slice = 0; slice < slices; slice++) {
      for (const one of live) {
        const wanted = plan(one.target)
        const warmupMs = slice === 0 ? wanted.warmupMs : 200
        const result = await this.#test(one, name, { ...wanted, warmupMs, durationMs: window / slices })
        await note(one.target.name, result, round * slices + slice)
      }
    }
  }

  async #throughput(live: readonly Live[], round: number): Promise<void> {
    const plan = { mode: 'closed', kind: 'chat', promptBytes: SMALL, warmupMs: 300 } as const
    await this.#inTurns(
      live,
      'small JSON',
      // As many for each worker: what a wake-up costs is shared by the requests that it finds.
      ({ workers }) => ({ ...plan, connections: CONNECTIONS * workers }),
      (name, result, slice) => {
        this.#samples.add(name, 'cpu.chat', slice, result.cpuPerRequest)
        this.#samples.add(name, 'rate', slice, result.perSecond)
        this.#samples.add(name, 'cores', slice, result.cores)
        const cpu = result.cpuPerRequest === null ? '' : `, ${result.cpuPerRequest.toFixed(1)} µs CPU`
        this.#say(`  ${name}: ${Math.round(result.perSecond)} requests/s${cpu}`)
      },
      round,
    )
  }

  /** All at the same rate, half of what the slower of Heddle and the floor has been able to do. */
  async #atHalfLoad(live: readonly Live[], round: number): Promise<void> {
    const rates = [HEDDLE, FLOOR].map((name) => this.#samples.median(name, 'rate')).filter((rate) => rate !== null)
    const rate = Math.max(50, Math.round(Math.min(...rates, 20_000) / 2))
    const shape = {
      mode: 'open',
      kind: 'chat',
      connections: CONNECTIONS,
      promptBytes: SMALL,
      warmupMs: 500,
      rate,
    } as const
    await this.#inTurns(
      live.filter(({ target }) => target.name !== HEDDLE_TWO && target.chatOnly !== true),
      'half load',
      () => shape,
      (name, result, slice) => {
        this.#samples.add(name, 'half.rate', slice, rate)
        this.#samples.add(name, 'half.cpu', slice, result.cpuPerRequest)
        this.#samples.add(name, 'half.p50', slice, result.latency.p50)
        this.#samples.add(name, 'half.p99', slice, result.latency.p99)
      },
      round,
    )
  }

  async #bodies(live: readonly Live[], round: number): Promise<void> {
    const measured = live.filter(
      ({ target, process: child }) => child !== null && target.name !== HEDDLE_TWO && target.chatOnly !== true,
    )
    const closed = { mode: 'closed', warmupMs: this.#profile.warm / 2 } as const
    const tests = [
      ['100 KB prompt', 'cpu.big', { ...closed, kind: 'chat', connections: 16, promptBytes: 100_000 }],
      ['embeddings', 'cpu.embeddings', { ...closed, kind: 'embeddings', connections: 32, promptBytes: 60 }],
      ['SSE', 'cpu.event', { ...closed, kind: 'stream', connections: 32, promptBytes: SMALL }],
    ] as const
    for (const [name, metric, plan] of tests) {
      const note = (target: string, result: LoadResult, slice: number): void =>
        this.#samples.add(target, metric, slice, plan.kind === 'stream' ? result.cpuPerEvent : result.cpuPerRequest)
      await this.#inTurns(measured, name, () => plan, note, round)
    }
    // 100 streams with 20 chunks a second each: a chunk that comes alone, as from a real model.
    await this.#mock.configure({ chunks: 1_000_000, interval: 50 })
    const hold = { mode: 'hold', kind: 'stream', connections: 100, promptBytes: SMALL, rampPerSecond: 500 } as const
    const note = async (target: string, result: LoadResult, slice: number): Promise<void> => {
      this.#samples.add(target, 'cpu.paced', slice, result.cpuPerEvent)
      await this.#orphans(target, 'paced SSE', round)
    }
    await this.#inTurns(measured, 'paced SSE', () => ({ ...hold, warmupMs: 300 }), note, round)
    await this.#mock.configure({ chunks: CHUNKS, interval: 0 })
  }

  /** Backend streams that are still open some time after every client left. */
  async #orphans(target: string, name: string, round: number): Promise<void> {
    const { orphanMs } = this.#profile
    const none = async (): Promise<void> => {
      if ((await this.#mock.stats()).openStreams > 0) throw new Error('still open')
    }
    await until(orphanMs, none)
    const { openStreams } = await this.#mock.stats()
    this.#samples.add(target, 'orphans', round, Math.max(openStreams, this.#samples.get(target, 'orphans', round) ?? 0))
    if (openStreams === 0) return
    this.#problem(target, `${name}: ${openStreams} backend streams still open ${orphanMs} ms after their clients left`)
    // They would be counted against the next one.
    await until(10_000, none)
  }

  /** A process of its own for each number of streams: memory that an earlier test left behind would hide what streams need. */
  async #hold(target: Target, round: number): Promise<void> {
    if (
      target.group === 'direct' ||
      target.name === HEDDLE_TWO ||
      target.chatOnly === true ||
      this.absent.has(target.name)
    )
      return
    for (const streams of this.#profile.holdStreams) {
      const live = await this.#launch(target)
      if (live?.process === undefined || live.process === null) return
      const chat = { mode: 'closed', kind: 'chat', connections: 16, promptBytes: SMALL } as const
      await this.#load(live, { ...chat, warmupMs: 0, durationMs: 500 })
      await sleep(500)
      await this.#mock.configure({ chunks: 1_000_000, interval: -1 })
      const hold = { mode: 'hold', kind: 'stream', connections: streams, promptBytes: SMALL } as const
      const result = await this.#test(live, `${streams} streams`, { ...hold, warmupMs: 1500, durationMs: 1000 })
      await this.#orphans(target.name, `${streams} streams`, round)
      if (result.alive < streams) this.#problem(target.name, `${result.alive} of ${streams} streams were open`)
      const grown = (result.residentAfter ?? 0) - (result.residentBefore ?? 0)
      this.#samples.add(target.name, `stream.${streams}`, round, grown / streams)
      await this.#mock.configure({ chunks: CHUNKS, interval: 0 })
      await stop(live.process)
    }
  }

  async #installedStartup(targets: readonly Target[], round: number): Promise<void> {
    if (
      !targets.some(({ name }) => name === HEDDLE) ||
      this.problems.get(HEDDLE)?.some((text) => text.includes('gave no answer'))
    )
      return
    for (let index = 0; index < this.#profile.startups; index++) {
      const port = await freePort()
      const command = firstStart(port, this.#mock.port, join(this.#folder, 'installed'))
      const startedAt = performance.now()
      const child = start(gatewayCores(1), command, this.#log('installed'))
      const ready = await this.#awaitFirstAnswer(child, port)
      const cpu = child.pid === undefined ? null : cpuMicros(child.pid) / 1000
      if (ready !== null) this.#samples.add(HEDDLE, 'startup.cpu', round * 100 + index, cpu)
      if (ready === null) this.#problem(HEDDLE, `the installed package gave no answer; see ${this.#log('installed')}`)
      else this.#samples.add(HEDDLE, 'startup.installed', round * 100 + index, performance.now() - startedAt)
      await stop(child)
    }
  }
}
