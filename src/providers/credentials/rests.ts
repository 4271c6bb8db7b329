/** More targets than this rest for one key: the earliest are forgotten, which costs one refused call. */
const MAX_TARGETS = 256

/** Until when a key rests: altogether, or for single targets. Monotonic ms. */
export class Rests {
  #busy = 0
  #refused = 0
  readonly #busyFor = new Map<string, number>()
  readonly #refusedFor = new Map<string, number>()

  /** target '' = for all. */
  set(kind: 'busy' | 'refused', until: number, target: string): void {
    const by = kind === 'busy' ? this.#busyFor : this.#refusedFor
    if (target !== '') {
      const before = by.get(target) ?? 0
      by.delete(target)
      by.set(target, Math.max(before, until))
      if (by.size > MAX_TARGETS) by.delete(by.keys().next().value!)
    } else if (kind === 'busy') this.#busy = Math.max(this.#busy, until)
    else this.#refused = Math.max(this.#refused, until)
  }

  /** 0 or the past = it does not rest. */
  until(target: string): number {
    // Most keys rest never: no look-up for them.
    const busy = this.#busyFor.size === 0 ? this.#busy : Math.max(this.#busy, this.#busyFor.get(target) ?? 0)
    return Math.max(busy, this.refusedUntil(target))
  }

  refusedUntil(target: string): number {
    return this.#refusedFor.size === 0 ? this.#refused : Math.max(this.#refused, this.#refusedFor.get(target) ?? 0)
  }
}
