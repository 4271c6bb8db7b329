/** OpenAI's dialects as a wire: keys, errors and headers as its API has them. */
import { createHash } from 'node:crypto'
import type { Answer, JsonAnswer } from './answer.ts'
import type { Handler } from './call.ts'
import { chatCompletion } from './chat.ts'
import { embeddings } from './embeddings.ts'
import { ApiError } from './errors.ts'
import { deleteFile, getFile, getFileContent, listFiles, uploadFile } from './files.ts'
import { asString } from './json.ts'
import { legacyCompletion } from './legacy.ts'
import { images, moderations, speech, transcriptions } from './media.ts'
import { checkModel, deleteModel, getModel, listModels } from './models.ts'
import { required } from './params.ts'
import { rateLimitHeaders } from './quota.ts'
import { rerank } from './rerank.ts'
import {
  cancelResponse,
  countInputTokens,
  createResponse,
  deleteResponse,
  getResponse,
  responseInputItems,
} from './responses.ts'
import type { Routes, SimWire } from './wire.ts'
import { bearerOf, HTTP_HINTS, MS_HINT, HINT_SECONDS, shownKey } from './wire.ts'

export const errorAnswer = (error: ApiError): JsonAnswer => ({
  kind: 'json',
  status: error.status,
  headers: error.headers,
  body: error.envelope(),
})

/** The operation names a model, which must exist. */
export const withModel =
  (handler: Handler): Handler =>
  (call, ...ids) => {
    required(call.body, 'model')
    checkModel(call.state, call.model)
    return handler(call, ...ids)
  }

/** Unknown paths describe the request, so that whoever passes it through can be checked byte for byte. */
const echo: Handler = (call) => ({
  kind: 'json',
  body: {
    object: 'sim.echo',
    method: call.method,
    path: call.path,
    query: Object.fromEntries(call.query),
    headers: Object.fromEntries(Object.entries(call.headers).map(([name, value]) => [name, String(value)])),
    body: { length: call.raw.length, sha256: createHash('sha256').update(call.raw).digest('hex') },
  },
})

/** Of whatever method. */
const echoed = Object.fromEntries(
  ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'].map((method) => [method, echo]),
)

const ROUTES: Routes = [
  [/^(?:\/v1)?\/chat\/completions$/, { POST: withModel(chatCompletion) }],
  [/^(?:\/v1)?\/completions$/, { POST: withModel(legacyCompletion) }],
  [/^(?:\/v1)?\/embeddings$/, { POST: withModel(embeddings) }],
  [/^(?:\/v1)?\/responses$/, { POST: withModel(createResponse) }],
  [/^(?:\/v1)?\/responses\/input_tokens$/, { POST: withModel(countInputTokens) }],
  [/^(?:\/v1)?\/rerank$/, { POST: withModel(rerank) }],
  [/^(?:\/v1)?\/models$/, { GET: listModels }],
  [/^(?:\/v1)?\/moderations$/, { POST: moderations }],
  [/^(?:\/v1)?\/images\/generations$/, { POST: images }],
  [/^(?:\/v1)?\/audio\/speech$/, { POST: withModel(speech) }],
  [/^(?:\/v1)?\/audio\/transcriptions$/, { POST: transcriptions }],
  [/^(?:\/v1)?\/files$/, { GET: listFiles, POST: uploadFile }],
  [/^(?:\/v1)?\/models\/(.+)$/, { GET: getModel, DELETE: deleteModel }],
  [/^(?:\/v1)?\/responses\/([^/]+)$/, { GET: getResponse, DELETE: deleteResponse }],
  [/^(?:\/v1)?\/responses\/([^/]+)\/cancel$/, { POST: cancelResponse }],
  [/^(?:\/v1)?\/responses\/([^/]+)\/input_items$/, { GET: responseInputItems }],
  [/^(?:\/v1)?\/files\/([^/]+)$/, { GET: getFile, DELETE: deleteFile }],
  [/^(?:\/v1)?\/files\/([^/]+)\/content$/, { GET: getFileContent }],
  [/^\/v1\//, echoed],
]

/** As Azure sends it. */
const contentFiltered = (): Answer => ({
  kind: 'json',
  status: 400,
  body: {
    error: {
      message:
        'The response was filtered due to the prompt triggering the content management policy. Please modify your prompt and retry.',
      type: 'invalid_request_error',
      param: 'prompt',
      code: 'content_filter',
      status: 400,
      innererror: {
        code: 'ResponsibleAIPolicyViolation',
        content_filter_result: {
          hate: { filtered: false, severity: 'safe' },
          violence: { filtered: true, severity: 'high' },
        },
      },
    },
  },
})

const MISSING_KEY =
  "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
const TOO_LONG =
  "This model's maximum context length is 128000 tokens. However, your messages resulted in more. Please reduce the length of the messages."
const EXHAUSTED = 'You exceeded your current quota, please check your plan and billing details.'

export const openAi: SimWire = {
  name: 'openai',
  routes: ROUTES,
  modelOf: (_, body) => asString(body['model']) ?? '',
  keyOf: ({ headers }) => bearerOf(headers) || String(headers['api-key'] ?? headers['x-api-key'] ?? ''),
  checkKey: (arrived, wanted) => {
    const key = openAi.keyOf(arrived)
    if (key === wanted) return
    if (key === '') throw new ApiError(401, MISSING_KEY, { code: null })
    throw new ApiError(401, `Incorrect API key provided: ${shownKey(key)}.`)
  },
  error: errorAnswer,
  headers: (_, levels, elapsed) => ({
    'openai-version': '2020-10-01',
    'openai-organization': 'heddle-sim',
    'openai-processing-ms': String(Math.round(elapsed)),
    ...rateLimitHeaders(levels),
  }),
  refusals: {
    exhausted: new ApiError(429, EXHAUSTED, { type: 'insufficient_quota', code: 'insufficient_quota' }),
    tooLong: new ApiError(400, TOO_LONG, { param: 'messages', code: 'context_length_exceeded' }),
    filtered: contentFiltered,
    overloaded: new ApiError(503, 'The server is currently overloaded with other requests. Sorry about that!', {
      type: 'server_error',
      code: 'server_overloaded',
    }),
    hints: {
      ...HTTP_HINTS,
      ...MS_HINT,
      go: () => ({
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': '0',
        'x-ratelimit-reset-requests': `${HINT_SECONDS}s`,
      }),
    },
  },
  never: () => undefined,
}
