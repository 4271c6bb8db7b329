import type { ServerConfig } from '../contracts/config.ts'
import type { Target } from '../contracts/routing.ts'
import type { Clock, Random } from '../core/clock.ts'
import type { TimerWheel } from '../core/wheel.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import type { Snapshot } from './snapshot.ts'

/** Where finished attempts and requests are counted and logged. */
export interface Telemetry {
  attempt(attempt: Attempt): void
  request(exchange: Exchange): void
  shadow(target: Target, result: string, nanoUsd: number): void
}

/** What lives as long as the worker. */
export interface Services {
  readonly clock: Clock
  readonly random: Random
  readonly wheel: TimerWheel
  readonly telemetry: Telemetry
  readonly limits: ServerConfig['limits']
  readonly loop: {
    readonly draining: boolean
    /** Why new work is refused right now; null = it is taken. Left out: it is always. */
    overload?(): string | null
    /** Value of `endpoint-load-metrics`, in the format that the request asks for; null = it is not told. */
    loadReport?(format: string | undefined): string | null
  }
  current(): Snapshot
  log(level: 'debug' | 'info' | 'warn' | 'error', fields: object, message: string): void
}
