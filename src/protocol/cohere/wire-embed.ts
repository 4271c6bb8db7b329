import type { JsonObject } from '../../contracts/canonical.ts'
import type { EmbedAnswer, EmbedRequest, EmbedWire, WireTarget } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import { fieldsOf, put } from '../canonical/loose.ts'
import { vectorsAnswer } from '../canonical/vectors.ts'
import { NO_USAGE } from '../usage.ts'

/** Models from v3 on must be told what a vector is for. */
const PURPOSES: Readonly<Record<string, string>> = {
  query: 'search_query',
  search_query: 'search_query',
  document: 'search_document',
  passage: 'search_document',
  search_document: 'search_document',
  classification: 'classification',
  clustering: 'clustering',
}
/** Of one call (docs.cohere.com, Embed). */
const MAX_TEXTS = 96

function request({ texts, dimensions, purpose = 'document' }: EmbedRequest, { model }: WireTarget): JsonObject {
  if (texts.length > MAX_TEXTS)
    throw new GatewayError('invalid_request', `This model takes at most ${MAX_TEXTS} texts at once.`, {
      param: 'input',
    })
  const body: JsonObject = {
    model,
    texts: [...texts],
    input_type: PURPOSES[purpose.toLowerCase()] ?? 'search_document',
    embedding_types: ['float'],
  }
  put(body, 'output_dimension', dimensions)
  return body
}

function answer(body: JsonObject, count: number): EmbedAnswer | 'error' | 'invalid' {
  if (typeof body['message'] === 'string') return 'error'
  const tokens = fieldsOf(fieldsOf(body['meta'])['billed_units'])['input_tokens']
  const usage = typeof tokens === 'number' ? { ...NO_USAGE, inputTokens: tokens } : null
  return vectorsAnswer(fieldsOf(body['embeddings'])['float'], count, usage)
}

/** Cohere, POST /v2/embed (the base URL ends with /v2; V2EmbedRequest and EmbedByTypeResponse of cohere-ai 8.1). */
export const cohereEmbed: EmbedWire = { path: () => '/embed', dimensions: true, request, answer }
