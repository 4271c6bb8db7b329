import type { MessagePort } from 'node:worker_threads'
import { MessageChannel, Worker as Thread } from 'node:worker_threads'
import type { TracingConfig } from '../../contracts/config-tracing.ts'
import type { FamilySnapshot, MetricRegistry } from '../metrics.ts'
import type { TelemetryLink } from './link.ts'
import type { FromThread, ThreadData, ToThread } from './messages.ts'
import { everyUnref } from '../../core/every.ts'
import { atMost } from '../../core/sleep.ts'
import { SCHEMA_URL } from '../semconv.ts'
import { Counts } from './link.ts'

export interface TelemetryParts {
  readonly version: string
  /** Unique to this process among all of the service: `service.instance.id`. */
  readonly instance: string
  /** Epoch ms. */
  readonly now: () => number
  readonly log: (level: 'info' | 'warn' | 'error', fields: object, message: string) => void
}

/** What the telemetry thread may hold: a collector that is away must not eat the memory of the gateway. */
const HEAP_MB = 256
/** Exports of metrics that the thread has not answered: further ones are left out, the next tells the same and more. */
const MAX_METRICS_OPEN = 2

/**
 * The one telemetry thread of the process, as the main thread sees it. Worth creating only when traces or metrics are to
 * be exported; it does not keep the process alive.
 */
export class TelemetryHost {
  readonly counts = new Counts()
  readonly #config: TracingConfig
  readonly #parts: TelemetryParts
  readonly #thread: Thread
  readonly #startAt: number
  readonly #flushing = new Map<number, () => void>()
  readonly #failing = new Set<string>()
  #nextId = 1
  #metricsOpen = 0
  #gone = false
  #collect: (() => Promise<readonly FamilySnapshot[]>) | null = null
  #stopMetrics: (() => void) | null = null

  constructor(config: TracingConfig, parts: TelemetryParts) {
    this.#config = config
    this.#parts = parts
    this.#startAt = parts.now()
    const { version, instance } = parts
    const { traces, metrics, batch } = config
    const resource = { 'service.instance.id': instance, 'service.version': version, ...config.resource }
    const workerData: ThreadData = {
      config: { traces, metrics, batch },
      origin: { resource, scope: 'heddle', version, schemaUrl: SCHEMA_URL },
      counts: this.counts.buffer,
    }
    this.#thread = new Thread(
      new URL(import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js', import.meta.url),
      {
        workerData,
        // The exporters would read the variables again, and some of them otherwise than the configuration did.
        env: {},
        resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
      },
    )
    this.#thread.unref()
    this.#thread.on('message', (message: FromThread) => this.#onMessage(message))
    this.#thread.on('error', (error) => parts.log('error', { err: String(error) }, 'telemetry thread failed'))
    this.#thread.on('exit', () => {
      this.#gone = true
      for (const done of this.#flushing.values()) done()
      this.#flushing.clear()
    })
    for (const note of config.notes) parts.log('warn', {}, note)
  }

  #tell(message: ToThread, transfer: readonly MessagePort[] = []): void {
    if (!this.#gone) this.#thread.postMessage(message, [...transfer])
  }

  #onMessage(message: FromThread): void {
    if (message.kind === 'flushed') {
      this.#flushing.get(message.id)?.()
      this.#flushing.delete(message.id)
      return
    }
    const { signal, error, lost } = message
    if (signal === 'metrics') this.#metricsOpen--
    // Once when it begins and once when it ends, not at every batch.
    if (error === null) {
      if (this.#failing.delete(signal)) this.#parts.log('info', { signal }, 'telemetry is exported again')
    } else if (!this.#failing.has(signal)) {
      this.#failing.add(signal)
      this.#parts.log('warn', { signal, error, lost }, 'telemetry cannot be exported')
    }
  }

  /** For one thread that serves requests; its `port` must be transferred when it goes to another thread. */
  link(): TelemetryLink {
    const { port1, port2 } = new MessageChannel()
    this.#tell({ kind: 'port', port: port2 }, [port2])
    return {
      port: port1,
      counts: this.counts.buffer,
      json: this.#config.traces?.protocol === 'http/json',
      batch: this.#config.batch,
    }
  }

  /** Exports what `collect` gives, each interval and at a flush. Does nothing when metrics are not exported. */
  exportMetrics(collect: () => Promise<readonly FamilySnapshot[]>): void {
    const { metrics } = this.#config
    if (metrics === null) return
    this.#collect = collect
    this.#stopMetrics = everyUnref(() => void this.#sendMetrics(), metrics.intervalMs)
  }

  async #sendMetrics(): Promise<void> {
    if (this.#collect === null || this.#metricsOpen >= MAX_METRICS_OPEN) return
    this.#metricsOpen++
    try {
      const families = await this.#collect()
      this.#tell({ kind: 'metrics', families, startAt: this.#startAt, now: this.#parts.now() })
    } catch (error) {
      this.#metricsOpen--
      this.#parts.log('warn', { err: String(error) }, 'metrics could not be collected for export')
    }
  }

  /** Registers what became of the spans of all threads. */
  register(registry: MetricRegistry): void {
    const queued = registry.gauge('heddle_trace_spans_queued', 'Spans on their way to the collector.')
    const exported = registry.counter('heddle_trace_spans_exported_total', 'Spans that the collector has taken.')
    const help = 'Spans that were lost: `queue_full`, or `not_taken` by the collector.'
    const dropped = registry.counter('heddle_trace_spans_dropped_total', help, { reason: 'queue_full' })
    const failed = registry.counter('heddle_trace_spans_dropped_total', help, { reason: 'not_taken' })
    registry.onCollect(() => {
      queued.set(this.counts.queued)
      exported.value = this.counts.exported
      dropped.value = this.counts.dropped
      failed.value = this.counts.failed
    })
  }

  /**
   * Resolves when what the threads have handed over, and the metrics of now, are out or given up; after maxMs in any case.
   * Threads must have flushed their own queues before.
   */
  async flush(maxMs: number): Promise<void> {
    if (this.#gone) return
    await atMost(maxMs, this.#flush())
  }

  async #flush(): Promise<void> {
    await this.#sendMetrics()
    const id = this.#nextId++
    await new Promise<void>((resolve) => {
      this.#flushing.set(id, resolve)
      this.#tell({ kind: 'flush', id })
    })
  }

  /** flush(), then ends the thread. */
  async close(maxMs: number): Promise<void> {
    this.#stopMetrics?.()
    await this.flush(maxMs)
    this.#gone = true
    await this.#thread.terminate()
  }
}
