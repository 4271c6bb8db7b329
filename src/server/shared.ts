import { randomBytes } from 'node:crypto'
import type { HeddleConfig } from '../contracts/config.ts'
import type { LimitRule } from '../contracts/config-limits.ts'
import type { CapacityTable } from '../ratelimit/fair-queue-table.ts'
import type { LedgerFile } from '../ratelimit/ledger-file.ts'
import type { LedgerMemory } from '../ratelimit/ledger-memory.ts'
import { systemClock } from '../core/clock.ts'
import { BlobPlace } from './blob-place.ts'

/** Memory that all workers of the process share, by what is in it; null = nothing configured needs it yet. */
export interface SharedMemory {
  readonly ledger: SharedArrayBuffer | null
  /** Places in use at bounded backends. */
  readonly capacity: SharedArrayBuffer | null
  /** Of the members of each cluster, by clusterKey(). See cluster-place.ts. */
  readonly clusters: Readonly<Record<string, SharedArrayBuffer>>
  /** What sessions of MCP clients are sealed with unless the configuration says; null = there are none. */
  readonly mcpSeed: string | null
  /** What the workers' caches have in common and no other process has; null = there are none. */
  readonly cacheSeed: string | null
}

const some = (owners: readonly { readonly limits: readonly LimitRule[] }[]): boolean =>
  owners.some(({ limits }) => limits.length > 0)

/** Something is counted, or a token may say that something is to be. */
function needsLedger({ limits, auth, tenants }: HeddleConfig): boolean {
  if (limits.length > 0 || some(tenants)) return true
  if (auth === null) return false
  return (
    some(auth.keys) ||
    auth.signedKeys !== null ||
    auth.jwt.some(({ claims }) => claims.limits !== null) ||
    (auth.peers !== null && some(auth.peers.map))
  )
}

const needsCapacity = ({ providers }: HeddleConfig): boolean => providers.some(({ capacity }) => capacity !== null)

export interface SharedParts {
  readonly workers: number
  /** Targets that the process can know in its life. */
  readonly targets: number
  readonly log: (level: 'warn' | 'info', fields: object, message: string) => void
}

/**
 * What the main thread keeps for all workers. Once there it stays: what is counted in it outlives configurations. It
 * begins no request itself, and speaks for workers that have died.
 */
export class SharedState {
  readonly #parts: SharedParts
  #ledger: LedgerMemory | null = null
  #file: LedgerFile | null = null
  #capacity: CapacityTable | null = null
  #mcpSeed: string | null = null
  #cacheSeed: string | null = null
  readonly blobs = new BlobPlace()

  constructor(parts: SharedParts) {
    this.#parts = parts
  }

  /** Makes what the configuration needs and is not there yet. Without clusters: see cluster-place.ts. */
  async prepare(config: HeddleConfig): Promise<SharedMemory> {
    if (this.#ledger === null && needsLedger(config)) await this.#openLedger(config)
    await this.blobs.use(config)
    if (this.#capacity === null && needsCapacity(config)) {
      const { CapacityTable } = await import('../ratelimit/fair-queue-table.ts')
      const { targets, workers } = this.#parts
      this.#capacity = new CapacityTable(targets, { worker: 0, workers })
    }
    if (config.cache !== null) this.#cacheSeed ??= randomBytes(16).toString('hex')
    if (config.mcp !== null) this.#mcpSeed ??= randomBytes(32).toString('hex')
    return {
      ledger: this.#ledger?.buffer ?? null,
      capacity: this.#capacity?.buffer ?? null,
      clusters: {},
      mcpSeed: this.#mcpSeed,
      cacheSeed: this.#cacheSeed,
    }
  }

  async #openLedger({ ledger }: HeddleConfig): Promise<void> {
    const { LedgerMemory, ledgerBytes } = await import('../ratelimit/ledger-memory.ts')
    const { workers, log } = this.#parts
    const buffer = new SharedArrayBuffer(ledgerBytes(ledger.maxScopes, workers))
    this.#ledger = new LedgerMemory(buffer, { worker: workers, workers }, systemClock)
    // With Redis the budgets are there.
    if (ledger.file === null || ledger.redis !== null) return
    const { LedgerFile } = await import('../ratelimit/ledger-file.ts')
    this.#file = new LedgerFile({
      path: ledger.file,
      memory: this.#ledger,
      log: (level, message, fields) => log(level, fields, message),
    })
    this.#file.load()
    this.#file.start()
  }

  /** That worker's thread has ended: what it held is free. */
  forget(worker: number): void {
    this.#ledger?.forget(worker)
    this.#capacity?.forget(worker)
  }

  /** All requests are over. */
  close(): void {
    this.#file?.close()
    this.blobs.close()
  }
}
