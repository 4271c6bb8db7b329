import type { CacheConfig } from '../contracts/config-cache.ts'
import type { SharedStore } from '../cache/shared.ts'
import type { CacheKitParts } from './cache-kit.ts'
import { SnapshotKeeper } from '../cache/snapshot.ts'

/** Beside what is counted as entries and vectors. */
const MORE_BYTES = 8 * 1024 * 1024

/** What keeps a store in the file that is configured. Loaded where one is. isCurrent: see SnapshotParts. */
export function openSnapshot(
  store: SharedStore,
  { snapshot, redis, maxBytes, semantic }: CacheConfig,
  { place, clock, log }: CacheKitParts,
  isCurrent: (keeper: SnapshotKeeper) => boolean,
): SnapshotKeeper {
  const key = redis?.keys[0]
  return new SnapshotKeeper({
    // What answers are sealed with elsewhere is also known to this gateway alone.
    file: { path: snapshot!, secret: key === undefined ? null : Buffer.from(key, 'base64') },
    store,
    maxBytes: maxBytes + (semantic?.maxBytes ?? 0) + MORE_BYTES,
    isWriter: place.worker === 0,
    clock,
    log,
    isCurrent,
  })
}
