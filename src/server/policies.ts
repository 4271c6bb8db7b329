import type { HeddleConfig } from '../contracts/config.ts'
import type { Clock } from '../core/clock.ts'
import type { Policies, Pricing } from '../pipeline/policies.ts'
import type { Authenticator } from '../contracts/identity.ts'
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
import { slotKey } from './compile.ts'
import { everyUnref } from '../core/every.ts'
import { chargeOf, PriceBook, TokenEstimator } from '../usage/index.ts'

export interface PolicyParts {
  readonly place: WorkerPlace
  readonly clock: Clock
  readonly metrics: MetricRegistry
  readonly log: Services['log']
  readonly version: string
  readonly wheel: TimerWheel
}

interface HeldRecorder {
  readonly recorder: Recorder
  release(): void
}

/** How often changes made at run time are looked at, ms. */
const REFRESH_MS = 1000
/** A ledger that is not configured any more is left to settle for this long, ms. */
const OLD_LEDGER_MS = 60_000

/**
 * Builds what configurations ask of requests, and keeps what outlives them. One a worker. What is not configured is
 * not loaded.
 */
export class PolicyKit {
  readonly #parts: PolicyParts
  readonly #estimator = new TokenEstimator()
  readonly #changes = new RuntimeChanges()
  readonly #failing = new Set<string>()
  readonly #recorders = new Map<string, { readonly recorder: Recorder; holders: number }>()
  #droppedBefore = 0
  #keySets: KeySets | null = null
  #memory: LedgerMemory | null = null
  #redis: { readonly key: string; readonly ledger: RedisLedger } | null = null
  #refreshing = false
  #gate: FairGate | null = null
  #slots: Readonly<Record<string, number>> = {}
  #limiter: LedgerLimiter | null = null

  constructor(parts: PolicyParts) {
    this.#parts = parts
    everyUnref(() => void this.#refresh(), REFRESH_MS)
  }

  async compile(update: ConfigUpdate): Promise<Policies> {
    const { config } = update
    const tenants = new Map(config.tenants.map((t) => [t.name, t]))
    const auth = await this.#compileAuth(config)
    await this.#compileRedis(config)
    const records = await this.#holdRecorder(config)
    return {
      auth,
      close: () => {
        auth?.close()
        records?.release()
      },
      limiter: await this.#compileLimiter(update),
      gate: await this.#compileGate(update),
      recorder: records?.recorder ?? null,
      pricing: pricingOf(config, this.#estimator),
      ticketOf({ tenant }) {
        const known = tenants.get(tenant)
        return { tenant, weight: known?.weight ?? 1, priority: known?.priority ?? 0 }
      },
    }
  }

  async #compileAuth({ auth, tenants }: HeddleConfig): Promise<(Authenticator & { close(): void }) | null> {
    if (auth === null) return null
    const { createAuthenticator } = await import('../auth/authenticator.ts')
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
    return createAuthenticator(auth, tenants, { clock, revocations: this.#changes.revocations, keySets: this.#keySets })
  }

  async #compileLimiter({ config, shared }: ConfigUpdate): Promise<LedgerLimiter | null> {
    if (shared.ledger === null) return null
    const { createLimiter } = await import('../ratelimit/limiter.ts')
    const { clock, place } = this.#parts
    if (this.#memory === null) {
      const { LedgerMemory } = await import('../ratelimit/ledger-memory.ts')
      this.#memory = new LedgerMemory(shared.ledger, place, clock)
    }
    this.#limiter = createLimiter({
      limits: config.limits,
      tenants: config.tenants,
      memory: this.#memory,
      shared: this.#redis?.ledger ?? null,
      replicas: config.ledger.redis?.replicas ?? 1,
      clock,
      overrides: this.#changes.overrides,
      onRefused: (limit, unit, shadow) => void this.#refusals(limit, unit, shadow).value++,
      onUnchecked: () => void this.#unchecked().value++,
    })
    return this.#limiter
  }

  #refusals(limit: string, unit: string, shadow: boolean): Counter {
    const labels = { limit, unit, shadow: String(shadow) }
    return this.#parts.metrics.counter('heddle_limit_refusals_total', 'Requests refused by limits.', labels)
  }

  #unchecked(): Counter {
    return this.#parts.metrics.counter(
      'heddle_limit_unchecked_requests_total',
      'Requests that passed limits which could not be asked.',
    )
  }

  /** One connection for as long as its settings stay the same. */
  async #compileRedis({ ledger }: HeddleConfig): Promise<void> {
    const key = JSON.stringify([ledger.redis, ledger.maxScopes])
    if (this.#redis?.key === key) return
    const before = this.#redis
    this.#redis = null
    if (ledger.redis !== null) {
      const { RedisLedger } = await import('../ratelimit/redis-ledger.ts')
      const { clock, log, metrics } = this.#parts
      const redis = new RedisLedger({
        config: ledger.redis,
        maxScopes: ledger.maxScopes,
        clock,
        log: (level, message, fields) => log(level, fields, message),
      })
      this.#redis = { key, ledger: redis }
      const up = metrics.gauge('heddle_ledger_up', '1 while the ledger in Redis answers; of several workers the sum.')
      metrics.onCollect(() => up.set(this.#redis?.ledger.up === true ? 1 : 0))
    }
    // Calls under way settle with the one that admitted them; what it knows it tells before it goes.
    if (before !== null) setTimeout(() => void before.ledger.close(), OLD_LEDGER_MS).unref()
  }

  /** Every second: what ends by itself, and what other replicas were told. */
  async #refresh(): Promise<void> {
    if (this.#refreshing) return
    this.#refreshing = true
    const redis = this.#redis?.ledger ?? null
    if (redis !== null) await this.#changes.share(redis)
    this.#limiter?.refresh()
    this.#limiter?.changed()
    this.#refreshing = false
  }

  async #compileGate({ shared, slots }: ConfigUpdate): Promise<FairGate | null> {
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

  async #list(): Promise<readonly object[]> {
    const memory = this.#memory
    if (memory === null) return []
    const { listCounters, listShared } = await import('../ratelimit/ledger-list.ts')
    const { clock } = this.#parts
    const rows =
      this.#redis === null ? listCounters(memory, clock) : await listShared(memory, this.#redis.ledger, clock)
    return rows.map(rowOf)
  }

  /** Of configurations that record alike, one: they share its file and its queue. */
  async #holdRecorder({ usage: { records } }: HeddleConfig): Promise<HeldRecorder | null> {
    if (records.file === null && records.otlp === null && records.redis === null) return null
    const key = JSON.stringify(records)
    let held = this.#recorders.get(key)
    if (held === undefined) {
      const { createRecorder } = await import('../usage/recorder.ts')
      const { clock, version } = this.#parts
      const { streamStore } = await import('../usage/redis-stream.ts')
      const redis = this.#redis?.ledger ?? null
      const store = redis === null ? null : streamStore(redis.store)
      const recorder = createRecorder(records, { clock, version, store })
      held = { recorder, holders: 0 }
      this.#recorders.set(key, held)
    }
    held.holders++
    const { recorder } = held
    return {
      recorder,
      release: () => {
        if (--held.holders > 0) return
        this.#recorders.delete(key)
        this.#droppedBefore += recorder.dropped
        void recorder.close()
      },
    }
  }

  /** Records that sinks could not take, since the start. */
  get recordsDropped(): number {
    let dropped = this.#droppedBefore
    for (const { recorder } of this.#recorders.values()) dropped += recorder.dropped
    return dropped
  }

  /** Resolves when what has been recorded is out. */
  async flush(): Promise<void> {
    await Promise.all([...this.#recorders.values()].map(({ recorder }) => recorder.flush()))
  }

  async control(control: Control): Promise<unknown> {
    switch (control.kind) {
      case 'limits':
        return this.#list()
      case 'revoked':
        return this.#changes.revocations.snapshot()
      default:
        this.#changes.apply(control, this.#redis?.ledger ?? null)
        this.#limiter?.changed()
        if (this.#redis !== null) await this.#changes.share(this.#redis.ledger)
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
