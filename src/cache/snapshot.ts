import { rmSync } from 'node:fs'
import type { SharedStore } from './shared.ts'
import type { News } from './semantic.ts'
import type { Clock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { isRecord } from './decide/ledger.ts'
import { packEntry, unpackEntry } from './pack.ts'
import { isScope } from './redis-counts.ts'
import { readSnapshot, writeSnapshot, type Kind, type SnapshotFile } from './snapshot-file.ts'

/** So often what is in memory is written, ms. */
const WRITE_MS = 300_000
/** After a purge the file is gone, and written again so soon, ms. */
const PURGED_MS = 10_000
/** How often it is looked whether it is time, ms. */
const LOOK_MS = 1000
/** Another worker that gives nothing for so long has nothing, ms. */
const GIVEN_MS = 5000
/** What an entry takes in the file is at most so many times of what it is counted as in memory. */
const MOST_OF_MEMORY = 2

const ENTRY = 0x45
const KNOWN = 0x4b

export interface SnapshotParts {
  readonly file: SnapshotFile
  readonly store: SharedStore
  /** Of entries and vectors in memory. */
  readonly maxBytes: number
  /** Writes, and reads for the others of its process. */
  readonly isWriter: boolean
  readonly clock: Clock
  readonly log: (level: 'info' | 'warn', fields: object, message: string) => void
  /** Another one writes the file by now. */
  readonly isCurrent: (keeper: SnapshotKeeper) => boolean
}

/** Keeps what a store has in a file, over the end of the process. One for each worker. */
export class SnapshotKeeper {
  readonly #parts: SnapshotParts
  #stop: (() => void) | null = null
  #writing: Promise<void> | null = null
  /** Purges so far: what was gathered before one is not written. */
  #purges = 0
  readonly #since: number
  /** All that there was is in memory, or cannot be had: the file may be another one from now on. */
  #loaded = false
  /** Monotonic, ms. */
  #dueAt: number

  constructor(parts: SnapshotParts) {
    this.#parts = parts
    this.#dueAt = parts.clock.monotonic() + WRITE_MS
    this.#since = parts.clock.now()
    parts.store.onPurge = (before) => this.#purged(before)
    if (parts.isWriter) this.#stop = everyUnref(() => this.#look(), LOOK_MS)
  }

  get path(): string {
    return this.#parts.file.path
  }

  /** Once, before requests are served. Never rejects. */
  async load(): Promise<void> {
    const { store, isWriter, log } = this.#parts
    try {
      if (isWriter || !(await store.inherit(GIVEN_MS))) await this.#read()
    } catch (error) {
      log('warn', { file: this.path, err: messageOf(error) }, 'cache: the snapshot was read in part only')
    }
    this.#loaded = true
    if (isWriter) store.give()
  }

  async #read(): Promise<void> {
    const { file, store, maxBytes, log } = this.#parts
    let loaded = 0
    let skipped = 0
    const refused = await readSnapshot(file, MOST_OF_MEMORY * maxBytes, (kind, payload) => {
      if (kind === KNOWN) this.#know(payload)
      if (kind !== ENTRY) return
      const packed = unpackEntry(payload)
      if (packed !== null && store.restore(packed)) loaded++
      else skipped++
    })
    if (refused === null) log('info', { file: file.path, loaded, skipped }, 'cache: the snapshot was read')
    else if (refused.refused !== 'missing')
      log('warn', { file: file.path, reason: refused.refused, code: refused.code }, 'cache: the snapshot is not used')
  }

  #know(payload: Buffer): void {
    const { semantic, calibration } = this.#parts.store
    // Where replicas share what they learn it is there.
    if (semantic === null || calibration !== null) return
    const { version, scope, record } = JSON.parse(payload.toString()) as Record<string, unknown>
    if (version === semantic.version && isScope(scope) && isRecord(record)) semantic.absorb({ scope, record })
  }

  *#records(): Iterable<Kind> {
    const { store, clock } = this.#parts
    const { semantic, memory, calibration } = store
    if (semantic !== null && calibration === null)
      for (const news of semantic.records()) yield { kind: KNOWN, payload: knownOf(semantic.version, news) }
    const now = clock.now()
    // From the one used longest ago: in this order they are put again.
    const entries = Array.from(memory.all())
    for (const entry of entries) {
      if (entry.expiresAt <= now || memory.peek(entry.key) !== entry) continue
      const vector = semantic?.vectorOf(entry) ?? null
      yield { kind: ENTRY, payload: packEntry(entry, vector === null ? null : { of: semantic!.embedder, vector }) }
    }
  }

  #look(): void {
    const { clock, isCurrent } = this.#parts
    if (clock.monotonic() >= this.#dueAt && isCurrent(this)) void this.write()
  }

  /** What must not be served any more must not be on the disk either, whatever happens next. */
  #purged(before: number): void {
    const { clock, log } = this.#parts
    this.#purges++
    this.#dueAt = Math.min(this.#dueAt, clock.monotonic() + PURGED_MS)
    // All purges of a month are heard of at a start: what they mean is not taken from the file, or gone by now.
    if (before < this.#since) return
    try {
      rmSync(this.path, { force: true })
    } catch (error) {
      log('warn', { file: this.path, err: messageOf(error) }, 'cache: the snapshot cannot be removed after a purge')
    }
  }

  /** Another one will read it now. Never rejects. */
  async handOver(): Promise<void> {
    if (this.#parts.isWriter) await this.write()
  }

  /** Never rejects. One at a time. */
  write(): Promise<void> {
    if (!this.#loaded) return Promise.resolve()
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null
    })
    return this.#writing
  }

  async #write(): Promise<void> {
    const { file, clock, log } = this.#parts
    const purges = this.#purges
    this.#dueAt = clock.monotonic() + WRITE_MS
    try {
      const bytes = await writeSnapshot(file, this.#records(), clock.now(), () => this.#purges === purges)
      if (bytes === 0) this.#dueAt = Math.min(this.#dueAt, clock.monotonic() + PURGED_MS)
    } catch (error) {
      log('warn', { file: file.path, err: messageOf(error) }, 'cache: the snapshot cannot be written')
    }
  }

  /** The process ends. Never rejects. */
  async end(): Promise<void> {
    this.close()
    const { isWriter, isCurrent } = this.#parts
    if (!isWriter || !isCurrent(this)) return
    // One that is under way may be older than the last answers.
    await this.#writing
    await this.write()
  }

  close(): void {
    this.#stop?.()
    this.#stop = null
  }
}

const knownOf = (version: string, { scope, record }: News): Buffer =>
  Buffer.from(JSON.stringify({ version, scope, record }))

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
