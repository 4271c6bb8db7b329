/** Logistic regression, by Adam on all samples at once: some tens of thousands of samples, eleven features. */

export interface Sample {
  readonly values: Float64Array
  readonly wrong: boolean
  readonly weight: number
}

export interface Fit {
  readonly bias: number
  readonly weights: number[]
}

const EPOCHS = 400
const RATE = 0.05
const RIDGE = 1e-3

interface Scale {
  readonly mean: Float64Array
  readonly spread: Float64Array
}

function scaleOf(samples: readonly Sample[], size: number): Scale {
  const mean = new Float64Array(size)
  const spread = new Float64Array(size)
  let total = 0
  for (const { weight } of samples) total += weight
  for (const { values, weight } of samples) for (let i = 0; i < size; i++) mean[i]! += (values[i]! * weight) / total
  for (const { values, weight } of samples)
    for (let i = 0; i < size; i++) spread[i]! += ((values[i]! - mean[i]!) ** 2 * weight) / total
  for (let i = 0; i < size; i++) spread[i] = Math.max(1e-6, Math.sqrt(spread[i]!))
  return { mean, spread }
}

/** Weights of the features as they are, not standardised. Throws RangeError without samples. */
export function fitLogistic(samples: readonly Sample[]): Fit {
  const size = samples[0]?.values.length
  if (size === undefined) throw new RangeError('no samples')
  const scale = scaleOf(samples, size)
  const total = samples.reduce((sum, sample) => sum + sample.weight, 0)
  const at = new Float64Array(size + 1)
  const first = new Float64Array(size + 1)
  const second = new Float64Array(size + 1)
  for (let epoch = 1; epoch <= EPOCHS; epoch++) {
    const slope = slopeAt(at, samples, scale, total)
    for (let i = 0; i <= size; i++) {
      if (i < size) slope[i]! += RIDGE * at[i]!
      first[i] = 0.9 * first[i]! + 0.1 * slope[i]!
      second[i] = 0.999 * second[i]! + 0.001 * slope[i]! ** 2
      const step = first[i]! / (1 - 0.9 ** epoch)
      at[i]! -= (RATE * step) / (Math.sqrt(second[i]! / (1 - 0.999 ** epoch)) + 1e-9)
    }
  }
  const weights = Array.from({ length: size }, (_, i) => at[i]! / scale.spread[i]!)
  const bias = weights.reduce((sum, weight, i) => sum - weight * scale.mean[i]!, at[size]!)
  return { bias, weights }
}

function slopeAt(at: Float64Array, samples: readonly Sample[], { mean, spread }: Scale, total: number): Float64Array {
  const size = at.length - 1
  const slope = new Float64Array(size + 1)
  for (const { values, wrong, weight } of samples) {
    let logit = at[size]!
    for (let i = 0; i < size; i++) logit += (at[i]! * (values[i]! - mean[i]!)) / spread[i]!
    const off = ((1 / (1 + Math.exp(-logit)) - (wrong ? 1 : 0)) * weight) / total
    for (let i = 0; i < size; i++) slope[i]! += (off * (values[i]! - mean[i]!)) / spread[i]!
    slope[size]! += off
  }
  return slope
}
