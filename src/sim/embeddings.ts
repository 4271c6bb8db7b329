/** `POST /v1/embeddings`. */
import type { Answer } from './answer.ts'
import { embed } from './brain-embed.ts'
import type { Call } from './call.ts'
import { badRequest } from './errors.ts'
import type { Json } from './json.ts'
import { asArray } from './json.ts'
import { tokensAsText } from './legacy.ts'
import { integerIn, oneOf, required } from './params.ts'
import { countTokens } from './tokens.ts'

const MAX_INPUTS = 2048
const MAX_DIMENSIONS = 4096

/** As long as the vendor's for the names people know; short for the rest. */
export const defaultDimensions = (model: string): number => {
  if (/embedding-3-large/.test(model)) return 3072
  return /text-embedding/.test(model) ? 1536 : 256
}

interface Input {
  readonly text: string
  readonly tokens: number
}

const readInput = (item: Json): Input => {
  if (typeof item === 'string') {
    if (item === '')
      throw badRequest(
        "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
        'input',
      )
    return { text: item, tokens: countTokens(item) }
  }
  const tokens = asArray(item)
  if (tokens === undefined || tokens.length === 0)
    throw badRequest("'$.input' is invalid: expected a string or an array of tokens.", 'input')
  return { text: tokensAsText(tokens, 'input'), tokens: tokens.length }
}

const readInputs = (value: Json): Input[] => {
  const items = asArray(value)
  if (items === undefined) return [readInput(value)]
  if (items.length === 0 || items.length > MAX_INPUTS) {
    throw badRequest(`Invalid 'input': expected an array of 1 to ${MAX_INPUTS} items.`, 'input', 'invalid_value')
  }
  return typeof items[0] === 'number' ? [readInput(items)] : items.map(readInput)
}

const asBase64 = (vector: Float32Array): string => {
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4)
  return bytes.toString('base64')
}

export const embeddings = (call: Call): Answer => {
  const { body } = call
  const inputs = readInputs(required(body, 'input'))
  const format = oneOf(body, 'encoding_format', ['float', 'base64']) ?? 'float'
  const dimensions = integerIn(body, 'dimensions', 1, MAX_DIMENSIONS) ?? defaultDimensions(call.model)
  const data = inputs.map((input, index) => {
    const vector = embed(input.text, dimensions)
    return { object: 'embedding', index, embedding: format === 'base64' ? asBase64(vector) : [...vector] }
  })
  const tokens = inputs.reduce((sum, input) => sum + input.tokens, 0)
  return {
    kind: 'json',
    body: { object: 'list', data, model: call.model, usage: { prompt_tokens: tokens, total_tokens: tokens } },
    use: { prompt: tokens, completion: 0 },
    payloadKey: 'data',
  }
}
