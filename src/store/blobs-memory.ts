import { LRUCache } from 'lru-cache'
import type { BlobStore } from '../contracts/blobs.ts'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { BlobRefused } from './blob-refused.ts'

/** What an entry takes beside its value: key, map and list of the cache. */
const ENTRY_BYTES = 300
/** What is over is taken out this often, so that it does not lie around until somebody needs the room. */
const PURGE_MS = 30_000
const MAX_LISTS = 50_000
const MAX_NOTES = 10_000

interface Note {
  readonly value: Uint8Array
  readonly until: number
}

/** Blobs in the memory of this process: what was used longest ago makes room. Lost with the process. */
export class MemoryBlobs implements BlobStore {
  readonly durable = false
  readonly #clock: Clock
  readonly #stop: () => void
  readonly #lists = new Map<string, Map<string, Note>>()
  #cache: LRUCache<string, Uint8Array>

  /** maxBytes: of all values and what they take beside. */
  constructor(maxBytes: number, clock: Clock = systemClock) {
    this.#clock = clock
    this.#cache = this.#made(maxBytes)
    this.#stop = everyUnref(() => this.purge(), PURGE_MS)
  }

  #made(maxBytes: number): LRUCache<string, Uint8Array> {
    return new LRUCache({
      maxSize: Math.max(ENTRY_BYTES, maxBytes),
      sizeCalculation: (value) => value.byteLength + ENTRY_BYTES,
      ttl: 0,
      ttlResolution: 0,
      perf: { now: () => this.#clock.monotonic() },
    })
  }

  /** Bytes in use. */
  get bytes(): number {
    return this.#cache.calculatedSize
  }

  /** Values that are kept. */
  get size(): number {
    return this.#cache.size
  }

  /** The configuration has another maximum now; what does not fit any more is dropped. */
  resize(maxBytes: number): void {
    if (this.#cache.maxSize === Math.max(ENTRY_BYTES, maxBytes)) return
    const old = this.#cache
    this.#cache = this.#made(maxBytes)
    this.#cache.load(old.dump())
  }

  async get(key: string, touchMs: number): Promise<Uint8Array | null> {
    const value = this.#cache.get(key)
    if (value === undefined) return null
    if (touchMs > 0) this.#cache.set(key, value, { ttl: touchMs })
    return value
  }

  async put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    this.#fit(value)
    this.#cache.set(key, value, { ttl: ttlMs })
  }

  #fit(value: Uint8Array): void {
    if (value.byteLength + ENTRY_BYTES > this.#cache.maxSize)
      throw new BlobRefused('size', 'larger than the whole store')
  }

  async claim(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    if (this.#cache.has(key)) return false
    await this.put(key, value, ttlMs)
    return true
  }

  async delete(key: string): Promise<boolean> {
    // Of one whose time is over `delete` would say that it was there.
    return this.#cache.has(key) && this.#cache.delete(key)
  }

  async note(list: string, field: string, value: Uint8Array, ttlMs: number): Promise<void> {
    let notes = this.#lists.get(list)
    if (notes === undefined) {
      if (this.#lists.size >= MAX_LISTS) throw new BlobRefused('size', 'too many lists')
      this.#lists.set(list, (notes = new Map()))
    }
    if (notes.size >= MAX_NOTES && !notes.has(field)) throw new BlobRefused('size', 'the list is full')
    notes.set(field, { value, until: this.#clock.monotonic() + ttlMs })
  }

  async notes(list: string): Promise<readonly Uint8Array[]> {
    const now = this.#clock.monotonic()
    return [...(this.#lists.get(list)?.values() ?? [])].filter(({ until }) => until > now).map(({ value }) => value)
  }

  async forget(list: string, field: string): Promise<void> {
    const notes = this.#lists.get(list)
    if (notes?.delete(field) === true && notes.size === 0) this.#lists.delete(list)
  }

  /** Drops what is over. */
  purge(): void {
    this.#cache.purgeStale()
    const now = this.#clock.monotonic()
    for (const [name, notes] of this.#lists) {
      for (const [field, { until }] of notes) if (until <= now) notes.delete(field)
      if (notes.size === 0) this.#lists.delete(name)
    }
  }

  close(): void {
    this.#stop()
    this.#cache.clear()
    this.#lists.clear()
  }
}
