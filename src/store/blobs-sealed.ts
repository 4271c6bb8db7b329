import type { BlobStore } from '../contracts/blobs.ts'
import { Seal } from './seal.ts'

/** Blobs that leave the process, encrypted, each for its place: see Seal. */
export class SealedBlobs implements BlobStore {
  readonly #inner: BlobStore
  readonly #seal: Seal

  /** keys: base64, 32 bytes each; the first one seals, all open. */
  constructor(inner: BlobStore, keys: readonly string[]) {
    this.#inner = inner
    this.#seal = new Seal(keys)
  }

  get durable(): boolean {
    return this.#inner.durable
  }

  #openOrNone(place: string, sealed: Uint8Array): Uint8Array[] {
    try {
      return [this.#seal.open(place, sealed)]
    } catch {
      return []
    }
  }

  async get(key: string, touchMs: number): Promise<Uint8Array | null> {
    const sealed = await this.#inner.get(key, touchMs)
    return sealed === null ? null : this.#seal.open(key, sealed)
  }
  put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    return this.#inner.put(key, this.#seal.seal(key, value), ttlMs)
  }
  claim(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    return this.#inner.claim(key, this.#seal.seal(key, value), ttlMs)
  }
  delete(key: string): Promise<boolean> {
    return this.#inner.delete(key)
  }
  note(list: string, field: string, value: Uint8Array, ttlMs: number): Promise<void> {
    return this.#inner.note(list, field, this.#seal.seal(list, value), ttlMs)
  }
  async notes(list: string): Promise<readonly Uint8Array[]> {
    const sealed = await this.#inner.notes(list)
    // One that was sealed with a key of yesterday must not hide all others.
    return sealed.flatMap((value) => this.#openOrNone(list, value))
  }
  forget(list: string, field: string): Promise<void> {
    return this.#inner.forget(list, field)
  }
  close(): void {
    this.#inner.close()
  }
}
