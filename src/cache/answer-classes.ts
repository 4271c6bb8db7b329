import type { Embedder, Verifier } from '../contracts/semantic.ts'

/** Answers whose vectors are nearer, and between which nothing forbids it, say the same. */
const SAME_COSINE = 0.92
/** What is compared of a long answer, characters: what it says first it says most clearly. */
const COMPARED = 2000

/** The same but for case, spaces and what ends a sentence. */
export const normalised = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/\s+/g, ' ')
    .replaceAll(/^[\s"'*_`]+|[\s"'*_`.!]+$/g, '')

/**
 * Whether two answers say the same. What is not clearly the same is different: that a right answer is taken for a wrong one
 * costs hits, the other way round it would cost the promise.
 */
export class AnswerComparison<Facts> {
  readonly #embedder: Embedder
  readonly #verifier: Verifier<Facts>

  /** embedder: synchronous. */
  constructor(embedder: Embedder, verifier: Verifier<Facts>) {
    this.#embedder = embedder
    this.#verifier = verifier
  }

  same(a: string, b: string): boolean {
    if (a === b) return true
    const [one, other] = [normalised(a), normalised(b)]
    if (one === other) return true
    const [x, y] = [one.slice(0, COMPARED), other.slice(0, COMPARED)]
    const p = this.#embedder.embed(x)
    const q = this.#embedder.embed(y)
    if (p instanceof Promise || q instanceof Promise || p === null || q === null) return false
    const known = Math.min(p.coverage, q.coverage) >= this.#embedder.coverageFloor
    if (!known || p.norm === 0 || q.norm === 0) return false
    let dot = 0
    for (let i = 0; i < p.values.length; i++) dot += p.values[i]! * q.values[i]!
    const cosine = dot / (p.norm * q.norm)
    if (cosine < SAME_COSINE) return false
    return this.#verifier.compare(this.#verifier.facts(x), this.#verifier.facts(y), cosine).veto === null
  }
}
