import type { MetricRegistry } from '../telemetry/metrics.ts'

export interface ConfigFacts {
  /** Epoch ms. */
  readonly loadedAt: number
  /** A newer one could not be used. */
  readonly stale: boolean
}

/** What the process tells of itself and of its configuration. */
export function processMetrics(m: MetricRegistry, version: string, facts: () => ConfigFacts): void {
  const memory = m.gauge('process_resident_memory_bytes', 'Resident memory of the process.')
  const cpu = m.counter('process_cpu_seconds_total', 'User and system time of the process.')
  m.gauge('process_start_time_seconds', 'Start of the process, seconds since the epoch.').set(
    Math.round(performance.timeOrigin) / 1000,
  )
  m.gauge('heddle_build_info', 'Version of Heddle and of Node.', { version, node: process.versions.node }).set(1)
  const loadedAt = m.gauge(
    'heddle_config_last_load_timestamp_seconds',
    'When the configuration that serves was loaded.',
  )
  const stale = m.gauge('heddle_config_stale', '1 while a newer configuration could not be used.')
  m.onCollect(() => {
    memory.set(process.memoryUsage.rss())
    const { user, system } = process.cpuUsage()
    cpu.value = (user + system) / 1e6
    const now = facts()
    loadedAt.set(now.loadedAt / 1000)
    stale.set(now.stale ? 1 : 0)
  })
}
