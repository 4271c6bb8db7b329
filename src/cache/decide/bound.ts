import { BANDS, CUTS, LOG_CUT } from './curve.ts'

/**
 * Whether one more hit may be wrong without the promise being broken: one supermartingale for all of it (docs/adr/0016).
 *
 * For the true curve g (errors by band, never falling from strict to loose) the product of
 *   labels:  bets / prod g^wrong (1-g)^right                - a likelihood ratio (Robbins 1970; Wasserman, Ramdas, Balakrishnan 2020)
 *   hits:    sum_j w_j exp(theta_j N - (e^theta_j - 1) C)   - N wrong ones where C, the sum of g over the hits, was to be expected
 * starts at 1 and does not rise in expectation, whoever chose what is served. By Ville's inequality the chance that it ever reaches
 * 1/alpha is alpha at most. So while the least that it could be over all curves, had N just passed the budget, is 1/alpha or more, N
 * has not passed it, unless that chance has come.
 */

/** Fixed: a mixture is a supermartingale, a theta that is chosen later is none. Greater ones serve small budgets, smaller large ones. */
const THETA: readonly number[] = [1.6, 1.1, 0.8, 0.55, 0.38, 0.25, 0.16, 0.09]
const LOG_WEIGHT: readonly number[] = [0.1, 0.14, 0.18, 0.2, 0.16, 0.11, 0.07, 0.04].map(Math.log)
const GROWTH: readonly number[] = THETA.map((theta) => Math.expm1(theta))
const STEPS = 18

/** What is known of a scope; arrays by band. */
export interface Tally {
  readonly labels: ArrayLike<number>
  readonly wrong: ArrayLike<number>
  /** Hits of which nobody saw whether they are right. */
  readonly served: ArrayLike<number>
  /** Of labels and wrong, by cut. */
  readonly logBets: ArrayLike<number>
}

// Reused: all of this is synchronous.
const poolLabels = new Float64Array(BANDS)
const poolWrong = new Float64Array(BANDS)
const poolServed = new Float64Array(BANDS)
const poolError = new Float64Array(BANDS)
const worst = { evidence: 0, expected: 0 }
const surprise = { log: 0, price: 0 }

/** The g in [0, 1] where -k log g - (n-k) log(1-g) - pull g is least. */
function leastAt(n: number, k: number, pull: number): number {
  if (n === 0) return pull > 0 ? 1 : 0
  if (pull <= 1e-12) return k / n
  const slack = n - pull
  const root = Math.sqrt(slack * slack + 4 * pull * k)
  return Math.min(1, slack >= 0 ? (2 * k) / (slack + root) : (root - slack) / (2 * pull))
}

const logLikelihood = (n: number, k: number, g: number): number =>
  (k === 0 ? 0 : k * Math.log(g)) + (n === k ? 0 : (n - k) * Math.log1p(-g))

/**
 * The curve that is bad most credibly where an expected error is worth `price` nats: log evidence against it, and the wrong hits to
 * be expected under it. A sum of such terms has the form of one, so neighbours that would fall are pooled (pool adjacent violators).
 */
function worstCurve(tally: Tally, cut: number, price: number): typeof worst {
  let pools = 0
  for (let band = 0; band < BANDS; band++) {
    const counted = band < CUTS[cut]!
    let n = counted ? tally.labels[band]! : 0
    let k = counted ? tally.wrong[band]! : 0
    let served = tally.served[band]!
    if (n === 0 && served === 0) continue
    let g = leastAt(n, k, price * served)
    while (pools > 0 && poolError[pools - 1]! >= g) {
      pools--
      n += poolLabels[pools]!
      k += poolWrong[pools]!
      served += poolServed[pools]!
      g = leastAt(n, k, price * served)
    }
    poolLabels[pools] = n
    poolWrong[pools] = k
    poolServed[pools] = served
    poolError[pools] = g
    pools++
  }
  worst.evidence = tally.logBets[cut]! + LOG_CUT[cut]!
  worst.expected = 0
  for (let p = 0; p < pools; p++) {
    worst.evidence -= logLikelihood(poolLabels[p]!, poolWrong[p]!, poolError[p]!)
    worst.expected += poolServed[p]! * poolError[p]!
  }
  return worst
}

/** Log of the mixture where `count` wrong hits came and `expected` were to come; `price`: how fast it falls in `expected`. */
function measureSurprise(count: number, expected: number): typeof surprise {
  let best = -Infinity
  for (let j = 0; j < THETA.length; j++) {
    best = Math.max(best, LOG_WEIGHT[j]! + THETA[j]! * count - GROWTH[j]! * expected)
  }
  let total = 0
  let slope = 0
  for (let j = 0; j < THETA.length; j++) {
    const part = Math.exp(LOG_WEIGHT[j]! + THETA[j]! * count - GROWTH[j]! * expected - best)
    total += part
    slope += part * GROWTH[j]!
  }
  surprise.log = best + Math.log(total)
  surprise.price = slope / total
  return surprise
}

/**
 * Convex in the curve: the least is where the price that the surprise sets for an error is the price that the curve was made for.
 * Every value on the way is that of a curve, so the least is approached from above; what 18 halvings leave is below 1e-3 nats.
 */
function leastOfCut(tally: Tally, cut: number, count: number, enough: number): number {
  let low = 0
  let high = GROWTH[0]!
  let least = Infinity
  for (let step = 0; step < STEPS; step++) {
    const price = (low + high) / 2
    const { evidence, expected } = worstCurve(tally, cut, price)
    const found = measureSurprise(count, expected)
    least = Math.min(least, evidence + found.log)
    if (least < enough) break
    if (found.price > price) low = price
    else high = price
  }
  return least
}

/** Log of the least that the supermartingale could be if `count` of the unseen hits were wrong. */
export function leastEvidence(tally: Tally, count: number): number {
  let best = -Infinity
  for (let cut = 0; cut < CUTS.length; cut++) best = Math.max(best, leastOfCut(tally, cut, count, -Infinity))
  return best
}

/** Whether that is `needed` nats or more: the same, but it looks no further than it must. */
export function ruledOut(tally: Tally, count: number, needed: number): boolean {
  for (let cut = 0; cut < CUTS.length; cut++) if (leastOfCut(tally, cut, count, needed) >= needed) return true
  return false
}

/** The most wrong ones of `hits` unseen hits that are not ruled out; needed: nats, the log of 1/alpha. */
export function mostWrong(tally: Tally, hits: number, needed: number): number {
  let low = 0
  let high = hits
  while (low < high) {
    const middle = low + ((high - low) >> 1)
    if (ruledOut(tally, middle + 1, needed)) high = middle
    else low = middle + 1
  }
  return low
}
