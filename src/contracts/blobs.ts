/**
 * Where what clients may come back for is kept: answers, files, the state of batches. Keys are hashes that hold who
 * may ask (see blobKey), so that nobody finds what another one keeps. Times are ms.
 * What cannot be done rejects with BlobRefused (store/blob-refused.ts).
 */
export interface BlobStore {
  /** null = there is none, or none any more. touchMs: it then lives that long from now on; 0 = as long as it was to. */
  get(key: string, touchMs: number): Promise<Uint8Array | null>
  /** Takes the place of what was there. */
  put(key: string, value: Uint8Array, ttlMs: number): Promise<void>
  /** Only where nothing is. False = something was there already. */
  claim(key: string, value: Uint8Array, ttlMs: number): Promise<boolean>
  /** True = there was one. */
  delete(key: string): Promise<boolean>
  /** Adds to, or replaces in, a list of small entries, which lives for ttlMs from now on. */
  note(list: string, field: string, value: Uint8Array, ttlMs: number): Promise<void>
  /** All entries of a list, in no order. */
  notes(list: string): Promise<readonly Uint8Array[]>
  /** Takes one out of a list. */
  forget(list: string, field: string): Promise<void>
  /** Whether it outlives the process. */
  readonly durable: boolean
  /** What is under way is given up. */
  close(): void
}
