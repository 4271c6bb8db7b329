import { LRUCache } from 'lru-cache'
import type { Entry } from '../entry.ts'
import { Groups } from './groups.ts'

/** Beside body and texts: the object, its strings' heads, its places in the maps and groups. Measured, rounded up. */
const OVERHEAD_BYTES = 900
/** A tag that no other entry has: a group of its own. */
const TAG_BYTES = 320

/** Which entries to drop; what is left out is any. All of what is given must hold. */
export interface PurgeWish {
  readonly tenant?: string
  readonly model?: string
  readonly tag?: string
  /** The question begins so. */
  readonly prefix?: string
  readonly id?: string
}

/**
 * Answers in the memory of one thread, bounded in bytes; what was used longest ago makes room. Entries are found by key and
 * by id at once, and purged in the time that the smallest group takes of those that a wish names.
 */
export class ExactStore {
  readonly #entries: LRUCache<string, Entry>
  readonly #byId = new Map<string, Entry>()
  readonly #tenants = new Groups<Entry>()
  readonly #models = new Groups<Entry>()
  readonly #tags = new Groups<Entry>()
  readonly #maxEntry: number
  #sweeping: Iterator<Entry> | null = null

  /**
   * maxBytes: of all, as bytesOf counts; maxEntry: of a body. onGone: an entry is not here any more, whatever the reason; it
   * may not call the store.
   */
  constructor(maxBytes: number, maxEntry: number, onGone: (entry: Entry) => void = () => {}) {
    this.#maxEntry = maxEntry
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: bytesOf,
      dispose: (entry) => {
        this.#forget(entry)
        onGone(entry)
      },
    })
  }

  get size(): number {
    return this.#entries.size
  }

  /** Bytes, as they are counted against the maximum. */
  get bytes(): number {
    return this.#entries.calculatedSize
  }

  /** Tenants, models and tags that entries have. */
  get groups(): number {
    return this.#tenants.size + this.#models.size + this.#tags.size
  }

  /** Counts as a use. now: epoch ms. */
  get(key: string, now: number): Entry | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    if (entry.expiresAt > now) return entry
    this.#entries.delete(key)
    return null
  }

  /** Not a use; may have expired. */
  peek(key: string): Entry | null {
    return this.#entries.peek(key) ?? null
  }

  /** false = it is too large to be kept; what had its key before is gone in any case. */
  put(entry: Entry): boolean {
    if (entry.body.length > this.#maxEntry) {
      this.#entries.delete(entry.key)
      return false
    }
    this.#entries.set(entry.key, entry)
    // It may be larger than everything together.
    if (this.#entries.peek(entry.key) !== entry) return false
    this.#byId.set(entry.id, entry)
    this.#tenants.add(entry.tenant, entry)
    this.#models.add(entry.model, entry)
    for (const tag of entry.tags) this.#tags.add(tag, entry)
    return true
  }

  delete(key: string): boolean {
    return this.#entries.delete(key)
  }

  /** By the name that clients know. Not a use; may have expired. */
  find(id: string): Entry | null {
    return this.#byId.get(id) ?? null
  }

  /** Of those made until then, epoch ms. Returns how many are gone. With no more than a prefix to go by it looks at all. */
  purge(wish: PurgeWish, before = Infinity): number {
    let gone = 0
    // A set that loses members while it is gone through skips none of the others.
    for (const entry of this.#fewest(wish))
      if (entry.createdAt <= before && matches(entry, wish) && this.#entries.delete(entry.key)) gone++
    return gone
  }

  /**
   * Drops what has expired, looking at `looks` entries from where the last call stopped: nothing is kept much longer than it
   * may be, whether or not it is asked for. Returns how many are gone.
   */
  sweep(now: number, looks = 500): number {
    let gone = 0
    for (let i = Math.min(looks, this.size); i > 0; i--) {
      this.#sweeping ??= this.#byId.values()
      const { value, done } = this.#sweeping.next()
      if (done === true) this.#sweeping = null
      else if (value.expiresAt <= now && this.#entries.delete(value.key)) gone++
    }
    return gone
  }

  /** From the one used longest ago. */
  *all(): Iterable<Entry> {
    for (const entry of this.#entries.rvalues()) if (entry !== undefined) yield entry
  }

  #fewest({ tenant, model, tag, id }: PurgeWish): Iterable<Entry> {
    if (id !== undefined) {
      const entry = this.#byId.get(id)
      return entry === undefined ? [] : [entry]
    }
    let fewest: ReadonlySet<Entry> | null = null
    if (tenant !== undefined) fewest = this.#tenants.of(tenant)
    if (model !== undefined) fewest = smaller(fewest, this.#models.of(model))
    if (tag !== undefined) fewest = smaller(fewest, this.#tags.of(tag))
    return fewest ?? this.#byId.values()
  }

  #forget(entry: Entry): void {
    // Another may have its id by now, if ids were given twice.
    if (this.#byId.get(entry.id) === entry) this.#byId.delete(entry.id)
    this.#tenants.remove(entry.tenant, entry)
    this.#models.remove(entry.model, entry)
    for (const tag of entry.tags) this.#tags.remove(tag, entry)
  }
}

const smaller = (a: ReadonlySet<Entry> | null, b: ReadonlySet<Entry>): ReadonlySet<Entry> =>
  a === null || b.size < a.size ? b : a

/** Bytes of an entry. Texts are counted as if each character took two. */
export function bytesOf(entry: Entry): number {
  const { body, text, question, tags } = entry
  const names = entry.id.length + entry.key.length + entry.partition.length + entry.tenant.length
  const characters = names + entry.principal.length + entry.target.length + entry.model.length
  let bytes = OVERHEAD_BYTES + body.length + 2 * (characters + text.length + (question?.length ?? 0))
  for (const tag of tags) bytes += 2 * tag.length + TAG_BYTES
  return bytes
}

/** Whether a purge means it. */
export const matches = (entry: Entry, { tenant, model, tag, prefix, id }: PurgeWish): boolean =>
  (tenant === undefined || entry.tenant === tenant) &&
  (model === undefined || entry.model === model) &&
  (tag === undefined || entry.tags.includes(tag)) &&
  (prefix === undefined || entry.question?.startsWith(prefix) === true) &&
  (id === undefined || entry.id === id)
