/** `POST /v1/chat/completions`: from the request body to a Prompt. */
import type { Call } from './call.ts'
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asObject, asString, isObject, table } from './json.ts'
import { flag, integerIn, list, numberIn, required, stopSequences, text } from './params.ts'
import { readContent } from './parts.ts'
import type { Message, OutputFormat, Prompt, Role, ToolChoice, ToolSpec } from './prompt.ts'

const ROLES = table<Role>({
  system: 'system',
  developer: 'system',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
  function: 'tool',
})

interface RawCall {
  readonly id: string
  readonly name: string
  readonly input: string
}

const rawCalls = (message: JsonObject): RawCall[] => {
  const calls = (asArray(message['tool_calls']) ?? []).map((item): RawCall => {
    const call = asObject(item)
    const target = asObject(call?.['function']) ?? asObject(call?.['custom'])
    const input = asString(target?.['arguments']) ?? asString(target?.['input']) ?? ''
    return { id: asString(call?.['id']) ?? '', name: asString(target?.['name']) ?? '', input }
  })
  const legacy = asObject(message['function_call'])
  const name = asString(legacy?.['name'])
  return name === undefined ? calls : [...calls, { id: '', name, input: asString(legacy?.['arguments']) ?? '' }]
}

const checkAnswered = (open: ReadonlyMap<string, string>, at: number): void => {
  if (open.size === 0) return
  const message =
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. " +
    `The following tool_call_ids did not have response messages: ${[...open.keys()].join(', ')}`
  throw badRequest(message, `messages.[${at}].role`)
}

const readMessages = (call: Call): Message[] => {
  const raw = list(call.body, 'messages') ?? asArray(required(call.body, 'messages')) ?? []
  if (raw.length === 0)
    throw badRequest("Invalid 'messages': empty array. Expected at least 1 item.", 'messages', 'empty_array')
  const known = (id: string): boolean => call.state.files.has(id)
  let open = new Map<string, string>()
  const messages = raw.map((item, index): Message => {
    const at = `messages[${index}]`
    const message = asObject(item)
    if (message === undefined) throw badRequest(`Invalid type for '${at}': expected an object.`, at, 'invalid_type')
    const name = asString(message['role']) ?? ''
    const role = ROLES[name]
    if (role === undefined) {
      const roles = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'"
      throw badRequest(`Invalid value: '${name}'. Supported values are: ${roles}.`, `${at}.role`, 'invalid_value')
    }
    const { text: content, media } = readContent(message['content'], `${at}.content`, known)
    if (name === 'tool') {
      const id = asString(message['tool_call_id']) ?? ''
      const toolName = open.get(id)
      if (toolName === undefined) {
        throw badRequest(
          "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
          `messages.[${index}].role`,
        )
      }
      open.delete(id)
      return { role, text: content, media, calls: [], toolName }
    }
    checkAnswered(open, index)
    const calls = role === 'assistant' ? rawCalls(message) : []
    if (
      content === '' &&
      media.length === 0 &&
      calls.length === 0 &&
      message['content'] === undefined &&
      role !== 'assistant'
    ) {
      throw badRequest(`Missing required parameter: '${at}.content'.`, `${at}.content`, 'missing_required_parameter')
    }
    open = new Map(calls.filter(({ id }) => id !== '').map(({ id, name: tool }) => [id, tool]))
    return { role, text: content, media, calls, toolName: name === 'function' ? asString(message['name']) : undefined }
  })
  checkAnswered(open, raw.length)
  return messages
}

const readTool = (item: Json, at: string): ToolSpec => {
  const tool = asObject(item)
  const kind = tool?.['type'] === 'custom' ? 'custom' : 'function'
  const spec = asObject(tool?.[kind])
  const name = asString(spec?.['name'])
  if (name === undefined)
    throw badRequest(
      `Missing required parameter: '${at}.${kind}.name'.`,
      `${at}.${kind}.name`,
      'missing_required_parameter',
    )
  if (!/^[\w.-]{1,128}$/.test(name)) {
    throw badRequest(
      `Invalid '${at}.${kind}.name': string does not match pattern.`,
      `${at}.${kind}.name`,
      'invalid_value',
    )
  }
  return {
    kind,
    name,
    description: asString(spec?.['description']) ?? '',
    parameters: spec?.['parameters'] ?? {},
    strict: spec?.['strict'] === true,
  }
}

const readTools = (body: JsonObject): ToolSpec[] => {
  const tools = (list(body, 'tools') ?? []).map((item, index) => readTool(item, `tools[${index}]`))
  const functions = list(body, 'functions') ?? []
  return [
    ...tools,
    ...functions.map((item, index) => readTool({ type: 'function', function: item }, `functions[${index}]`)),
  ]
}

const named = (tools: readonly ToolSpec[], name: string | undefined, param: string): ToolChoice => {
  if (name === undefined || !tools.some((tool) => tool.name === name)) {
    throw badRequest(`Tool choice '${name ?? ''}' not found in 'tools' parameter.`, param)
  }
  return { mode: 'named', name }
}

interface Chosen {
  readonly choice: ToolChoice
  readonly tools: readonly ToolSpec[]
}

const readAllowed = (allowed: JsonObject, tools: readonly ToolSpec[]): Chosen => {
  const targets = (asArray(allowed['tools']) ?? []).map((item) => asObject(asObject(item)?.['function']))
  const names = new Set(targets.map((target) => asString(target?.['name'])))
  const mode = allowed['mode'] === 'required' ? 'required' : 'auto'
  return { choice: { mode }, tools: tools.filter((tool) => names.has(tool.name)) }
}

/** `tool_choice`, or `function_call` of the older form. */
const rawChoice = (body: JsonObject): Json => {
  const legacy = body['function_call']
  return body['tool_choice'] ?? (isObject(legacy) ? { type: 'function', function: legacy } : legacy) ?? 'auto'
}

/** Also narrows the tools, for `allowed_tools`. */
const readToolChoice = (body: JsonObject, tools: readonly ToolSpec[]): Chosen => {
  if (body['tool_choice'] !== undefined && body['tool_choice'] !== null && tools.length === 0) {
    throw badRequest("'tool_choice' is only allowed when 'tools' are specified.", 'tool_choice')
  }
  const raw = rawChoice(body)
  if (raw === 'auto' || raw === 'none' || raw === 'required') return { choice: { mode: raw }, tools }
  const object = asObject(raw)
  const allowed = object?.['type'] === 'allowed_tools' ? asObject(object['allowed_tools']) : undefined
  if (allowed !== undefined) return readAllowed(allowed, tools)
  const target = asObject(object?.['function']) ?? asObject(object?.['custom'])
  if (target === undefined) {
    const message = "Invalid value for 'tool_choice': expected 'none', 'auto', 'required' or a tool."
    throw badRequest(message, 'tool_choice', 'invalid_value')
  }
  return { choice: named(tools, asString(target['name']), 'tool_choice'), tools }
}

export const readFormat = (
  format: JsonObject | undefined,
  nested: JsonObject | undefined,
  param: string,
): OutputFormat => {
  const type = asString(format?.['type']) ?? 'text'
  if (type === 'text' || type === 'json_object') return { type }
  if (type !== 'json_schema') {
    const message = `Invalid value: '${type}'. Supported values are: 'json_object', 'json_schema', and 'text'.`
    throw badRequest(message, `${param}.type`, 'invalid_value')
  }
  const schema = nested?.['schema']
  if (asString(nested?.['name']) === undefined) {
    throw badRequest(`Missing required parameter: '${param}.name'.`, `${param}.name`, 'missing_required_parameter')
  }
  if (schema !== undefined && !isObject(schema))
    throw badRequest(`Invalid type for '${param}.schema': expected an object.`, `${param}.schema`, 'invalid_type')
  return { type, schema: schema ?? {}, strict: nested?.['strict'] === true }
}

const MAX_TOKENS = 1_000_000

/** Throws ApiError 400 as the API does. */
export const readChatPrompt = (call: Call): Prompt => {
  const { body } = call
  numberIn(body, 'temperature', 0, 2)
  numberIn(body, 'top_p', 0, 1)
  numberIn(body, 'presence_penalty', -2, 2)
  numberIn(body, 'frequency_penalty', -2, 2)
  const tools = readTools(body)
  const choice = readToolChoice(body, tools)
  const format = asObject(body['response_format'])
  const schema = asObject(format?.['json_schema'])
  return {
    model: call.model,
    messages: readMessages(call),
    tools: choice.tools,
    toolChoice: choice.choice,
    parallel: flag(body, 'parallel_tool_calls') ?? true,
    format: readFormat(format, schema, 'response_format.json_schema'),
    seed: integerIn(body, 'seed', Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) ?? 0,
    stop: stopSequences(body),
    maxTokens: integerIn(body, 'max_completion_tokens', 1, MAX_TOKENS) ?? integerIn(body, 'max_tokens', 1, MAX_TOKENS),
    minTokens: integerIn(body, 'min_tokens', 0, MAX_TOKENS) ?? 0,
    effort: text(body, 'reasoning_effort'),
    suffix: call.suffix,
  }
}
