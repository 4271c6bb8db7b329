/** `:embedContent` and `:batchEmbedContents`. */
import { embed } from '../brain-embed.ts'
import type { Handler } from '../call.ts'
import { defaultDimensions } from '../embeddings.ts'
import { badRequest } from '../errors.ts'
import { Fields } from '../fields.ts'
import type { Json, JsonObject } from '../json.ts'
import { asObject } from '../json.ts'
import { countTokens } from '../tokens.ts'
import { checkName } from './answer.ts'
import { camel, WORDS } from './words.ts'

const MAX_BATCH = 100
const MAX_DIMENSIONS = 3072
const FIELDS = new Set([
  'model',
  'content',
  'taskType',
  'title',
  'outputDimensionality',
  'autoTruncate',
  'embedContentConfig',
])

interface Made {
  readonly values: number[]
  readonly tokens: number
}

const make = (request: Fields, model: string): Made => {
  request.only(FIELDS)
  const content = request.need('content', request.object('content'))
  const text = content
    .objects('parts')
    .map((part) => part.need('text', part.text('text')))
    .join('\n')
  if (text === '') throw badRequest('* EmbedContentRequest.content: contains no text', 'content')
  const size = request.integer('outputDimensionality', 1, MAX_DIMENSIONS) ?? defaultDimensions(model)
  return { values: [...embed(text, size)], tokens: countTokens(text) }
}

const read = (body: JsonObject): Fields => new Fields(WORDS, asObject(camel(body)), '')

export const embedContent: Handler = (call) => {
  checkName(call)
  const { values, tokens } = make(read(call.body), call.model)
  return {
    kind: 'json',
    body: { embedding: { values } },
    use: { prompt: tokens, completion: 0 },
    payloadKey: 'embedding',
  }
}

export const batchEmbedContents: Handler = (call) => {
  checkName(call)
  const requests = read(call.body).objects('requests')
  if (requests.length === 0 || requests.length > MAX_BATCH)
    throw badRequest(
      `* BatchEmbedContentsRequest.requests: at least one and at most ${MAX_BATCH} requests can be in one batch`,
      'requests',
    )
  const made = requests.map((request) => make(request, call.model))
  const embeddings: Json[] = made.map(({ values }) => ({ values }))
  const prompt = made.reduce((sum, { tokens }) => sum + tokens, 0)
  return { kind: 'json', body: { embeddings }, use: { prompt, completion: 0 }, payloadKey: 'embeddings' }
}
