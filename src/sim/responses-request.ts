/** `POST /v1/responses`: from the request body to a Prompt. */
import { createHmac } from 'node:crypto'
import type { Call, SimState, StoredResponse } from './call.ts'
import { readFormat } from './chat-request.ts'
import { ApiError, badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asObject, asString } from './json.ts'
import { flag, integerIn, list, numberIn, required, text } from './params.ts'
import { readContent } from './parts.ts'
import type { Message, Prompt, ToolChoice, ToolSpec } from './prompt.ts'

const sign = (state: SimState, id: string): string =>
  createHmac('sha256', state.organisation).update(id).digest('base64url')

/** Opaque to clients; only the simulator that made it accepts it back. */
export const encryptReasoning = (state: SimState, id: string): string =>
  `${Buffer.from(id).toString('base64url')}.${sign(state, id)}`

const checkReasoning = (state: SimState, item: JsonObject, at: string): void => {
  const sealed = asString(item['encrypted_content'])
  if (sealed === undefined) return
  const [id = '', signature = ''] = sealed.split('.')
  if (sign(state, Buffer.from(id, 'base64url').toString()) === signature) return
  const message = `The encrypted content for item ${asString(item['id']) ?? at} could not be verified. Reason: Encrypted content could not be decrypted or parsed.`
  throw badRequest(message, null, 'invalid_encrypted_content')
}

const inputItems = (body: JsonObject): Json[] => {
  const input = body['input']
  if (typeof input === 'string') return [{ type: 'message', role: 'user', content: input }]
  const items = asArray(input) ?? asArray(required(body, 'input'))
  if (items === undefined)
    throw badRequest("Invalid type for 'input': expected one of a string or array of items.", 'input', 'invalid_type')
  return items
}

const dereference = (state: SimState, item: JsonObject): JsonObject => {
  const type =
    asString(item['type']) ?? (item['role'] === undefined && item['id'] !== undefined ? 'item_reference' : 'message')
  if (type !== 'item_reference') return item
  const id = asString(item['id']) ?? ''
  const found = state.items.get(id)
  if (found === undefined) throw new ApiError(404, `Item with id '${id}' not found.`, { param: 'input', code: null })
  return found
}

interface Reading {
  readonly call: Call
  readonly messages: Message[]
  /** Names of the tools whose calls have no output yet, by call id. */
  readonly open: Map<string, string>
}

const readMessage = ({ call, messages }: Reading, item: JsonObject, at: string): void => {
  const role = asString(item['role']) ?? ''
  if (!['user', 'assistant', 'system', 'developer'].includes(role)) {
    const message = `Invalid value: '${role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.`
    throw badRequest(message, `${at}.role`, 'invalid_value')
  }
  const content = readContent(item['content'], `${at}.content`, (id) => call.state.files.has(id))
  messages.push({ ...content, role: role === 'user' || role === 'assistant' ? role : 'system', calls: [] })
}

/** Calls join the assistant message before them, as in the chat API. */
const readToolCall = ({ messages, open }: Reading, item: JsonObject): void => {
  const name = asString(item['name']) ?? ''
  open.set(asString(item['call_id']) ?? '', name)
  const made = { name, input: asString(item['arguments']) ?? asString(item['input']) ?? '' }
  const last = messages.at(-1)
  if (last?.role === 'assistant') messages[messages.length - 1] = { ...last, calls: [...last.calls, made] }
  else messages.push({ role: 'assistant', text: '', media: [], calls: [made] })
}

const readToolOutput = ({ call, messages, open }: Reading, item: JsonObject, at: string): void => {
  const id = asString(item['call_id']) ?? ''
  const toolName = open.get(id)
  if (toolName === undefined) {
    throw badRequest(`No tool call found for function call output with call_id ${id}.`, 'input')
  }
  open.delete(id)
  const content = readContent(item['output'], `${at}.output`, (file) => call.state.files.has(file))
  messages.push({ ...content, role: 'tool', calls: [], toolName })
}

const readItem = (reading: Reading, raw: Json, at: string): void => {
  const object = asObject(raw)
  if (object === undefined) throw badRequest(`Invalid type for '${at}': expected an object.`, at, 'invalid_type')
  const item = dereference(reading.call.state, object)
  switch (asString(item['type']) ?? 'message') {
    case 'message':
      return readMessage(reading, item, at)
    case 'function_call':
    case 'custom_tool_call':
      return readToolCall(reading, item)
    case 'function_call_output':
    case 'custom_tool_call_output':
      return readToolOutput(reading, item, at)
    case 'reasoning':
      return checkReasoning(reading.call.state, item, at)
    default:
    // Calls of hosted tools and the like say nothing to this model.
  }
}

const readItems = (call: Call, items: readonly Json[]): Message[] => {
  const reading: Reading = { call, messages: [], open: new Map() }
  for (const [index, raw] of items.entries()) readItem(reading, raw, `input[${index}]`)
  const [unanswered] = reading.open.keys()
  if (unanswered !== undefined) throw badRequest(`No tool output found for function call ${unanswered}.`, 'input')
  return reading.messages
}

const readTools = (body: JsonObject): ToolSpec[] =>
  (list(body, 'tools') ?? []).flatMap((item, index): ToolSpec[] => {
    const tool = asObject(item)
    const type = asString(tool?.['type'])
    if (type === undefined)
      throw badRequest(
        `Missing required parameter: 'tools[${index}].type'.`,
        `tools[${index}].type`,
        'missing_required_parameter',
      )
    // Hosted tools (web search and the like) exist, but this model never uses them.
    if (type !== 'function' && type !== 'custom') return []
    const name = asString(tool?.['name'])
    if (name === undefined)
      throw badRequest(
        `Missing required parameter: 'tools[${index}].name'.`,
        `tools[${index}].name`,
        'missing_required_parameter',
      )
    const description = asString(tool?.['description']) ?? ''
    return [
      { kind: type, name, description, parameters: tool?.['parameters'] ?? {}, strict: tool?.['strict'] === true },
    ]
  })

const readToolChoice = (
  body: JsonObject,
  tools: readonly ToolSpec[],
): { choice: ToolChoice; tools: readonly ToolSpec[] } => {
  const raw = body['tool_choice'] ?? 'auto'
  if (raw === 'auto' || raw === 'none' || raw === 'required') return { choice: { mode: raw }, tools }
  const object = asObject(raw)
  const type = asString(object?.['type'])
  if (type === 'allowed_tools') {
    const names = new Set((asArray(object?.['tools']) ?? []).map((item) => asString(asObject(item)?.['name'])))
    return {
      choice: { mode: object?.['mode'] === 'required' ? 'required' : 'auto' },
      tools: tools.filter((tool) => names.has(tool.name)),
    }
  }
  const name = asString(object?.['name'])
  if (type !== 'function' && type !== 'custom') return { choice: { mode: 'auto' }, tools }
  if (name === undefined || !tools.some((tool) => tool.name === name)) {
    throw badRequest(`Tool choice '${name ?? ''}' not found in 'tools' parameter.`, 'tool_choice')
  }
  return { choice: { mode: 'named', name }, tools }
}

export interface ResponsesRequest {
  readonly prompt: Prompt
  /** The items of this request, without those of earlier responses. */
  readonly input: readonly Json[]
  readonly conversation: readonly Json[]
}

const previousOf = (call: Call): StoredResponse | undefined => {
  const id = text(call.body, 'previous_response_id')
  if (id === undefined) return undefined
  const found = call.state.responses.get(id)
  if (found === undefined) {
    throw badRequest(
      `Previous response with id '${id}' not found.`,
      'previous_response_id',
      'previous_response_not_found',
    )
  }
  return found
}

/** Throws ApiError as the API does. */
export const readResponsesRequest = (call: Call): ResponsesRequest => {
  const { body } = call
  numberIn(body, 'temperature', 0, 2)
  numberIn(body, 'top_p', 0, 1)
  const input = inputItems(body)
  const conversation = [...(previousOf(call)?.conversation ?? []), ...input]
  const instructions = text(body, 'instructions')
  const lead: Message[] =
    instructions === undefined ? [] : [{ role: 'system', text: instructions, media: [], calls: [] }]
  const tools = readTools(body)
  const choice = readToolChoice(body, tools)
  const format = asObject(asObject(body['text'])?.['format'])
  const prompt: Prompt = {
    model: call.model,
    messages: [...lead, ...readItems(call, conversation)],
    tools: choice.tools,
    toolChoice: choice.choice,
    parallel: flag(body, 'parallel_tool_calls') ?? true,
    format: readFormat(format, format, 'text.format'),
    seed: 0,
    stop: [],
    maxTokens: integerIn(body, 'max_output_tokens', 1, 1_000_000),
    minTokens: integerIn(body, 'min_tokens', 0, 1_000_000) ?? 0,
    effort: asString(asObject(body['reasoning'])?.['effort']),
    suffix: call.suffix,
  }
  return { prompt, input, conversation }
}
