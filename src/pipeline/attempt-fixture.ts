/** What unit tests of attempts need: an owner that notes what it is told, a backend that says what the test says, a clock by hand. */
import type { RouteDefaults } from '../contracts/config.ts'
import type { Target } from '../contracts/routing.ts'
import type { Call, UpstreamHeaders, UpstreamRequest, UpstreamSink } from '../contracts/upstream.ts'
import type { AttemptFailure } from '../routing/failure.ts'
import type { Attempt, AttemptPlan } from './attempt.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { Services } from './services.ts'
import { TimerWheel } from '../core/wheel.ts'
import { HealthTable } from '../routing/health.ts'

export const RULES: RouteDefaults = {
  timeouts: { connectMs: 0, firstTokenMs: 1000, idleMs: 1000, attemptMs: 5000, totalMs: 0 },
  retries: {
    maxAttempts: 3,
    perTarget: 1,
    statuses: [429, 500, 502, 503, 504],
    backoff: { baseMs: 1, maxMs: 1 },
    maxRetryAfterMs: 10_000,
    budget: { ratio: 0.2, minPerSecond: 10 },
  },
  breaker: {
    enabled: true,
    consecutiveFailures: 5,
    failureRatio: 0.5,
    minRequests: 20,
    windowMs: 10_000,
    baseEjectionMs: 5000,
    maxEjectionMs: 60_000,
    maxEjectedShare: 0.5,
    deadKeyMs: 300_000,
  },
  commit: { maxBytes: 65_536, maxMs: 0 },
  hedge: null,
  continuation: false,
  unsupported: 'refuse',
  cache: null,
}

const LIMITS = { clientStallMs: 3000, sseEvent: 1 << 20, responseBody: 1 << 20 }

export class FakeClock {
  ms = 1000
  readonly wheel = new TimerWheel(() => this.ms, { manual: true })
  /** In steps of the wheel, as time passes. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 10) {
      this.ms += Math.min(10, left)
      this.wheel.advance()
    }
  }
}

export class FakeBackend {
  sink!: UpstreamSink
  aborted = false
  paused = false
  readonly call = (_request: UpstreamRequest, sink: UpstreamSink): Call => {
    this.sink = sink
    return {
      abort: () => (this.aborted = true),
      pause: () => (this.paused = true),
      resume: () => (this.paused = false),
    }
  }
}

export interface Harness {
  readonly clock: FakeClock
  readonly backend: FakeBackend
  readonly target: Target
  /** What the owner was told, in order. */
  readonly events: readonly string[]
  readonly failures: readonly AttemptFailure[]
  /** Bytes that went to the client. */
  written(): Buffer
  /** False: the client is slow from now on. */
  accepting: boolean
  heartbeatMs: number
  plan<T extends object>(more: T): AttemptPlan & T & { readonly owner: never }
  start(attempt: Attempt, headers?: UpstreamHeaders, status?: number): void
}

const openRecord = (target: string): AttemptRecord => ({
  target,
  model: 'm',
  hedge: false,
  startMs: 0,
  ms: 0,
  status: 0,
  firstTokenMs: -1,
  result: 'open',
  nanoUsd: -1,
  usage: null,
  estimated: false,
  unpriced: false,
  spanId: '',
  origin: '',
  errorType: '',
  proxyMs: -1,
  endpoint: '',
  endpointNote: '',
})

export const harness = (rules: Partial<RouteDefaults> = {}, name = 'p/m'): Harness => {
  const clock = new FakeClock()
  const backend = new FakeBackend()
  const health = new HealthTable(1).slot(0, RULES.breaker)
  const provider = {
    name: 'p',
    config: { streamEnd: 'done', type: 'openai', apiKey: null, headers: {}, query: {} },
    upstream: { call: backend.call },
  }
  const target = { name, provider, model: 'm', health } as unknown as Target
  const events: string[] = []
  const failures: AttemptFailure[] = []
  const chunks: Buffer[] = []
  let running: Attempt | null = null
  const write = (bytes: Buffer): boolean => {
    chunks.push(bytes)
    return h.accepting
  }
  const services = {
    clock: { now: () => clock.ms, monotonic: () => clock.ms },
    wheel: clock.wheel,
    limits: LIMITS,
    telemetry: { attempt: () => {} },
  } as unknown as Services
  const owner = {
    services,
    door: null,
    attempts: [],
    inMesh: false,
    get heartbeatMs() {
      return h.heartbeatMs
    },
    claim: () => true,
    onAttemptFailed: (_a: Attempt, f: AttemptFailure) => void (events.push(`failed ${f.reason}`), failures.push(f)),
    onStreamBroken: (_a: Attempt, f: AttemptFailure) => void (events.push(`broken ${f.reason}`), failures.push(f)),
    mayCost: true,
    onAttemptClosed: () => {},
    onAttemptDone: () => void events.push('done'),
    onClientStalled: () => {
      events.push('stalled')
      running?.cancel()
    },
    onAnswer: (_a: Attempt, body: Buffer) => void (events.push('answer'), write(body)),
    onStreamCommit: () => void events.push('commit'),
    onStreamEnd: () => void events.push('end'),
    onStreamData: write,
    onRawHead: () => void events.push('head'),
    onRawData: write,
  }
  const record = openRecord(name)
  const h: Harness = {
    clock,
    backend,
    target,
    events,
    failures,
    accepting: true,
    heartbeatMs: 0,
    written: () => Buffer.concat(chunks),
    plan: (more) =>
      ({
        owner,
        target,
        model: 'm',
        record,
        permit: null,
        credential: null,
        now: clock.ms,
        rules: { ...RULES, ...rules },
        ...more,
      }) as never,
    start: (attempt, headers = { 'content-type': 'text/event-stream' }, status = 200) => {
      running = attempt
      attempt.start({ method: 'POST', path: '/', headers: [], body: null })
      backend.sink.onHead(status, headers)
    },
  }
  return h
}
