import type { ChatRequest, Json, JsonObject, Tool, ToolChoice } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { isFields, put } from '../canonical/loose.ts'
import { parametersOf } from '../canonical/schema.ts'
import { cacheControl } from './wire-cache.ts'
import { chatMessages } from './wire-chat-messages.ts'
import { type ChatQuirks, chatQuirks } from './wire-chat-types.ts'

/** Body of POST /chat/completions, by ChatCompletionCreateParamsBase of openai 7.57. */
export function chatRequest(request: ChatRequest, target: WireTarget): JsonObject {
  const quirks = chatQuirks(target.type)
  const body: JsonObject = { model: target.model, messages: chatMessages(request.messages, quirks) }
  if (request.stream) {
    body['stream'] = true
    if (quirks.streamUsage) body['stream_options'] = { include_usage: true }
  }
  put(body, quirks.maxField, request.maxTokens)
  put(body, quirks.seedField, request.seed)
  addTools(body, request, quirks)
  addReasoning(body, request, quirks)
  if (request.format !== undefined) body['response_format'] = formatOf(request.format)
  if ((request.stop?.length ?? 0) > 0) body['stop'] = [...request.stop!]
  for (const [field, name] of FIELDS) put(body, name, request[field] as Json | undefined)
  return body
}

/** Fields that only have another name. */
const FIELDS: readonly (readonly [field: keyof ChatRequest, name: string])[] = [
  ['temperature', 'temperature'],
  ['topP', 'top_p'],
  ['topK', 'top_k'],
  ['minP', 'min_p'],
  ['frequencyPenalty', 'frequency_penalty'],
  ['presencePenalty', 'presence_penalty'],
  ['repetitionPenalty', 'repetition_penalty'],
  ['n', 'n'],
  ['logitBias', 'logit_bias'],
  ['logprobs', 'logprobs'],
  ['topLogprobs', 'top_logprobs'],
  ['verbosity', 'verbosity'],
  ['prediction', 'prediction'],
  ['user', 'user'],
  ['metadata', 'metadata'],
  ['serviceTier', 'service_tier'],
  ['store', 'store'],
  ['promptCacheKey', 'prompt_cache_key'],
  ['safetyIdentifier', 'safety_identifier'],
]

function addTools(body: JsonObject, request: ChatRequest, quirks: ChatQuirks): void {
  const { tools = [], toolChoice, parallelTools } = request
  if (tools.length === 0) return
  const official = quirks.official || toolChoice?.mode !== 'allowed'
  const offered = official ? tools : tools.filter((tool) => toolChoice.names.includes(tool.name))
  body['tools'] = offered.map((tool) => toolOf(tool, quirks))
  if (toolChoice !== undefined) body['tool_choice'] = choiceOf(toolChoice, tools, quirks)
  if (parallelTools !== undefined) body['parallel_tool_calls'] = parallelTools
}

function toolOf(tool: Tool, quirks: ChatQuirks): JsonObject {
  const written: JsonObject = { name: tool.name }
  put(written, 'description', tool.description)
  if (tool.custom !== undefined) {
    put(written, 'format', chatFormat(tool.custom['format']))
    return { type: 'custom', custom: written }
  }
  written['parameters'] = parametersOf(tool.schema)
  put(written, 'strict', tool.strict)
  const whole: JsonObject = { type: 'function', function: written }
  if (quirks.cache && tool.cache !== undefined) whole['cache_control'] = cacheControl(tool.cache)
  return whole
}

/** The Responses API has a grammar's fields beside its type, the chat API within `grammar`. */
function chatFormat(format: Json | undefined): Json | undefined {
  if (!isFields(format) || format['type'] !== 'grammar' || isFields(format['grammar'])) return format
  const { type, ...grammar } = format
  return { type, grammar }
}

function choiceOf(choice: ToolChoice, tools: readonly Tool[], quirks: ChatQuirks): Json {
  const named = (name: string): JsonObject =>
    tools.some((tool) => tool.name === name && tool.custom !== undefined)
      ? { type: 'custom', custom: { name } }
      : { type: 'function', function: { name } }
  if (choice.mode === 'tool') return named(choice.name)
  if (choice.mode !== 'allowed') return choice.mode
  const mode = choice.required ? 'required' : 'auto'
  return quirks.official ? { type: 'allowed_tools', allowed_tools: { mode, tools: choice.names.map(named) } } : mode
}

function formatOf(format: NonNullable<ChatRequest['format']>): JsonObject {
  if (format.type === 'json') return { type: 'json_object' }
  const schema: JsonObject = { name: format.name, schema: format.schema }
  put(schema, 'description', format.description)
  put(schema, 'strict', format.strict)
  return { type: 'json_schema', json_schema: schema }
}

function addReasoning(body: JsonObject, { reasoning }: ChatRequest, quirks: ChatQuirks): void {
  if (reasoning === undefined) return
  const { effort, budget, visible } = reasoning
  if (quirks.reasoning !== 'details') {
    const said = effort ?? (budget === null || budget < 0 ? null : effortOfBudget(budget))
    if (said !== null) body['reasoning_effort'] = said
    return
  }
  // OpenRouter takes one of both: openrouter.ai docs, reasoning tokens.
  const wanted: JsonObject = {}
  if (budget !== null && budget > 0) wanted['max_tokens'] = budget
  else if (effort !== null) wanted['effort'] = effort
  else if (budget !== null) wanted['enabled'] = budget !== 0
  if (visible === false) wanted['exclude'] = true
  if (Object.keys(wanted).length > 0) body['reasoning'] = wanted
}

/** Tokens to think, for those who only know how hard. */
export const effortOfBudget = (budget: number): string =>
  budget === 0 ? 'none' : budget < 1024 ? 'minimal' : budget <= 4096 ? 'low' : budget <= 16384 ? 'medium' : 'high'
