/** Which operation a method and path mean. */
import { createHash } from 'node:crypto'
import { chatCompletion } from './chat.ts'
import type { Answer } from './answer.ts'
import type { Call, Handler } from './call.ts'
import { embeddings } from './embeddings.ts'
import { ApiError } from './errors.ts'
import { deleteFile, getFile, getFileContent, listFiles, uploadFile } from './files.ts'
import { legacyCompletion } from './legacy.ts'
import { images, moderations, speech, transcriptions } from './media.ts'
import { checkModel, deleteModel, getModel, listModels } from './models.ts'
import { required } from './params.ts'
import {
  cancelResponse,
  countInputTokens,
  createResponse,
  deleteResponse,
  getResponse,
  responseInputItems,
} from './responses.ts'

/** The operation names a model, which must exist. */
const withModel =
  (handler: Handler): Handler =>
  (call, ...ids) => {
    required(call.body, 'model')
    checkModel(call.state, call.model)
    return handler(call, ...ids)
  }

const EXACT: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  '/chat/completions': { POST: withModel(chatCompletion) },
  '/completions': { POST: withModel(legacyCompletion) },
  '/embeddings': { POST: withModel(embeddings) },
  '/responses': { POST: withModel(createResponse) },
  '/responses/input_tokens': { POST: withModel(countInputTokens) },
  '/models': { GET: listModels },
  '/moderations': { POST: moderations },
  '/images/generations': { POST: images },
  '/audio/speech': { POST: withModel(speech) },
  '/audio/transcriptions': { POST: transcriptions },
  '/files': { GET: listFiles, POST: uploadFile },
}

const PATTERNS: readonly (readonly [RegExp, Readonly<Record<string, Handler>>])[] = [
  [/^\/models\/(.+)$/, { GET: getModel, DELETE: deleteModel }],
  [/^\/responses\/([^/]+)$/, { GET: getResponse, DELETE: deleteResponse }],
  [/^\/responses\/([^/]+)\/cancel$/, { POST: cancelResponse }],
  [/^\/responses\/([^/]+)\/input_items$/, { GET: responseInputItems }],
  [/^\/files\/([^/]+)$/, { GET: getFile, DELETE: deleteFile }],
  [/^\/files\/([^/]+)\/content$/, { GET: getFileContent }],
]

const choose = (methods: Readonly<Record<string, Handler>>, method: string): Handler => {
  const handler = methods[method]
  if (handler !== undefined) return handler
  const allow = Object.keys(methods).join(', ')
  throw new ApiError(405, `Not allowed to ${method} on this path. (HINT: use ${allow}.)`, { headers: { allow } })
}

/** Unknown paths describe the request, so that whoever passes it through can be checked byte for byte. */
const echo = (call: Call): Answer => ({
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

/** @throws ApiError 404, 405 and whatever the operation throws. */
export const answerCall = (call: Call): Answer => {
  const below = call.path.startsWith('/v1/') ? call.path.slice(3) : call.path
  const exact = EXACT[below]
  if (exact !== undefined) return choose(exact, call.method)(call)
  for (const [pattern, methods] of PATTERNS) {
    const match = pattern.exec(below)
    if (match !== null) return choose(methods, call.method)(call, ...match.slice(1).map(decodeId))
  }
  if (call.path.startsWith('/v1/')) return echo(call)
  throw new ApiError(404, `Invalid URL (${call.method} ${call.path})`, { code: null })
}

const decodeId = (id: string): string => {
  try {
    return decodeURIComponent(id)
  } catch {
    return id
  }
}
