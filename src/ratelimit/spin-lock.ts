/** Tries before a thread sleeps: a holder needs a few microseconds. */
const SPINS = 400
/** A holder that has the lock this long is dead and nobody said so, ms. */
const PATIENCE_MS = 1000

/**
 * Mutual exclusion between threads, in two words of shared memory. The word holds who has it, so that what a dead thread
 * held can be taken from it. Not reentrant.
 */
export class SpinLock {
  readonly #cells: Int32Array
  readonly #at: number
  readonly #me: number

  /** cells: shared; `at` and `at + 1` are the lock's, zero at first. holder: a number > 0 that no other thread uses. */
  constructor(cells: Int32Array, at: number, holder: number) {
    this.#cells = cells
    this.#at = at
    this.#me = holder
  }

  acquire(): void {
    if (Atomics.compareExchange(this.#cells, this.#at, 0, this.#me) !== 0) this.#contend()
  }

  #contend(): void {
    for (let i = 0; i < SPINS; i++) {
      if (
        Atomics.load(this.#cells, this.#at) === 0 &&
        Atomics.compareExchange(this.#cells, this.#at, 0, this.#me) === 0
      ) {
        return
      }
    }
    Atomics.add(this.#cells, this.#at + 1, 1)
    let waitedMs = 0
    for (;;) {
      const holder = Atomics.compareExchange(this.#cells, this.#at, 0, this.#me)
      if (holder === 0) break
      // Short, because a wake-up can be missed between the look and the sleep.
      if (Atomics.wait(this.#cells, this.#at, holder, 1) === 'timed-out') waitedMs++
      if (waitedMs >= PATIENCE_MS && this.#steal(holder)) break
    }
    Atomics.sub(this.#cells, this.#at + 1, 1)
  }

  #steal(holder: number): boolean {
    return Atomics.compareExchange(this.#cells, this.#at, holder, this.#me) === holder
  }

  release(): void {
    // Who was stolen from does not free what another thread holds now.
    Atomics.compareExchange(this.#cells, this.#at, this.#me, 0)
    if (Atomics.load(this.#cells, this.#at + 1) > 0) Atomics.notify(this.#cells, this.#at, 1)
  }

  /** The thread of that number has ended: what it held is free. */
  forget(holder: number): void {
    Atomics.compareExchange(this.#cells, this.#at, holder, 0)
    Atomics.notify(this.#cells, this.#at)
  }
}
