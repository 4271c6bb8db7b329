import type { ChatRequest, JsonObject } from '../../contracts/canonical.ts'
import type { PromptConfig } from '../../contracts/config-mapping.ts'
import type { Feature, Support, Wire, WireTarget } from '../../contracts/dialect.ts'
import { put } from '../canonical/loose.ts'
import { bareSchema } from '../canonical/schema.ts'
import { presetPrompt } from '../templates/defaults.ts'
import { renderPrompt } from '../templates/prompt.ts'
import { askedOf } from '../templates/trim.ts'
import { TgiDecoder, tgiAnswer } from './wire-answer.ts'

const CARRIES: Readonly<Record<Feature, Support>> = {
  system: { mapped: 'Within the prompt, in the words of the model where its name tells them.' },
  system_inside: { mapped: 'Within the prompt.' },
  message_name: 'no',
  prefill: 'yes',
  image_base64: 'no',
  image_url: 'no',
  image_detail: 'no',
  audio: 'no',
  file_base64: 'no',
  file_url: 'no',
  file_id: 'no',
  tools: 'no',
  tool_strict: 'no',
  tool_custom: 'no',
  tool_choice: 'no',
  tool_choice_named: 'no',
  tool_choice_allowed: 'no',
  single_tool_call: 'no',
  tool_result_error: 'no',
  tool_result_media: 'no',
  server_tools: 'no',
  native_parts: 'no',
  reasoning_effort: 'no',
  reasoning_budget: 'no',
  reasoning_history: 'no',
  reasoning_proof: 'no',
  json_object: { mapped: 'As a grammar that takes any object.' },
  json_schema: { mapped: 'As a grammar.' },
  max_tokens: 'yes',
  temperature: { mapped: 'As it is; 0 turns sampling off.' },
  top_p: { mapped: 'As it is; 0 and 1, which the server refuses, are left out.' },
  top_k: 'yes',
  min_p: 'no',
  frequency_penalty: 'yes',
  presence_penalty: 'no',
  repetition_penalty: 'yes',
  seed: 'yes',
  stop: 'yes',
  n: 'no',
  logit_bias: 'no',
  logprobs: 'no',
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

/** Presets of prompts by pieces of model names: the server itself does not say which words its model knows. */
const PROMPTS = (
  [
    ['llama-3', 'llama3'],
    ['llama3', 'llama3'],
    ['qwen', 'chatml'],
    ['hermes', 'chatml'],
    ['mistral', 'inst'],
    ['mixtral', 'inst'],
    ['llama-2', 'inst'],
    ['', 'plain'],
  ] as const
).map(([piece, preset]) => ({ piece, prompt: presetPrompt(preset)! }))

const promptFor = (model: string): PromptConfig =>
  PROMPTS.find(({ piece }) => model.toLowerCase().includes(piece))!.prompt

/** Body of POST /generate, by GenerateRequest of docs/openapi.json of text-generation-inference. */
function tgiRequest(request: ChatRequest, target: WireTarget): JsonObject {
  // Whole answers count the prompt only where its tokens are listed; streams refuse that, and count it unasked.
  const parameters: JsonObject = request.stream ? { details: true } : { details: true, decoder_input_details: true }
  // Unasked it answers with no more than 100 tokens.
  put(parameters, 'max_new_tokens', request.maxTokens ?? (target.maxOutputTokens > 0 ? target.maxOutputTokens : 1024))
  const { temperature, topP, topK, stop = [], format } = request
  if (temperature !== undefined && temperature > 0) parameters['temperature'] = temperature
  if (temperature !== undefined) parameters['do_sample'] = temperature > 0
  if (topP !== undefined && topP > 0 && topP < 1) parameters['top_p'] = topP
  if (topK !== undefined && topK > 0) parameters['top_k'] = topK
  put(parameters, 'frequency_penalty', request.frequencyPenalty)
  put(parameters, 'repetition_penalty', request.repetitionPenalty)
  put(parameters, 'seed', request.seed)
  if (stop.length > 0) parameters['stop'] = [...stop]
  if (format !== undefined)
    parameters['grammar'] = {
      type: 'json',
      value: format.type === 'schema' ? bareSchema(format.schema) : { type: 'object' },
    }
  return { inputs: renderPrompt(request, promptFor(target.model)), parameters }
}

/** Text Generation Inference's own API: one prompt, one text. */
export const tgiGenerateWire: Wire = {
  dialect: 'tgi.generate',
  framing: 'sse',
  path: (_model, stream) => (stream ? '/generate_stream' : '/generate'),
  headers: [],
  carries: CARRIES,
  request: tgiRequest,
  asked: (request) => askedOf(request, ''),
  answer: tgiAnswer,
  stream: (sink, asked) => new TgiDecoder(sink, asked),
}
