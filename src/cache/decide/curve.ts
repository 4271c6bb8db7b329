/**
 * Errors by band of scores: what was seen of them, and bets on them. Candidates are put into bands by the probability of error that
 * the evidence gives them (evidence.ts); nothing here believes that probability.
 */

/** Upper ends, as probabilities of error, strictest first. What lies above the last is never served, and its labels say nothing. */
export const BAND_ENDS: readonly number[] = [0.005, 0.015, 0.04, 0.1]
export const BANDS = BAND_ENDS.length
/** No band: never served. */
export const NO_BAND = -1

/** wrong: 0..1; NaN = there is no candidate. */
export function bandOf(wrong: number): number {
  for (let band = 0; band < BANDS; band++) if (wrong <= BAND_ENDS[band]!) return band
  return NO_BAND
}

/** What the evidence would have the share of errors be. Bets and plans begin here, and nothing is served for its sake. */
export const CENTRE: readonly number[] = BAND_ENDS.map((end, i) => Math.sqrt(end * (BAND_ENDS[i - 1] ?? end / 3)))

/** Sums of strict bands alone, too: labels of loose ones are costly to bet on and say little about strict ones. */
export const CUTS: readonly number[] = [2, BANDS]
export const LOG_CUT: readonly number[] = [0.5, 0.5].map(Math.log)

type Choice = readonly [value: number, weight: number]
/**
 * Who bets, and on what: curves above or below what the evidence says, by logits, that trust their own form as if they had seen so
 * many labels. All together are one mixture: a wrong prior costs power, never validity.
 */
const SHIFTS: readonly Choice[] = [
  [-2, 0.2],
  [-1, 0.2],
  [0, 0.25],
  [1, 0.2],
  [2, 0.15],
]
const TRUSTS: readonly Choice[] = [
  [20, 0.5],
  [100, 0.5],
]
/** Curves of real traffic are flatter than they should be, about this error. */
const PIVOT = Math.log(0.05 / 0.95)
const SLOPE = 0.8

const logit = (p: number): number => Math.log(p / (1 - p))
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

interface Bettor {
  readonly logWeight: number
  readonly trust: number
  /** Of `trust`, by band. */
  readonly wrong: readonly number[]
}

const BETTORS: readonly Bettor[] = SHIFTS.flatMap(([shift, shiftWeight]) =>
  TRUSTS.map(([trust, trustWeight]) => ({
    logWeight: Math.log(shiftWeight * trustWeight),
    trust,
    wrong: CENTRE.map((p) => trust * sigmoid(PIVOT + SLOPE * (logit(p) - PIVOT) + shift)),
  })),
)

/** Stirling's series after a shift to 8 and above; relative error below 1e-9. x: > 0. */
export function logGamma(x: number): number {
  let shift = 0
  let at = x
  while (at < 8) {
    shift += Math.log(at)
    at += 1
  }
  const inverse = 1 / at
  const square = inverse * inverse
  const series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
  return (at - 0.5) * Math.log(at) - at + 0.918_938_533_204_672_7 + series - shift
}

const sums = new Float64Array(BETTORS.length)

function addBand(band: number, n: number, k: number): void {
  for (let i = 0; i < BETTORS.length; i++) {
    const { trust, wrong } = BETTORS[i]!
    const a = wrong[band]!
    const c = trust - a
    const seen = logGamma(a + k) - logGamma(a) + logGamma(c + n - k) - logGamma(c)
    sums[i]! += seen + logGamma(trust) - logGamma(trust + n)
  }
}

/**
 * For each cut the log of the probability that the bettors gave to the labels of its bands: a mixture of beta-binomials. It depends
 * on counts alone, not on their order, so counts of replicas may be added. Arrays by band; written to `out`, by cut.
 */
export function logBets(labels: ArrayLike<number>, wrong: ArrayLike<number>, out: Float64Array): Float64Array {
  for (let i = 0; i < BETTORS.length; i++) sums[i] = BETTORS[i]!.logWeight
  let band = 0
  for (let cut = 0; cut < CUTS.length; cut++) {
    for (; band < CUTS[cut]!; band++) if (labels[band]! > 0) addBand(band, labels[band]!, wrong[band]!)
    out[cut] = logSum(sums)
  }
  return out
}

function logSum(values: Float64Array): number {
  let best = -Infinity
  for (const value of values) best = Math.max(best, value)
  let total = 0
  for (const value of values) total += Math.exp(value - best)
  return best + Math.log(total)
}
