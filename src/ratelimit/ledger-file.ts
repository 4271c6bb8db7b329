import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { systemClock } from '../core/clock.ts'
import { everyUnref } from '../core/every.ts'
import { restoreAccounts, saveAccounts } from './ledger-list.ts'
import type { SavedAccount } from './ledger-list.ts'
import type { LedgerMemory } from './ledger-memory.ts'

const VERSION = 1
export const SAVE_MS = 1000

export interface LedgerFileParts {
  readonly path: string
  /** Of the main thread. */
  readonly memory: LedgerMemory
  readonly clock?: Clock
  /** Once when the file cannot be written, or read at start, and once when it can be written again. */
  readonly log?: (level: 'warn' | 'info', message: string, fields: Readonly<Record<string, string | number>>) => void
}

const isAccount = (value: unknown): value is SavedAccount => {
  if (typeof value !== 'object' || value === null) return false
  const { id, label, start, end, settled } = value as Record<string, unknown>
  const numbers = [start, end, settled].every((item) => typeof item === 'number' && Number.isFinite(item) && item >= 0)
  return typeof id === 'string' && /^[0-9a-f]{16}$/.test(id) && typeof label === 'string' && numbers
}

const reasonOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : 'not a ledger file'

/**
 * Budgets of calendar periods in a file, so that a restart does not begin them anew. Written each second in which
 * something was settled, and at the end: a process that is killed loses at most what was settled in its last second.
 * Runs in the main thread only.
 */
export class LedgerFile {
  readonly #parts: LedgerFileParts
  readonly #clock: Clock
  #changes = -1
  #writing = false
  #failing = false
  #stop: (() => void) | null = null

  constructor(parts: LedgerFileParts) {
    this.#parts = parts
    this.#clock = parts.clock ?? systemClock
  }

  /** Reads the file. To be called before the first request. A file that cannot be read is left as it is, and said so. */
  load(): void {
    try {
      const value = JSON.parse(readFileSync(this.#parts.path, 'utf8')) as { version?: unknown; accounts?: unknown }
      if (value.version !== VERSION || !Array.isArray(value.accounts)) throw new Error('not a ledger file')
      const accounts = restoreAccounts(this.#parts.memory, value.accounts.filter(isAccount), this.#clock)
      this.#parts.log?.('info', 'ledger: budgets read', { accounts })
    } catch (error) {
      if (reasonOf(error) === 'ENOENT') return
      this.#parts.log?.('warn', 'ledger: the file cannot be read, budgets begin anew', { reason: reasonOf(error) })
      this.#keepAside()
    }
  }

  /** What cannot be read may be repaired by somebody: it must not be written over. */
  #keepAside(): void {
    try {
      renameSync(this.#parts.path, `${this.#parts.path}.unreadable`)
    } catch {
      // Then it could not be written over either.
    }
  }

  start(): void {
    this.#stop ??= everyUnref(() => void this.save(), SAVE_MS)
  }

  #text(): string | null {
    const { changes } = this.#parts.memory.table
    if (changes === this.#changes) return null
    this.#changes = changes
    return JSON.stringify({ version: VERSION, accounts: saveAccounts(this.#parts.memory, this.#clock.now()) })
  }

  /** Writes when something has changed; one at a time. */
  async save(): Promise<void> {
    if (this.#writing) return
    const text = this.#text()
    if (text === null) return
    this.#writing = true
    try {
      const { path } = this.#parts
      // Beside it and renamed: a reader, and a crash, see the old text or the new one.
      await writeFile(`${path}.tmp`, text, { mode: 0o600, flush: true })
      await rename(`${path}.tmp`, path)
      this.#wrote()
    } catch (error) {
      this.#failed(error)
    } finally {
      this.#writing = false
    }
  }

  #wrote(): void {
    if (this.#failing) this.#parts.log?.('info', 'ledger: the file is written again', {})
    this.#failing = false
  }

  #failed(error: unknown): void {
    this.#changes = -1
    if (!this.#failing) this.#parts.log?.('warn', 'ledger: the file cannot be written', { reason: reasonOf(error) })
    this.#failing = true
  }

  /** The last write, synchronous: nothing is settled after it. */
  close(): void {
    this.#stop?.()
    const text = this.#text()
    if (text === null && !this.#writing) return
    try {
      const { path } = this.#parts
      mkdirSync(dirname(path), { recursive: true })
      const whole =
        text ?? JSON.stringify({ version: VERSION, accounts: saveAccounts(this.#parts.memory, this.#clock.now()) })
      writeFileSync(`${path}.last`, whole, { mode: 0o600, flush: true })
      renameSync(`${path}.last`, path)
    } catch (error) {
      this.#failed(error)
    }
  }
}
