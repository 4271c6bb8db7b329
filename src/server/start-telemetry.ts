import { randomUUID } from 'node:crypto'
import type { HeddleConfig } from '../contracts/config.ts'
import type { TelemetryHost, TelemetryParts } from '../telemetry/otlp/host.ts'
import { systemClock } from '../core/clock.ts'

/** The thread that exports traces and metrics; null where nothing is exported: then nothing of it is loaded. */
export async function startTelemetry(
  { tracing }: HeddleConfig,
  version: string,
  log: TelemetryParts['log'],
): Promise<TelemetryHost | null> {
  if (tracing.traces === null && tracing.metrics === null) return null
  const { TelemetryHost: Host } = await import('../telemetry/otlp/host.ts')
  return new Host(tracing, { version, instance: randomUUID(), now: systemClock.now, log })
}
