import type { Feature, Support, Wire } from '../../contracts/dialect.ts'
import { ChatDecoder, chatAnswer } from './wire-chat-answer.ts'
import { chatRequest } from './wire-chat-request.ts'
import { chatQuirks, QUIRKY_TYPES } from './wire-chat-types.ts'

/** Of providers that are like most; src/protocol/openai/wire-chat-types.ts has what differs. */
const CARRIES: Readonly<Record<Feature, Support>> = {
  system: { mapped: 'The role `developer` becomes `system` where the provider is not OpenAI.' },
  system_inside: 'yes',
  message_name: 'yes',
  prefill: { mapped: 'Sent as it is; whether the answer continues it is up to the provider, OpenAI begins anew.' },
  image_base64: { mapped: 'As a data URL.' },
  image_url: 'yes',
  image_detail: 'yes',
  audio: { mapped: 'In the request only, not by URL.' },
  file_base64: { mapped: 'As a data URL.' },
  file_url: 'no',
  file_id: { mapped: 'Only ids of the provider’s own Files API; others are refused.' },
  tools: 'yes',
  tool_strict: 'yes',
  tool_custom: { mapped: 'As a function that takes the text as `input`.' },
  tool_choice: 'yes',
  tool_choice_named: 'yes',
  tool_choice_allowed: { mapped: 'As it is for OpenAI; others are sent only the allowed tools.' },
  single_tool_call: 'yes',
  tool_result_error: 'no',
  tool_result_media: { mapped: 'In a message of the user after the results.' },
  server_tools: 'no',
  native_parts: 'no',
  reasoning_effort: 'yes',
  reasoning_budget: { mapped: 'As an effort by its size.' },
  reasoning_history: 'no',
  reasoning_proof: { mapped: 'What an answer of the same API had: OpenRouter’s blocks, Google’s signatures of calls.' },
  json_object: 'yes',
  json_schema: 'yes',
  max_tokens: { mapped: 'As `max_completion_tokens` for OpenAI and Azure, else as `max_tokens`.' },
  temperature: 'yes',
  top_p: 'yes',
  top_k: { mapped: 'Outside OpenAI’s API: providers that do not know it refuse or ignore it.' },
  min_p: { mapped: 'Outside OpenAI’s API: providers that do not know it refuse or ignore it.' },
  frequency_penalty: 'yes',
  presence_penalty: 'yes',
  repetition_penalty: { mapped: 'Outside OpenAI’s API: providers that do not know it refuse or ignore it.' },
  seed: 'yes',
  stop: 'yes',
  n: 'yes',
  logit_bias: 'yes',
  logprobs: 'yes',
  verbosity: 'yes',
  audio_output: 'no',
  image_output: 'no',
  prediction: 'yes',
  suffix: 'no',
  echo: 'no',
  cache_marks: 'no',
  user: 'yes',
  metadata: 'yes',
  service_tier: 'yes',
  store: 'yes',
  prompt_cache_key: 'yes',
  safety_identifier: 'yes',
}

const wireFor = (carries: Wire['carries']): Wire => ({
  dialect: 'openai.chat',
  framing: 'sse',
  path: () => '/chat/completions',
  headers: [],
  carries,
  request: chatRequest,
  answer: chatAnswer,
  stream: (sink) => new ChatDecoder(sink),
})

const COMMON = wireFor(CARRIES)
const BY_TYPE: ReadonlyMap<string, Wire> = new Map(
  QUIRKY_TYPES.map((type) => [type, wireFor({ ...CARRIES, ...chatQuirks(type).carries })]),
)

/** The chat API, POST /chat/completions. type: of the provider, as in the configuration; its table depends on it. */
export const openaiChatWire = (type: string): Wire => BY_TYPE.get(type) ?? COMMON
