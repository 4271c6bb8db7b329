import { randomUUID } from 'node:crypto'
import type { Principal } from '../../../contracts/identity.ts'
import type { Services } from '../../services.ts'
import type { Snapshot } from '../../snapshot.ts'
import type { BatchCaller, BatchRecord } from './records.ts'
import type { Vault } from './vault.ts'
import type { GatewayError } from '../../../core/errors.ts'
import type { Matcher } from '../../../core/glob.ts'
import { everyUnref } from '../../../core/every.ts'
import { Callers } from './callers.ts'
import { isFinal } from './records.ts'
import { BatchRun, Slots, type RunParts } from './run.ts'
import { LEASE_MS } from './vault.ts'

/** How often a worker looks for batches that nobody works on, ms. */
const LOOK_MS = 5000
/** How often it says that it is still at work, and looks whether one was cancelled, ms. */
const STAY_MS = 1000
/** Batches at a time, a worker. */
const MAX_RUNS = 16

export interface RunnerParts extends Pick<RunParts, 'onLine' | 'services'> {
  readonly vault: Vault
  readonly runs: Matcher
  readonly revoked: (keyId: string) => boolean
  /** +1 and -1 around each batch that is worked on here. */
  readonly inflight: (change: number) => void
  readonly log: Services['log']
}

/** The batches that one worker works on. Each is worked on by one worker of all processes at a time. */
export class Runner {
  readonly #parts: RunnerParts
  readonly #worker = randomUUID()
  readonly #runs = new Map<string, BatchRun>()
  readonly #ends = new Set<Promise<unknown>>()
  readonly #callers: Callers
  readonly #slots: Slots
  readonly #stop: (() => void)[]
  #looking = false
  #renewedAt = 0
  #closed = false

  constructor(parts: RunnerParts) {
    this.#parts = parts
    this.#callers = new Callers(parts.revoked, () => parts.services().clock.now())
    this.#slots = new Slots(parts.vault.config.concurrency)
    this.#stop = [everyUnref(() => void this.#look(), LOOK_MS), everyUnref(() => void this.#stay(), STAY_MS)]
  }

  get size(): number {
    return this.#runs.size
  }

  /** A new batch: it begins here at once, when there is room. */
  async begin(batch: BatchRecord, principal: Principal): Promise<void> {
    this.#callers.shown(batch.id, principal)
    await this.#parts.vault.begin(batch)
    void this.#try(batch.id, batch.caller)
  }

  /** Somebody has cancelled it. */
  cancelled(id: string): void {
    this.#runs.get(id)?.stop('cancelled')
  }

  get #mayBegin(): boolean {
    const services = this.#parts.services()
    // Nothing serves before the first configuration is in use.
    const serves = (services.current() as Snapshot | null) !== null
    return serves && !this.#closed && !services.loop.draining && this.#runs.size < MAX_RUNS
  }

  async #look(): Promise<void> {
    if (this.#looking || !this.#mayBegin) return
    this.#looking = true
    try {
      for (const { id, caller } of await this.#parts.vault.open()) if (this.#mayBegin) await this.#try(id, caller)
    } catch {
      // The store is away: counted there, and asked again.
    } finally {
      this.#looking = false
    }
  }

  /** Works on it, unless somebody else does. Never rejects. */
  async #try(id: string, caller: BatchCaller): Promise<void> {
    const { vault } = this.#parts
    if (this.#runs.has(id) || !this.#mayBegin) return
    try {
      if (!(await vault.lease(id, this.#worker))) return
      const batch = await vault.batch(caller, id)
      if (batch === null || isFinal(batch)) {
        await vault.over({ id, caller })
        await vault.release(id)
      } else if (this.#mayBegin && !this.#runs.has(id)) this.#run(batch)
      else await vault.release(id)
    } catch {
      // As above.
    }
  }

  #run(batch: BatchRecord): void {
    const { vault, services, runs, onLine, inflight, log } = this.#parts
    const run = new BatchRun(batch, {
      vault,
      services,
      callers: this.#callers,
      slots: this.#slots,
      runs,
      onLine,
    })
    this.#runs.set(batch.id, run)
    inflight(1)
    const begin = async (): Promise<void> => {
      if (await vault.isCancelled(batch.caller, batch.id)) run.stop('cancelled')
      await run.run()
      if (isFinal(run.batch)) {
        await vault.over(run.batch)
        this.#callers.forget(batch.id)
      }
    }
    const end = begin()
      .catch((error: unknown) =>
        log('warn', { batch: batch.id, err: String(error) }, 'a batch stopped; it goes on later'),
      )
      .then(() => vault.release(batch.id).catch(() => undefined))
      .finally(() => {
        this.#runs.delete(batch.id)
        this.#ends.delete(end)
        inflight(-1)
      })
    this.#ends.add(end)
  }

  async #stay(): Promise<void> {
    const { vault, services } = this.#parts
    if (this.#runs.size === 0) return
    const now = services().clock.monotonic()
    const renew = now - this.#renewedAt > LEASE_MS / 4
    if (renew) this.#renewedAt = now
    if (services().loop.draining) for (const run of this.#runs.values()) run.stop('away')
    for (const run of this.#runs.values())
      try {
        if (await vault.isCancelled(run.batch.caller, run.id)) run.stop('cancelled')
        // What another one works on this one must not write.
        if (renew && !(await vault.renew(run.id, this.#worker))) run.stop('away')
      } catch {
        // As above.
      }
  }

  /** The process ends: what is under way is cut, and goes on in another. */
  failAll(error: GatewayError): void {
    for (const run of this.#runs.values()) run.fail(error)
  }

  /** Resolves when what is under way is put away: somebody else goes on with it. */
  async close(): Promise<void> {
    this.#closed = true
    for (const run of this.#runs.values()) run.stop('away')
    await Promise.allSettled(this.#ends)
    for (const stop of this.#stop) stop()
  }
}
