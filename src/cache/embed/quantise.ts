import type { TextVector } from '../../contracts/semantic.ts'

/** A vector of reals as the contract's TextVector: scaled so that its greatest component is ±127. NaN or infinite: all 0. */
export function quantised(sums: Float32Array | Float64Array, coverage: number): TextVector {
  const size = sums.length
  const values = new Int8Array(size)
  let greatest = 0
  for (let at = 0; at < size; at += 1) {
    const size = Math.abs(sums[at]!)
    if (!(size <= greatest)) greatest = size
  }
  if (!(greatest > 0) || greatest === Infinity) return { values, norm: 0, coverage }
  const scale = 127 / greatest
  let squares = 0
  for (let at = 0; at < size; at += 1) {
    const value = Math.round(sums[at]! * scale)
    values[at] = value
    squares += value * value
  }
  return { values, norm: Math.sqrt(squares), coverage }
}
