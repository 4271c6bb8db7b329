import type { Json, JsonObject } from '../../contracts/canonical.ts'
import type { EmbedAnswer, EmbedRequest } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import { badField, compact, maybeText, maybeWhole } from '../canonical/read.ts'

type Sent = Readonly<Record<string, unknown>>

/** What of a request its answer depends on. */
export interface EmbedAsked {
  /** Texts. */
  readonly count: number
  readonly base64: boolean
  /** As the client named it. */
  readonly model: string
}

function textsOf(input: Json | undefined): readonly string[] {
  if (typeof input === 'string') return [input]
  if (!Array.isArray(input) || input.length === 0) throw badField('input', 'a string or a list of strings')
  return input.map((text, i) => {
    if (typeof text === 'string') return text
    if (typeof text === 'number' || Array.isArray(text))
      throw new GatewayError('unsupported_parameter', 'The backend of this model takes texts, not tokens.', {
        param: 'input',
      })
    throw badField(`input[${i}]`, 'a string')
  })
}

/** A request of `/v1/embeddings` (openai-openapi `CreateEmbeddingRequest`). Throws GatewayError. */
export function readEmbedRequest(sent: Sent): EmbedRequest {
  const body = sent as JsonObject
  return compact<EmbedRequest>({
    texts: textsOf(body['input']),
    dimensions: maybeWhole(body['dimensions'], 'dimensions', 1),
    user: maybeText(body['user'], 'user'),
    // As Cohere, Voyage and NVIDIA call it in their own and in compatible APIs.
    purpose: maybeText(body['input_type'], 'input_type'),
  })
}

export function embedAsked(sent: Sent, model: string): EmbedAsked {
  const { input, encoding_format: format } = sent
  return { count: Array.isArray(input) ? input.length : 1, base64: format === 'base64', model }
}

/** Little-endian float32, as OpenAI packs vectors. */
function packed(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4)
  for (let i = 0; i < vector.length; i++) bytes.writeFloatLE(vector[i]!, i * 4)
  return bytes.toString('base64')
}

/** An answer of `/v1/embeddings`, JSON. Without a count of the backend's own the tokens are 0. */
export function embedAnswer({ vectors, usage }: EmbedAnswer, { base64, model }: EmbedAsked): string {
  const tokens = usage?.inputTokens ?? 0
  return JSON.stringify({
    object: 'list',
    data: vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: base64 ? packed(vector) : vector,
    })),
    model,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  })
}
