import type { JsonObject } from '../../contracts/canonical.ts'
import type { EmbedAnswer, EmbedRequest, EmbedWire, WireTarget } from '../../contracts/dialect.ts'
import { put } from '../canonical/loose.ts'
import { vectorsAnswer } from '../canonical/vectors.ts'
import { NO_USAGE } from '../usage.ts'

function request({ texts, dimensions }: EmbedRequest, { model }: WireTarget): JsonObject {
  const body: JsonObject = { model, input: [...texts] }
  put(body, 'dimensions', dimensions)
  return body
}

function answer(body: JsonObject, count: number): EmbedAnswer | 'error' | 'invalid' {
  if (body['error'] !== undefined && body['error'] !== null) return 'error'
  const tokens = body['prompt_eval_count']
  const usage = typeof tokens === 'number' ? { ...NO_USAGE, inputTokens: tokens } : null
  return vectorsAnswer(body['embeddings'], count, usage)
}

/** Ollama, POST /api/embed (the base URL has no path; EmbedRequest and EmbedResponse of ollama 0.6). */
export const ollamaEmbed: EmbedWire = { path: () => '/api/embed', dimensions: true, request, answer }
