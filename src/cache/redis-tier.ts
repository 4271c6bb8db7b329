import { randomBytes } from 'node:crypto'
import type { BlobStore } from '../contracts/blobs.ts'
import type { Clock } from '../core/clock.ts'
import type { Entry } from './entry.ts'
import type { PurgeWish } from './store/exact.ts'
import { everyUnref } from '../core/every.ts'
import { atMost } from '../core/sleep.ts'
import { matches } from './store/exact.ts'
import { packEntry, unpackEntry, type KeptVector, type Packed } from './pack.ts'

/** How often it is looked what other replicas have purged, ms. */
const LOOK_MS = 1000
const LIST = 'cache:purged'
/** What was purged is remembered for as long as an entry can live, ms. */
const MAX_TTL_MS = 30 * 86_400_000
/** Bytes of entries that may be on their way to Redis: what is more is not sent. */
const MAX_PENDING_BYTES = 16 * 1024 * 1024

/** Entries that are gone everywhere when they were made before that, epoch ms. */
interface Purge {
  readonly id: string
  readonly at: number
  readonly wish: PurgeWish
}

export interface RedisTierParts {
  /** Sealed: answers must not lie there for all to read. */
  readonly blobs: BlobStore
  readonly clock: Clock
  /** A miss waits so long at most, ms. */
  readonly budgetMs: number
  /** Another replica has purged. */
  readonly onPurge: (wish: PurgeWish, before: number) => void
  readonly onFault: (fault: 'late' | 'away' | 'full') => void
  /** Nobody asks any more. */
  readonly onClose?: () => void
}

/**
 * Kept answers of all replicas. It never makes a request wait longer than its budget, and never fails one: what cannot be
 * had in time is not there.
 */
export class RedisTier {
  readonly #parts: RedisTierParts
  readonly #stop: () => void
  #purges: readonly Purge[] = []
  #pending = 0

  constructor(parts: RedisTierParts) {
    this.#parts = parts
    this.#stop = everyUnref(() => void this.look(), LOOK_MS)
    void this.look()
  }

  /** Never rejects; null = there is none, or not in time. */
  async get(key: string): Promise<Packed | null> {
    const found = await atMost(this.#parts.budgetMs, this.find(key))
    // Whoever is away or has none has answered.
    if (found === null) this.#parts.onFault('late')
    return typeof found === 'object' ? found : null
  }

  /** Never rejects, and takes its time. gone: there is none that may be served; away: nobody knows. */
  async find(key: string): Promise<Packed | 'gone' | 'away'> {
    const { blobs, onFault, clock } = this.#parts
    try {
      const bytes = await blobs.get(`cache:${key}`, 0)
      const found = bytes === null ? null : unpackEntry(bytes)
      if (found === null || found.entry.key !== key) return 'gone'
      return found.entry.expiresAt <= clock.now() || this.isPurged(found.entry) ? 'gone' : found
    } catch {
      onFault('away')
      return 'away'
    }
  }

  /** As far as is known by now: a moment later it is told by onPurge. */
  isPurged(entry: Entry): boolean {
    return this.#purges.some(({ at, wish }) => entry.createdAt <= at && matches(entry, wish))
  }

  /** Nobody waits for it. vector: by which others find it by meaning. */
  put(entry: Entry, vector: KeptVector | null = null): void {
    const { blobs, clock, onFault } = this.#parts
    const ttl = entry.expiresAt - clock.now()
    if (ttl <= 0) return
    const bytes = packEntry(entry, vector)
    if (this.#pending + bytes.length > MAX_PENDING_BYTES) {
      onFault('full')
      return
    }
    this.#pending += bytes.length
    blobs
      .put(`cache:${entry.key}`, bytes, ttl)
      .catch(() => onFault('away'))
      .finally(() => {
        this.#pending -= bytes.length
      })
  }

  delete(key: string): void {
    this.#parts.blobs.delete(`cache:${key}`).catch(() => this.#parts.onFault('away'))
  }

  /** All replicas forget them within a second or two; Redis itself as they expire. */
  purge(wish: PurgeWish): void {
    const { blobs, clock, onFault } = this.#parts
    const purge: Purge = { id: randomBytes(9).toString('base64url'), at: clock.now(), wish }
    this.#purges = [...this.#purges, purge]
    blobs.note(LIST, purge.id, Buffer.from(JSON.stringify(purge)), MAX_TTL_MS).catch(() => onFault('away'))
  }

  /** Hears of what other replicas have purged; every second it does so itself. Never rejects. */
  async look(): Promise<void> {
    const { blobs, clock, onPurge } = this.#parts
    const notes = await blobs.notes(LIST).catch(() => null)
    if (notes === null) return
    const known = new Set(this.#purges.map(({ id }) => id))
    const oldest = clock.now() - MAX_TTL_MS
    const all = notes.map((note) => JSON.parse(Buffer.from(note).toString()) as Purge)
    for (const { id, at, wish } of all) if (!known.has(id)) onPurge(wish, at)
    for (const { id, at } of all) if (at < oldest) void blobs.forget(LIST, id).catch(() => undefined)
    // One of ours may not have arrived yet.
    const there = new Set(all.map(({ id }) => id))
    this.#purges = [...all, ...this.#purges.filter(({ id }) => !there.has(id))].filter(({ at }) => at >= oldest)
  }

  close(): void {
    this.#stop()
    this.#parts.blobs.close()
    this.#parts.onClose?.()
  }
}
