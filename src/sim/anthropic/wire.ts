/**
 * Anthropic Messages: `POST /v1/messages` and `/v1/messages/count_tokens`, as in the types and the error classes of
 * @anthropic-ai/sdk 1.12 (resources/messages, core/error).
 */
import type { Handler } from '../call.ts'
import { ApiError, badRequest } from '../errors.ts'
import { asString, table } from '../json.ts'
import { checkModel } from '../models.ts'
import type { QuotaLevel } from '../quota.ts'
import type { SimWire } from '../wire.ts'
import { bearerOf, firstOf, HINT_SECONDS, HTTP_HINTS, inSeconds, MS_HINT } from '../wire.ts'
import { countTokens, createMessage } from './answer.ts'

const TYPES = table<string>({
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  504: 'timeout_error',
  529: 'overloaded_error',
})

/** `error.type` by status. */
export const errorType = (status: number): string =>
  TYPES[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')

/** The model must be named and, if the simulator is strict, exist. */
const withModel =
  (handler: Handler): Handler =>
  (call) => {
    if (asString(call.body['model']) === undefined) throw badRequest('model: Field required', 'model')
    try {
      checkModel(call.state, call.model)
    } catch {
      throw new ApiError(404, `model: ${call.model}`)
    }
    return handler(call)
  }

const limitHeaders = (levels: readonly QuotaLevel[]): [string, string][] =>
  levels.flatMap(({ name, limit, remaining, resetMs }): [string, string][] => [
    [`anthropic-ratelimit-${name}-limit`, String(limit)],
    [`anthropic-ratelimit-${name}-remaining`, String(remaining)],
    [`anthropic-ratelimit-${name}-reset`, inSeconds(resetMs / 1000)],
  ])

export const anthropic: SimWire = {
  name: 'anthropic',
  routes: [
    [/^\/v1\/messages$/, { POST: withModel(createMessage) }],
    [/^\/v1\/messages\/count_tokens$/, { POST: withModel(countTokens) }],
  ],
  modelOf: (_, body) => asString(body['model']) ?? '',
  keyOf: ({ headers }) => String(headers['x-api-key'] ?? '') || bearerOf(headers),
  checkKey: ({ headers }, wanted) => {
    const key = String(headers['x-api-key'] ?? '')
    const bearer = bearerOf(headers)
    if (key === '' && bearer === '') throw new ApiError(401, 'x-api-key header is required')
    if (key !== wanted && bearer !== wanted)
      throw new ApiError(401, key === '' ? 'Invalid bearer token' : 'invalid x-api-key')
    if (headers['anthropic-version'] === undefined)
      throw badRequest('anthropic-version: header is required', 'anthropic-version')
  },
  error: (error, requestId) => ({
    kind: 'json',
    status: error.status,
    headers: error.headers,
    body: {
      type: 'error',
      error: {
        type: errorType(error.status),
        message: error.message,
        ...(error.code?.startsWith('thread_') === true ? { details: { error_code: error.code } } : {}),
      },
      request_id: requestId,
    },
  }),
  headers: (requestId, levels) => ({
    'request-id': requestId,
    'anthropic-organization-id': '00000000-0000-4000-8000-000000000000',
    ...Object.fromEntries(limitHeaders(levels)),
  }),
  refusals: {
    exhausted: badRequest(
      'Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.',
      null,
    ),
    tooLong: badRequest('prompt is too long: 210417 tokens > 200000 maximum', 'messages'),
    filtered: badRequest('Output blocked by content filtering policy', null),
    overloaded: new ApiError(529, 'Overloaded'),
    hints: {
      ...HTTP_HINTS,
      ...MS_HINT,
      go: () => ({
        'anthropic-ratelimit-requests-limit': '60',
        'anthropic-ratelimit-requests-remaining': '0',
        'anthropic-ratelimit-requests-reset': inSeconds(HINT_SECONDS),
      }),
    },
  },
  never: firstOf('annotations_first'),
}
