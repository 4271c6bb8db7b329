import { readFileSync } from 'node:fs'
import type { Candidate } from '../../contracts/semantic.ts'
import { FEATURES, readEvidence } from './features.ts'

/** A logistic model: weights of standardised features. */
export interface EvidenceFile {
  readonly version: string
  readonly features: readonly string[]
  readonly bias: number
  readonly weights: readonly number[]
}

/** From src/cache/decide and from dist/cache/decide alike. */
const SHIPPED = new URL('../../../config/semantic/evidence.json', import.meta.url)

/**
 * One score of all that the nearest entries say together: who would answer, and how likely that is wrong. One per thread: it
 * computes in place.
 */
export class Evidence {
  /** Part of a scope's calibration: with other weights it begins anew. */
  readonly version: string
  /** Index of the candidate that would answer; -1 = none may. */
  chosen = -1
  /** 0..1, probability of error before this traffic had a say; NaN = there is nobody. */
  wrong = NaN
  readonly #bias: number
  readonly #weights: readonly number[]
  readonly #values = new Float64Array(FEATURES.length)

  /** Throws if the weights were made for other features, or are none. */
  constructor(file: EvidenceFile) {
    if (file.features.join() !== FEATURES.join()) throw new Error('the weights were made for other features')
    if (file.weights.length !== FEATURES.length || ![file.bias, ...file.weights].every(Number.isFinite))
      throw new Error('weights are missing')
    this.version = file.version
    this.#bias = file.bias
    this.#weights = file.weights
  }

  /** Sets `chosen` and `wrong`. candidates: the nearest, 16 at most, in any order. */
  weigh(candidates: readonly Candidate[]): void {
    this.chosen = readEvidence(candidates, this.#values)
    if (this.chosen < 0) {
      this.wrong = NaN
      return
    }
    let logit = this.#bias
    for (let i = 0; i < this.#weights.length; i++) logit += this.#weights[i]! * this.#values[i]!
    this.wrong = 1 / (1 + Math.exp(-logit))
  }
}

/** With the weights that are shipped. Reads a file of 1 kB: once, at start. Throws if it is missing or damaged. */
export const loadEvidence = (): Evidence => new Evidence(JSON.parse(readFileSync(SHIPPED, 'utf8')) as EvidenceFile)
