import { createHash, createHmac, randomBytes, timingSafeEqual, type Hash, type Hmac } from 'node:crypto'
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { VectorIndex } from './vector-index.ts'
import {
  CHECKSUM_BYTES,
  FORMAT,
  MAGIC,
  endRecord,
  entryRecord,
  headRecord,
  partitionRecord,
  readHead,
  readRecords,
} from './snapshot-format.ts'

/** Written, and hashed, at once: about 0.3 ms of the thread. */
const CHUNK_BYTES = 256 << 10
/** What a writer that died left behind is removed after this. */
const STALE_MS = 3_600_000

export interface SnapshotFile {
  readonly path: string
  /** Version of the embedder: vectors of another are of no use. */
  readonly embedder: string
  /** With it, only files written with the same are read (HMAC-SHA-256): for folders that others can write to. */
  readonly secret?: Uint8Array | undefined
}

export interface Written {
  readonly entries: number
  readonly bytes: number
}

/**
 * missing: there is no file; unreadable: the system refuses it; too_large: above maxBytes; foreign: not such a file;
 * version: of another Heddle; embedder: vectors of another embedder; damaged: cut, altered, or written with another secret.
 */
export type Refusal = 'missing' | 'unreadable' | 'too_large' | 'foreign' | 'version' | 'embedder' | 'damaged'

export interface Loaded {
  readonly loaded: number
  /** Expired by now, not accepted, or without room. */
  readonly skipped: number
  /** Why nothing was read; null = all was. */
  readonly refused: Refusal | null
  /** The system's code, such as EACCES, when unreadable. */
  readonly code: string | null
}

const hasher = (secret: Uint8Array | undefined): Hash | Hmac =>
  secret === undefined ? createHash('sha256') : createHmac('sha256', secret)

/** Gathers records to chunks. */
class Chunks {
  readonly #file: FileHandle
  readonly #hash: Hash | Hmac
  #parts: Uint8Array[] = []
  #size = 0
  bytes = 0

  constructor(file: FileHandle, secret: Uint8Array | undefined) {
    this.#file = file
    this.#hash = hasher(secret)
  }

  get full(): boolean {
    return this.#size >= CHUNK_BYTES
  }

  add(part: Uint8Array): void {
    this.#parts.push(part)
    this.#size += part.length
  }

  async flush(): Promise<void> {
    const chunk = Buffer.concat(this.#parts, this.#size)
    this.#parts = []
    this.#size = 0
    this.#hash.update(chunk)
    await this.#write(chunk)
  }

  async finish(): Promise<void> {
    await this.flush()
    await this.#write(this.#hash.digest())
  }

  async #write(chunk: Buffer): Promise<void> {
    this.bytes += chunk.length
    for (let at = 0; at < chunk.length;) at += (await this.#file.write(chunk, at)).bytesWritten
  }
}

async function writeRecords(
  chunks: Chunks,
  index: VectorIndex,
  now: number,
  payload: (entry: number) => Uint8Array | null,
): Promise<number> {
  const partitions = new Map<string, number>()
  let entries = 0
  // The index goes on meanwhile: each entry is read, with its payload, in one step, and those gone by then are left out.
  for (const entry of index.oldestFirst()) {
    const kept = index.has(entry) ? payload(entry) : null
    // After the payload: its owner may have used the index for it.
    const known = index.read(entry)
    if (kept === null || known === null || !(known.expiresAt > now)) continue
    let partition = partitions.get(known.partition)
    if (partition === undefined) {
      partition = partitions.size
      partitions.set(known.partition, partition)
      chunks.add(partitionRecord(known.partition))
    }
    chunks.add(entryRecord(partition, known.expiresAt, known.values, kept.length))
    chunks.add(kept)
    entries++
    if (chunks.full) await chunks.flush()
  }
  chunks.add(endRecord(partitions.size, entries))
  return entries
}

/** Makes a rename last through a power failure, where the system can: some file systems refuse to. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => null)
  await handle?.sync().catch(() => {})
  await handle?.close()
}

async function removeStale(path: string, now: number): Promise<void> {
  const folder = dirname(path)
  const prefix = `${basename(path)}.`
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.startsWith(prefix) || !name.endsWith('.tmp')) continue
    const file = join(folder, name)
    const about = await stat(file).catch(() => null)
    if (about !== null && now - about.mtimeMs > STALE_MS) await rm(file, { force: true }).catch(() => {})
  }
}

/**
 * Writes all entries that have not expired, whole or not at all: beside the file, then renamed over it. Readable by its
 * owner only. payload: what belongs to an entry, not changed afterwards; null = leave the entry out. now: epoch ms.
 * Rejects with the system's error when the file cannot be written.
 */
export async function writeSnapshot(
  index: VectorIndex,
  file: SnapshotFile,
  now: number,
  payload: (entry: number) => Uint8Array | null,
): Promise<Written> {
  await removeStale(file.path, now)
  const next = `${file.path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`
  const handle = await open(next, 'wx', 0o600)
  try {
    const chunks = new Chunks(handle, file.secret)
    let entries = 0
    try {
      chunks.add(headRecord(file.embedder, index.dimensions))
      entries = await writeRecords(chunks, index, now, payload)
      await chunks.finish()
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(next, file.path)
    await syncFolder(dirname(file.path))
    return { entries, bytes: chunks.bytes }
  } catch (error) {
    await rm(next, { force: true }).catch(() => {})
    throw error
  }
}

const refuse = (refused: Refusal, code: string | null = null): Loaded => ({ loaded: 0, skipped: 0, refused, code })

async function contents(path: string, maxBytes: number): Promise<Buffer | Loaded> {
  let handle: FileHandle | null = null
  try {
    handle = await open(path, 'r')
    const about = await handle.stat()
    if (!about.isFile()) return refuse('foreign')
    if (about.size > maxBytes) return refuse('too_large')
    return await handle.readFile()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' ? refuse('missing') : refuse('unreadable', code ?? null)
  } finally {
    await handle?.close().catch(() => {})
  }
}

/** Where the records are; or why they are not looked at. */
function examine(bytes: Buffer, file: SnapshotFile, dimensions: number): { from: number; to: number } | Refusal {
  const to = bytes.length - CHECKSUM_BYTES
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'foreign'
  if (bytes.length < MAGIC.length + 4) return 'damaged'
  if (bytes.readUInt32LE(MAGIC.length) !== FORMAT) return 'version'
  if (to <= MAGIC.length) return 'damaged'
  const sum = hasher(file.secret).update(bytes.subarray(0, to)).digest()
  if (!timingSafeEqual(sum, bytes.subarray(to))) return 'damaged'
  const head = readHead(bytes.subarray(0, to))
  if (head === null) return 'damaged'
  if (head.embedder !== file.embedder || head.dimensions !== dimensions) return 'embedder'
  // Once without taking anything: a file is read whole or not at all.
  return readRecords(bytes, head.end, to, dimensions, () => {}) ? { from: head.end, to } : 'damaged'
}

/**
 * Reads what writeSnapshot wrote into an index, oldest first, so that what has no room is the oldest. accept gets the number
 * that the entry has now; its payload is a view that must be copied if kept; false = leave the entry out. Never rejects;
 * throws only what accept throws.
 */
export async function readSnapshot(
  index: VectorIndex,
  file: SnapshotFile & { readonly maxBytes: number },
  now: number,
  accept: (entry: number, partition: string, payload: Buffer) => boolean,
): Promise<Loaded> {
  const bytes = await contents(file.path, file.maxBytes)
  if (!Buffer.isBuffer(bytes)) return bytes
  const found = examine(bytes, file, index.dimensions)
  if (typeof found === 'string') return refuse(found)
  let loaded = 0
  let skipped = 0
  readRecords(bytes, found.from, found.to, index.dimensions, (partition, expiresAt, values, payload) => {
    const entry = index.insert(partition, { values, norm: 1, coverage: 1 }, expiresAt, now)
    if (entry !== -1 && accept(entry, partition, payload)) loaded++
    else {
      skipped++
      index.remove(entry)
    }
  })
  return { loaded, skipped, refused: null, code: null }
}
