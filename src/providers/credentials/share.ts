import type { Clock, Random } from '../../core/clock.ts'
import { systemClock, systemRandom } from '../../core/clock.ts'
import { everyUnref } from '../../core/every.ts'

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

interface Entry {
  readonly thing: Closable
  holders: number
}

export interface Lease<T> {
  readonly thing: T
  release(): void
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
  readonly #entries = new Map<string, Entry>()
  readonly #expected = new Set<Promise<void>>()

  constructor(parts: Partial<CredentialParts> = {}) {
    this.clock = parts.clock ?? systemClock
    this.random = parts.random ?? systemRandom
    this.log = parts.log ?? ((): void => {})
    this.every = parts.every ?? everyUnref
  }

  /** identity: all that `make` depends on; serves as the key, with the secrets that are in it. */
  acquire<T extends Closable>(identity: readonly unknown[], make: () => T): Lease<T> {
    const key = JSON.stringify(identity)
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { thing: make(), holders: 0 }
      this.#entries.set(key, entry)
    }
    entry.holders++
    const held = entry
    return {
      thing: held.thing as T,
      release: () => {
        if (--held.holders > 0) return
        this.#entries.delete(key)
        held.thing.close()
      },
    }
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
    return this.#entries.size
  }
}
