import type { MessagePort } from 'node:worker_threads'
import type { HeddleConfig } from '../contracts/config.ts'
import type { Clock } from '../core/clock.ts'
import type { Policies, Pricing, Traces } from '../pipeline/policies.ts'
import type { Authenticator, HeaderGate } from '../contracts/identity.ts'
import type { Recorder } from '../contracts/usage.ts'
import type { KeySets } from '../auth/key-set.ts'
import type { Services } from '../pipeline/services.ts'
import type { TimerWheel } from '../core/wheel.ts'
import type { FairGate } from '../ratelimit/fair-queue-gate.ts'
import type { CounterState } from '../ratelimit/ledger-list.ts'
import type { RedisLedger } from '../ratelimit/redis-ledger.ts'
import type { Counter } from '../telemetry/metrics.ts'
import type { LedgerLimiter } from '../ratelimit/limiter.ts'
import type { LedgerMemory } from '../ratelimit/ledger-memory.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import type { Control } from './messages.ts'
import type { ConfigUpdate } from './worker.ts'
import { RuntimeChanges } from './runtime-changes.ts'
import { CacheKit } from './cache-kit.ts'
import { slotKey } from './compile.ts'
import { StateKit } from './state-kit.ts'
import { kindOf, meshRules } from '../mesh/rules.ts'
import type { TelemetryLink } from '../telemetry/otlp/link.ts'
import type { SpanQueue } from '../telemetry/otlp/span-queue.ts'
import { CLOSED_HEADERS } from '../mesh/identity/visible.ts'
import { HeldPool, type Held } from '../core/held-pool.ts'
import { everyUnref } from '../core/every.ts'
import { chargeOf, PriceBook, TokenEstimator } from '../usage/index.ts'

export interface PolicyParts {
  readonly place: WorkerPlace
  readonly clock: Clock
  readonly metrics: MetricRegistry
  readonly log: Services['log']
  readonly version: string
  readonly wheel: TimerWheel
  /** How spans reach the thread that exports them; null = they are not exported. */
  readonly telemetry: TelemetryLink | null
  readonly blobs: MessagePort | null
  /** +1 and -1 around what goes on without its client. */
  readonly inflight: (change: number) => void
  /** Of the worker, from the time on when it serves. */
  readonly services: () => Services
}

/** Keeps something for as long as the policies that are being built. */
type Hold = <T>(held: Held<T>) => T

/** A ledger in Redis is waited for at the start, at most, ms. */
const REDIS_MS = 1000
/** Where callers have waited for the proxy of the mesh already. */
const REDIS_LATE_MS = 200
/** How often changes made at run time are looked at, ms. */
const REFRESH_MS = 1000

/**
 * Builds what configurations ask of requests, and keeps what outlives them. One a worker. What is not configured is
 * not loaded.
 */
export class PolicyKit {
  readonly #parts: PolicyParts
  readonly #estimator = new TokenEstimator()
  readonly #changes = new RuntimeChanges()
  readonly #failing = new Set<string>()
  readonly #redis = new HeldPool<RedisLedger>((redis) => {
    // What it still has to tell it tells before it goes.
    void redis.close()
  })
  readonly #recorders = new HeldPool<Recorder>((recorder) => {
    this.#droppedBefore += recorder.dropped
    void recorder.close()
  })
  /** Of all configurations that still serve. */
  readonly #limiters = new Set<LedgerLimiter>()
  readonly state: StateKit
  readonly cache: CacheKit
  #droppedBefore = 0
  #keySets: KeySets | null = null
  #memory: LedgerMemory | null = null
  #redisSeen = false
  #refreshing = false
  #gate: FairGate | null = null
  #spans: SpanQueue | null = null
  #slots: Readonly<Record<string, number>> = {}

  constructor(parts: PolicyParts) {
    this.#parts = parts
    this.cache = new CacheKit(parts)
    this.state = new StateKit({ ...parts, revoked: (keyId) => this.#changes.revocations.has(keyId) })
    everyUnref(() => void this.#refresh(), REFRESH_MS)
  }

  /** What it returns is closed by whoever uses it. late: callers wait for it already. */
  async compile(update: ConfigUpdate, late = false): Promise<Policies> {
    const held: (() => void)[] = []
    const hold: Hold = ({ value, release }) => {
      held.push(release)
      return value
    }
    try {
      const redis = await this.#redisOf(update.config, hold)
      // The first requests should find it; without it each limit's own policy says what happens.
      await redis?.ready(late ? REDIS_LATE_MS : REDIS_MS)
      return await this.#build(update, redis, { held, hold })
    } catch (error) {
      for (const release of held) release()
      throw error
    }
  }

  async #build(
    update: ConfigUpdate,
    redis: RedisLedger | null,
    { held, hold }: { readonly held: (() => void)[]; readonly hold: Hold },
  ): Promise<Policies> {
    const { config } = update
    const tenants = new Map(config.tenants.map((t) => [t.name, t]))
    const limiter = await this.#limiterOf(update, redis)
    if (limiter !== null) {
      this.#limiters.add(limiter)
      held.push(() => this.#limiters.delete(limiter))
    }
    const { auth, headers } = await this.#authOf(config)
    if (auth !== null) held.push(() => auth.close())
    return {
      auth,
      headers,
      limiter,
      gate: await this.#gateOf(update),
      recorder: await this.#recorderOf(config, redis, hold),
      tracing: await this.#tracingOf(config),
      mesh: meshRules(config),
      state: await this.state.of(config, hold),
      cache: await this.cache.of(update, hold),
      pricing: pricingOf(config, this.#estimator),
      ticketOf({ tenant }) {
        const known = tenants.get(tenant)
        return { tenant, weight: known?.weight ?? 1, priority: known?.priority ?? 0 }
      },
      close() {
        for (const release of held.splice(0)) release()
      },
    }
  }

  /** Who calls, and what of their headers is not to be believed: both by the same rules. */
  async #authOf(
    config: HeddleConfig,
  ): Promise<{ auth: (Authenticator & { close(): void }) | null; headers: HeaderGate }> {
    const { auth, tenants } = config
    if (auth === null) return { auth: null, headers: CLOSED_HEADERS }
    const { createAuthenticator } = await import('../auth/authenticator.ts')
    const { identityGate } = await import('../mesh/identity/index.ts')
    const gate = identityGate(config)
    const { clock, log } = this.#parts
    if (this.#keySets === null) {
      const { KeySets } = await import('../auth/key-set.ts')
      this.#keySets = new KeySets({
        clock,
        onEvent: ({ url, ok, message }) => {
          // Once when it begins and once when it ends, not at every try.
          if (this.#failing.has(url) === !ok) return
          if (ok) this.#failing.delete(url)
          else this.#failing.add(url)
          log(ok ? 'info' : 'warn', { url, error: message }, ok ? 'key set fetched again' : 'key set cannot be fetched')
        },
      })
    }
    const parts = { clock, revocations: this.#changes.revocations, keySets: this.#keySets, gate }
    return { auth: createAuthenticator(auth, tenants, parts), headers: gate.headers }
  }

  async #limiterOf({ config, shared }: ConfigUpdate, redis: RedisLedger | null): Promise<LedgerLimiter | null> {
    if (shared.ledger === null) return null
    const { createLimiter } = await import('../ratelimit/limiter.ts')
    const { clock, place } = this.#parts
    if (this.#memory === null) {
      const { LedgerMemory } = await import('../ratelimit/ledger-memory.ts')
      this.#memory = new LedgerMemory(shared.ledger, place, clock)
    }
    return createLimiter({
      limits: config.limits,
      tenants: config.tenants,
      memory: this.#memory,
      shared: redis,
      replicas: config.ledger.redis?.replicas ?? 1,
      clock,
      overrides: this.#changes.overrides,
      onRefused: (limit, unit, shadow) => void this.#refusals(limit, unit, shadow).value++,
      onUnchecked: () => void this.#unchecked().value++,
    })
  }

  #refusals(limit: string, unit: string, shadow: boolean): Counter {
    const labels = { limit, unit, shadow: String(shadow) }
    return this.#parts.metrics.counter('heddle_limit_refusals_total', 'Requests refused by limits.', labels)
  }

  #dropped(): Counter {
    return this.#parts.metrics.counter(
      'heddle_ledger_settlements_dropped_total',
      'Uses that Redis was never told, because too many waited for it.',
    )
  }

  #unchecked(): Counter {
    return this.#parts.metrics.counter(
      'heddle_limit_unchecked_requests_total',
      'Requests that passed limits which could not be asked.',
    )
  }

  /** One connection for as long as its settings stay the same. */
  async #redisOf({ ledger }: HeddleConfig, hold: Hold): Promise<RedisLedger | null> {
    const { redis, maxScopes } = ledger
    if (redis === null) return null
    const { RedisLedger } = await import('../ratelimit/redis-ledger.ts')
    const { clock, log } = this.#parts
    const shared = hold(
      this.#redis.acquire(JSON.stringify([redis, maxScopes]), () => {
        this.#watchRedis()
        return new RedisLedger({
          config: redis,
          maxScopes,
          clock,
          log: (level, message, fields) => log(level, fields, message),
          onDropped: () => void this.#dropped().value++,
        })
      }),
    )
    return shared
  }

  #watchRedis(): void {
    if (this.#redisSeen) return
    this.#redisSeen = true
    const { metrics } = this.#parts
    const up = metrics.gauge('heddle_ledger_up', 'Workers whose ledger in Redis answers.')
    metrics.onCollect(() => up.set(this.#redis.values().filter((redis) => redis.up).length))
  }

  #changed(): void {
    for (const limiter of this.#limiters) limiter.changed()
  }

  /** Every second: what ends by itself, and what other replicas were told. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    try {
      let changed = this.#changes.overrides.expire(this.#parts.clock.now())
      for (const redis of this.#redis.values()) if (await this.#changes.share(redis)) changed = true
      if (changed) this.#changed()
    } catch (error) {
      this.#parts.log('error', { err: String(error) }, 'changes made at run time could not be looked at')
    } finally {
      this.#refreshing = false
    }
  }

  async #gateOf({ shared, slots }: ConfigUpdate): Promise<FairGate | null> {
    if (shared.capacity === null) return null
    this.#slots = slots
    if (this.#gate === null) {
      const { FairGate } = await import('../ratelimit/fair-queue-gate.ts')
      const { CapacityTable } = await import('../ratelimit/fair-queue-table.ts')
      const { clock, place, metrics, wheel } = this.#parts
      const table = new CapacityTable(shared.capacity, place)
      const gate = new FairGate({
        table,
        wheel,
        clock,
        slotOf: (target) => this.#slots[slotKey(target.provider.config, target.name)]!,
      })
      metrics.onCollect(() => {
        for (const { target, waiting } of gate.waiting())
          metrics.gauge('heddle_queue_waiting', 'Requests that wait for a place at a backend.', { target }).set(waiting)
      })
      this.#gate = gate
    }
    return this.#gate
  }

  async #tracingOf(config: HeddleConfig): Promise<Traces | null> {
    const { telemetry, clock } = this.#parts
    if (telemetry === null || config.tracing.traces === null) return null
    const { createTracing } = await import('../telemetry/trace/tracing.ts')
    if (this.#spans === null) {
      const { SpanQueue } = await import('../telemetry/otlp/span-queue.ts')
      this.#spans = new SpanQueue(telemetry)
    }
    const { noteRequest, writeSpans } = await import('../pipeline/spans.ts')
    const tracing = createTracing(config.tracing, kindOf(config), { sink: this.#spans, now: clock.now })
    return { ...tracing, noteRequest, writeSpans }
  }

  async #list(): Promise<readonly object[]> {
    const memory = this.#memory
    if (memory === null) return []
    const { listCounters, listShared } = await import('../ratelimit/ledger-list.ts')
    const { clock } = this.#parts
    const redis = this.#redis.values().at(-1)
    const rows = redis === undefined ? listCounters(memory, clock) : await listShared(memory, redis, clock)
    return rows.map(rowOf)
  }

  /** Of configurations that record alike, one: they share its file and its queue. */
  async #recorderOf(
    { usage: { records }, ledger }: HeddleConfig,
    redis: RedisLedger | null,
    hold: Hold,
  ): Promise<Recorder | null> {
    if (records.file === null && records.otlp === null && records.redis === null) return null
    const { createRecorder } = await import('../usage/recorder.ts')
    const { clock, version } = this.#parts
    const store = redis === null ? null : (await import('../usage/redis-stream.ts')).streamStore(redis.store)
    const key = JSON.stringify([records, records.redis === null ? null : ledger.redis])
    return hold(this.#recorders.acquire(key, () => createRecorder(records, { clock, version, store })))
  }

  /** Records that sinks could not take, since the start. */
  get recordsDropped(): number {
    let dropped = this.#droppedBefore
    for (const recorder of this.#recorders.values()) dropped += recorder.dropped
    return dropped
  }

  /** The last request is over: resolves when what has been recorded and settled is out. */
  async end(): Promise<void> {
    this.#spans?.flush()
    await this.state.end()
    await Promise.all([
      this.cache.end(),
      ...this.#redis.values().map((redis) => redis.close()),
      ...this.#recorders.values().map((recorder) => recorder.flush()),
    ])
  }

  async control(control: Control): Promise<unknown> {
    switch (control.kind) {
      case 'limits':
        return this.#list()
      case 'cache_stats':
      case 'cache_purge':
      case 'cache_feedback':
        return this.cache.ask(control)
      case 'revoked':
        return this.#changes.revocations.snapshot()
      case 'resume':
        for (const change of control.changes) this.#changes.resume(change)
        this.#changed()
        return null
      default:
        this.#changes.apply(control)
        this.#changed()
        for (const redis of this.#redis.values()) await this.#changes.share(redis)
        return null
    }
  }
}

const rowOf = ({ resetsAt, ...rest }: CounterState): object => ({
  ...rest,
  resets_at: resetsAt === null ? null : new Date(resetsAt).toISOString(),
})

/** Counting and guessing, as the pipeline asks for it. */
function pricingOf(config: HeddleConfig, estimator: TokenEstimator): Pricing {
  const book = new PriceBook(config.usage)
  return {
    charge(target, model, usage, estimated) {
      const quote = book.quote(target, model)
      return chargeOf(quote.price, usage, {
        preferReported: quote.preferReported,
        estimated: estimated || quote.estimated,
      })
    },
    strict: config.usage.unknownPrice === 'deny',
    refuses(target, model) {
      const denial = book.refusal(target, model)
      return denial === null ? null : `${denial.rule}: ${denial.reason}`
    },
    estimate: (route, promptBytes, maxTokens) => estimator.estimate(route, promptBytes, maxTokens),
    learn: (route, promptBytes, usage) => estimator.learn(route, promptBytes, usage),
  }
}
