import type { Embedder, TextVector } from '../../contracts/semantic.ts'
import { atMost } from '../../core/sleep.ts'
import { quantised } from './quantise.ts'

export interface RemoteOptions {
  /** Names the model and its version: part of Embedder.version. */
  readonly model: string
  readonly dimensions: number
  /** One vector for each text, in their order. May reject; it is not told when nobody waits any more. */
  readonly request: (texts: string[]) => Promise<readonly (readonly number[])[]>
  /** From the call of `embed`; later the text has no vector. */
  readonly deadlineMs: number
  /** Texts of one request, 1 or more. */
  readonly mostTexts?: number
  /** Requests under way at once; while there are so many, texts wait and go together. */
  readonly mostRequests?: number
  /** Texts that wait or are under way; more have no vector at once. */
  readonly mostWaiting?: number
  /** Told of each request that failed. For the log: the texts are not in it unless the error holds them. */
  readonly onError?: (error: unknown) => void
}

interface Waiting {
  readonly text: string
  readonly resolve: (vector: TextVector | null) => void
}

/**
 * Vectors of another service: an OpenAI-compatible or a provider's embedding endpoint, behind a function. What it knows
 * of a text it does not say, so every text that has characters counts as known.
 */
export class RemoteEmbedder implements Embedder {
  readonly version: string
  readonly dimensions: number
  readonly coverageFloor = 0.5
  readonly #options: RemoteOptions
  readonly #waiting: Waiting[] = []
  #requests = 0
  #held = 0

  constructor(options: RemoteOptions) {
    this.version = `remote-${options.model}-${options.dimensions}`
    this.dimensions = options.dimensions
    this.#options = options
  }

  embed(text: string): TextVector | Promise<TextVector | null> {
    if (text.trim() === '') return quantised(new Float32Array(this.dimensions), 0)
    if (this.#held >= (this.#options.mostWaiting ?? 1024)) return Promise.resolve(null)
    this.#held += 1
    let entry: Waiting | undefined
    const made = new Promise<TextVector | null>((resolve) => {
      entry = { text, resolve }
      this.#waiting.push(entry)
    })
    this.#send()
    return atMost(this.#options.deadlineMs, made).then((vector) => {
      // one that gave up while it waited needs no request any more
      const at = vector === null ? this.#waiting.indexOf(entry!) : -1
      if (at >= 0) this.#waiting.splice(at, 1)
      this.#held -= 1
      return vector
    })
  }

  #send(): void {
    const { mostRequests = 4, mostTexts = 32 } = this.#options
    while (this.#waiting.length > 0 && this.#requests < mostRequests) {
      this.#requests += 1
      void this.#request(this.#waiting.splice(0, mostTexts))
    }
  }

  async #request(batch: readonly Waiting[]): Promise<void> {
    try {
      const vectors = await this.#options.request(batch.map(({ text }) => text))
      if (vectors.length !== batch.length) throw new Error('embeddings: not one vector for each text')
      for (const [at, { resolve }] of batch.entries()) resolve(this.#vector(vectors[at]!))
    } catch (error) {
      this.#options.onError?.(error)
      for (const { resolve } of batch) resolve(null)
    }
    this.#requests -= 1
    this.#send()
  }

  /** null for a vector of another size, or one that points nowhere. */
  #vector(values: readonly number[]): TextVector | null {
    if (values.length !== this.dimensions) {
      this.#options.onError?.(new Error(`embeddings: ${values.length} dimensions where ${this.dimensions} are set`))
      return null
    }
    const vector = quantised(Float64Array.from(values), 1)
    return vector.norm > 0 ? vector : null
  }
}
