import type { TextVector } from '../../contracts/semantic.ts'
import type { Hits } from './hits.ts'
import { EntryTable, NONE } from './entry-table.ts'
import { Kernels, MAX_DIMENSIONS, MAX_HITS, NO_BLOCK, PAGE_ORDER } from './kernels.ts'
import { NO_PARTITION, PartitionTable } from './partition-table.ts'
import { RowPool } from './row-pool.ts'

/** Greater partitions are searched by signs first: below it, all vectors cost less than 0.05 ms (bench/cache-index.ts). */
const ALL_UP_TO = 2048
/**
 * Of the nearest by signs, one in 64 of the partition and at least 512 are compared by their vectors. With those of the
 * shipped table, 10,000 questions and 8,000 others looked for: 512 find the nearest of all 99.9 % of the time, 128 98.9 %.
 */
const AMONG_SHIFT = 6
const AMONG_LEAST = 512

/** room: of all partitions; full: of its own; expired: found by sweep; dropped: with its partition. */
export type EvictReason = 'room' | 'full' | 'expired' | 'dropped'

export interface VectorIndexOptions {
  /** 1..2048 */
  readonly dimensions: number
  /** Never exceeded by `bytes`. Below 0.2 MB hardly anything fits. */
  readonly maxBytes: number
  /** At least 1. */
  readonly maxEntriesPerPartition: number
  /**
   * For every entry that goes without remove being called, so that its owner forgets what it answers. It may not call the
   * index: the entry is gone already, and another insertion may be under way.
   */
  readonly onEvict: (entry: number, reason: EvictReason) => void
}

/**
 * Finds the vectors nearest to one, within one partition. Bounded in bytes, all counted: when there is no room the oldest
 * entry of the partition not used for the longest goes. For one thread; nothing is allocated by a search.
 */
export class VectorIndex {
  readonly dimensions: number
  readonly maxBytes: number
  readonly #maxEntries: number
  readonly #onEvict: (entry: number, reason: EvictReason) => void
  readonly #kernels: Kernels
  readonly #rows = new RowPool()
  readonly #entries = new EntryTable()
  readonly #partitions = new PartitionTable()
  #swept = 0

  /** Throws RangeError when an option is out of its range. */
  constructor(options: VectorIndexOptions) {
    const { dimensions, maxBytes, maxEntriesPerPartition } = options
    if (!Number.isInteger(dimensions) || dimensions < 1 || dimensions > MAX_DIMENSIONS)
      throw new RangeError(`dimensions must be 1 to ${MAX_DIMENSIONS}`)
    if (!(maxBytes > 0)) throw new RangeError('maxBytes must be above 0')
    if (!(maxEntriesPerPartition >= 1)) throw new RangeError('maxEntriesPerPartition must be at least 1')
    this.dimensions = dimensions
    this.maxBytes = maxBytes
    this.#maxEntries = maxEntriesPerPartition
    this.#onEvict = options.onEvict
    this.#kernels = new Kernels(dimensions)
  }

  /** Entries, the expired that were not swept among them. */
  get size(): number {
    return this.#entries.size
  }

  get partitions(): number {
    return this.#partitions.size
  }

  /** Taken from the machine: memory of vectors, whether in use or kept for use, and tables. */
  get bytes(): number {
    return this.#kernels.bytes + this.#rows.bytes + this.#entries.bytes + this.#partitions.bytes
  }

  /**
   * Returns the number of the new entry: a safe integer, never given twice. -1 = not taken: the vector has no direction, it
   * has expired, or there is no room even when all else is gone. expiresAt, now: of one clock, ms; Infinity = never.
   * partition: a string of its own, not a piece of a longer one, which it would keep alive.
   */
  insert(partition: string, vector: TextVector, expiresAt: number, now: number): number {
    this.#fits(vector)
    if (!(expiresAt > now) || this.#kernels.prepare(vector.values) === 0) return -1
    let id = this.#partitions.find(partition)
    if (id !== NO_PARTITION) {
      this.#partitions.touch(id)
      if (this.#partitions.count(id) >= this.#maxEntries) this.#evict(this.#partitions.oldest(id), 'full')
    }
    id = this.#makeRoom(partition)
    if (id === NO_PARTITION) return -1
    const row = this.#takeRow(id)
    const place = this.#entries.add(row, id)
    this.#kernels.put(row, place, expiresAt)
    this.#append(id, place)
    this.#partitions.addCount(id, 1)
    return this.#entries.numberOf(place)
  }

  /** false = there is no such entry (any more). Does not call onEvict. */
  remove(entry: number): boolean {
    const place = this.#entries.placeOf(entry)
    if (place === NONE) return false
    this.#remove(place)
    return true
  }

  has(entry: number): boolean {
    return this.#entries.placeOf(entry) !== NONE
  }

  /** It was of use: it becomes the youngest of its partition. */
  touch(entry: number): void {
    const place = this.#entries.placeOf(entry)
    if (place === NONE) return
    const id = this.#entries.partitionOf(place)
    this.#partitions.touch(id)
    if (this.#partitions.youngest(id) === place) return
    this.#unlink(id, place)
    this.#append(id, place)
  }

  /** The k (at most 16) nearest that have not expired, best first, into `out`. Returns how many. */
  search(partition: string, vector: TextVector, k: number, now: number, out: Hits): number {
    this.#fits(vector)
    out.count = 0
    const id = this.#partitions.find(partition)
    if (id === NO_PARTITION) return 0
    this.#partitions.touch(id)
    const kernels = this.#kernels
    if (k < 1 || kernels.prepare(vector.values) === 0) return 0
    const wanted = Math.min(k, MAX_HITS)
    const head = this.#partitions.head(id)
    const inHead = this.#partitions.inHead(id)
    const count = this.#partitions.count(id)
    const found =
      count > ALL_UP_TO
        ? kernels.searchNear(head, inHead, wanted, now, Math.max(AMONG_LEAST, count >> AMONG_SHIFT))
        : kernels.searchAll(head, inHead, wanted, now)
    for (let i = 0; i < found; i++) {
      out.entries[i] = this.#entries.numberOf(kernels.entry(i))
      out.cosines[i] = kernels.cosine(i)
    }
    out.count = found
    return found
  }

  /** Entries of a partition; 0 = there is none. */
  count(partition: string): number {
    const id = this.#partitions.find(partition)
    return id === NO_PARTITION ? 0 : this.#partitions.count(id)
  }

  /** Forgets a partition. Returns how many entries it had. */
  drop(partition: string): number {
    const id = this.#partitions.find(partition)
    if (id === NO_PARTITION) return 0
    const count = this.#partitions.count(id)
    for (let i = 0; i < count; i++) this.#evict(this.#partitions.oldest(id), 'dropped')
    return count
  }

  /**
   * Evicts what has expired, looking at `looks` entries from where the last call stopped: so its time is bounded. Searches
   * do not find the expired in any case. Returns how many went.
   */
  sweep(now: number, looks = 1000): number {
    let gone = 0
    for (let i = Math.min(looks, this.#entries.top); i > 0; i--) {
      if (this.#swept >= this.#entries.top) this.#swept = 0
      const place = this.#swept++
      if (this.#entries.partitionOf(place) === NONE) continue
      if (this.#kernels.expiryOf(this.#entries.rowOf(place)) > now) continue
      this.#evict(place, 'expired')
      gone++
    }
    return gone
  }

  /** All entries; inserted anew in this order, the same would be evicted first. */
  oldestFirst(): Float64Array<ArrayBuffer> {
    const all = new Float64Array(this.size)
    let at = 0
    for (let id = this.#partitions.stalest; id !== NO_PARTITION; id = this.#partitions.after(id)) {
      for (let place = this.#partitions.oldest(id); place !== NONE; place = this.#entries.youngerThan(place))
        all[at++] = this.#entries.numberOf(place)
    }
    return all
  }

  /** What was inserted as this entry; values is a view that the next insertion ends. null = there is no such entry. */
  read(entry: number): { partition: string; values: Int8Array; expiresAt: number } | null {
    const place = this.#entries.placeOf(entry)
    if (place === NONE) return null
    const row = this.#entries.rowOf(place)
    return {
      partition: this.#partitions.keyOf(this.#entries.partitionOf(place)),
      values: this.#kernels.valuesOf(row),
      expiresAt: this.#kernels.expiryOf(row),
    }
  }

  #fits(vector: TextVector): void {
    if (vector.values.length !== this.dimensions)
      throw new RangeError(`a vector of ${vector.values.length} dimensions in an index of ${this.dimensions}`)
  }

  /** Evicts until one entry more fits. Returns its partition, or none when it never will. */
  #makeRoom(key: string): number {
    for (;;) {
      const id = this.#partitions.find(key)
      const tables =
        this.#entries.bytesWithOne + (id === NO_PARTITION ? this.#partitions.bytesWith(key) : this.#partitions.bytes)
      const rest = this.maxBytes - tables
      if (this.#kernels.bytes + this.#rows.bytes <= rest && this.#rowsFor(id, rest))
        return id === NO_PARTITION ? this.#partitions.add(key) : id
      const stalest = this.#partitions.stalest
      if (stalest === NO_PARTITION) return NO_PARTITION
      this.#evict(this.#partitions.oldest(stalest), 'room')
    }
  }

  /** Whether there is a row, taking more memory where that may be. */
  #rowsFor(id: number, mostBytes: number): boolean {
    if (id !== NO_PARTITION && !this.#headIsFull(id)) return true
    if (this.#rows.has(this.#blockOrder(id))) return true
    const pages = this.#rows.pages + 1
    if (this.#kernels.bytesFor(pages) + this.#rows.bytesWithPage <= mostBytes && this.#kernels.grow(pages))
      this.#rows.addPage()
    return this.#rows.freeRows > 0
  }

  #headIsFull(id: number): boolean {
    return this.#partitions.inHead(id) === 1 << this.#kernels.orderOf(this.#partitions.head(id))
  }

  /** Of the next block: about a quarter of what the partition has, so that little of it stays unused. */
  #blockOrder(id: number): number {
    const count = id === NO_PARTITION ? 0 : this.#partitions.count(id)
    return Math.min(PAGE_ORDER, 31 - Math.clz32(Math.max(1, count >> 2)))
  }

  #takeRow(id: number): number {
    const partitions = this.#partitions
    const empty = partitions.count(id) === 0
    if (!empty && !this.#headIsFull(id)) {
      const row = partitions.head(id) + partitions.inHead(id)
      partitions.setHead(id, partitions.head(id), partitions.inHead(id) + 1)
      return row
    }
    const row = this.#rows.take(this.#blockOrder(id))
    this.#kernels.link(row, this.#rows.takenOrder, empty ? NO_BLOCK : partitions.head(id))
    partitions.setHead(id, row, 1)
    return row
  }

  #evict(place: number, reason: EvictReason): void {
    const entry = this.#entries.numberOf(place)
    this.#remove(place)
    this.#onEvict(entry, reason)
  }

  #remove(place: number): void {
    const partitions = this.#partitions
    const kernels = this.#kernels
    const id = this.#entries.partitionOf(place)
    this.#unlink(id, place)
    const head = partitions.head(id)
    const inHead = partitions.inHead(id) - 1
    const last = head + inHead
    const row = this.#entries.rowOf(place)
    if (row !== last) this.#entries.moved(kernels.move(row, last), row)
    this.#entries.remove(place)
    partitions.addCount(id, -1)
    if (inHead > 0) {
      partitions.setHead(id, head, inHead)
      return
    }
    const next = kernels.nextOf(head)
    this.#rows.give(head, kernels.orderOf(head))
    if (next === NO_BLOCK) partitions.remove(id)
    else partitions.setHead(id, next, 1 << kernels.orderOf(next))
  }

  /** As the youngest of its partition. */
  #append(id: number, place: number): void {
    const youngest = this.#partitions.youngest(id)
    this.#entries.join(youngest, place)
    this.#entries.join(place, NONE)
    if (youngest === NONE) this.#partitions.setOldest(id, place)
    this.#partitions.setYoungest(id, place)
  }

  #unlink(id: number, place: number): void {
    const older = this.#entries.olderThan(place)
    const younger = this.#entries.youngerThan(place)
    this.#entries.join(older, younger)
    if (older === NONE) this.#partitions.setOldest(id, younger)
    if (younger === NONE) this.#partitions.setYoungest(id, older)
  }
}
