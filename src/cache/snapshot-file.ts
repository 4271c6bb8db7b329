import { createHash, createHmac, randomBytes, timingSafeEqual, type Hash, type Hmac } from 'node:crypto'
import { open, readdir, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * The file: MAGIC, u32 FORMAT, records, SHA-256 (or HMAC) of all before it. A record is a byte that says what it is, u32 length
 * and so many bytes; the last is END with the number of those before it. Numbers are little-endian.
 */
const MAGIC = Buffer.from('HDLCACH\n', 'latin1')
const FORMAT = 1
const HEAD_BYTES = MAGIC.length + 4
const RECORD_HEAD = 5
const CHECKSUM_BYTES = 32
const END = 0x5a
/** Written, and hashed, at once: about 0.3 ms of the thread. */
const CHUNK_BYTES = 256 << 10
/** What a writer that died left behind is removed after this. */
const STALE_MS = 3_600_000
/** Records are taken at once; then others have their turn. */
const AT_ONCE = 64

export interface SnapshotFile {
  readonly path: string
  /** With it, only files written with the same are read (HMAC-SHA-256): for folders that others can write to. */
  readonly secret: Uint8Array | null
}

export interface Kind {
  /** One byte, not END's. */
  readonly kind: number
  readonly payload: Uint8Array
}

/** missing: there is no file; unreadable: the system refuses it; too_large; foreign: not such a file; version: of another Heddle; damaged: cut, altered, or written with another secret. */
export type Refusal = 'missing' | 'unreadable' | 'too_large' | 'foreign' | 'version' | 'damaged'

export interface Refused {
  readonly refused: Refusal
  /** The system's code, such as EACCES, when unreadable. */
  readonly code: string | null
}

const hasher = (secret: Uint8Array | null): Hash | Hmac =>
  secret === null ? createHash('sha256') : createHmac('sha256', secret)

/** Gathers records to chunks. */
class Chunks {
  readonly #file: FileHandle
  readonly #hash: Hash | Hmac
  #parts: Uint8Array[] = []
  #size = 0
  bytes = 0

  constructor(file: FileHandle, secret: Uint8Array | null) {
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

  record(kind: number, payload: Uint8Array): void {
    const head = Buffer.allocUnsafe(RECORD_HEAD)
    head[0] = kind
    head.writeUInt32LE(payload.length, 1)
    this.add(head)
    this.add(payload)
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

async function writeAll(chunks: Chunks, records: Iterable<Kind>): Promise<void> {
  const head = Buffer.alloc(HEAD_BYTES)
  MAGIC.copy(head)
  head.writeUInt32LE(FORMAT, MAGIC.length)
  chunks.add(head)
  let count = 0
  for (const { kind, payload } of records) {
    chunks.record(kind, payload)
    count++
    if (chunks.full) await chunks.flush()
  }
  const end = Buffer.alloc(4)
  end.writeUInt32LE(count)
  chunks.record(END, end)
  await chunks.finish()
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
 * Writes all records, whole or not at all: beside the file, then renamed over it. Readable by its owner only. now: epoch ms.
 * holds: asked at the end whether it is still to be the file. Resolves with the bytes; 0 = it was not. Rejects with the
 * system's error when the file cannot be written.
 */
export async function writeSnapshot(
  file: SnapshotFile,
  records: Iterable<Kind>,
  now: number,
  holds: () => boolean,
): Promise<number> {
  await removeStale(file.path, now)
  const next = `${file.path}.${process.pid}-${randomBytes(6).toString('hex')}.tmp`
  const handle = await open(next, 'wx', 0o600)
  try {
    const chunks = new Chunks(handle, file.secret)
    try {
      await writeAll(chunks, records)
      await handle.sync()
    } finally {
      await handle.close()
    }
    if (!holds()) {
      await rm(next, { force: true })
      return 0
    }
    await rename(next, file.path)
    await syncFolder(dirname(file.path))
    return chunks.bytes
  } catch (error) {
    await rm(next, { force: true }).catch(() => {})
    throw error
  }
}

const refuse = (refused: Refusal, code: string | null = null): Refused => ({ refused, code })

async function contents(path: string, maxBytes: number): Promise<Buffer | Refused> {
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

/** Where the records are; null = they are not what a writer writes. */
function recordsOf(bytes: Buffer, to: number): readonly number[] | null {
  const places: number[] = []
  let at = HEAD_BYTES
  while (to - at >= RECORD_HEAD) {
    const length = bytes.readUInt32LE(at + 1)
    const next = at + RECORD_HEAD + length
    if (next > to) return null
    if (bytes[at] === END)
      return next === to && length === 4 && bytes.readUInt32LE(at + RECORD_HEAD) === places.length ? places : null
    places.push(at)
    at = next
  }
  return null
}

function examine(bytes: Buffer, secret: Uint8Array | null): readonly number[] | Refusal {
  const to = bytes.length - CHECKSUM_BYTES
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return 'foreign'
  if (to < HEAD_BYTES) return 'damaged'
  if (bytes.readUInt32LE(MAGIC.length) !== FORMAT) return 'version'
  const sum = hasher(secret).update(bytes.subarray(0, to)).digest()
  if (!timingSafeEqual(sum, bytes.subarray(to))) return 'damaged'
  return recordsOf(bytes, to) ?? 'damaged'
}

/**
 * Reads what writeSnapshot wrote, whole or not at all, in its order. A payload is a view that must be copied if kept.
 * Resolves with null = all was read, or why nothing was. Rejects only with what take throws.
 */
export async function readSnapshot(
  file: SnapshotFile,
  maxBytes: number,
  take: (kind: number, payload: Buffer) => void,
): Promise<Refused | null> {
  const bytes = await contents(file.path, maxBytes)
  if (!Buffer.isBuffer(bytes)) return bytes
  const found = examine(bytes, file.secret)
  if (typeof found === 'string') return refuse(found)
  let count = 0
  for (const at of found) {
    const from = at + RECORD_HEAD
    take(bytes[at]!, bytes.subarray(from, from + bytes.readUInt32LE(at + 1)))
    if (++count % AT_ONCE === 0) await new Promise((resolve) => void setImmediate(resolve))
  }
  return null
}
