import type { Clock, Random } from '../../core/clock.ts'
import { systemClock, systemRandom } from '../../core/clock.ts'
import { everyUnref } from '../../core/every.ts'
import { HeldPool, type Held } from '../../core/held-pool.ts'

/** What credentials live by. */
export interface CredentialParts {
  readonly clock: Clock
  readonly random: Random
  /** Never given a secret. */
  readonly log: (level: 'debug' | 'info' | 'warn' | 'error', fields: object, message: string) => void
  /** Runs the task each ms until the returned function is called; a test calls it itself. */
  readonly every: (task: () => void, ms: number) => () => void
}

interface Closable {
  close(): void
}

/**
 * Keys and tokens live by what they are made from, not by configuration: a reload that changes something else neither
 * asks for a new token nor forgets which key rests. One per worker.
 */
export class CredentialShare implements CredentialParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: CredentialParts['log']
  readonly every: CredentialParts['every']
  readonly #held = new HeldPool<Closable>((thing) => thing.close())
  readonly #expected = new Set<Promise<void>>()

  constructor(parts: Partial<CredentialParts> = {}) {
    this.clock = parts.clock ?? systemClock
    this.random = parts.random ?? systemRandom
    this.log = parts.log ?? ((): void => {})
    this.every = parts.every ?? everyUnref
  }

  /** identity: all that `make` depends on; serves as the key, with the secrets that are in it. */
  acquire<T extends Closable>(identity: readonly unknown[], make: () => T): Held<T> {
    // What stands under one key is what its `make` gave.
    return this.#held.acquire(JSON.stringify(identity), make) as Held<T>
  }

  /** Something that settled() waits for. */
  expect(promise: Promise<void>): void {
    this.#expected.add(promise)
    void promise.finally(() => this.#expected.delete(promise))
  }

  /** Resolves when every source that is asked for the first time has answered, well or not. */
  async settled(): Promise<void> {
    await Promise.all(this.#expected)
  }

  /** Things held now. */
  get size(): number {
    return this.#held.values().length
  }
}
