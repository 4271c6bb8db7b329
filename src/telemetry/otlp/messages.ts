import type { MessagePort } from 'node:worker_threads'
import type { TracingConfig } from '../../contracts/config-tracing.ts'
import type { FamilySnapshot } from '../metrics.ts'
import type { Origin } from './span-proto.ts'

/** What the telemetry thread begins with. */
export interface ThreadData {
  readonly config: Pick<TracingConfig, 'traces' | 'metrics' | 'batch'>
  readonly origin: Origin
  /** Of Counts. */
  readonly counts: SharedArrayBuffer
}

/** What the main thread tells it. */
export type ToThread =
  | { readonly kind: 'port'; readonly port: MessagePort }
  | {
      readonly kind: 'metrics'
      readonly families: readonly FamilySnapshot[]
      readonly startAt: number
      readonly now: number
    }
  | { readonly kind: 'flush'; readonly id: number }

export type FromThread =
  | { readonly kind: 'flushed'; readonly id: number }
  /** Of each batch: null = it arrived. */
  | {
      readonly kind: 'result'
      readonly signal: 'traces' | 'metrics'
      readonly error: string | null
      readonly lost: number
    }
