/** Cohere v2: `/v2/chat`, `/v2/embed`, `/v2/rerank`, as in the types of npm's cohere-ai (serialization of its V2 client). */
import { ApiError, badRequest } from '../errors.ts'
import { asString } from '../json.ts'
import type { SimWire } from '../wire.ts'
import { bearerOf, firstOf, HTTP_HINTS } from '../wire.ts'
import { chat } from './answer.ts'
import { embedInputs, rerank } from './others.ts'

export const cohere: SimWire = {
  name: 'cohere',
  routes: [
    [/^\/v2\/chat$/, { POST: chat }],
    [/^\/v2\/embed$/, { POST: embedInputs }],
    [/^\/v2\/rerank$/, { POST: rerank }],
  ],
  modelOf: (_, body) => asString(body['model']) ?? '',
  keyOf: ({ headers }) => bearerOf(headers),
  checkKey: ({ headers }, wanted) => {
    const key = bearerOf(headers)
    if (key === '') throw new ApiError(401, 'no api key supplied')
    if (key !== wanted) throw new ApiError(401, 'invalid api token')
  },
  error: (error, requestId) => ({
    kind: 'json',
    status: error.status,
    headers: error.headers,
    body: { id: requestId, message: error.message },
  }),
  headers: (requestId) => ({ 'x-debug-trace-id': requestId, 'x-api-warning': 'simulated' }),
  refusals: {
    exhausted: new ApiError(
      429,
      'You are using a Trial key, which is limited to 1000 API calls / month. You can continue to use the Trial key for free or upgrade to a Production key with higher rate limits.',
    ),
    tooLong: badRequest(
      'too many tokens: size limit exceeded by 4211 tokens. Try using shorter or fewer inputs, or setting prompt_truncation.',
      null,
    ),
    filtered: null,
    overloaded: new ApiError(503, 'service is temporarily overloaded, please try again later'),
    hints: HTTP_HINTS,
  },
  never: firstOf('annotations_first'),
}
