import { BroadcastChannel } from 'node:worker_threads'
import type { Entry } from './entry.ts'
import { MemoryStore, type PurgeWish } from './memory.ts'

/** What workers tell each other. Bodies lie in memory that all of them see: they are there once. */
type Message =
  | {
      readonly store: string
      readonly kind: 'put'
      readonly entry: Omit<Entry, 'body'>
      readonly body: SharedArrayBuffer
    }
  | { readonly store: string; readonly kind: 'purge'; readonly wish: PurgeWish }
  | { readonly store: string; readonly kind: 'delete'; readonly key: string }

export interface SharedStoreParts {
  /** What the workers of a process agree on: stores of one name are one. */
  readonly name: string
  readonly maxBytes: number
  readonly maxEntryBytes: number
  /** Of the process. */
  readonly workers: number
  /** An entry is here now, whoever put it. */
  readonly onPut?: (entry: Entry) => void
  /** An entry is not here any more. */
  readonly onGone?: (entry: Entry) => void
}

const CHANNEL = 'heddle-cache'

/**
 * Answers in memory, for all workers of a process: each has the same ones and looks among its own, so that a hit asks
 * nobody. What one puts all have a moment later.
 */
export class SharedStore {
  readonly memory: MemoryStore
  readonly #name: string
  readonly #channel: BroadcastChannel | null
  readonly #onPut: (entry: Entry) => void

  constructor({ name, maxBytes, maxEntryBytes, workers, onPut, onGone }: SharedStoreParts) {
    this.memory = new MemoryStore(maxBytes, maxEntryBytes, onGone)
    this.#name = name
    this.#onPut = onPut ?? (() => {})
    this.#channel = workers > 1 ? new BroadcastChannel(CHANNEL) : null
    if (this.#channel === null) return
    this.#channel.unref()
    this.#channel.onmessage = ({ data }) => this.#heard(data as Message)
  }

  get(key: string, now: number): Entry | null {
    return this.memory.get(key, now)
  }

  put(entry: Entry): boolean {
    // What it came in may be a small part of a large piece of memory.
    const shared = this.#channel === null ? null : new SharedArrayBuffer(entry.body.length)
    const body = shared === null ? Buffer.allocUnsafeSlow(entry.body.length) : Buffer.from(shared)
    entry.body.copy(body)
    const kept = { ...entry, body }
    if (!this.memory.put(kept)) return false
    this.#onPut(kept)
    if (shared !== null) {
      const { body: _, ...rest } = entry
      this.#tell({ store: this.#name, kind: 'put', entry: rest, body: shared })
    }
    return true
  }

  delete(key: string): void {
    this.memory.delete(key)
    this.#tell({ store: this.#name, kind: 'delete', key })
  }

  /** Returns how many are gone here. */
  purge(wish: PurgeWish): number {
    this.#tell({ store: this.#name, kind: 'purge', wish })
    return this.memory.purge(wish)
  }

  /** An answer was found to be right or wrong for what it was served for. False = there is no such answer. */
  judge(id: string, wrong: boolean): boolean {
    const entry = this.memory.find(id)
    if (entry !== null && wrong) this.delete(entry.key)
    return entry !== null
  }

  #tell(message: Message): void {
    this.#channel?.postMessage(message)
  }

  #heard(message: Message): void {
    if (message.store !== this.#name) return
    if (message.kind === 'purge') this.memory.purge(message.wish)
    else if (message.kind === 'delete') this.memory.delete(message.key)
    else {
      const entry = { ...message.entry, body: Buffer.from(message.body) }
      if (this.memory.put(entry)) this.#onPut(entry)
    }
  }

  close(): void {
    this.#channel?.close()
  }
}
