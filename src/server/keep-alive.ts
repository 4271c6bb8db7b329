import type { HeddleConfig } from '../contracts/config.ts'
import { kindOf } from '../mesh/rules.ts'

const KEEP_ALIVE_MS = 75_000

/**
 * After how long idle connections of clients are closed, ms; 0 = never. A sidecar keeps its connections for an hour: a
 * server that closes first meets some of them with a request under way, which then fails as `503 UC`.
 */
export function keepAliveOf(config: Pick<HeddleConfig, 'mesh' | 'server'>): number {
  const { keepAliveMs } = config.server
  if (keepAliveMs !== 'auto') return keepAliveMs
  return kindOf(config) === 'none' ? KEEP_ALIVE_MS : 0
}
