import type { CacheConfig } from '../contracts/config-cache.ts'
import type { SharedStore } from '../cache/shared.ts'
import type { CacheKitParts } from './cache-kit.ts'
import { RedisTier } from '../cache/redis-tier.ts'
import { RedisBlobs } from '../store/blobs-redis.ts'
import { SealedBlobs } from '../store/blobs-sealed.ts'
import type { RedisConfig } from '../store/redis.ts'

/** The tier of all replicas behind a worker's answers. Loaded where one is configured. */
export function openTier(
  store: SharedStore,
  { budgetMs, keys }: NonNullable<CacheConfig['redis']>,
  redis: RedisConfig,
  { clock, log, metrics }: CacheKitParts,
): RedisTier {
  const help =
    'What Redis was asked of kept answers, and could not do: in time, at all, or with so much waiting for it.'
  return new RedisTier({
    blobs: new SealedBlobs(new RedisBlobs(redis, (level, message, fields) => log(level, fields, message)), keys),
    clock,
    budgetMs,
    onPurge: (wish, before) => void store.memory.purge(wish, before),
    onFault: (fault) => void metrics.counter('heddle_cache_redis_faults_total', help, { fault }).value++,
  })
}
