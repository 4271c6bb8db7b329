import type { Counter, Gauge, MetricRegistry } from '../../telemetry/metrics.ts'

/** Close codes that have a name of their own in metrics: those of RFC 6455 7.4.1. */
const isKnown = (code: number): boolean => code >= 1000 && code <= 1015

/** What sessions are counted by; made with the first of a worker. */
export class RealtimeMeter {
  readonly #registry: MetricRegistry
  readonly #open: Gauge
  readonly #messages: readonly [Counter, Counter]
  readonly #bytes: readonly [Counter, Counter]

  constructor(registry: MetricRegistry) {
    this.#registry = registry
    this.#open = registry.gauge('heddle_realtime_sessions', 'Realtime sessions that are open.')
    const of = (name: string, help: string): readonly [Counter, Counter] => [
      registry.counter(name, help, { from: 'backend' }),
      registry.counter(name, help, { from: 'client' }),
    ]
    this.#messages = of('heddle_realtime_messages_total', 'Messages of realtime sessions that went through.')
    this.#bytes = of('heddle_realtime_bytes_total', 'Bytes of these messages.')
  }

  opened(): void {
    this.#open.add(1)
  }

  /** Once for each opened(). */
  ended(): void {
    this.#open.add(-1)
  }

  message(fromClient: boolean, bytes: number): void {
    const at = fromClient ? 1 : 0
    this.#messages[at].value++
    this.#bytes[at].value += bytes
  }

  /** Who closed first, and how. */
  closed(byClient: boolean, code: number): void {
    this.#registry.counter('heddle_realtime_closes_total', 'Realtime sessions by who closed them first, and how.', {
      by: byClient ? 'client' : 'backend',
      code: isKnown(code) ? String(code) : 'other',
    }).value++
  }
}
