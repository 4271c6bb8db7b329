/** How well texts fit a question: by the embeddings, so that both agree. */
import { embed } from './brain-embed.ts'

export interface Ranked {
  /** Among the texts as given. */
  readonly index: number
  /** 0..1 */
  readonly score: number
}

const SIZE = 256

/** Best first; ties in the order given. */
export const rank = (query: string, texts: readonly string[]): Ranked[] => {
  const asked = embed(query, SIZE)
  return texts
    .map((text, index): Ranked => {
      const vector = embed(text, SIZE)
      const cosine = vector.reduce((sum, value, at) => sum + value * (asked[at] ?? 0), 0)
      return { index, score: Math.min(1, Math.max(0, (1 + cosine) / 2)) }
    })
    .toSorted((a, b) => b.score - a.score || a.index - b.index)
}
