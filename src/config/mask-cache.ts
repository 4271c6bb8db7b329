import type { CacheConfig } from '../contracts/config-cache.ts'

const MASK = '***'

/** Fit for a dump: how many keys there are shows, not what they are. */
export const maskCache = (cache: CacheConfig | null): CacheConfig | null =>
  cache === null || cache.redis === null
    ? cache
    : { ...cache, redis: { ...cache.redis, keys: cache.redis.keys.map(() => MASK) } }
