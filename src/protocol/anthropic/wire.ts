import type { Feature, Support, Wire } from '../../contracts/dialect.ts'
import { AnthropicDecoder, anthropicAnswer } from './wire-answer.ts'
import { anthropicRequest } from './wire-request.ts'

const CARRIES: Readonly<Record<Feature, Support>> = {
  system: 'yes',
  system_inside: {
    mapped: 'Claude Opus 4.8 and 5 get it as a system message of its own; others as a marked text in the user’s turn.',
  },
  message_name: 'no',
  prefill: { mapped: 'Sent as it is, without white space at its end; models from Claude 4.6 on refuse it.' },
  image_base64: 'yes',
  image_url: 'yes',
  image_detail: 'no',
  audio: 'no',
  file_base64: { mapped: 'PDF as it is, texts as plain text; other types are refused.' },
  file_url: { mapped: 'Fetched by the provider, which takes PDF only.' },
  file_id: { mapped: 'Only ids of the provider’s own Files API; others are refused.' },
  tools: 'yes',
  tool_strict: { mapped: 'From Claude 4.5 on, with objects closed and limits told in the description; else left out.' },
  tool_custom: { mapped: 'As a function that takes the text as `input`.' },
  tool_choice: { mapped: 'As it is; a call that must be made turns thinking off.' },
  tool_choice_named: { mapped: 'As it is; a call that must be made turns thinking off.' },
  tool_choice_allowed: { mapped: 'Only the allowed tools are sent.' },
  single_tool_call: 'yes',
  tool_result_error: 'yes',
  tool_result_media: { mapped: 'Images, PDF and texts; other types are refused.' },
  server_tools: 'no',
  native_parts: 'no',
  reasoning_effort: {
    mapped: 'As effort where the model has it, else as a budget of tokens; `minimal` becomes `low`.',
  },
  reasoning_budget: {
    mapped:
      'As it is, at least 1024 and below the length of the answer; models without budgets get an effort by its size.',
  },
  reasoning_history: { mapped: 'Only what Claude itself has signed goes back; other reasoning is left out.' },
  reasoning_proof: 'yes',
  json_object: { mapped: 'As a tool that must be called and takes any object; turns thinking off.' },
  json_schema: {
    mapped:
      'From Claude 4.5 on by constrained decoding, with objects closed and limits told in the description; before as a tool that must be called.',
  },
  max_tokens: 'yes',
  temperature: { mapped: 'At most 1; left out while the model thinks, and for models from Claude Opus 4.7 on.' },
  top_p: { mapped: 'Left out beside a temperature, while the model thinks (below 0.95), and from Claude Opus 4.7 on.' },
  top_k: { mapped: 'Left out while the model thinks, and for models from Claude Opus 4.7 on.' },
  min_p: 'no',
  frequency_penalty: 'no',
  presence_penalty: 'no',
  repetition_penalty: 'no',
  seed: 'no',
  stop: { mapped: 'As it is, without sequences of white space alone.' },
  n: 'no',
  logit_bias: 'no',
  logprobs: 'no',
  verbosity: 'no',
  audio_output: 'no',
  image_output: 'no',
  prediction: 'no',
  suffix: 'no',
  echo: 'no',
  cache_marks: { mapped: 'The last four; lifetimes other than 5m and 1h become the default.' },
  user: 'yes',
  metadata: 'no',
  service_tier: { mapped: '`priority` as `auto`, all others as `standard_only`.' },
  store: 'no',
  prompt_cache_key: 'no',
  safety_identifier: { mapped: 'As the user id, where the request names no user.' },
}

/** Anthropic Messages, POST /v1/messages (the base URL ends with /v1). */
export const anthropicMessagesWire: Wire = {
  dialect: 'anthropic.messages',
  framing: 'sse',
  path: () => '/messages',
  headers: ['anthropic-version', '2023-06-01'],
  carries: CARRIES,
  request: anthropicRequest,
  answer: anthropicAnswer,
  stream: (sink) => new AnthropicDecoder(sink),
}
