import type { HeddleConfig, ProviderConfig } from '../contracts/config.ts'
import type { Health } from '../contracts/routing.ts'
import { systemClock } from '../core/clock.ts'
import { HealthTable } from '../routing/health.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import { slotKeys } from './compile.ts'

const HEALTH_SLOTS = 8192

const proofOf = ({ apiKey, credentials }: ProviderConfig): string => JSON.stringify([apiKey, credentials])

/** Health of all targets as the main thread sees it: it begins no attempt, and only reads. */
export class HealthView {
  readonly health: HealthTable
  readonly slots: Record<string, number> = {}

  constructor(workers: number) {
    this.health = new HealthTable(HEALTH_SLOTS, systemClock.monotonic, { worker: 0, workers })
  }

  static readonly capacity = HEALTH_SLOTS

  /** A slot once given stays with its target for the life of the process. Throws when there are none left. */
  assign(config: HeddleConfig): void {
    for (const key of slotKeys(config)) {
      if (this.slots[key] !== undefined) continue
      const next = Object.keys(this.slots).length
      if (next >= this.health.capacity)
        throw new Error(`more than ${this.health.capacity} targets since the start: restart to forget the old ones`)
      this.slots[key] = next
    }
  }

  targets(config: HeddleConfig): { readonly target: string; readonly health: Health }[] {
    const { breaker } = config.defaults
    const inUse = new Set(slotKeys(config))
    return Object.entries(this.slots)
      .filter(([key]) => inUse.has(key))
      .map(([key, slot]) => ({ target: key.slice(key.indexOf(' ') + 1), health: this.health.slot(slot, breaker) }))
  }

  collect(metrics: MetricRegistry, config: HeddleConfig): void {
    const now = systemClock.monotonic()
    for (const { target, health } of this.targets(config)) {
      metrics.gauge('heddle_target_inflight', 'Attempts under way.', { target }).set(health.inflight)
      metrics
        .gauge('heddle_target_ejected', '1 while the circuit of the target is open.', { target })
        .set(health.ejectedUntil > now ? 1 : 0)
      metrics
        .gauge('heddle_target_latency_seconds', 'Peak moving average of the time to the first token.', { target })
        .set(health.latencyMs / 1000)
    }
  }

  /** Providers with a new key get their chance at once. */
  revive(before: HeddleConfig, after: HeddleConfig): void {
    const old = new Map(before.providers.map((p) => [p.name, proofOf(p)]))
    for (const provider of after.providers) {
      if (old.get(provider.name) === proofOf(provider)) continue
      for (const { target, health } of this.targets(before)) if (target.startsWith(`${provider.name}/`)) health.revive()
    }
  }

  /** For `/admin/state`. */
  list(config: HeddleConfig): object[] {
    const now = systemClock.monotonic()
    const rest = (until: number): number => Math.max(0, Math.round(until - now))
    return this.targets(config).map(({ target, health }) => ({
      target,
      inflight: health.inflight,
      latency_ms: Math.round(health.latencyMs),
      consecutive_failures: health.consecutiveFailures,
      ejections: health.ejections,
      ejected_ms: rest(health.ejectedUntil),
      busy_ms: rest(health.busyUntil),
      dead_ms: rest(health.deadUntil),
    }))
  }
}
