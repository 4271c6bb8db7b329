import type { HeddleConfig } from '../contracts/config.ts'
import type { Clock } from '../core/clock.ts'
import type { Policies, Pricing } from '../pipeline/policies.ts'
import type { Authenticator } from '../contracts/identity.ts'
import type { Recorder } from '../contracts/usage.ts'
import type { KeySets } from '../auth/key-set.ts'
import type { Services } from '../pipeline/services.ts'
import type { LedgerLimiter } from '../ratelimit/limiter.ts'
import type { LedgerMemory } from '../ratelimit/ledger-memory.ts'
import type { WorkerPlace } from '../routing/health.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import type { Control } from './messages.ts'
import type { ConfigUpdate } from './worker.ts'
import { Revocations } from '../auth/revocations.ts'
import { Overrides } from '../ratelimit/overrides.ts'
import { everyUnref } from '../core/every.ts'
import { chargeOf, PriceBook, TokenEstimator } from '../usage/index.ts'

export interface PolicyParts {
  readonly place: WorkerPlace
  readonly clock: Clock
  readonly metrics: MetricRegistry
  readonly log: Services['log']
  readonly version: string
}

interface HeldRecorder {
  readonly recorder: Recorder
  release(): void
}

/** Run-time changes that end by themselves are looked for this often. */
const REFRESH_MS = 1000

/**
 * Builds what configurations ask of requests, and keeps what outlives them. One a worker. What is not configured is
 * not loaded.
 */
export class PolicyKit {
  readonly #parts: PolicyParts
  readonly #estimator = new TokenEstimator()
  readonly #revocations = new Revocations()
  readonly #overrides = new Overrides()
  readonly #failing = new Set<string>()
  readonly #recorders = new Map<string, { readonly recorder: Recorder; holders: number }>()
  #droppedBefore = 0
  #keySets: KeySets | null = null
  #memory: LedgerMemory | null = null
  #limiter: LedgerLimiter | null = null

  constructor(parts: PolicyParts) {
    this.#parts = parts
  }

  async compile(update: ConfigUpdate): Promise<Policies> {
    const { config } = update
    const tenants = new Map(config.tenants.map((t) => [t.name, t]))
    const auth = await this.#compileAuth(config)
    const records = await this.#holdRecorder(config)
    return {
      auth,
      close: () => {
        auth?.close()
        records?.release()
      },
      limiter: await this.#compileLimiter(update),
      gate: null,
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
    return createAuthenticator(auth, tenants, { clock, revocations: this.#revocations, keySets: this.#keySets })
  }

  async #compileLimiter({ config, shared }: ConfigUpdate): Promise<LedgerLimiter | null> {
    if (shared.ledger === null) return null
    const { createLimiter } = await import('../ratelimit/limiter.ts')
    const { clock, place, metrics } = this.#parts
    if (this.#memory === null) {
      const { LedgerMemory } = await import('../ratelimit/ledger-memory.ts')
      this.#memory = new LedgerMemory(shared.ledger, place, clock)
      everyUnref(() => this.#limiter?.refresh(), REFRESH_MS)
    }
    this.#limiter = createLimiter({
      limits: config.limits,
      tenants: config.tenants,
      memory: this.#memory,
      shared: null,
      replicas: 1,
      clock,
      overrides: this.#overrides,
      onRefused: (limit, unit, shadow) =>
        void metrics.counter('heddle_limit_refusals_total', 'Requests refused by limits.', {
          limit,
          unit,
          shadow: String(shadow),
        }).value++,
      onUnchecked: () =>
        void metrics.counter(
          'heddle_limit_unchecked_requests_total',
          'Requests that passed limits which could not be asked.',
        ).value++,
    })
    return this.#limiter
  }

  /** Of configurations that record alike, one: they share its file and its queue. */
  async #holdRecorder({ usage: { records } }: HeddleConfig): Promise<HeldRecorder | null> {
    if (records.file === null && records.otlp === null && records.redis === null) return null
    const key = JSON.stringify(records)
    let held = this.#recorders.get(key)
    if (held === undefined) {
      const { createRecorder } = await import('../usage/recorder.ts')
      const { clock, version } = this.#parts
      const recorder = createRecorder(records, { clock, version, store: null })
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
        return []
      case 'change': {
        const { amount, ...target } = control.change
        if (amount === null) this.#overrides.clear(target)
        else this.#overrides.set({ ...target, amount })
        this.#limiter?.changed()
        return null
      }
      case 'revoked':
        return this.#revocations.snapshot()
      case 'revoke':
        if (control.revoked) this.#revocations.revoke(control.id)
        else this.#revocations.restore(control.id)
        return null
    }
  }
}

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
