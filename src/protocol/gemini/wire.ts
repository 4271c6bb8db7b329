import type { Feature, Support, Wire } from '../../contracts/dialect.ts'
import { GeminiDecoder, geminiAnswer } from './wire-answer.ts'
import { geminiRequest } from './wire-request.ts'
import { geminiEmbed } from './wire-embed.ts'

const CARRIES: Readonly<Record<Feature, Support>> = {
  system: { mapped: 'As the system instruction; Gemma 2 and 3 get it at the beginning of the first turn.' },
  system_inside: { mapped: 'As a marked text in the user’s turn.' },
  message_name: 'no',
  prefill: { mapped: 'As the model’s last turn; whether the answer continues it is up to the model.' },
  image_base64: 'yes',
  image_url: { mapped: 'Fetched by the provider; the type is taken from the URL’s ending, JPEG where it has none.' },
  image_detail: 'no',
  audio: 'yes',
  file_base64: 'yes',
  file_url: { mapped: 'Fetched by the provider; the type is taken from the URL’s ending, PDF where it has none.' },
  file_id: { mapped: 'Only URIs of the provider’s own Files API; others are refused.' },
  tools: 'yes',
  tool_strict: { mapped: 'One strict tool has the calls of all tools validated.' },
  tool_custom: { mapped: 'As a function that takes the text as `input`.' },
  tool_choice: 'yes',
  tool_choice_named: 'yes',
  tool_choice_allowed: 'yes',
  single_tool_call: 'no',
  tool_result_error: { mapped: 'The result stands under `error` in place of `output`.' },
  tool_result_media: { mapped: 'Within the result from Gemini 3 on, after it before.' },
  server_tools: 'no',
  native_parts: 'no',
  reasoning_effort: {
    mapped: 'As a thinking level from Gemini 3 on, which cannot be turned off; as a budget for 2.5; left out before.',
  },
  reasoning_budget: { mapped: 'As it is, at least what the model must think; left out before Gemini 2.5.' },
  reasoning_history: { mapped: 'Only what Gemini itself has signed goes back; other reasoning is left out.' },
  reasoning_proof: {
    mapped: 'Returned at its place; calls that another backend made get the value that Google documents for that.',
  },
  json_object: 'yes',
  json_schema: 'yes',
  max_tokens: 'yes',
  temperature: 'yes',
  top_p: 'yes',
  top_k: 'yes',
  min_p: 'no',
  frequency_penalty: 'yes',
  presence_penalty: 'yes',
  repetition_penalty: 'no',
  seed: 'yes',
  stop: 'yes',
  n: 'yes',
  logit_bias: 'no',
  logprobs: 'yes',
  verbosity: 'no',
  audio_output: 'no',
  image_output: 'no',
  prediction: 'no',
  suffix: 'no',
  echo: 'no',
  cache_marks: 'no',
  user: 'no',
  metadata: 'no',
  service_tier: 'no',
  store: 'no',
  prompt_cache_key: 'no',
  safety_identifier: 'no',
}

/** The model as it stands in a path: `models/` before it is how the API itself lists them. */
const named = (model: string): string =>
  encodeURIComponent(model.startsWith('models/') ? model.slice('models/'.length) : model)

/** Gemini, models.generateContent (the base URL ends with /v1beta; on Vertex with publishers/google). */
export const geminiGenerateWire: Wire = {
  dialect: 'gemini.generate',
  framing: 'sse',
  path: (model, stream) =>
    stream ? `/models/${named(model)}:streamGenerateContent?alt=sse` : `/models/${named(model)}:generateContent`,
  headers: [],
  carries: CARRIES,
  request: geminiRequest,
  answer: geminiAnswer,
  stream: (sink) => new GeminiDecoder(sink),
  embed: geminiEmbed,
}
