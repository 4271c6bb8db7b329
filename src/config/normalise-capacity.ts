import type { CapacityConfig } from '../contracts/capacity.ts'
import type { ProviderEntry } from './providers.ts'

export const toCapacity = ({ capacity, credentials }: ProviderEntry): CapacityConfig | null =>
  capacity === undefined
    ? null
    : {
        concurrency: capacity.concurrency,
        queueLength: capacity.queue.length,
        queueWaitMs: capacity.queue.wait,
        // Each key of a pool has a quota of its own: what one key's answer says is wrong for the next.
        learn: capacity.learn && credentials?.keys === undefined,
      }
