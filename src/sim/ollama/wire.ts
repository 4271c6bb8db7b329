/**
 * Ollama: `/api/chat`, `/api/generate`, `/api/embed`, `/api/tags`, `/api/ps`, `/api/show`, `/api/version`, as in the types
 * of npm's ollama and docs/api.md of its server.
 */
import { ApiError, badRequest } from '../errors.ts'
import { asString } from '../json.ts'
import type { SimWire } from '../wire.ts'
import { bearerOf, firstOf, HTTP_HINTS } from '../wire.ts'
import { chat, generate } from './answer.ts'
import { embedTexts, listModels, showModel, version } from './models.ts'

export const ollama: SimWire = {
  name: 'ollama',
  routes: [
    [/^\/api\/chat$/, { POST: chat }],
    [/^\/api\/generate$/, { POST: generate }],
    [/^\/api\/embed$/, { POST: embedTexts }],
    [/^\/api\/(?:tags|ps)$/, { GET: listModels }],
    [/^\/api\/show$/, { POST: showModel }],
    [/^\/api\/version$/, { GET: version }],
  ],
  modelOf: (_, body) => asString(body['model']) ?? asString(body['name']) ?? '',
  keyOf: ({ headers }) => bearerOf(headers),
  checkKey: ({ headers }, wanted) => {
    if (bearerOf(headers) !== wanted) throw new ApiError(401, 'unauthorized')
  },
  error: (error) => ({
    kind: 'json',
    status: error.status,
    headers: error.headers,
    body: { error: error.message },
  }),
  headers: () => ({}),
  refusals: {
    exhausted: null,
    tooLong: badRequest('the input length exceeds the context length', null),
    filtered: null,
    overloaded: new ApiError(503, 'server busy, please try again.  maximum pending requests exceeded'),
    hints: HTTP_HINTS,
  },
  never: firstOf('annotations_first', 'comments'),
}
