/** `/v2/embed` and `/v2/rerank`. */
import { embed } from '../brain-embed.ts'
import { rank } from '../brain-rank.ts'
import type { Handler } from '../call.ts'
import { defaultDimensions } from '../embeddings.ts'
import { badRequest } from '../errors.ts'
import { Fields } from '../fields.ts'
import type { Json, JsonObject } from '../json.ts'
import { countTokens } from '../tokens.ts'
import { uuid } from './answer.ts'
import { checkName, WORDS } from './request.ts'

const MAX_TEXTS = 96
const MAX_DIMENSIONS = 4096
const MAX_DOCUMENTS = 10_000
const DEFAULT_DOCUMENT_TOKENS = 4096

const bits = (vector: Float32Array, offset: number): number[] =>
  Array.from({ length: Math.ceil(vector.length / 8) }, (_, byte) => {
    let value = 0
    for (let bit = 0; bit < 8; bit++) value = (value << 1) | ((vector[byte * 8 + bit] ?? 0) > 0 ? 1 : 0)
    return value - offset
  })

const TYPES: Readonly<Record<string, (vector: Float32Array) => Json>> = {
  float: (vector) => [...vector],
  int8: (vector) => [...vector].map((value) => Math.round(value * 127)),
  uint8: (vector) => [...vector].map((value) => Math.round(value * 127) + 128),
  binary: (vector) => bits(vector, 128),
  ubinary: (vector) => bits(vector, 0),
  base64: (vector) => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'),
}

const textsOf = (body: Fields): string[] => {
  const inputs = body.objects('inputs').map((input) =>
    input
      .objects('content')
      .map((part) => part.text('text') ?? part.object('image_url')?.text('url') ?? '')
      .join('\n'),
  )
  return [...(body.strings('texts') ?? []), ...(body.strings('images') ?? []), ...inputs]
}

export const embedInputs: Handler = (call) => {
  checkName(call)
  const body = new Fields(WORDS, call.body, '')
  const types = ['search_document', 'search_query', 'classification', 'clustering', 'image']
  body.need('input_type', body.oneOf('input_type', types))
  const texts = textsOf(body)
  if (texts.length === 0)
    throw badRequest('invalid request: at least one of texts, images or inputs is required', 'texts')
  if (texts.length > MAX_TEXTS)
    throw badRequest(
      `invalid request: total number of texts must be at most ${MAX_TEXTS} - received ${texts.length}`,
      'texts',
    )
  const size = body.integer('output_dimension', 1, MAX_DIMENSIONS) ?? defaultDimensions(call.model)
  const vectors = texts.map((text) => embed(text, size))
  const embeddings: JsonObject = {}
  for (const type of body.strings('embedding_types') ?? ['float']) {
    const write = TYPES[type]
    if (write === undefined)
      throw badRequest(WORDS.oneOf('embedding_types', Object.keys(TYPES), type), 'embedding_types')
    embeddings[type] = vectors.map(write)
  }
  const tokens = texts.reduce((sum, text) => sum + countTokens(text), 0)
  const meta = { api_version: { version: '2' }, billed_units: { input_tokens: tokens } }
  return {
    kind: 'json',
    body: { id: uuid(call), embeddings, texts: body.strings('texts') ?? [], meta, response_type: 'embeddings_by_type' },
    use: { prompt: tokens, completion: 0 },
    payloadKey: 'embeddings',
  }
}

export const rerank: Handler = (call) => {
  checkName(call)
  const body = new Fields(WORDS, call.body, '')
  body.only(new Set(['model', 'query', 'documents', 'top_n', 'max_tokens_per_doc', 'priority']))
  const query = body.need('query', body.text('query'))
  const documents = body.need('documents', body.strings('documents'))
  if (documents.length === 0 || documents.length > MAX_DOCUMENTS)
    throw badRequest(`invalid request: list of documents must have 1 to ${MAX_DOCUMENTS} members`, 'documents')
  body.integer('max_tokens_per_doc', 1, DEFAULT_DOCUMENT_TOKENS * 32)
  const top = body.integer('top_n', 1, MAX_DOCUMENTS) ?? documents.length
  const results = rank(query, documents).slice(0, top)
  const tokens = countTokens(query) + documents.reduce((sum, text) => sum + countTokens(text), 0)
  return {
    kind: 'json',
    body: {
      id: uuid(call),
      results: results.map(({ index, score }) => ({ index, relevance_score: score })),
      // A search unit is one query with up to a hundred documents.
      meta: { api_version: { version: '2' }, billed_units: { search_units: Math.ceil(documents.length / 100) } },
    },
    use: { prompt: tokens, completion: 0 },
    payloadKey: 'results',
  }
}
