/** What has the number of a stream; numbers are odd and grow. */
export interface Numbered {
  readonly id: number
}

const FIRST = 64

/**
 * Open streams of a connection by number. Not a Map: what comes and goes in one keeps its dead tables in the old space, and with them
 * whatever they held (ADR 0006). Open addressing with linear probing; removal moves followers back (Knuth, TAOCP 6.4, Algorithm R).
 */
export class StreamTable<T extends Numbered> {
  #slots: (T | null)[] = Array.from({ length: FIRST }, () => null)
  #count = 0

  get count(): number {
    return this.#count
  }

  get(id: number): T | null {
    const slots = this.#slots
    const mask = slots.length - 1
    for (let i = (id >>> 1) & mask; ; i = (i + 1) & mask) {
      const found = slots[i]!
      if (found === null || found.id === id) return found
    }
  }

  /** One of that number must not be in it. */
  add(stream: T): void {
    if (this.#count * 2 >= this.#slots.length) this.#grow()
    this.#put(stream)
    this.#count++
  }

  #put(stream: T): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let i = (stream.id >>> 1) & mask
    while (slots[i] !== null) i = (i + 1) & mask
    slots[i] = stream
  }

  #grow(): void {
    const all = this.all()
    this.#slots = Array.from({ length: this.#slots.length * 2 }, () => null)
    for (const stream of all) this.#put(stream)
  }

  remove(id: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let hole = (id >>> 1) & mask
    while (slots[hole] !== null && slots[hole]!.id !== id) hole = (hole + 1) & mask
    if (slots[hole] === null) return
    this.#count--
    for (let i = (hole + 1) & mask; slots[i] !== null; i = (i + 1) & mask) {
      const home = (slots[i]!.id >>> 1) & mask
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        slots[hole] = slots[i]!
        hole = i
      }
    }
    slots[hole] = null
  }

  /** A copy: streams may leave while it is walked. */
  all(): T[] {
    return this.#slots.filter((stream) => stream !== null)
  }
}
