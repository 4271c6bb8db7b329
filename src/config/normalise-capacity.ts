import type { CapacityConfig } from '../contracts/capacity.ts'
import type { ProviderEntry } from './providers.ts'

export const toCapacity = ({ capacity }: ProviderEntry): CapacityConfig | null =>
  capacity === undefined
    ? null
    : {
        concurrency: capacity.concurrency,
        queueLength: capacity.queue.length,
        queueWaitMs: capacity.queue.wait,
        learn: capacity.learn,
      }
