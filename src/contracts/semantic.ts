/** A text as a point: what the semantic cache finds candidates by. */
export interface TextVector {
  /** Scaled so that the greatest component is 127 or -127; all 0 = nothing in the text is known. */
  readonly values: Int8Array
  /** Euclidean length of `values`; 0 = none. */
  readonly norm: number
  /** 0..1: share of the text, by characters that are not space or punctuation, that the embedder knows. */
  readonly coverage: number
}

/** Makes points of texts. Points of different versions are never compared. */
export interface Embedder {
  /** Part of every partition: model, its version, its number of dimensions. */
  readonly version: string
  readonly dimensions: number
  /** Below this coverage nothing is looked up and nothing is stored for others to find. */
  readonly coverageFloor: number
  /** At once where it computes here, else later; null = it could not in its time. Never throws. */
  embed(text: string): TextVector | Promise<TextVector | null>
}

/** Whether the answer to one question answers another. */
export interface Verdict {
  /** 0..1, greater = more likely; not yet a probability for this traffic: that is learnt. */
  readonly score: number
  /** Why they must not share an answer whatever the score: `number`, `negation`, `antonym`, `quote`, `code`, `language`, ...; null = nothing forbids it. */
  readonly veto: string | null
}

/** Compares two texts by what vectors do not see. Stateless, synchronous. */
export interface Verifier<Facts> {
  /** Part of every partition's calibration: a new verifier has to earn its trust anew. */
  readonly version: string
  /** What is compared of a text: once for each question, again for each candidate. */
  facts(text: string): Facts
  /** cosine: of their vectors, -1..1. Symmetric. */
  compare(question: Facts, candidate: Facts, cosine: number): Verdict
}

/** One that may answer, best first. */
export interface Candidate {
  /** Of the entry, as the index knows it. */
  readonly entry: number
  readonly cosine: number
  /** By the verifier. */
  readonly score: number
  readonly veto: string | null
  /** Entries whose answers say the same have the same class; classes are numbers of no meaning beyond that. */
  readonly answer: number
  /** How often this entry's answer was seen to be right and wrong for other questions, by labels of any kind. */
  readonly right: number
  readonly wrong: number
}

/** The share of wrong answers that is not exceeded. */
export interface ErrorBound {
  readonly measure: 'wrong_per_request' | 'wrong_per_hit'
  /** 0..1, exclusive of both. */
  readonly bound: number
  /** 0..1: how surely the bound holds, at all times together. */
  readonly confidence: number
}

/** Vectors of single words, for the alignment of two texts. */
export interface WordVectors {
  readonly version: string
  readonly dimensions: number
  /** Writes the word's vector, of unit length, at `at`; false = not known, nothing written. word: lower case. */
  vector(word: string, out: Float32Array, at: number): boolean
  /** How much a word tells, 0..1: near 0 for `the`. Of unknown words 1. */
  weight(word: string): number
}
