/** `POST /v1/rerank`, as Jina, vLLM and Cohere's first version have it in common. */
import { rank } from './brain-rank.ts'
import type { Handler } from './call.ts'
import { badRequest } from './errors.ts'
import { asString, isObject } from './json.ts'
import { flag, integerIn, list, required, text } from './params.ts'
import { countTokens } from './tokens.ts'

const MAX_DOCUMENTS = 10_000

export const rerank: Handler = (call) => {
  const { body, state } = call
  required(body, 'query')
  required(body, 'documents')
  const query = text(body, 'query') ?? ''
  const documents = (list(body, 'documents') ?? []).map((item, index) => {
    const read = typeof item === 'string' ? item : isObject(item) ? asString(item['text']) : undefined
    if (read !== undefined) return read
    throw badRequest(
      `Invalid 'documents[${index}]': expected a string or an object with 'text'.`,
      `documents[${index}]`,
    )
  })
  if (documents.length === 0 || documents.length > MAX_DOCUMENTS)
    throw badRequest(`Invalid 'documents': expected 1 to ${MAX_DOCUMENTS} items.`, 'documents')
  const top = integerIn(body, 'top_n', 1, MAX_DOCUMENTS) ?? documents.length
  const back = flag(body, 'return_documents') ?? false
  const tokens = countTokens(query) + documents.reduce((sum, one) => sum + countTokens(one), 0)
  const results = rank(query, documents)
    .slice(0, top)
    .map(({ index, score }) => ({
      index,
      relevance_score: score,
      ...(back ? { document: { text: documents[index] ?? '' } } : {}),
    }))
  const meta = { billed_units: { search_units: Math.ceil(documents.length / 100) } }
  return {
    kind: 'json',
    body: {
      id: `rerank-${state.nextId(24)}`,
      model: call.model,
      results,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
      meta,
    },
    use: { prompt: tokens, completion: 0 },
    payloadKey: 'results',
  }
}
