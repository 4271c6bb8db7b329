import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Embedder, TextVector } from '../../src/contracts/semantic.ts'

interface Line {
  readonly text: string
  readonly vector: readonly number[]
}

/** As the cache keeps it: the greatest component becomes 127. */
function quantised(vector: readonly number[]): TextVector {
  const greatest = vector.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const values = Int8Array.from(vector, (value) => (greatest === 0 ? 0 : Math.round((value / greatest) * 127)))
  return { values, norm: Math.hypot(...values), coverage: greatest === 0 ? 0 : 1 }
}

/**
 * Vectors of another model, made before: JSON lines `{"text", "vector"}`, one for each question. So the bench needs no runtime for
 * the model, and all policies see the same vectors. A text without one throws: a bench that skips texts measures something else.
 */
export async function minilmFrom(path: string): Promise<Embedder> {
  const vectors = new Map<string, TextVector>()
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    const { text, vector } = JSON.parse(line) as Line
    vectors.set(text, quantised(vector))
  }
  const dimensions = vectors.values().next().value?.values.length ?? 0
  return {
    version: 'minilm-l6',
    dimensions,
    coverageFloor: 0.5,
    embed: (text) => {
      const vector = vectors.get(text)
      if (vector === undefined) throw new Error(`no vector for ${JSON.stringify(text)}`)
      return vector
    },
  }
}
