import type { BlobStore } from '../../../contracts/blobs.ts'
import type { BatchesConfig } from '../../../contracts/config-responses.ts'
import { GatewayError } from '../../../core/errors.ts'
import { blobKey, commonKey, type Owner } from '../../../store/blob-key.ts'
import { BlobRefused } from '../../../store/blob-refused.ts'
import type { BatchCaller, BatchRecord, FileRecord, Results } from './records.ts'

/** Parts of files are about so large: what is under way is never more of a file than this. */
const PART_BYTES = 1024 * 1024
/** Who works on a batch says so more often than this, or another takes it over, ms. */
export const LEASE_MS = 20_000
const LINE_FEED = 10

const pack = (value: object): Buffer => Buffer.from(JSON.stringify(value))
const unpack = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString())

export interface VaultParts {
  readonly store: BlobStore
  readonly config: BatchesConfig
  readonly onFault: (what: 'read' | 'write', fault: 'size' | 'away' | 'broken') => void
}

/** Files and batches by owner and id. Throws GatewayError `overloaded` when the store cannot be asked. */
export class Vault {
  readonly #parts: VaultParts
  readonly config: BatchesConfig

  constructor(parts: VaultParts) {
    this.#parts = parts
    this.config = parts.config
  }

  async #ask<T>(what: 'read' | 'write', ask: (store: BlobStore, ttlMs: number) => Promise<T>): Promise<T> {
    try {
      return await ask(this.#parts.store, this.config.ttlMs)
    } catch (error) {
      const fault = error instanceof BlobRefused ? error.fault : 'broken'
      this.#parts.onFault(what, fault)
      throw new GatewayError('overloaded', 'Files and batches cannot be asked for now.', {
        retryAfterMs: 1000,
        detail: `store: ${fault}`,
      })
    }
  }

  // ── files ─────────────────────────────────────────────────────────────────
  /** Parts of the content; what there is of them before the file is announced nobody finds. */
  putPart(owner: Owner, id: string, part: number, content: Uint8Array): Promise<void> {
    return this.#ask('write', (store, ttl) => store.put(blobKey('file part', owner, `${id} ${part}`), content, ttl))
  }

  getPart(owner: Owner, id: string, part: number): Promise<Buffer | null> {
    return this.#ask('read', async (store) => {
      const bytes = await store.get(blobKey('file part', owner, `${id} ${part}`), 0)
      return bytes === null ? null : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    })
  }

  /** Puts the whole content away. Resolves with the number of parts. */
  async putContent(owner: Owner, id: string, content: Buffer): Promise<number> {
    let parts = 0
    for (let at = 0; at < content.length;) {
      let end = Math.min(content.length, at + PART_BYTES)
      if (end < content.length) {
        const before = content.lastIndexOf(LINE_FEED, end - 1)
        const after = content.indexOf(LINE_FEED, end)
        end = before >= at ? before + 1 : after < 0 ? content.length : after + 1
      }
      await this.putPart(owner, id, parts++, content.subarray(at, end))
      at = end
    }
    return parts
  }

  putFile(owner: Owner, file: FileRecord): Promise<void> {
    return this.#ask('write', async (store, ttl) => {
      await store.put(blobKey('file', owner, file.id), pack(file), ttl)
      await store.note(blobKey('files', owner, ''), file.id, pack(file), ttl)
    })
  }

  file(owner: Owner, id: string): Promise<FileRecord | null> {
    return this.#ask('read', async (store) => {
      const bytes = await store.get(blobKey('file', owner, id), 0)
      return bytes === null ? null : (unpack(bytes) as FileRecord)
    })
  }

  files(owner: Owner): Promise<readonly FileRecord[]> {
    return this.#ask('read', async (store) => {
      const notes = await store.notes(blobKey('files', owner, ''))
      return notes.map((bytes) => unpack(bytes) as FileRecord)
    })
  }

  deleteFile(owner: Owner, file: FileRecord): Promise<void> {
    return this.#ask('write', async (store) => {
      await store.forget(blobKey('files', owner, ''), file.id)
      await store.delete(blobKey('file', owner, file.id))
      for (let part = 0; part < file.parts; part++)
        await store.delete(blobKey('file part', owner, `${file.id} ${part}`))
    })
  }

  /** Adds to a file of results that is not announced yet. */
  async append(owner: Owner, results: Results, text: string): Promise<Results> {
    if (text === '') return results
    const bytes = Buffer.from(text)
    await this.putPart(owner, results.id, results.parts, bytes)
    return { ...results, parts: results.parts + 1, bytes: results.bytes + bytes.length }
  }

  // ── batches ───────────────────────────────────────────────────────────────
  /** Also tells all who look for work. */
  begin(batch: BatchRecord): Promise<void> {
    return this.#ask('write', async (store, ttl) => {
      const { caller, id } = batch
      await store.put(blobKey('batch', caller, id), pack(batch), ttl)
      await store.note(blobKey('batches', caller, ''), id, pack({ id, createdAt: batch.createdAt }), ttl)
      await store.note(blobKey('open batches', caller, ''), id, pack({ id }), ttl)
      await store.note(OPEN, id, pack({ id, caller }), ttl)
    })
  }

  put(batch: BatchRecord): Promise<void> {
    return this.#ask('write', (store, ttl) => store.put(blobKey('batch', batch.caller, batch.id), pack(batch), ttl))
  }

  batch(owner: Owner, id: string): Promise<BatchRecord | null> {
    return this.#ask('read', async (store) => {
      const bytes = await store.get(blobKey('batch', owner, id), 0)
      return bytes === null ? null : (unpack(bytes) as BatchRecord)
    })
  }

  /** Ids of a caller's batches with the times they were made, newest first. */
  batches(owner: Owner): Promise<readonly { readonly id: string; readonly createdAt: number }[]> {
    return this.#ask('read', async (store) => {
      const notes = await store.notes(blobKey('batches', owner, ''))
      const found = notes.map((bytes) => unpack(bytes) as { id: string; createdAt: number })
      return found.sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
    })
  }

  /** How many of a caller's batches are not over. */
  countOpen(owner: Owner): Promise<number> {
    return this.#ask('read', async (store) => (await store.notes(blobKey('open batches', owner, ''))).length)
  }

  /** All that somebody should work on. */
  open(): Promise<readonly { readonly id: string; readonly caller: BatchCaller }[]> {
    return this.#ask('read', async (store) =>
      (await store.notes(OPEN)).map((bytes) => unpack(bytes) as { id: string; caller: BatchCaller }),
    )
  }

  /** Nobody needs to work on it any more. */
  over({ id, caller }: Pick<BatchRecord, 'id' | 'caller'>): Promise<void> {
    return this.#ask('write', async (store) => {
      await store.forget(OPEN, id)
      await store.forget(blobKey('open batches', caller, ''), id)
    })
  }

  /** False = somebody works on it already. */
  lease(id: string, worker: string): Promise<boolean> {
    return this.#ask('write', (store) => store.claim(commonKey('batch lease', id), Buffer.from(worker), LEASE_MS))
  }

  /** False = somebody else has taken it over. */
  renew(id: string, worker: string): Promise<boolean> {
    return this.#ask('write', async (store) => {
      const key = commonKey('batch lease', id)
      const holder = await store.get(key, LEASE_MS)
      if (holder === null) return store.claim(key, Buffer.from(worker), LEASE_MS)
      return Buffer.from(holder).toString() === worker
    })
  }

  release(id: string): Promise<boolean> {
    return this.#ask('write', (store) => store.delete(commonKey('batch lease', id)))
  }

  /** Whoever works on it ends it. */
  cancel({ caller, id }: BatchRecord): Promise<boolean> {
    return this.#ask('write', (store, ttl) => store.claim(blobKey('cancelled', caller, id), Buffer.from('1'), ttl))
  }

  isCancelled(owner: Owner, id: string): Promise<boolean> {
    return this.#ask('read', async (store) => (await store.get(blobKey('cancelled', owner, id), 0)) !== null)
  }
}

const OPEN = commonKey('open batches', '')
