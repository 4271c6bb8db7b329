import type { BlobStore } from '../../contracts/blobs.ts'
import type { ResponsesConfig } from '../../contracts/config-responses.ts'
import type { Owner } from '../../store/blob-key.ts'
import { GatewayError } from '../../core/errors.ts'
import { blobKey } from '../../store/blob-key.ts'
import { BlobRefused } from '../../store/blob-refused.ts'
import { packRecord, unpackRecord, type KeptRecord } from './record.ts'

/** Why something was not kept, for metrics. */
export type Unkept = 'size' | 'away' | 'broken'

export interface ShelfParts {
  readonly store: BlobStore
  readonly config: ResponsesConfig
  /** Something could not be kept, or read. */
  readonly onFault: (what: 'read' | 'write', fault: Unkept) => void
}

/** Of everything that is kept in the background of a request. */
const EMPTY = Buffer.from('1')
/** A worker that makes an answer in the background says so this often, and is believed for so long, ms. */
export const ALIVE_EVERY_MS = 5000
const ALIVE_MS = 20_000

/** Answers by owner and id. Throws GatewayError `overloaded` when the store cannot be asked. */
export class Shelf {
  readonly #parts: ShelfParts

  constructor(parts: ShelfParts) {
    this.#parts = parts
  }

  get config(): ResponsesConfig {
    return this.#parts.config
  }

  async #read<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask()
    } catch (error) {
      throw this.#fault('read', error)
    }
  }

  #fault(what: 'read' | 'write', error: unknown): GatewayError {
    const fault = error instanceof BlobRefused ? error.fault : 'broken'
    this.#parts.onFault(what, fault)
    return new GatewayError('overloaded', 'What is kept of answers cannot be asked for now.', {
      retryAfterMs: 1000,
      detail: `store: ${fault}: ${error instanceof BlobRefused ? error.message : 'unreadable'}`,
    })
  }

  /** touch: it lives for the whole time again, since a conversation goes on from it. */
  get(owner: Owner, id: string, touch = false): Promise<KeptRecord | null> {
    const { store, config } = this.#parts
    return this.#read(async () => {
      try {
        const bytes = await store.get(blobKey('response', owner, id), touch ? config.ttlMs : 0)
        return bytes === null ? null : unpackRecord(bytes)
      } catch (error) {
        // Sealed with a key that is gone: nobody will ever read it.
        if (!(error instanceof BlobRefused) || error.fault !== 'broken') throw error
        this.#fault('read', error)
        return null
      }
    })
  }

  /** False = it could not be kept; why has been counted. */
  async put(owner: Owner, id: string, record: KeptRecord): Promise<boolean> {
    const { store, config } = this.#parts
    try {
      const bytes = packRecord(record)
      if (bytes.length > config.maxItemBytes) throw new BlobRefused('size', `${bytes.length} bytes`)
      await store.put(blobKey('response', owner, id), bytes, config.ttlMs)
      return true
    } catch (error) {
      this.#fault('write', error)
      return false
    }
  }

  /** True = there was one. */
  delete(owner: Owner, id: string): Promise<boolean> {
    return this.#read(() => this.#parts.store.delete(blobKey('response', owner, id)))
  }

  // ── answers that are made in the background ───────────────────────────────
  /** Says how the answer ends: only the first to say so is believed. */
  end(owner: Owner, id: string): Promise<boolean> {
    const { store, config } = this.#parts
    return this.#read(() => store.claim(blobKey('end', owner, id), EMPTY, config.ttlMs))
  }

  hasEnded(owner: Owner, id: string): Promise<boolean> {
    return this.#read(async () => (await this.#parts.store.get(blobKey('end', owner, id), 0)) !== null)
  }

  /** Somebody is at work on it. */
  alive(owner: Owner, id: string): Promise<void> {
    return this.#read(() => this.#parts.store.put(blobKey('alive', owner, id), EMPTY, ALIVE_MS))
  }

  isAlive(owner: Owner, id: string): Promise<boolean> {
    return this.#read(async () => (await this.#parts.store.get(blobKey('alive', owner, id), 0)) !== null)
  }

  /** Events of a stream, in parts from 0. */
  putPart(owner: Owner, id: string, part: number, text: string): Promise<void> {
    const { store, config } = this.#parts
    return this.#read(() => store.put(blobKey('events', owner, `${id} ${part}`), Buffer.from(text), config.ttlMs))
  }

  getPart(owner: Owner, id: string, part: number): Promise<string | null> {
    return this.#read(async () => {
      const bytes = await this.#parts.store.get(blobKey('events', owner, `${id} ${part}`), 0)
      return bytes === null ? null : Buffer.from(bytes).toString()
    })
  }

  /** Leaves no trace of its stream. */
  async dropParts(owner: Owner, id: string, parts: number): Promise<void> {
    await this.#read(async () => {
      for (let part = 0; part < parts; part++) await this.#parts.store.delete(blobKey('events', owner, `${id} ${part}`))
    })
  }
}
