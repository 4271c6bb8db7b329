import type { ChatRequest, Json, JsonObject, Message, Part, Tool, ToolChoice } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { dataUrl, joinedText, ownFileId } from '../canonical/history.ts'
import { isFields, put } from '../canonical/loose.ts'
import { parametersOf } from '../canonical/schema.ts'
import { effortOfBudget } from './wire-chat-request.ts'

/** Body of POST /responses, by ResponseCreateParamsBase of openai 7.57. */
export function responsesRequest(request: ChatRequest, target: WireTarget): JsonObject {
  const body: JsonObject = { model: target.model, input: inputOf(request.messages), store: request.store === true }
  if (request.stream) body['stream'] = true
  // The API refuses less than 16.
  if (request.maxTokens !== undefined) body['max_output_tokens'] = Math.max(request.maxTokens, 16)
  for (const [field, name] of FIELDS) put(body, name, request[field] as Json | undefined)
  addTools(body, request)
  const include: string[] = []
  if (provesReasoning(request, target)) include.push('reasoning.encrypted_content')
  if (request.logprobs === true) {
    include.push('message.output_text.logprobs')
    put(body, 'top_logprobs', request.topLogprobs)
  }
  if (include.length > 0) body['include'] = include
  put(body, 'reasoning', reasoningOf(request))
  put(body, 'text', textOf(request))
  return body
}

const FIELDS: readonly (readonly [field: keyof ChatRequest, name: string])[] = [
  ['temperature', 'temperature'],
  ['topP', 'top_p'],
  ['user', 'user'],
  ['metadata', 'metadata'],
  ['serviceTier', 'service_tier'],
  ['promptCacheKey', 'prompt_cache_key'],
  ['safetyIdentifier', 'safety_identifier'],
]

/** Models that reason by their names; asking others for encrypted reasoning is refused. */
const REASONING = ['o1', 'o3', 'o4', 'gpt-5', 'gpt-6', 'codex']

function provesReasoning({ reasoning, messages }: ChatRequest, { model }: WireTarget): boolean {
  if (reasoning !== undefined && reasoning.effort !== null && reasoning.effort !== 'none') return true
  if (messages.some(({ parts }) => parts.some((part) => part.type === 'reasoning' && part.signature !== undefined)))
    return true
  const name = model.slice(model.lastIndexOf('/') + 1)
  return !name.includes('-chat') && REASONING.some((start) => name.startsWith(start))
}

function inputOf(messages: readonly Message[]): Json[] {
  const input: Json[] = []
  for (const message of messages) {
    if (message.role === 'assistant') assistantItems(message.parts, input)
    else if (message.role === 'tool') for (const part of message.parts) resultItem(part, input)
    else if (message.parts.length > 0) input.push({ role: message.role, content: contentOf(message.parts) })
  }
  return input
}

function contentOf(parts: readonly Part[]): Json {
  const [first] = parts
  return parts.length === 1 && first?.type === 'text' ? first.text : contentList(parts)
}

function contentList(parts: readonly Part[]): Json[] {
  const list: Json[] = []
  for (const part of parts) {
    if (part.type === 'text' || part.type === 'refusal') list.push({ type: 'input_text', text: part.text })
    else if (part.type === 'image') {
      const { source, detail = 'auto' } = part
      const image: JsonObject = { type: 'input_image', detail }
      if (source.kind === 'id') image['file_id'] = ownFileId(source, 'openai.responses')
      else image['image_url'] = source.kind === 'url' ? source.url : dataUrl(source.mime, source.data)
      list.push(image)
    } else if (part.type === 'file') {
      const { source } = part
      const file: JsonObject = { type: 'input_file' }
      if (source.kind === 'id') file['file_id'] = ownFileId(source, 'openai.responses')
      else if (source.kind === 'url') file['file_url'] = source.url
      else {
        file['file_data'] = dataUrl(source.mime, source.data)
        file['filename'] = part.name ?? (source.mime === 'application/pdf' ? 'file.pdf' : 'file.txt')
      }
      list.push(file)
    }
  }
  return list
}

/** Texts in a row are one message; reasoning stands before what it led to. */
function assistantItems(parts: readonly Part[], input: Json[]): void {
  let text = ''
  const flush = (): void => {
    if (text !== '') input.push({ role: 'assistant', content: text })
    text = ''
  }
  for (const part of parts) {
    if (part.type === 'text' || part.type === 'refusal') {
      text += part.text
      continue
    }
    flush()
    if (part.type === 'tool_call')
      input.push(
        part.custom === true
          ? { type: 'custom_tool_call', call_id: part.id, name: part.name, input: part.arguments }
          : { type: 'function_call', call_id: part.id, name: part.name, arguments: part.arguments || '{}' },
      )
    // Nothing is kept at the provider, so only what proves itself can go back.
    else if (part.type === 'reasoning' && part.signature !== undefined) {
      const item: JsonObject = {
        type: 'reasoning',
        summary: part.text === '' ? [] : [{ type: 'summary_text', text: part.text }],
        encrypted_content: part.signature.value,
      }
      put(item, 'id', part.id)
      input.push(item)
    }
  }
  flush()
}

function resultItem(part: Part, input: Json[]): void {
  if (part.type !== 'tool_result') return
  const custom = input.some(
    (item) => isFields(item) && item['type'] === 'custom_tool_call' && item['call_id'] === part.id,
  )
  const texts = part.content.every((inner) => inner.type === 'text')
  input.push({
    type: custom ? 'custom_tool_call_output' : 'function_call_output',
    call_id: part.id,
    output: texts ? joinedText(part.content) : contentList(part.content),
  })
}

function addTools(body: JsonObject, { tools = [], toolChoice, parallelTools }: ChatRequest): void {
  if (tools.length === 0) return
  body['tools'] = tools.map(toolOf)
  if (toolChoice !== undefined) body['tool_choice'] = choiceOf(toolChoice, tools)
  put(body, 'parallel_tool_calls', parallelTools)
}

function toolOf(tool: Tool): JsonObject {
  const written: JsonObject = { type: tool.custom === undefined ? 'function' : 'custom', name: tool.name }
  put(written, 'description', tool.description)
  if (tool.custom !== undefined) {
    put(written, 'format', responsesFormat(tool.custom['format']))
    return written
  }
  written['parameters'] = parametersOf(tool.schema)
  // Left out it would be true here, and false in the chat API.
  written['strict'] = tool.strict === true
  return written
}

/** The chat API has a grammar's fields within `grammar`, this one beside its type. */
const responsesFormat = (format: Json | undefined): Json | undefined =>
  isFields(format) && isFields(format['grammar']) ? { type: 'grammar', ...format['grammar'] } : format

function choiceOf(choice: ToolChoice, tools: readonly Tool[]): Json {
  const named = (name: string): JsonObject => ({
    type: tools.some((tool) => tool.name === name && tool.custom !== undefined) ? 'custom' : 'function',
    name,
  })
  if (choice.mode === 'tool') return named(choice.name)
  if (choice.mode !== 'allowed') return choice.mode
  return { type: 'allowed_tools', mode: choice.required ? 'required' : 'auto', tools: choice.names.map(named) }
}

function reasoningOf({ reasoning }: ChatRequest): JsonObject | undefined {
  if (reasoning === undefined) return undefined
  const { effort, budget, visible } = reasoning
  const wanted: JsonObject = {}
  const said = effort ?? (budget === null || budget < 0 ? null : effortOfBudget(budget))
  if (said !== null) wanted['effort'] = said
  // Unasked it stays away: some organisations may not have summaries, and get a refusal.
  if (visible === true) wanted['summary'] = 'auto'
  return Object.keys(wanted).length > 0 ? wanted : undefined
}

function textOf({ format, verbosity }: ChatRequest): JsonObject | undefined {
  const text: JsonObject = {}
  put(text, 'verbosity', verbosity)
  if (format?.type === 'json') text['format'] = { type: 'json_object' }
  if (format?.type === 'schema') {
    const written: JsonObject = { type: 'json_schema', name: format.name, schema: format.schema }
    put(written, 'description', format.description)
    // As for tools: left out it would be true.
    written['strict'] = format.strict === true
    text['format'] = written
  }
  return Object.keys(text).length > 0 ? text : undefined
}
