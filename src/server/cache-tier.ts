import type { CacheConfig } from '../contracts/config-cache.ts'
import type { SharedStore } from '../cache/shared.ts'
import type { CacheKitParts } from './cache-kit.ts'
import { RedisCalibration } from '../cache/redis-calibration.ts'
import { NearAnswers } from '../cache/redis-near.ts'
import { RedisTier } from '../cache/redis-tier.ts'
import { RedisVectors } from '../cache/redis-vectors.ts'
import { RedisBlobs } from '../store/blobs-redis.ts'
import { SealedBlobs } from '../store/blobs-sealed.ts'
import { RedisStore, type RedisConfig } from '../store/redis.ts'
import { Seal } from '../store/seal.ts'

/** What is learnt is heard of so long at a start, at most, ms: whoever knows nothing serves nothing. */
const START_MS = 500
/** Pages of totals take longer than what counts requests: a command gets at least this, ms. */
const DEADLINE_MS = 2000

/** The tier of all replicas behind a worker's answers. maxEntries: of a partition, found by meaning. Loaded where one is configured. Resolves when it is of use, or might not be. */
export async function openTier(
  store: SharedStore,
  { budgetMs, keys }: NonNullable<CacheConfig['redis']>,
  maxEntries: number,
  redis: RedisConfig,
  { clock, log, metrics }: CacheKitParts,
): Promise<void> {
  const help =
    'What Redis was asked of kept answers, and could not do: in time, at all, or with so much waiting for it.'
  const onFault = (fault: string): void => {
    metrics.counter('heddle_cache_redis_faults_total', help, { fault }).value++
  }
  const { semantic } = store
  const commands =
    semantic === null
      ? null
      : new RedisStore({ config: { ...redis, deadlineMs: Math.max(DEADLINE_MS, redis.deadlineMs) } })
  const blobs = new RedisBlobs(redis, (level, message, fields) => log(level, fields, message))
  const tier = new RedisTier({
    blobs: new SealedBlobs(blobs, keys),
    clock,
    budgetMs,
    onPurge: (wish, before) => void store.forget(wish, before),
    onFault,
    onClose: () => commands?.close(),
  })
  store.tier = tier
  // What was purged meanwhile must be known before anything is read that is older.
  const ready = blobs.ready(START_MS).then((isUp) => (isUp ? tier.look() : undefined))
  if (semantic === null || commands === null) {
    await ready
    return
  }
  const vectors = new RedisVectors({
    store: commands,
    prefix: redis.prefix,
    version: semantic.embedder,
    maxEntries,
    onFault,
    onMissing: () =>
      log('info', {}, 'cache: redis has no vector sets; answers of other replicas are found by the same question only'),
  })
  store.vectors = vectors
  semantic.far = new NearAnswers({
    store,
    tier,
    vectors,
    clock,
    budgetMs,
    onFault,
    onBrought(count) {
      const about = 'Answers of other replicas that were brought because their questions are like one that was asked.'
      metrics.counter('heddle_cache_brought_total', about).value += count
    },
  })
  store.calibration = new RedisCalibration({
    store: commands,
    seal: new Seal(keys),
    semantic,
    prefix: redis.prefix,
    onFault: () => onFault('calibration'),
  })
  if (await commands.ready(START_MS)) await Promise.all([store.calibration.sync(), vectors.look(clock.monotonic())])
  await ready
}
