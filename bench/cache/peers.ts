import type { Candidate } from '../../src/contracts/semantic.ts'
import type { Random } from '../../src/core/clock.ts'
import type { Policy } from '../../src/cache/simulate.ts'

/** What others do: serve the nearest from a cosine on. */
export class FixedCosine implements Policy {
  readonly neighbours = 1
  readonly keepsAgreeing = true
  action: 'hit' | 'check' | 'miss' = 'miss'
  readonly #threshold: number

  constructor(threshold: number) {
    this.#threshold = threshold
  }

  choose(candidates: readonly Candidate[]): number {
    const nearest = candidates[0]
    this.action = nearest !== undefined && nearest.cosine >= this.#threshold ? 'hit' : 'miss'
    return nearest === undefined ? -1 : 0
  }

  learn(): void {}
}

interface Seen {
  readonly cosine: number
  readonly right: number
}

/** Observations before an entry is believed, the two that are built in among them. */
const LEAST_SEEN = 6
const BUILT_IN: readonly Seen[] = [
  { cosine: 0, right: 0 },
  { cosine: 1, right: 1 },
]
/** Shares of doubt, and the normal quantile of each. */
const DOUBTS: readonly (readonly [epsilon: number, quantile: number])[] = [
  [0.002, 2.878],
  [0.005, 2.576],
  [0.01, 2.326],
  [0.02, 2.054],
  [0.05, 1.645],
  [0.1, 1.282],
  [0.2, 0.842],
]

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * A bound for each entry by itself, made again from the paper (vCache, Schroeder and others 2025): a logistic curve of correctness
 * over cosine is fitted to what was seen of the entry, and the backend is asked with a chance that makes up for all doubt of it.
 */
export class PerEntry implements Policy {
  readonly neighbours = 1
  /** What it sees of an entry makes the entry better; there are no two with one answer. */
  readonly keepsAgreeing = false
  action: 'hit' | 'check' | 'miss' = 'miss'
  readonly #delta: number
  readonly #random: Random
  readonly #seen = new Map<number, Seen[]>()

  constructor(delta: number, random: Random) {
    this.#delta = delta
    this.#random = random
  }

  choose(candidates: readonly Candidate[]): number {
    const nearest = candidates[0]
    this.action = 'miss'
    if (nearest === undefined) return -1
    const seen = this.#seen.get(nearest.entry) ?? BUILT_IN
    if (seen.length >= LEAST_SEEN && this.#random.next() > this.#askShare(seen, nearest.cosine)) this.action = 'hit'
    return 0
  }

  learn(chosen: Candidate, isWrong: boolean): void {
    const seen = this.#seen.get(chosen.entry) ?? [...BUILT_IN]
    seen.push({ cosine: chosen.cosine, right: isWrong ? 0 : 1 })
    this.#seen.set(chosen.entry, seen)
  }

  /** How often the backend must be asked at this cosine. */
  #askShare(seen: readonly Seen[], cosine: number): number {
    const { slope, middle, spread } = fit(seen)
    let least = 1
    for (const [epsilon, quantile] of DOUBTS) {
      const right = (1 - epsilon) * sigmoid(slope * (cosine - (middle + quantile * spread)))
      least = Math.min(least, Math.max(0, (1 - this.#delta - right) / (1 - right)))
    }
    return least
  }
}

/** Newton's method with a weak ridge; `spread`: standard error of the middle, by the delta method. */
function fit(seen: readonly Seen[]): { readonly slope: number; readonly middle: number; readonly spread: number } {
  const ridge = 1e-3
  let a = 0
  let b = 1
  let [aa, ab, bb] = [1, 0, 1]
  for (let step = 0; step < 25; step++) {
    let [ga, gb] = [-ridge * a, -ridge * b]
    ;[aa, ab, bb] = [ridge, 0, ridge]
    for (const { cosine, right } of seen) {
      const p = sigmoid(a + b * cosine)
      const weight = p * (1 - p)
      ga += right - p
      gb += (right - p) * cosine
      aa += weight
      ab += weight * cosine
      bb += weight * cosine * cosine
    }
    const det = aa * bb - ab * ab
    a += (bb * ga - ab * gb) / det
    b += (aa * gb - ab * ga) / det
  }
  const slope = Math.max(1e-3, b)
  const middle = -a / slope
  const det = aa * bb - ab * ab
  // Of -a/b: gradient (-1/b, a/b^2), covariance the inverse of the information.
  const [da, db] = [-1 / slope, a / slope ** 2]
  const variance = (bb * da * da - 2 * ab * da * db + aa * db * db) / det
  return { slope, middle, spread: Math.sqrt(Math.max(0, variance)) }
}
