import { closeSync, openSync } from 'node:fs'
import { open, rename, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { GatewayError } from '../core/errors.ts'

const FLUSH_MS = 100
/** One write: whole lines of several workers never mix, because a file opened with O_APPEND takes each write whole. */
const BATCH_BYTES = 256 * 1024
/** A disk that is slower than this is behind: further lines are dropped and counted. */
const MAX_QUEUED_BYTES = 8 << 20
/** A worker that died while it rotated left its lock behind. */
const LOCK_STALE_MS = 10_000
/** Records name tenants and users. */
const MODE = 0o600

export interface FileSinkOptions {
  readonly path: string
  /** Bytes; 0 = never rotated. */
  readonly rotateBytes: number
  readonly clock: Clock
}

/**
 * Appends lines to a file that other workers and processes append to as well. A full disk or a vanished folder drops
 * lines and counts them; it never blocks or throws after start. Rotation renames the file to `PATH.TIME-PID` under a
 * lock file, and everybody else notices by the inode. Throws `config_invalid` when the file cannot be opened at start.
 */
export class FileSink {
  readonly #path: string
  readonly #rotateBytes: number
  readonly #clock: Clock
  readonly #stop: () => void
  #lines: string[] = []
  #queuedBytes = 0
  #handle: FileHandle | null = null
  /** The last write ended within a line. */
  #torn = false
  #running: Promise<void> | null = null
  dropped = 0

  constructor({ path, rotateBytes, clock }: FileSinkOptions) {
    this.#path = path
    this.#rotateBytes = rotateBytes
    this.#clock = clock
    try {
      closeSync(openSync(path, 'a', MODE))
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
      throw new GatewayError('config_invalid', 'The file for usage records cannot be opened.', {
        detail: `usage.records.file.path ${path}: ${code}`,
        cause: error,
      })
    }
    this.#stop = everyUnref(() => void this.#start(), FLUSH_MS)
  }

  /** line: without its newline. */
  write(line: string): void {
    if (this.#queuedBytes > MAX_QUEUED_BYTES) {
      this.dropped++
      return
    }
    this.#lines.push(line)
    this.#queuedBytes += line.length + 1
    if (this.#queuedBytes >= BATCH_BYTES) void this.#start()
  }

  async flush(): Promise<void> {
    while (this.#lines.length > 0 || this.#running !== null) await this.#start()
  }

  async close(): Promise<void> {
    this.#stop()
    await this.flush()
    await this.#release()
  }

  #start(): Promise<void> {
    if (this.#running !== null) return this.#running
    if (this.#lines.length === 0) return Promise.resolve()
    this.#running = this.#drain().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #drain(): Promise<void> {
    while (this.#lines.length > 0) {
      const batch = this.#lines
      this.#lines = []
      this.#queuedBytes = 0
      for (let from = 0; from < batch.length;) {
        let to = from
        let bytes = 0
        while (to < batch.length && (bytes === 0 || bytes + batch[to]!.length < BATCH_BYTES))
          bytes += batch[to++]!.length
        await this.#append(batch.slice(from, to))
        from = to
      }
    }
  }

  async #append(lines: readonly string[]): Promise<void> {
    const bytes = Buffer.from(`${this.#torn ? '\n' : ''}${lines.join('\n')}\n`)
    try {
      const handle = await this.#current()
      const { bytesWritten } = await handle.write(bytes, 0, bytes.length)
      this.#torn = bytesWritten < bytes.length
      // A disk that fills up takes a part: what of it is whole lines counts as written.
      if (this.#torn) this.dropped += bytes.subarray(bytesWritten).filter((byte) => byte === 10).length
    } catch {
      this.dropped += lines.length
      await this.#release()
      // A part may have been written: the next line begins on a line of its own.
      this.#torn = true
    }
  }

  /** The file at the path: a new one when it was rotated by another worker, by a tool, or now by this one. */
  async #current(): Promise<FileHandle> {
    if (this.#handle !== null) {
      const [mine, there] = await Promise.all([this.#handle.stat(), stat(this.#path).catch(() => null)])
      if (there === null || there.ino !== mine.ino) await this.#release()
      else if (this.#rotateBytes > 0 && mine.size >= this.#rotateBytes) await this.#rotate(mine.ino)
    }
    this.#handle ??= await open(this.#path, 'a', MODE)
    return this.#handle
  }

  async #release(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    this.#torn = false
    await handle?.close().catch(() => undefined)
  }

  /** Only the holder of the lock renames, and only the file it has seen to be too large. */
  async #rotate(ino: number): Promise<void> {
    const lock = `${this.#path}.lock`
    const held = await open(lock, 'wx', MODE).catch(() => null)
    if (held === null) {
      const age = await stat(lock).then(
        ({ mtimeMs }) => this.#clock.now() - mtimeMs,
        () => 0,
      )
      if (age > LOCK_STALE_MS) await unlink(lock).catch(() => undefined)
      return
    }
    try {
      const there = await stat(this.#path)
      if (there.ino === ino) {
        const stamp = new Date(this.#clock.now()).toISOString().replaceAll(/[:.]/g, '-')
        await rename(this.#path, `${this.#path}.${stamp}-${process.pid}-${ino}`)
      }
      await this.#release()
    } finally {
      await held.close()
      await unlink(lock).catch(() => undefined)
    }
  }
}
