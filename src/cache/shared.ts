import { BroadcastChannel } from 'node:worker_threads'
import type { Clock } from '../core/clock.ts'
import type { TextVector } from '../contracts/semantic.ts'
import type { Entry } from './entry.ts'
import { sleep } from '../core/sleep.ts'
import { isRecord } from './decide/ledger.ts'
import { ExactStore, type PurgeWish } from './store/exact.ts'
import type { News, SemanticTier } from './semantic.ts'
import type { RedisCalibration } from './redis-calibration.ts'
import type { RedisTier } from './redis-tier.ts'
import type { RedisVectors } from './redis-vectors.ts'
import type { KeptVector, Packed } from './pack.ts'

/** What workers tell each other. Bodies lie in memory that all of them see: they are there once. */
type Message =
  | {
      readonly store: string
      readonly kind: 'put'
      readonly entry: Omit<Entry, 'body'>
      readonly body: SharedArrayBuffer
      /** null = others may count and compute it for themselves. */
      readonly vector: TextVector | null
    }
  | { readonly store: string; readonly kind: 'purge'; readonly wish: PurgeWish }
  /** A worker that begins asks for what the others have. */
  | { readonly store: string; readonly kind: 'hello'; readonly from: number }
  | {
      readonly store: string
      readonly kind: 'given'
      readonly to: readonly number[]
      readonly entry: Omit<Entry, 'body'>
      readonly body: SharedArrayBuffer
      readonly vector: TextVector | null
    }
  | {
      readonly store: string
      readonly kind: 'given_all'
      readonly to: readonly number[]
      readonly known: readonly News[]
    }
  | ({ readonly store: string; readonly kind: 'news' } & News)

/** Who waits for what others have. */
interface Heir {
  /** Entries. */
  heard: number
  done: boolean
  /** Meanwhile. */
  readonly purged: PurgeWish[]
}

export interface SharedStoreParts {
  /** What the workers of a process agree on: stores of one name are one. */
  readonly name: string
  readonly maxBytes: number
  readonly maxEntryBytes: number
  /** Of the process, and which of them this is. */
  readonly workers: number
  readonly worker: number
  readonly clock: Clock
  /** Finds answers by what is asked; null = nothing does. */
  readonly semantic: SemanticTier | null
}

const CHANNEL = 'heddle-cache'
/** A worker that begins asks so often, ms, until it is given something. */
const HELLO_MS = 100
/** Entries are given at once; then others have their turn. */
const AT_ONCE = 64

/**
 * Answers in memory, for all workers of a process: each has the same ones and looks among its own, so that a hit asks
 * nobody. What one puts all have a moment later.
 */
export class SharedStore {
  readonly memory: ExactStore
  readonly name: string
  readonly #channel: BroadcastChannel | null
  readonly #clock: Clock
  readonly #worker: number
  /** Workers that asked for what is here. */
  readonly #asking = new Set<number>()
  /** What is here is all there was: others may have it. */
  #gives = false
  /** Waits for what others have; what they tell meanwhile is a part of it. */
  #heir: Heir | null = null
  /** Entries made until then, epoch ms, are gone because somebody wants it so. */
  onPurge: ((before: number) => void) | null = null
  readonly semantic: SemanticTier | null
  /** Of all replicas; null = there is none. Set by who opens both. */
  tier: RedisTier | null = null
  /** By which other replicas find answers by meaning; null = they do not. */
  vectors: Pick<RedisVectors, 'put' | 'look'> | null = null
  /** What all replicas learn; null = the workers of this process tell each other. */
  calibration: Pick<RedisCalibration, 'sync' | 'end'> | null = null

  constructor({ name, maxBytes, maxEntryBytes, workers, worker, clock, semantic }: SharedStoreParts) {
    this.memory = new ExactStore(maxBytes, maxEntryBytes, (entry) => semantic?.remove(entry))
    this.name = name
    this.#clock = clock
    this.#worker = worker
    this.semantic = semantic
    this.#channel = workers > 1 ? new BroadcastChannel(CHANNEL) : null
    if (this.#channel === null) return
    this.#channel.unref()
    this.#channel.addEventListener('message', ({ data }) => this.#heard(data as Message))
  }

  get(key: string, now: number): Entry | null {
    return this.memory.get(key, now)
  }

  /** vector: of its question, where that is known. False = it is too large to be kept. */
  put(entry: Entry, vector: TextVector | null = null): boolean {
    const kept = this.#keep(entry)
    if (kept === null) return false
    const now = this.#clock.now()
    const isFound = this.semantic?.add(kept, now, vector) ?? false
    const point = isFound && vector !== null ? { of: this.semantic!.embedder, vector } : null
    this.tier?.put(kept, point)
    if (point !== null) this.vectors?.put(kept.partition, kept.key, point.vector, kept.expiresAt - now)
    this.#tellOf(kept, point?.vector ?? null)
    return true
  }

  /** What was made elsewhere. False = it is too large, or cannot be found by meaning although it was there. */
  take({ entry, vector }: Packed): boolean {
    const kept = this.#keep(entry)
    if (kept === null) return false
    const point = this.#usable(vector)
    const isFound = this.semantic?.add(kept, this.#clock.now(), point, point !== null) ?? false
    this.#tellOf(kept, isFound ? point : null)
    return isFound || vector === null
  }

  /** What was here once, unless it is: nobody is told. */
  restore({ entry, vector }: Packed): boolean {
    const isOld = entry.expiresAt <= this.#clock.now() || this.memory.peek(entry.key) !== null
    if (isOld || this.tier?.isPurged(entry) === true) return false
    const kept = this.#keep(entry)
    if (kept === null) return false
    if (vector !== null) this.semantic?.add(kept, this.#clock.now(), this.#usable(vector), true)
    return true
  }

  #usable(vector: KeptVector | null): TextVector | null {
    const { semantic } = this
    const fits = vector !== null && semantic !== null && vector.of === semantic.embedder
    return fits && vector.vector.values.length === semantic.dimensions ? vector.vector : null
  }

  #keep(entry: Entry): Entry | null {
    // What it came in may be a small part of a large piece of memory.
    const bytes = entry.body.length
    const body = this.#channel === null ? Buffer.allocUnsafeSlow(bytes) : Buffer.from(new SharedArrayBuffer(bytes))
    entry.body.copy(body)
    const kept = { ...entry, body }
    return this.memory.put(kept) ? kept : null
  }

  #tellOf({ body, ...rest }: Entry, vector: TextVector | null): void {
    if (this.#channel === null) return
    const shared = body.buffer as unknown as SharedArrayBuffer
    this.#tell({ store: this.name, kind: 'put', entry: rest, body: shared, vector })
  }

  /** It is here, and found by what it answers. */
  remembers(key: string): boolean {
    const entry = this.memory.peek(key)
    return entry !== null && this.semantic?.has(entry) === true
  }

  /** What another replica has made: it is here from now on. Never rejects; null = there is none, or not in time. */
  async fetch(key: string): Promise<Entry | null> {
    const found = (await this.tier?.get(key)) ?? null
    if (found === null) return null
    this.take(found)
    return found.entry
  }

  /** Returns how many are gone here. */
  purge(wish: PurgeWish): number {
    this.tier?.purge(wish)
    this.#tell({ store: this.name, kind: 'purge', wish })
    return this.forget(wish)
  }

  /** Others forget them as well. before: those made until then, epoch ms. */
  forget(wish: PurgeWish, before = Infinity): number {
    const gone = this.memory.purge(wish, before)
    this.onPurge?.(before)
    return gone
  }

  /** An answer was found to be right or wrong for what it was served for. False = there is no such answer. */
  judge(id: string, wrong: boolean): boolean {
    const entry = this.memory.find(id)
    if (entry === null) return false
    if (wrong) {
      this.semantic?.report(entry)
      this.tier?.delete(entry.key)
      this.purge({ id })
    }
    return true
  }

  /** Tells the others what this one has learnt, and hears what they have; every second or so. */
  share(): void {
    const now = this.#clock.now()
    this.memory.sweep(now)
    void this.vectors?.look(this.#clock.monotonic())
    if (this.semantic === null) return
    this.semantic.sweep(now)
    if (this.calibration !== null) void this.calibration.sync()
    else for (const news of this.semantic.news()) this.#tell({ store: this.name, kind: 'news', ...news })
  }

  #tell(message: Message): void {
    this.#channel?.postMessage(message)
  }

  #heard(message: Message): void {
    if (message.store !== this.name) return
    switch (message.kind) {
      case 'purge':
        this.forget(message.wish)
        // Who gives may not have heard of it yet.
        this.#heir?.purged.push(message.wish)
        return
      case 'news':
        if (this.#heir === null && isRecord(message.record)) this.semantic?.absorb(message)
        return
      case 'hello':
        this.#asking.add(message.from)
        if (this.#gives) void this.#give()
        return
      case 'put':
        this.#add(message)
        return
      default:
        if (this.#heir !== null && message.to.includes(this.#worker)) this.#given(message, this.#heir)
    }
  }

  #given(message: Message & { kind: 'given' | 'given_all' }, heir: Heir): void {
    if (message.kind === 'given') {
      heir.heard++
      if (this.memory.peek(message.entry.key) === null) this.#add(message)
      return
    }
    for (const news of message.known) if (isRecord(news.record)) this.semantic?.absorb(news)
    for (const wish of heir.purged) this.memory.purge(wish)
    heir.done = true
    this.#heir = null
  }

  #add({ entry: head, body, vector }: Pick<Message & { kind: 'put' }, 'entry' | 'body' | 'vector'>): void {
    const entry = { ...head, body: Buffer.from(body) }
    if (this.memory.put(entry)) this.semantic?.add(entry, this.#clock.now(), vector, vector !== null)
  }

  /**
   * Waits for what the other workers have. False = nobody has given any of it for ms. Not to be called when requests are
   * served already.
   */
  async inherit(ms: number): Promise<boolean> {
    if (this.#channel === null) return false
    const heir: Heir = { heard: 0, done: false, purged: [] }
    this.#heir = heir
    let heard = 0
    let until = this.#clock.monotonic() + ms
    while (!heir.done && this.#clock.monotonic() < until) {
      if (heir.heard === 0) this.#tell({ store: this.name, kind: 'hello', from: this.#worker })
      await sleep(HELLO_MS)
      if (heir.heard > heard) until = this.#clock.monotonic() + ms
      heard = heir.heard
    }
    this.#heir = null
    return heir.done
  }

  /** From now on who asks for what is here gets it. */
  give(): void {
    this.#gives = true
    if (this.#asking.size > 0) void this.#give()
  }

  async #give(): Promise<void> {
    const to = [...this.#asking]
    if (to.length === 0) return
    this.#asking.clear()
    let count = 0
    // As it is now: it goes on changing.
    const entries = Array.from(this.memory.all())
    for (const entry of entries) {
      if (++count % AT_ONCE === 0) await new Promise((resolve) => void setImmediate(resolve))
      if (this.memory.peek(entry.key) !== entry) continue
      const { body, ...rest } = entry
      const vector = this.semantic?.vectorOf(entry) ?? null
      const shared = body.buffer as unknown as SharedArrayBuffer
      this.#tell({ store: this.name, kind: 'given', to, entry: rest, body: shared, vector })
    }
    // What has not been told would be heard again as news.
    this.share()
    const known = this.semantic === null || this.calibration !== null ? [] : [...this.semantic.records()]
    this.#tell({ store: this.name, kind: 'given_all', to, known })
  }

  /** Resolves when the others know all that this one does. */
  async end(): Promise<void> {
    await this.calibration?.end()
  }

  close(): void {
    this.#channel?.close()
    // Its connections go last.
    void this.end().then(() => this.tier?.close())
  }
}
