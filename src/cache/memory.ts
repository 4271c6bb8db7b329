import { LRUCache } from 'lru-cache'
import type { Entry } from './entry.ts'

/** Beside body and texts: the object, its keys, its place in the map. Measured, rounded up. */
const OVERHEAD_BYTES = 600

/** Which entries to drop; what is left out is any. All of what is given must hold. */
export interface PurgeWish {
  readonly tenant?: string
  readonly model?: string
  readonly tag?: string
  /** The question begins so. */
  readonly prefix?: string
  readonly id?: string
}

/** Answers in the memory of one thread, bounded in bytes; what was used longest ago makes room. */
export class MemoryStore {
  readonly #entries: LRUCache<string, Entry>
  readonly #maxEntry: number

  /** maxBytes, maxEntry: bytes. onGone: an entry is not here any more, whatever the reason. */
  constructor(maxBytes: number, maxEntry: number, onGone: (entry: Entry) => void = () => {}) {
    this.#maxEntry = maxEntry
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: sizeOf,
      dispose: onGone,
    })
  }

  /** Counts as a use. now: epoch ms. */
  get(key: string, now: number): Entry | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    if (entry.expiresAt > now) return entry
    this.#entries.delete(key)
    return null
  }

  /** False = it is too large to be kept. */
  put(entry: Entry): boolean {
    if (entry.body.length > this.#maxEntry) return false
    this.#entries.set(entry.key, entry)
    return this.#entries.peek(entry.key) === entry
  }

  delete(key: string): boolean {
    return this.#entries.delete(key)
  }

  /** Those that were made before that (epoch ms). Goes through all of them. Returns how many are gone. */
  purge(wish: PurgeWish, before = Infinity): number {
    let gone = 0
    for (const entry of [...this.#entries.values()])
      if (entry.createdAt <= before && matches(entry, wish) && this.#entries.delete(entry.key)) gone++
    return gone
  }

  /** By the name that clients know; goes through all of them. */
  find(id: string): Entry | null {
    for (const entry of this.#entries.values()) if (entry.id === id) return entry
    return null
  }

  /** From the one used longest ago. */
  *all(): Iterable<Entry> {
    for (const entry of this.#entries.rvalues()) if (entry !== undefined) yield entry
  }

  get size(): number {
    return this.#entries.size
  }

  /** Bytes, as they are counted against the maximum. */
  get bytes(): number {
    return this.#entries.calculatedSize
  }
}

/** Bytes of an entry. Texts are counted as if each character took two. */
export function sizeOf({ body, text, question, tags, model, target }: Entry): number {
  let bytes = OVERHEAD_BYTES + body.length + 2 * (text.length + (question?.length ?? 0) + model.length + target.length)
  for (const tag of tags) bytes += 2 * tag.length + 16
  return bytes
}

export const matches = (entry: Entry, { tenant, model, tag, prefix, id }: PurgeWish): boolean =>
  (tenant === undefined || entry.tenant === tenant) &&
  (model === undefined || entry.model === model) &&
  (tag === undefined || entry.tags.includes(tag)) &&
  (prefix === undefined || entry.question?.startsWith(prefix) === true) &&
  (id === undefined || entry.id === id)
