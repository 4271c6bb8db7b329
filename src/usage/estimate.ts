import type { Usage } from '../contracts/usage.ts'

/** Nothing known yet: fewer bytes a token than any language model's usual text has, so that estimates err upwards. */
const START_BYTES_PER_TOKEN = 3
const START_OUTPUT = 1000
const MAX_MODELS = 2000
/** So many answers before what was learned is believed; it then begins with the second largest of them. */
const WARM_UP = 16
/** Nine of ten answers are to use less. */
const QUANTILE = 0.9
const STEP = 0.05

/** A moving quantile in two numbers: up a little when a sample is above, down a little less when it is below. */
class Quantile {
  #value = 0
  #largest = 0
  #seen = 0

  add(sample: number): void {
    if (this.#seen < WARM_UP) {
      this.#seen++
      // One answer that is like no other must not be the measure of hundreds.
      this.#value = Math.max(this.#value, Math.min(this.#largest, sample))
      this.#largest = Math.max(this.#largest, sample)
    } else this.#value *= sample > this.#value ? 1 + STEP * QUANTILE : 1 - STEP * (1 - QUANTILE)
  }

  /** 0 = not enough seen. */
  get value(): number {
    return this.#seen < WARM_UP ? 0 : this.#value
  }
}

interface Learned {
  readonly tokensPerByte: Quantile
  readonly output: Quantile
}

/**
 * Guesses what a request will use before it is sent, for limits that reserve. Learns from the answers, model by model;
 * remembers 2000 models, the longest known is forgotten first.
 */
export class TokenEstimator {
  readonly #models = new Map<string, Learned>()

  /** maxTokens: what the client allows for the answer, 0 = not said. */
  estimate(model: string, promptBytes: number, maxTokens: number): { inputTokens: number; outputTokens: number } {
    const learned = this.#models.get(model)
    const perByte = learned?.tokensPerByte.value || 1 / START_BYTES_PER_TOKEN
    return {
      inputTokens: Math.ceil(promptBytes * perByte),
      // What the client allows is reserved whole: it is the most that the answer can be, so that no budget is overrun.
      outputTokens: maxTokens > 0 ? maxTokens : Math.ceil(learned?.output.value || START_OUTPUT),
    }
  }

  /** Only of answers that are complete and were counted by the backend. */
  learn(model: string, promptBytes: number, usage: Usage): void {
    let learned = this.#models.get(model)
    if (learned === undefined) {
      if (this.#models.size >= MAX_MODELS) this.#models.delete(this.#models.keys().next().value!)
      learned = { tokensPerByte: new Quantile(), output: new Quantile() }
      this.#models.set(model, learned)
    }
    if (promptBytes > 0 && usage.inputTokens > 0) learned.tokensPerByte.add(usage.inputTokens / promptBytes)
    // An answer of nothing is a sample too; at 0 what is learned could never grow again.
    learned.output.add(Math.max(1, usage.outputTokens))
  }
}
