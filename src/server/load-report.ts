import { performance } from 'node:perf_hooks'
import { everyUnref } from '../core/every.ts'

const SAMPLE_MS = 250
/** Share of the last sample in a rate: it settles within a second. */
const NEW = 0.3

/**
 * How busy a worker is, as proxies that weigh their endpoints want to know it (ORCA, xds.data.orca.v3.OrcaLoadReport):
 * utilisation is what is closest to its end of places for requests and of time of the event loop. Rates are those of one request a second: proxies
 * weigh by rate over utilisation, which with answers that last from milliseconds to minutes would give all to whoever has
 * most of it already. The true rate is among the named metrics.
 */
export class LoadReport {
  readonly #limit: number
  readonly #stop: () => void
  #before = performance.eventLoopUtilization()
  #busy = 0
  #rate = 0
  #errors = 0
  #counted = 0
  #failed = 0

  /** limit: requests at a time, from which on more are refused. */
  constructor(limit: number) {
    this.#limit = limit
    this.#stop = everyUnref(() => this.#sample(), SAMPLE_MS)
  }

  count(): void {
    this.#counted++
  }

  /** One that Heddle itself turned away. */
  countRefused(): void {
    this.#failed++
  }

  #sample(): void {
    const now = performance.eventLoopUtilization()
    this.#busy = performance.eventLoopUtilization(now, this.#before).utilization
    this.#before = now
    const per = 1000 / SAMPLE_MS
    this.#rate += (this.#counted * per - this.#rate) * NEW
    this.#errors += (this.#failed * per - this.#errors) * NEW
    this.#counted = 0
    this.#failed = 0
  }

  /** Value of `endpoint-load-metrics`. format: what the request asks for, TEXT or anything else for JSON. */
  header(inflight: number, format: string | undefined): string {
    const utilisation = Math.max(inflight / this.#limit, this.#busy)
    const report = {
      application_utilization: round(utilisation),
      rps_fractional: 1,
      eps: round(this.#errors / Math.max(this.#rate, 1)),
    }
    const named = { inflight_streams: inflight, event_loop_utilization: round(this.#busy), rps: round(this.#rate) }
    if (format?.toUpperCase() !== 'TEXT') return `JSON ${JSON.stringify({ ...report, named_metrics: named })}`
    const pairs = Object.entries(report).map(([name, value]) => `${name}=${value}`)
    const more = Object.entries(named).map(([name, value]) => `named_metrics.${name}=${value}`)
    return `TEXT ${[...pairs, ...more].join(', ')}`
  }

  close(): void {
    this.#stop()
  }
}

const round = (value: number): number => Math.round(value * 1000) / 1000
