/** What Ollama has beside chat: embeddings, and what is known of models. */
import { createHash } from 'node:crypto'
import { embed } from '../brain-embed.ts'
import type { Handler } from '../call.ts'
import { defaultDimensions } from '../embeddings.ts'
import { badRequest } from '../errors.ts'
import { Fields } from '../fields.ts'
import type { JsonObject } from '../json.ts'
import { SIM_MODELS } from '../models.ts'
import { countTokens } from '../tokens.ts'
import { checkName, WORDS } from './request.ts'

const DETAILS: JsonObject = {
  parent_model: '',
  format: 'gguf',
  family: 'sim',
  families: ['sim'],
  parameter_size: '1B',
  quantization_level: 'Q4_0',
}
const SINCE = '2025-01-01T00:00:00Z'
const CONTEXT = 131_072
const MAX_DIMENSIONS = 4096

export const listModels: Handler = () => ({
  kind: 'json',
  body: {
    models: SIM_MODELS.map((name) => ({
      name,
      model: name,
      modified_at: SINCE,
      size: 1_000_000,
      digest: createHash('sha256').update(name).digest('hex'),
      details: DETAILS,
    })),
  },
  payloadKey: 'models',
})

export const showModel: Handler = (call) => {
  checkName(call)
  return {
    kind: 'json',
    body: {
      license: '',
      modelfile: `FROM ${call.model}`,
      parameters: '',
      template: '{{ .Prompt }}',
      details: DETAILS,
      model_info: { 'general.architecture': 'sim', 'sim.context_length': CONTEXT, 'sim.embedding_length': 256 },
      capabilities: ['completion', 'tools', 'thinking', 'vision', 'embedding'],
      modified_at: SINCE,
    },
  }
}

export const version: Handler = () => ({ kind: 'json', body: { version: '0.13.0' } })

export const embedTexts: Handler = (call) => {
  checkName(call)
  const body = new Fields(WORDS, call.body, '')
  const input = body.get('input')
  const texts = typeof input === 'string' ? [input] : body.strings('input')
  if (texts === undefined) throw badRequest('invalid input type', 'input')
  const size = body.integer('dimensions', 1, MAX_DIMENSIONS) ?? defaultDimensions(call.model)
  const tokens = texts.reduce((sum, text) => sum + countTokens(text), 0)
  return {
    kind: 'json',
    body: {
      model: call.model,
      embeddings: texts.map((text) => [...embed(text, size)]),
      total_duration: tokens * 1_000_000,
      load_duration: 1_000_000,
      prompt_eval_count: tokens,
    },
    use: { prompt: tokens, completion: 0 },
    payloadKey: 'embeddings',
  }
}
