import type { HeddleConfig } from '../contracts/config.ts'
import type { Detected } from '../mesh/detect.ts'
import type { HealthView } from './health-view.ts'

export interface StateFacts {
  readonly version: string
  readonly unready: readonly string[]
  readonly draining: boolean
  readonly workers: number
  readonly mesh: Detected
  readonly config: HeddleConfig
  /** File or folder; null = the environment. */
  readonly source: string | null
  /** Epoch ms. */
  readonly loadedAt: number
  readonly lastError: string | null
  readonly health: HealthView
  /** Of providers with `discovery`. */
  readonly clusters: readonly object[]
}

/** What `/admin/state` shows: for operators, without secrets. */
export function describeState(facts: StateFacts): object {
  const { version, unready, draining, workers, mesh, config, source, loadedAt, lastError, health, clusters } = facts
  return {
    version,
    ready: unready.length === 0,
    unready,
    draining,
    workers,
    mesh: { kind: mesh.kind, version: mesh.version },
    config: { hash: config.hash, source, loaded_at: new Date(loadedAt).toISOString(), last_error: lastError },
    targets: health.list(config),
    ...(clusters.length === 0 ? {} : { clusters }),
  }
}
