import type { ChatRequest, Media, Message, Part } from '../../contracts/canonical.ts'
import type { Feature } from '../../contracts/dialect.ts'

interface FeatureRow {
  /** The field as the chat API names it: what a refusal names, and what `x-heddle-dropped` says. */
  readonly param: string
  /**
   * hint: an answer without it is still an answer to the question (an id for abuse detection, a cache marker). semantic:
   * without it the client would get something else than it asked for.
   */
  readonly kind: 'hint' | 'semantic'
  /** For the reference. */
  readonly title: string
}

const semantic = (param: string, title: string): FeatureRow => ({ param, kind: 'semantic', title })
const hint = (param: string, title: string): FeatureRow => ({ param, kind: 'hint', title })

/** In the order of the reference. */
export const FEATURES: Readonly<Record<Feature, FeatureRow>> = {
  system: semantic('messages', 'Instructions'),
  system_inside: semantic('messages', 'Instructions in the middle of a conversation'),
  message_name: hint('messages.name', 'Names of participants'),
  prefill: semantic('messages', 'An answer begun by the client'),
  image_base64: semantic('messages.content', 'Images, in the request'),
  image_url: semantic('messages.content', 'Images, by URL'),
  image_detail: hint('messages.content.detail', 'Detail of images'),
  audio: semantic('messages.content', 'Recordings'),
  file_base64: semantic('messages.content', 'Documents, in the request'),
  file_url: semantic('messages.content', 'Documents, by URL'),
  file_id: semantic('messages.content', 'Files kept by the provider'),
  tools: semantic('tools', 'Tools'),
  tool_strict: hint('tools.strict', 'Arguments held strictly to their schema'),
  tool_custom: semantic('tools', 'Tools that take free text'),
  tool_choice: semantic('tool_choice', 'A tool must, or must not, be called'),
  tool_choice_named: semantic('tool_choice', 'One tool must be called'),
  tool_choice_allowed: semantic('tool_choice', 'Choice among some of the tools'),
  // What a backend cannot promise Heddle holds to itself: see Listener.
  single_tool_call: hint('parallel_tool_calls', 'At most one call at a time'),
  tool_result_error: hint('messages.content', 'Results marked as errors'),
  tool_result_media: semantic('messages.content', 'Images and files in results'),
  server_tools: semantic('tools', 'Tools that run at the provider'),
  native_parts: semantic('messages.content', 'Parts that only one dialect has'),
  reasoning_effort: semantic('reasoning_effort', 'How hard to think'),
  reasoning_budget: semantic('reasoning.max_tokens', 'How many tokens to think'),
  reasoning_history: hint('messages.reasoning', 'Earlier reasoning, as text'),
  reasoning_proof: hint('messages.reasoning', 'Signed or encrypted reasoning'),
  json_object: semantic('response_format', 'JSON of any shape'),
  json_schema: semantic('response_format', 'JSON by a schema'),
  max_tokens: semantic('max_tokens', 'Length of the answer'),
  temperature: semantic('temperature', 'Temperature'),
  top_p: semantic('top_p', 'Nucleus sampling'),
  top_k: semantic('top_k', 'Top-k sampling'),
  min_p: semantic('min_p', 'Min-p sampling'),
  frequency_penalty: semantic('frequency_penalty', 'Frequency penalty'),
  presence_penalty: semantic('presence_penalty', 'Presence penalty'),
  repetition_penalty: semantic('repetition_penalty', 'Repetition penalty'),
  seed: hint('seed', 'Seed'),
  stop: semantic('stop', 'Stop sequences'),
  n: semantic('n', 'Several answers'),
  logit_bias: semantic('logit_bias', 'Bias of tokens'),
  logprobs: semantic('logprobs', 'Probabilities of tokens'),
  verbosity: hint('verbosity', 'Verbosity'),
  audio_output: semantic('modalities', 'Spoken answers'),
  image_output: semantic('modalities', 'Images as answers'),
  prediction: hint('prediction', 'Predicted output'),
  suffix: semantic('suffix', 'Text after the gap'),
  echo: semantic('echo', 'The prompt repeated in the answer'),
  cache_marks: hint('cache_control', 'Prompt-cache markers'),
  user: hint('user', 'End user'),
  metadata: hint('metadata', 'Metadata'),
  service_tier: hint('service_tier', 'Service tier'),
  store: hint('store', 'Keeping the answer at the provider'),
  prompt_cache_key: hint('prompt_cache_key', 'Prompt-cache key'),
  safety_identifier: hint('safety_identifier', 'Safety identifier'),
}

/** What a request uses; a bit set would be no faster than its reading. */
export function featuresIn(request: ChatRequest): Set<Feature> {
  const found = new Set<Feature>()
  const note = (feature: Feature, used: boolean): void => {
    if (used) found.add(feature)
  }
  messageFeatures(request.messages, found)
  toolFeatures(request, note)
  outputFeatures(request, note)
  samplingFeatures(request, note)
  note('user', request.user !== undefined)
  note('metadata', request.metadata !== undefined && Object.keys(request.metadata).length > 0)
  note('service_tier', request.serviceTier !== undefined && request.serviceTier !== 'auto')
  note('store', request.store === true)
  note('prompt_cache_key', request.promptCacheKey !== undefined)
  note('safety_identifier', request.safetyIdentifier !== undefined)
  return found
}

type Note = (feature: Feature, used: boolean) => void

function toolFeatures(request: ChatRequest, note: Note): void {
  const { tools = [], toolChoice } = request
  note('tools', tools.length > 0)
  note(
    'tool_strict',
    tools.some((tool) => tool.strict === true),
  )
  note(
    'tool_custom',
    tools.some((tool) => tool.custom !== undefined),
  )
  note(
    'cache_marks',
    tools.some((tool) => tool.cache !== undefined),
  )
  note('server_tools', (request.serverTools?.length ?? 0) > 0)
  note('tool_choice', toolChoice?.mode === 'required' || (toolChoice?.mode === 'none' && tools.length > 0))
  note('tool_choice_named', toolChoice?.mode === 'tool')
  note('tool_choice_allowed', toolChoice?.mode === 'allowed')
  note('single_tool_call', request.parallelTools === false && tools.length > 0)
}

function outputFeatures(request: ChatRequest, note: Note): void {
  const { format, reasoning, modalities } = request
  note('json_object', format?.type === 'json')
  note('json_schema', format?.type === 'schema')
  // Not to think is what every backend can do that cannot think.
  note('reasoning_effort', (reasoning?.effort ?? 'none') !== 'none')
  note('reasoning_budget', (reasoning?.budget ?? 0) !== 0)
  note('verbosity', request.verbosity !== undefined)
  note('audio_output', modalities?.includes('audio') === true)
  note('image_output', modalities?.includes('image') === true)
  note('prediction', request.prediction !== undefined && request.prediction !== null)
  note('suffix', request.suffix !== undefined && request.suffix !== '')
  note('echo', request.echo === true)
  note('logprobs', request.logprobs === true)
  note('n', (request.n ?? 1) > 1)
}

function samplingFeatures(request: ChatRequest, note: Note): void {
  note('max_tokens', request.maxTokens !== undefined)
  note('temperature', request.temperature !== undefined)
  note('top_p', request.topP !== undefined)
  note('top_k', request.topK !== undefined)
  note('min_p', request.minP !== undefined)
  // Zero is what all backends do unasked.
  note('frequency_penalty', (request.frequencyPenalty ?? 0) !== 0)
  note('presence_penalty', (request.presencePenalty ?? 0) !== 0)
  note('repetition_penalty', (request.repetitionPenalty ?? 1) !== 1)
  note('seed', request.seed !== undefined)
  note('stop', (request.stop?.length ?? 0) > 0)
  note('logit_bias', request.logitBias !== undefined && Object.keys(request.logitBias).length > 0)
}

function messageFeatures(messages: readonly Message[], found: Set<Feature>): void {
  let inside = false
  for (const message of messages) {
    const instructs = message.role === 'system' || message.role === 'developer'
    if (instructs) found.add(inside ? 'system_inside' : 'system')
    else inside = true
    if (message.name !== undefined) found.add('message_name')
    for (const part of message.parts) partFeatures(part, found, false)
  }
  if (messages.at(-1)?.role === 'assistant') found.add('prefill')
}

function partFeatures(part: Part, found: Set<Feature>, inResult: boolean): void {
  if ('cache' in part && part.cache !== undefined) found.add('cache_marks')
  if ('signature' in part && part.signature !== undefined) found.add('reasoning_proof')
  switch (part.type) {
    case 'image':
      found.add(inResult ? 'tool_result_media' : mediaFeature(part.source, 'image_base64', 'image_url'))
      if (part.detail !== undefined && part.detail !== 'auto') found.add('image_detail')
      return
    case 'audio':
      found.add('audio')
      return
    case 'file':
      found.add(inResult ? 'tool_result_media' : mediaFeature(part.source, 'file_base64', 'file_url'))
      return
    case 'reasoning':
      if (part.text !== '') found.add('reasoning_history')
      if (part.redacted !== undefined) found.add('reasoning_proof')
      return
    case 'tool_result':
      if (part.error === true) found.add('tool_result_error')
      for (const inner of part.content) partFeatures(inner, found, true)
      return
    case 'native':
      found.add('native_parts')
      return
    default:
  }
}

const mediaFeature = (source: Media, base64: Feature, url: Feature): Feature =>
  source.kind === 'base64' ? base64 : source.kind === 'url' ? url : 'file_id'
