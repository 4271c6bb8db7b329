const SUB_BITS = 7
const SUB = 1 << SUB_BITS

/**
 * Counts durations in log-linear buckets (128 per power of two, so under 1 % error), as HdrHistogram does: percentiles
 * of millions of samples without keeping them. Values are microseconds, 0 to 2^31.
 */
export class Histogram {
  readonly #buckets = new Uint32Array((32 - SUB_BITS + 1) * SUB)
  count = 0
  max = 0

  add(micros: number): void {
    const value = micros < 0 ? 0 : micros > 0x7fffffff ? 0x7fffffff : Math.trunc(micros)
    this.#buckets[bucketOf(value)]!++
    this.count++
    if (value > this.max) this.max = value
  }

  /** @param share 0..1 */
  percentile(share: number): number | null {
    if (this.count === 0) return null
    const wanted = Math.min(this.count - 1, Math.floor(share * this.count))
    let seen = 0
    for (let index = 0; index < this.#buckets.length; index++) {
      seen += this.#buckets[index]!
      if (seen > wanted) return Math.min(middleOf(index), this.max)
    }
    return this.max
  }
}

const bucketOf = (value: number): number => {
  if (value < SUB * 2) return value
  const shift = 31 - Math.clz32(value) - SUB_BITS
  return shift * SUB + (value >>> shift)
}

const middleOf = (index: number): number => {
  if (index < SUB * 2) return index
  const shift = Math.floor(index / SUB) - 1
  return ((index - shift * SUB) << shift) + ((1 << shift) >> 1)
}
