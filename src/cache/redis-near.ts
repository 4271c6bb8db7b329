import { LRUCache } from 'lru-cache'
import type { TextVector } from '../contracts/semantic.ts'
import type { Clock } from '../core/clock.ts'
import type { FarAnswers } from './semantic.ts'
import type { SharedStore } from './shared.ts'
import type { RedisTier } from './redis-tier.ts'
import type { RedisVectors } from './redis-vectors.ts'
import { atMost } from '../core/sleep.ts'

/** Answers that are brought for one question. */
const MOST = 8
/** A partition that is all here is not asked for again, ms. */
const ALL_HERE_MS = 2000
/** Partitions whose size is remembered. */
const MAX_PARTITIONS = 10_000

export interface NearAnswersParts {
  readonly store: SharedStore
  readonly tier: Pick<RedisTier, 'find'>
  readonly vectors: Pick<RedisVectors, 'usable' | 'near' | 'remove'>
  readonly clock: Clock
  /** A miss waits so long at most, with all that it waits for Redis, ms. */
  readonly budgetMs: number
  readonly onFault: (fault: 'late') => void
  /** That many answers of other replicas are here now. */
  readonly onBrought: (count: number) => void
}

/** Brings the answers of other replicas whose questions are near to one: here they are judged as all are. */
export class NearAnswers implements FarAnswers {
  readonly #parts: NearAnswersParts
  readonly #counts = new LRUCache<string, { readonly count: number; readonly at: number }>({ max: MAX_PARTITIONS })

  constructor(parts: NearAnswersParts) {
    this.#parts = parts
  }

  bring(partition: string, vector: TextVector, local: number, waitedMs: number): Promise<void> | null {
    const { vectors, clock, budgetMs, onFault } = this.#parts
    if (!vectors.usable || waitedMs >= budgetMs) return null
    const known = this.#counts.get(partition)
    if (known !== undefined && known.count <= local && clock.monotonic() - known.at < ALL_HERE_MS) return null
    // What comes too late is here for the next one.
    return atMost(budgetMs - waitedMs, this.#bring(partition, vector)).then((brought) => {
      if (brought === null) onFault('late')
    })
  }

  /** Never rejects. */
  async #bring(partition: string, vector: TextVector): Promise<true> {
    const { store, vectors, tier, clock, onBrought } = this.#parts
    const near = await vectors.near(partition, vector, MOST)
    if (near === null) return true
    this.#counts.set(partition, { count: near.count, at: clock.monotonic() })
    const missing = near.elements.filter((key) => !store.remembers(key))
    const found = await Promise.all(missing.map((key) => tier.find(key)))
    vectors.remove(
      partition,
      missing.filter((_, i) => found[i] === 'gone'),
    )
    let brought = 0
    for (const one of found) {
      if (typeof one === 'object' && one.entry.partition === partition && store.take(one)) brought++
    }
    if (brought > 0) onBrought(brought)
    return true
  }
}
