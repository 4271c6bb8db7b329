/** Errors that are this many times what was known, plus a floor, are another traffic. */
const TIMES = 3
const FLOOR = 0.03
/** A false alarm comes once in so many labels at the most often (average run length of an e-detector). */
const RUN_LENGTH = 20_000

/**
 * Hears when bands that are served err more than they did: the curve is supposed to stay, and this is who objects. An e-detector
 * (Shin, Ramdas, Rinaldo 2024): a likelihood ratio that begins anew whenever it falls below 1.
 */
export class DriftAlarm {
  #log = 0

  /** believed: share of errors in the band up to now, 0..1. true = it has changed. */
  hear(believed: number, wrong: boolean): boolean {
    const before = Math.min(0.5, Math.max(believed, 1e-4))
    const after = Math.min(0.9, TIMES * before + FLOOR)
    this.#log += wrong ? Math.log(after / before) : Math.log((1 - after) / (1 - before))
    this.#log = Math.max(0, this.#log)
    return this.#log >= Math.log(RUN_LENGTH)
  }

  reset(): void {
    this.#log = 0
  }
}
