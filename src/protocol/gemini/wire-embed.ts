import type { JsonObject } from '../../contracts/canonical.ts'
import type { EmbedAnswer, EmbedRequest, EmbedWire, WireTarget } from '../../contracts/dialect.ts'
import { fieldsOf, listOf, put } from '../canonical/loose.ts'
import { vectorsAnswer } from '../canonical/vectors.ts'
import { NO_USAGE } from '../usage.ts'

/** Left out, the model takes a text for one like any other. */
const TASKS: Readonly<Record<string, string>> = {
  query: 'RETRIEVAL_QUERY',
  search_query: 'RETRIEVAL_QUERY',
  document: 'RETRIEVAL_DOCUMENT',
  passage: 'RETRIEVAL_DOCUMENT',
  search_document: 'RETRIEVAL_DOCUMENT',
  classification: 'CLASSIFICATION',
  clustering: 'CLUSTERING',
}

const bare = (model: string): string => model.replace(/^models\//, '')

function request({ texts, dimensions, purpose = '' }: EmbedRequest, { model }: WireTarget): JsonObject {
  return {
    requests: texts.map((text): JsonObject => {
      const one: JsonObject = { model: `models/${bare(model)}`, content: { parts: [{ text }] } }
      put(one, 'taskType', TASKS[purpose.toLowerCase()])
      put(one, 'outputDimensionality', dimensions)
      return one
    }),
  }
}

function answer(body: JsonObject, count: number): EmbedAnswer | 'error' | 'invalid' {
  if (body['error'] !== undefined && body['error'] !== null) return 'error'
  const tokens = fieldsOf(body['usageMetadata'])['promptTokenCount']
  const usage = typeof tokens === 'number' ? { ...NO_USAGE, inputTokens: tokens } : null
  return vectorsAnswer(
    listOf(body['embeddings']).map((one) => fieldsOf(one)['values']),
    count,
    usage,
  )
}

/** Gemini, POST models/NAME:batchEmbedContents (embedContentParametersPrivateToMldev of @google/genai 2.x). */
export const geminiEmbed: EmbedWire = {
  path: (model) => `/models/${encodeURIComponent(bare(model))}:batchEmbedContents`,
  dimensions: true,
  request,
  answer,
}
