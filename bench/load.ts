/** Load generator: `node bench/load.ts PLAN` with a LoadPlan as JSON prints a LoadResult as JSON. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Histogram } from './histogram.ts'
import { requestBytes } from './load-plan.ts'
import type { LoadPlan, LoadResult } from './load-plan.ts'
import { cpuMicros, residentKb } from './proc.ts'
import { SocketClient } from './socket-client.ts'
import type { Outcome } from './socket-client.ts'
import { startTicker } from './ticker.ts'

const nowMicros = (): number => performance.now() * 1000

class Run {
  readonly plan: LoadPlan
  readonly request: Buffer
  readonly errors = { status: 0, reset: 0, cut: 0 }
  readonly stream: boolean
  latency = new Histogram()
  answered = 0
  events = 0
  counting = false
  /** What happens on a connection whose request ended; set by the mode. */
  next: (client: SocketClient) => void = () => {}

  constructor(plan: LoadPlan) {
    this.plan = plan
    this.request = requestBytes(plan)
    this.stream = plan.kind === 'stream'
  }

  client(): SocketClient {
    return new SocketClient(this.plan.port, {
      onDone: (client, outcome, startedAt) => this.#onDone(client, outcome, startedAt),
      onEvents: (_client, count) => {
        if (this.counting) this.events += count
      },
    })
  }

  #onDone(client: SocketClient, outcome: Outcome, startedAt: number): void {
    if (outcome !== 'ok') this.errors[outcome]++
    else if (this.counting) {
      this.answered++
      this.latency.add(nowMicros() - startedAt)
    }
    // A target that refuses everything must not be hammered in a tight loop.
    if (outcome === 'reset') setTimeout(() => this.next(client), 20)
    else this.next(client)
  }

  /** Counts for the plan's duration and measures the target over the same window. */
  async measure(): Promise<{ seconds: number; cpu: number | null }> {
    const { pid, durationMs } = this.plan
    const cpuBefore = pid === undefined ? 0 : cpuMicros(pid)
    const startedAt = nowMicros()
    this.counting = true
    await sleep(durationMs)
    this.counting = false
    const seconds = (nowMicros() - startedAt) / 1e6
    return { seconds, cpu: pid === undefined ? null : cpuMicros(pid) - cpuBefore }
  }

  result(seconds: number, cpu: number | null, hold: Partial<LoadResult> = {}): LoadResult {
    const { latency } = this
    return {
      seconds,
      answered: this.answered,
      perSecond: this.answered / seconds,
      errors: this.errors,
      events: this.events,
      cores: cpu === null ? null : cpu / 1e6 / seconds,
      cpuPerRequest: cpu === null || this.answered === 0 ? null : cpu / this.answered,
      cpuPerEvent: cpu === null || this.events === 0 ? null : cpu / this.events,
      latency: { p50: latency.percentile(0.5), p99: latency.percentile(0.99), max: latency.max },
      alive: 0,
      residentBefore: null,
      residentAfter: null,
      ...hold,
    }
  }
}

const runClosed = async (run: Run): Promise<LoadResult> => {
  const { connections, warmupMs } = run.plan
  run.next = (client) => client.send(run.request, nowMicros(), run.stream)
  for (let index = 0; index < connections; index++) run.next(run.client())
  await sleep(warmupMs)
  const { seconds, cpu } = await run.measure()
  return run.result(seconds, cpu)
}

/**
 * Latency counts from the moment a request was due, not from when a connection was free for it: a target that stalls is charged for
 * every request it delays (no coordinated omission).
 */
const runOpen = async (run: Run): Promise<LoadResult> => {
  const { connections, warmupMs, rate = 100 } = run.plan
  const spacing = 1e6 / rate
  const idle = Array.from({ length: connections }, () => run.client())
  const due: number[] = []
  run.next = (client) => {
    const startedAt = due.shift()
    if (startedAt === undefined) idle.push(client)
    else client.send(run.request, startedAt, run.stream)
  }
  let nextAt = nowMicros() + spacing
  const stop = startTicker(Math.min(spacing, 250), () => {
    const now = nowMicros()
    for (; nextAt <= now; nextAt += spacing) {
      const client = idle.pop()
      if (client === undefined) due.push(nextAt)
      else client.send(run.request, nextAt, run.stream)
    }
  })
  await sleep(warmupMs)
  const { seconds, cpu } = await run.measure()
  stop()
  return run.result(seconds, cpu)
}

const runHold = async (run: Run): Promise<LoadResult> => {
  const { connections, warmupMs, pid, rampPerSecond = 500 } = run.plan
  const residentBefore = pid === undefined ? null : residentKb(pid)
  const clients = Array.from({ length: connections }, () => run.client())
  const startedAt = nowMicros()
  for (let opened = 0; opened < connections;) {
    const goal = Math.min(connections, Math.ceil(((nowMicros() - startedAt) / 1e6) * rampPerSecond))
    for (; opened < goal; opened++) clients[opened]!.send(run.request, nowMicros(), true)
    await sleep(5)
  }
  await sleep(warmupMs)
  const residentAfter = pid === undefined ? null : residentKb(pid)
  const { seconds, cpu } = await run.measure()
  const alive = clients.filter((client) => client.busy && client.events > 0).length
  for (const client of clients) client.close()
  return run.result(seconds, cpu, { alive, residentBefore, residentAfter })
}

const plan = JSON.parse(process.argv[2] ?? '{}') as LoadPlan
const modes = { closed: runClosed, open: runOpen, hold: runHold }
const result = await modes[plan.mode](new Run(plan))
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
