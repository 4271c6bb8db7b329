/** A share in something that is kept while anybody has one. */
export interface Held<T> {
  readonly value: T
  /** Once; later calls do nothing. */
  readonly release: () => void
}

interface Entry<T> {
  readonly value: T
  holders: number
}

/**
 * Things that live by what they are made from: two configurations that say the same share one, so that an unrelated
 * change of the configuration closes nothing. The last to let go disposes of it.
 */
export class HeldPool<T> {
  readonly #entries = new Map<string, Entry<T>>()
  readonly #dispose: (value: T) => void

  constructor(dispose: (value: T) => void) {
    this.#dispose = dispose
  }

  /** key: all that it is made from. */
  acquire(key: string, make: () => T): Held<T> {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { value: make(), holders: 0 }
      this.#entries.set(key, entry)
    }
    entry.holders++
    const held = entry
    let open = true
    return {
      value: held.value,
      release: () => {
        if (!open) return
        open = false
        if (--held.holders > 0) return
        this.#entries.delete(key)
        this.#dispose(held.value)
      },
    }
  }

  values(): T[] {
    return [...this.#entries.values()].map(({ value }) => value)
  }
}
