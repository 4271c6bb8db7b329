/** Embeddings: words and letter trigrams hashed into a vector of unit length, so that similar texts come out similar. */
import { hash32 } from './random.ts'
import { wordsOf } from './brain-lift.ts'

const add = (vector: Float64Array, feature: string, weight: number): void => {
  const hash = hash32(feature)
  const at = hash % vector.length
  vector[at] = (vector[at] ?? 0) + (hash & 0x80000000 ? -weight : weight)
}

/** @param dimensions >= 1. The result's Euclidean norm is 1 (to float32 precision). */
export const embed = (text: string, dimensions: number): Float32Array => {
  const vector = new Float64Array(dimensions)
  for (const word of wordsOf(text)) {
    add(vector, word, 1)
    const framed = `<${word}>`
    for (let i = 0; i + 3 <= framed.length; i++) add(vector, framed.slice(i, i + 3), 0.4)
  }
  let norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  if (norm === 0) {
    // Punctuation only, or features that cancelled out: still a valid vector, and the same one each time.
    vector[hash32(text) % dimensions] = 1
    norm = 1
  }
  return Float32Array.from(vector, (value) => value / norm)
}
