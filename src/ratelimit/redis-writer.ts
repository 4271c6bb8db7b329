import { PARTS, WINDOW } from './counter.ts'
import type { Counter } from './counter.ts'
import type { Account } from './redis-account.ts'
import { WRITE } from './redis-scripts.ts'
import type { RedisStore } from '../store/redis.ts'

/** Counters that one script writes: Redis does nothing else meanwhile. */
const MAX_KEYS = 64
/** Parts of one window that wait to be told: more are older than the window. */
const MAX_PARTS = 2 * PARTS

/** Changes of one window, by part. */
type Deltas = Map<number, number>

interface Batch {
  readonly number: number
  readonly windows: ReadonlyMap<Counter, Deltas>
  readonly accounts: readonly Account[]
}

export interface WriterParts {
  readonly store: RedisStore
  readonly instance: string
  readonly leaseMs: number
  /** Key that remembers the last batch; of the slot of the counters. */
  readonly batchKey: string
  readonly keyOf: (counter: Counter) => string
  /** Numbers of commands and batches of the instance: each greater than all before. */
  readonly nextSeq: () => number
  /** Counters with changes that Redis has not been told, at most. */
  readonly maxScopes: number
  readonly onDropped: () => void
}

/**
 * Tells Redis what has been used, for the counters of one slot (without a cluster: all). One batch at a time, and the
 * same batch until it is confirmed; what comes meanwhile is summed up by counter, so nothing grows with the number of
 * requests while Redis is away.
 */
export class RedisWriter {
  readonly #parts: WriterParts
  readonly #windows = new Map<Counter, Deltas>()
  readonly #accounts = new Set<Account>()
  #batch: Batch | null = null
  #sending = false
  #scheduled = false

  constructor(parts: WriterParts) {
    this.#parts = parts
  }

  get pending(): number {
    return this.#windows.size + this.#accounts.size + (this.#batch === null ? 0 : 1)
  }

  /** part: number of the part of the window in which it was taken or used. */
  window(counter: Counter, part: number, delta: number): void {
    if (delta === 0) return
    let deltas = this.#windows.get(counter)
    if (deltas === undefined) {
      if (this.#windows.size >= this.#parts.maxScopes) this.#drop()
      this.#windows.set(counter, (deltas = new Map()))
    }
    deltas.set(part, (deltas.get(part) ?? 0) + delta)
    if (deltas.size > MAX_PARTS) deltas.delete(Math.min(...deltas.keys()))
    this.#schedule()
  }

  account(account: Account): void {
    account.dirty = true
    this.#accounts.add(account)
    this.#schedule()
  }

  #drop(): void {
    const [oldest] = this.#windows.keys()
    if (oldest !== undefined) this.#windows.delete(oldest)
    this.#parts.onDropped()
  }

  /** Sends what waits, if Redis is there. */
  kick(): void {
    if (this.pending > 0) this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled || this.#sending || !this.#parts.store.up) return
    this.#scheduled = true
    // What the other requests of this turn settle goes with it.
    setImmediate(() => {
      this.#scheduled = false
      void this.flush(false)
    })
  }

  /** Sends all that waits. anyway: Redis is just back, and must know before requests ask it. False = it has failed. */
  async flush(anyway: boolean): Promise<boolean> {
    if (this.#sending) return !anyway
    this.#sending = true
    try {
      for (;;) {
        this.#batch ??= this.#nextBatch()
        if (this.#batch === null) return true
        if (!(await this.#send(this.#batch, anyway))) return false
        this.#batch = null
      }
    } finally {
      this.#sending = false
    }
  }

  #nextBatch(): Batch | null {
    const windows = new Map<Counter, Deltas>()
    const accounts: Account[] = []
    for (const [counter, deltas] of this.#windows) {
      if (windows.size >= MAX_KEYS) break
      windows.set(counter, deltas)
      this.#windows.delete(counter)
    }
    for (const account of this.#accounts) {
      if (windows.size + accounts.length >= MAX_KEYS) break
      accounts.push(account)
      this.#accounts.delete(account)
    }
    return windows.size + accounts.length === 0 ? null : { number: this.#parts.nextSeq(), windows, accounts }
  }

  async #send(batch: Batch, anyway: boolean): Promise<boolean> {
    const { store, instance, leaseMs, batchKey, keyOf, nextSeq } = this.#parts
    const keys: string[] = []
    const seq = nextSeq()
    const args: (string | number)[] = [instance, leaseMs, seq, batch.number]
    for (const [counter, deltas] of batch.windows) {
      keys.push(keyOf(counter))
      args.push('w', counter.rule.windowMs, textOf(deltas), 0, 0, 0, 0)
    }
    // As they are now, also when the batch is sent again: amounts are absolute.
    const told = batch.accounts.map((account) => {
      const { period, end, settled, acked, generation } = account
      account.dirty = false
      account.toldSeq = seq
      keys.push(keyOf(account.counter))
      args.push('a', period, end, settled, acked, generation, account.reserved)
      return { account, period, settled }
    })
    try {
      const answer = await store[anyway ? 'runAnyway' : 'run'](WRITE, [...keys, batchKey], args)
      this.#confirmed(told, (answer as unknown[]).slice(1 + batch.windows.size))
      return true
    } catch {
      for (const { account } of told) account.dirty = true
      return false
    }
  }

  #confirmed(told: readonly { account: Account; period: number; settled: number }[], generations: unknown[]): void {
    for (const [i, { account, period, settled }] of told.entries()) {
      const generation = String(generations[i] ?? '')
      if (generation === '') this.account(account)
      else {
        account.generation = generation
        if (account.period === period) account.acked = settled
      }
    }
  }
}

/** What was charged before what is given back of it: an amount that would fall below nothing is cut there. */
const textOf = (deltas: Deltas): string =>
  [...deltas]
    .toSorted(([, a], [, b]) => b - a)
    .map(([part, delta]) => `${part}:${delta}`)
    .join(';')

/** Number of the part that a moment falls in. */
export const partOf = (counter: Counter, at: number): number =>
  counter.rule.kind === WINDOW ? Math.floor((at * PARTS) / counter.rule.windowMs) : 0
