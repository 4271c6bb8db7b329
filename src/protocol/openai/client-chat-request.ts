import type {
  ChatRequest,
  Json,
  JsonObject,
  NativePart,
  OutputFormat,
  Reasoning,
  Tool,
  ToolChoice,
} from '../../contracts/canonical.ts'
import {
  badField,
  compact,
  isObject,
  listAt,
  maybeFlag,
  maybeNumber,
  maybeText,
  maybeWhole,
  objectAt,
  textAt,
} from '../canonical/read.ts'
import { cacheMark, fieldNames, unknownFields } from '../canonical/say.ts'
import { chatMessages } from './client-chat-messages.ts'

const KNOWN = fieldNames(`
  model messages stream stream_options tools functions tool_choice function_call parallel_tool_calls response_format
  reasoning_effort reasoning thinking include_reasoning max_tokens max_completion_tokens temperature top_p top_k min_p
  frequency_penalty presence_penalty repetition_penalty seed stop n logit_bias logprobs top_logprobs verbosity
  modalities audio prediction user metadata service_tier store prompt_cache_key safety_identifier web_search_options
`)

/** Reads a chat completion request (openai-openapi `CreateChatCompletionRequest`, plus what vLLM and OpenRouter add). */
export function chatRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  const { tools, serverTools } = toolsOf(sent)
  return compact<ChatRequest>({
    model,
    messages: chatMessages(sent['messages']),
    stream,
    tools,
    serverTools,
    toolChoice: toolChoice(sent['tool_choice'], 'tool_choice') ?? legacyChoice(sent['function_call']),
    parallelTools: maybeFlag(sent['parallel_tool_calls'], 'parallel_tool_calls'),
    format: outputFormat(sent['response_format']),
    reasoning: reasoningOf(sent),
    maxTokens:
      maybeWhole(sent['max_completion_tokens'], 'max_completion_tokens', 1) ??
      maybeWhole(sent['max_tokens'], 'max_tokens', 1),
    verbosity: maybeText(sent['verbosity'], 'verbosity'),
    modalities: texts(sent['modalities'], 'modalities'),
    audio: sent['audio'] == null ? undefined : objectAt(sent['audio'], 'audio'),
    prediction: sent['prediction'] ?? undefined,
    suffix: undefined,
    echo: undefined,
    unknown: unknownFields(sent, KNOWN),
    ...sampling(sent),
    ...common(sent),
    ...probabilities(sent),
  })
}

/** Fields that chat and legacy completions share. */
export function sampling(sent: JsonObject) {
  return {
    temperature: maybeNumber(sent['temperature'], 'temperature', 0),
    topP: maybeNumber(sent['top_p'], 'top_p', 0),
    topK: maybeWhole(sent['top_k'], 'top_k', -1),
    minP: maybeNumber(sent['min_p'], 'min_p', 0),
    frequencyPenalty: maybeNumber(sent['frequency_penalty'], 'frequency_penalty'),
    presencePenalty: maybeNumber(sent['presence_penalty'], 'presence_penalty'),
    repetitionPenalty: maybeNumber(sent['repetition_penalty'], 'repetition_penalty', 0),
    seed: maybeWhole(sent['seed'], 'seed', -Number.MAX_SAFE_INTEGER),
    stop: typeof sent['stop'] === 'string' ? [sent['stop']] : texts(sent['stop'], 'stop'),
    n: maybeWhole(sent['n'], 'n', 1),
    logitBias: logitBias(sent['logit_bias']),
  }
}

/** Fields that all APIs of OpenAI share. */
export function common(sent: JsonObject) {
  return {
    user: maybeText(sent['user'], 'user'),
    metadata: sent['metadata'] == null ? undefined : objectAt(sent['metadata'], 'metadata'),
    serviceTier: maybeText(sent['service_tier'], 'service_tier'),
    store: maybeFlag(sent['store'], 'store'),
    promptCacheKey: maybeText(sent['prompt_cache_key'], 'prompt_cache_key'),
    safetyIdentifier: maybeText(sent['safety_identifier'], 'safety_identifier'),
  }
}

function probabilities(sent: JsonObject) {
  const topLogprobs = maybeWhole(sent['top_logprobs'], 'top_logprobs')
  if (topLogprobs !== undefined && topLogprobs > 20) throw badField('top_logprobs', 'from 0 to 20')
  return { logprobs: maybeFlag(sent['logprobs'], 'logprobs'), topLogprobs }
}

export const texts = (value: Json | undefined, param: string): readonly string[] | undefined =>
  value === undefined || value === null
    ? undefined
    : listAt(value, param).map((item, i) => textAt(item, `${param}[${i}]`))

function logitBias(value: Json | undefined): Record<string, number> | undefined {
  if (value === undefined || value === null) return undefined
  const bias = objectAt(value, 'logit_bias')
  const out: Record<string, number> = {}
  for (const [token, weight] of Object.entries(bias)) {
    if (typeof weight !== 'number') throw badField(`logit_bias.${token}`, 'a number')
    out[token] = weight
  }
  return out
}

function toolsOf(sent: JsonObject): { tools: Tool[] | undefined; serverTools: NativePart[] | undefined } {
  const tools: Tool[] = []
  const serverTools: NativePart[] = []
  if (sent['tools'] != null)
    for (const [i, item] of listAt(sent['tools'], 'tools').entries()) {
      const tool = objectAt(item, `tools[${i}]`)
      const type = textAt(tool['type'], `tools[${i}].type`)
      if (type === 'function') tools.push(functionTool(tool, `tools[${i}]`))
      else if (type === 'custom')
        tools.push(customTool(objectAt(tool['custom'], `tools[${i}].custom`), `tools[${i}].custom`))
      else serverTools.push({ type: 'native', by: 'openai.chat', value: tool })
    }
  else if (sent['functions'] != null)
    for (const [i, item] of listAt(sent['functions'], 'functions').entries())
      tools.push(functionFields(objectAt(item, `functions[${i}]`), `functions[${i}]`))
  const search = sent['web_search_options']
  if (isObject(search)) serverTools.push({ type: 'native', by: 'openai.chat', value: { web_search_options: search } })
  return {
    tools: tools.length > 0 ? tools : undefined,
    serverTools: serverTools.length > 0 ? serverTools : undefined,
  }
}

function functionTool(tool: JsonObject, at: string): Tool {
  const found = functionFields(objectAt(tool['function'], `${at}.function`), `${at}.function`)
  const cache = cacheMark(tool, at)
  return cache === undefined ? found : { ...found, cache }
}

/** A function as the chat API and (flat) the Responses API describe it. */
export const functionFields = (inner: JsonObject, at: string): Tool =>
  compact<Tool>({
    name: textAt(inner['name'], `${at}.name`),
    description: maybeText(inner['description'], `${at}.description`),
    schema: inner['parameters'] == null ? null : objectAt(inner['parameters'], `${at}.parameters`),
    strict: maybeFlag(inner['strict'], `${at}.strict`),
    custom: undefined,
    cache: cacheMark(inner, at),
  })

/** A tool that takes free text. The grammar stays as the client wrote it. */
export const customTool = (inner: JsonObject, at: string): Tool =>
  compact<Tool>({
    name: textAt(inner['name'], `${at}.name`),
    description: maybeText(inner['description'], `${at}.description`),
    schema: null,
    strict: undefined,
    custom: isObject(inner['format']) ? { format: inner['format'] } : {},
    cache: cacheMark(inner, at),
  })

function legacyChoice(value: Json | undefined): ToolChoice | undefined {
  if (value === undefined || value === null) return undefined
  if (value === 'none' || value === 'auto') return { mode: value }
  return { mode: 'tool', name: textAt(objectAt(value, 'function_call')['name'], 'function_call.name') }
}

/** tool_choice of the chat API. */
function toolChoice(value: Json | undefined, at: string): ToolChoice | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') {
    if (value === 'auto' || value === 'none' || value === 'required') return { mode: value }
    if (value === 'any') return { mode: 'required' }
    throw badField(at, 'auto, none, required or an object')
  }
  const choice = objectAt(value, at)
  switch (choice['type']) {
    case 'function':
    case 'custom': {
      const kind = choice['type']
      return { mode: 'tool', name: textAt(objectAt(choice[kind], `${at}.${kind}`)['name'], `${at}.${kind}.name`) }
    }
    case 'allowed_tools': {
      const allowed = objectAt(choice['allowed_tools'], `${at}.allowed_tools`)
      return allowedTools(allowed, `${at}.allowed_tools`)
    }
    default:
      throw badField(`${at}.type`, 'function, custom or allowed_tools')
  }
}

/** `{mode, tools: [{type, name}]}`, the name in an object of its type in the chat API. */
export function allowedTools(allowed: JsonObject, at: string): ToolChoice {
  const names = listAt(allowed['tools'], `${at}.tools`).map((item, i) => {
    const tool = objectAt(item, `${at}.tools[${i}]`)
    const type = typeof tool['type'] === 'string' ? tool['type'] : 'function'
    const inner = isObject(tool[type]) ? tool[type] : tool
    return textAt(inner['name'], `${at}.tools[${i}].name`)
  })
  return { mode: 'allowed', names, required: allowed['mode'] === 'required' }
}

function outputFormat(value: Json | undefined): OutputFormat | undefined {
  if (value === undefined || value === null) return undefined
  const format = objectAt(value, 'response_format')
  if (format['type'] !== 'json_schema') return simpleFormat(format, 'response_format')
  return schemaFormat(objectAt(format['json_schema'], 'response_format.json_schema'), 'response_format.json_schema')
}

export function simpleFormat(format: JsonObject, at: string): OutputFormat | undefined {
  if (format['type'] === 'json_object') return { type: 'json' }
  if (format['type'] === 'text') return undefined
  throw badField(`${at}.type`, 'text, json_object or json_schema')
}

/** Without a schema any JSON will do: that is what OpenAI makes of it. */
export function schemaFormat(inner: JsonObject, at: string): OutputFormat {
  if (inner['schema'] == null) return { type: 'json' }
  return compact<OutputFormat & { type: 'schema' }>({
    type: 'schema',
    name: maybeText(inner['name'], `${at}.name`) ?? 'answer',
    description: maybeText(inner['description'], `${at}.description`),
    schema: objectAt(inner['schema'], `${at}.schema`),
    strict: maybeFlag(inner['strict'], `${at}.strict`),
  })
}

/**
 * `reasoning_effort` (OpenAI), `reasoning` {effort, max_tokens, exclude, enabled} (OpenRouter), `thinking` {type,
 * budget_tokens} (DeepSeek, GLM, LiteLLM).
 */
function reasoningOf(sent: JsonObject): Reasoning | undefined {
  const outer = sent['reasoning'] == null ? {} : objectAt(sent['reasoning'], 'reasoning')
  const thinking = sent['thinking'] == null ? {} : objectAt(sent['thinking'], 'thinking')
  let effort =
    maybeText(sent['reasoning_effort'], 'reasoning_effort') ?? maybeText(outer['effort'], 'reasoning.effort') ?? null
  const budget =
    maybeWhole(outer['max_tokens'], 'reasoning.max_tokens', 0) ??
    maybeWhole(thinking['budget_tokens'], 'thinking.budget_tokens', 0) ??
    null
  if (thinking['type'] === 'disabled' || outer['enabled'] === false) effort ??= 'none'
  if ((thinking['type'] === 'enabled' || outer['enabled'] === true) && budget === null) effort ??= 'medium'
  const exclude = maybeFlag(outer['exclude'], 'reasoning.exclude')
  const include = maybeFlag(sent['include_reasoning'], 'include_reasoning')
  const visible = exclude === undefined ? (include ?? null) : !exclude
  return effort === null && budget === null && visible === null ? undefined : { effort, budget, visible }
}
