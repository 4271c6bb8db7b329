import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { Usage } from '../contracts/usage.ts'
import { GatewayError } from '../core/errors.ts'
import { badField, isObject, maybeWhole } from './canonical/read.ts'
import { readAnswer, type UsageHints } from './usage.ts'

/**
 * Reranking: one task, in the shapes of several APIs. Sources: docs.cohere.com/reference/rerank (v1, v2), api.jina.ai/redoc,
 * docs.vllm.ai (Re-rank API), docs.voyageai.com/reference/reranker-api, text-embeddings-inference docs/openapi.json.
 */
export interface RerankRequest {
  readonly query: string
  /** Texts, or what a multimodal model takes. */
  readonly documents: readonly Json[]
  /** 0 = all. */
  readonly topN: number
  readonly returnDocuments: boolean
  /** What the client says besides. */
  readonly others: JsonObject
}

/** What of a request its answer depends on. */
export interface RerankAsked {
  /** v2: Cohere's of today; v1: Cohere's first, and Jina's. */
  readonly version: 'v1' | 'v2'
  readonly id: string
  /** As the client named it. */
  readonly model: string
  readonly request: RerankRequest
}

interface Result {
  readonly index: number
  readonly score: number
}

interface RerankShape {
  /** Full path; base: of the provider. */
  path(base: string): string
  /** Names of fields; '' = it has none. */
  readonly documents: string
  readonly topN: string
  readonly model: boolean
  /** Of the answer; '' = it is the list itself. */
  readonly results: string
  readonly score: string
  /** Takes documents that are no texts. */
  readonly objects: boolean
  /** Fields that go on as they come; null = all. */
  readonly others: readonly string[] | null
}

const withoutVersion = (base: string): string => base.replace(/(?:\/compatibility)?\/v\d+$/, '')

const JINA: RerankShape = {
  path: (base) => `${base}/rerank`,
  documents: 'documents',
  topN: 'top_n',
  model: true,
  results: 'results',
  score: 'relevance_score',
  objects: true,
  others: null,
}
/** By type of provider; all others as Jina, which most servers follow. */
const SHAPES: ReadonlyMap<string, RerankShape> = new Map([
  [
    'cohere',
    {
      ...JINA,
      path: (base) => `${withoutVersion(base)}/v2/rerank`,
      objects: false,
      others: ['max_tokens_per_doc', 'priority'],
    },
  ],
  ['voyage', { ...JINA, topN: 'top_k', results: 'data', objects: false, others: ['truncation'] }],
  [
    'tei',
    {
      path: (base) => `${withoutVersion(base)}/rerank`,
      documents: 'texts',
      topN: '',
      model: false,
      results: '',
      score: 'score',
      objects: false,
      others: ['truncate', 'truncation_direction', 'raw_scores'],
    },
  ],
])
const shapeOf = (type: string): RerankShape => SHAPES.get(type) ?? JINA

const MAX_SCORES = 1_000_000

/** Fields of an object as lines, as Cohere does it for its first API. */
function linesOf(document: JsonObject, fields: readonly string[]): string {
  return fields
    .filter((name) => document[name] !== undefined)
    .map((name) => `${name}: ${typeof document[name] === 'string' ? document[name] : JSON.stringify(document[name])}`)
    .join('\n')
}

function documentOf(document: Json, i: number, fields: readonly string[]): Json {
  if (typeof document === 'string') return document
  if (!isObject(document)) throw badField(`documents[${i}]`, 'a string or an object')
  if (fields.length > 0) return linesOf(document, fields)
  return typeof document['text'] === 'string' ? document['text'] : document
}

/** Reads a request of `/v1/rerank` or `/v2/rerank`. Throws GatewayError. */
export function readRerank(sent: Readonly<Record<string, unknown>>): RerankRequest {
  const { query, documents, top_n, return_documents, rank_fields, model: _, ...others } = sent as JsonObject
  if (typeof query !== 'string' || query === '') throw badField('query', 'a string')
  if (!Array.isArray(documents) || documents.length === 0) throw badField('documents', 'a list that is not empty')
  if (documents.length > MAX_SCORES) throw badField('documents', `a list of at most ${MAX_SCORES}`)
  const fields = Array.isArray(rank_fields) ? rank_fields.filter((name) => typeof name === 'string') : []
  return {
    query,
    documents: documents.map((document, i) => documentOf(document, i, fields)),
    topN: maybeWhole(top_n, 'top_n', 1) ?? 0,
    returnDocuments: return_documents === true,
    others,
  }
}

export interface RerankCall {
  /** Full path. */
  readonly path: string
  readonly body: JsonObject
  /** Parameters that its backend has no place for. */
  readonly dropped: readonly string[]
}

/** base: path of the provider's base URL. Throws GatewayError for documents that the backend cannot take. */
export function rerankCall(
  { query, documents, topN, others }: RerankRequest,
  { type, base, model }: { readonly type: string; readonly base: string; readonly model: string },
): RerankCall {
  const shape = shapeOf(type)
  if (!shape.objects && documents.some((document) => typeof document !== 'string'))
    throw new GatewayError('unsupported_parameter', 'The backend of this model ranks texts only.', {
      param: 'documents',
    })
  const names = Object.keys(others)
  const kept = shape.others === null ? names : names.filter((name) => shape.others!.includes(name))
  return {
    path: shape.path(base),
    body: {
      ...Object.fromEntries(kept.map((name) => [name, others[name]!])),
      ...(shape.model ? { model } : {}),
      query,
      [shape.documents]: documents as Json[],
      ...(shape.topN !== '' && topN > 0 ? { [shape.topN]: topN } : {}),
      ...(shape === JINA ? { return_documents: false } : {}),
    },
    dropped: names.filter((name) => !kept.includes(name)),
  }
}

function resultsOf(answer: unknown, shape: RerankShape, count: number): Result[] | null {
  const list = shape.results === '' ? answer : isObject(answer as Json) ? (answer as JsonObject)[shape.results] : null
  if (!Array.isArray(list)) return null
  const found: Result[] = []
  for (const item of list as Json[]) {
    if (!isObject(item)) return null
    const { index, [shape.score]: score } = item
    if (!Number.isInteger(index) || (index as number) < 0 || (index as number) >= count || typeof score !== 'number')
      return null
    found.push({ index: index as number, score })
  }
  return found.sort((a, b) => b.score - a.score)
}

/** Reads what a backend of a type answers; the body is for the client. */
export function rerankAnswer(
  answer: unknown,
  asked: RerankAsked,
  type: string,
  hints: UsageHints,
): { readonly usage: Usage | null; readonly body: string } | 'error' | 'invalid' {
  const { request, version, model, id } = asked
  const { error } = (isObject(answer as Json) ? answer : {}) as { error?: unknown }
  if (error !== undefined && error !== null) return 'error'
  const all = resultsOf(answer, shapeOf(type), request.documents.length)
  if (all === null) return 'invalid'
  const usage = readAnswer(answer, hints)
  const results = (request.topN > 0 ? all.slice(0, request.topN) : all).map(({ index, score }) => ({
    index,
    relevance_score: score,
    ...(request.returnDocuments && version === 'v1' ? { document: shown(request.documents[index]!) } : {}),
  }))
  const units = usage?.rerankUnits ?? 0
  const tokens = usage?.inputTokens ?? 0
  const body = {
    id,
    ...(version === 'v1' ? { model } : {}),
    results,
    ...(version === 'v1' && tokens > 0 ? { usage: { total_tokens: tokens, prompt_tokens: tokens } } : {}),
    meta: {
      api_version: { version: version === 'v1' ? '1' : '2' },
      ...(units > 0 ? { billed_units: { search_units: units } } : {}),
    },
  }
  return { usage, body: JSON.stringify(body) }
}

const shown = (document: Json): Json => (typeof document === 'string' ? { text: document } : document)
