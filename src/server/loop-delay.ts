import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import { everyUnref } from '../core/every.ts'

const SAMPLE_MS = 1000
const RESOLUTION_MS = 10

/** Watches this thread's event loop. Returns what tells its mean delay over the last second, ms. */
export function watchLoopDelay(): () => number {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  let last = 0
  everyUnref(() => {
    // The histogram holds the interval between ticks: the delay is what it is longer than asked.
    const mean = delay.mean / 1e6 - RESOLUTION_MS
    last = Number.isFinite(mean) ? Math.max(0, mean) : 0
    delay.reset()
  }, SAMPLE_MS)
  return () => last
}

/** What is asked when metrics are collected. */
export interface WorkerNumbers {
  loopDelayMs(): number
  logLinesDropped(): number
  recordsDropped(): number
}

export function showWorker(metrics: MetricRegistry, numbers: WorkerNumbers): void {
  const delay = metrics.gauge(
    'heddle_event_loop_delay_seconds',
    'Mean event-loop delay over the last second; of several workers the sum.',
  )
  const dropped = metrics.gauge('heddle_log_lines_dropped', 'Log lines dropped because nobody read them fast enough.')
  const unrecorded = metrics.gauge('heddle_usage_records_dropped', 'Usage records that a sink could not take.')
  metrics.onCollect(() => {
    unrecorded.set(numbers.recordsDropped())
    delay.set(numbers.loopDelayMs() / 1000)
    dropped.set(numbers.logLinesDropped())
  })
}
