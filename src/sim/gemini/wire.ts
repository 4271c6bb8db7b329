/**
 * Gemini: `models/{model}:generateContent`, `:streamGenerateContent`, `:countTokens`, `:embedContent` and
 * `:batchEmbedContents`, of the Gemini API and of Vertex AI, as in the types of @google/genai and google.rpc.Status.
 */
import type { Answer } from '../answer.ts'
import { ApiError, badRequest } from '../errors.ts'
import type { Json, JsonObject } from '../json.ts'
import { table } from '../json.ts'
import type { Arrived, SimWire } from '../wire.ts'
import { bearerOf, firstOf, HINT_SECONDS, HTTP_HINTS } from '../wire.ts'
import { blockedAnswer, countTokens, generateContent, streamGenerateContent } from './answer.ts'
import { batchEmbedContents, embedContent } from './embed.ts'

const STATUS = table<string>({
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  409: 'ABORTED',
  429: 'RESOURCE_EXHAUSTED',
  499: 'CANCELLED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
})

/** Both APIs, all versions. */
const MODELS = String.raw`^(?:/v1(?:beta\d?|alpha)?)?(?:/projects/[^/]+/locations/[^/]+/publishers/[^/]+)?/models/(.+):`
const route = (verb: string): RegExp => new RegExp(`${MODELS}${verb}$`)
const MODEL = new RegExp(`${MODELS}[A-Za-z]+$`)

const modelOf = ({ path }: Arrived): string => {
  const model = MODEL.exec(path)?.[1] ?? ''
  try {
    return decodeURIComponent(model)
  } catch {
    return model
  }
}

const keyOf = ({ headers, query }: Arrived): string =>
  String(headers['x-goog-api-key'] ?? '') || (query.get('key') ?? '') || bearerOf(headers)

/** Pseudo header of errors: becomes a detail of the body. */
const RETRY_INFO = 'retry-info'

const errorAnswer = (error: ApiError): Answer => {
  const { [RETRY_INFO]: told, 'retry-after-ms': ms, 'retry-after': after, ...others } = error.headers
  const headers = after === undefined || ms !== undefined ? others : { ...others, 'retry-after': after }
  const details: Json[] = []
  if (error.code === 'API_KEY_INVALID')
    details.push({
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: error.code,
      domain: 'googleapis.com',
      metadata: { service: 'generativelanguage.googleapis.com' },
    })
  // The quota says it in headers, Google in the body.
  const delay = told ?? (ms === undefined ? undefined : `${Math.ceil(Number(ms) / 1000)}s`)
  if (delay !== undefined) details.push({ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: delay })
  const status = STATUS[error.status] ?? (error.status >= 500 ? 'INTERNAL' : 'FAILED_PRECONDITION')
  const body: JsonObject = { code: error.status, message: error.message, status }
  if (details.length > 0) body['details'] = details
  return { kind: 'json', status: error.status, headers, body: { error: body } }
}

const UNREGISTERED =
  "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API."

export const gemini: SimWire = {
  name: 'gemini',
  routes: [
    [route('generateContent'), { POST: generateContent }],
    [route('streamGenerateContent'), { POST: streamGenerateContent }],
    [route('countTokens'), { POST: countTokens }],
    [route('embedContent'), { POST: embedContent }],
    [route('batchEmbedContents'), { POST: batchEmbedContents }],
  ],
  modelOf,
  keyOf,
  checkKey: (arrived, wanted) => {
    const key = keyOf(arrived)
    if (key === '') throw new ApiError(403, UNREGISTERED)
    if (key !== wanted) throw badRequest('API key not valid. Please pass a valid API key.', null, 'API_KEY_INVALID')
  },
  error: errorAnswer,
  headers: () => ({ 'x-gemini-service-tier': 'standard' }),
  refusals: {
    exhausted: new ApiError(
      429,
      'You exceeded your current quota, please check your plan and billing details. Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 250',
      { headers: { [RETRY_INFO]: '34s' } },
    ),
    tooLong: badRequest(
      'The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).',
      null,
    ),
    filtered: blockedAnswer,
    overloaded: new ApiError(503, 'The model is overloaded. Please try again later.'),
    hints: { ...HTTP_HINTS, google: () => ({ [RETRY_INFO]: `${HINT_SECONDS}s` }) },
  },
  never: firstOf('annotations_first'),
}
