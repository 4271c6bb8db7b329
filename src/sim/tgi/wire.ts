/**
 * Text Generation Inference: `/generate`, `/generate_stream`, `/`, `/tokenize`, `/info`, `/health`, as in docs/openapi.json
 * of huggingface/text-generation-inference and the error types of its router.
 */
import { ApiError, badRequest } from '../errors.ts'
import type { SimWire } from '../wire.ts'
import { bearerOf, firstOf, HTTP_HINTS } from '../wire.ts'
import { compat, generate, generateStream, health, info, tokenizeInputs } from './answer.ts'

const errorType = (status: number): string => {
  if (status === 422) return 'validation'
  if (status === 429) return 'overloaded'
  return status === 500 ? 'incomplete_generation' : status === 401 || status === 403 ? 'authentication' : 'generation'
}

/** What is wrong with a request is 422 here; what is wrong with a fault's name is not the server's saying. */
const statusOf = ({ status, code }: ApiError): number => (status === 400 && code !== 'sim_bad_fault' ? 422 : status)

export const tgi: SimWire = {
  name: 'tgi',
  routes: [
    [/^\/generate$/, { POST: generate }],
    [/^\/generate_stream$/, { POST: generateStream }],
    [/^\/$/, { POST: compat }],
    [/^\/tokenize$/, { POST: tokenizeInputs }],
    [/^\/info$/, { GET: info }],
    [/^\/health$/, { GET: health }],
  ],
  // A server has one model.
  modelOf: () => '',
  keyOf: ({ headers }) => bearerOf(headers),
  checkKey: ({ headers }, wanted) => {
    if (bearerOf(headers) !== wanted) throw new ApiError(401, 'Unauthorized')
  },
  error: (error) => {
    const status = statusOf(error)
    return {
      kind: 'json',
      status,
      headers: error.headers,
      body: { error: error.message, error_type: errorType(status) },
    }
  },
  headers: () => ({ 'x-compute-type': 'sim' }),
  refusals: {
    exhausted: null,
    tooLong: badRequest(
      'Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4211 `inputs` tokens and 20 `max_new_tokens`',
      'inputs',
    ),
    filtered: null,
    overloaded: new ApiError(429, 'Model is overloaded'),
    hints: HTTP_HINTS,
  },
  never: firstOf('annotations_first'),
}
