/** From the body of `/v2/chat` to a Prompt. */
import { isReasoningModel } from '../brain.ts'
import type { Call } from '../call.ts'
import { ApiError, badRequest } from '../errors.ts'
import type { Words } from '../fields.ts'
import { Fields, MAX_TOKENS } from '../fields.ts'
import type { JsonObject } from '../json.ts'
import { isObject } from '../json.ts'
import { checkModel } from '../models.ts'
import { readContent } from '../parts.ts'
import type { Message, OutputFormat, Prompt, ToolChoice, ToolSpec } from '../prompt.ts'

export const WORDS: Words = {
  member: (at, key) => (typeof key === 'number' ? `${at}[${key}]` : at === '' ? key : `${at}.${key}`),
  missing: (at) => `invalid request: field '${at}' is required`,
  type: (at, wanted) => `invalid type: parameter ${at} is of the wrong type. It must be of type ${wanted}.`,
  range: (at, low, high) => `invalid request: ${at} must be between ${low} and ${high} inclusive`,
  oneOf: (at, allowed, value) => `invalid request: ${at} must be one of ${allowed.join(', ')}, not '${value}'`,
  extra: (at) => `unknown field: parameter '${at}' is not a valid field`,
}

const TOP = new Set([
  'model',
  'messages',
  'stream',
  'tools',
  'strict_tools',
  'documents',
  'citation_options',
  'response_format',
  'safety_mode',
  'max_tokens',
  'stop_sequences',
  'temperature',
  'seed',
  'frequency_penalty',
  'presence_penalty',
  'k',
  'p',
  'logprobs',
  'tool_choice',
  'thinking',
  'priority',
  'raw_prompting',
])

export const checkName = (call: Call): void => {
  if (call.model === '') throw badRequest(WORDS.missing('model'), 'model')
  try {
    checkModel(call.state, call.model)
  } catch {
    throw new ApiError(
      404,
      `model '${call.model}' not found, make sure the correct model ID was used and that you have access to the model.`,
    )
  }
}

/** The text that a document holds, where it holds nothing else. */
const documentText = (data: JsonObject | string): string => {
  if (typeof data === 'string') return data
  const values = Object.values(data)
  return values.length === 1 && typeof values[0] === 'string' ? values[0] : JSON.stringify(data)
}

export interface SourceDocument {
  readonly id: string
  readonly data: JsonObject
  readonly text: string
}

const readDocument = (item: Fields, index: number): SourceDocument => {
  const raw = item.get('data')
  const data = isObject(raw) ? raw : item.need('data', typeof raw === 'string' ? { data: raw } : undefined)
  return { id: item.text('id') ?? `doc:${index}`, data, text: documentText(data) }
}

const readDocuments = (body: Fields): SourceDocument[] =>
  (body.list('documents') ?? []).map((item, index) =>
    typeof item === 'string'
      ? { id: `doc:${index}`, data: { text: item }, text: item }
      : readDocument(new Fields(WORDS, item, `documents[${index}]`), index),
  )

const resultText = (message: Fields): string => {
  const content = message.need('content', message.get('content'))
  if (typeof content === 'string') return content
  return message
    .objects('content')
    .map((part, index) => {
      const type = part.need('type', part.oneOf('type', ['text', 'document']))
      if (type === 'text') return part.need('text', part.text('text'))
      return readDocument(part.need('document', part.object('document')), index).text
    })
    .join('\n')
}

const assistantText = (message: Fields): string => {
  const content = message.get('content')
  if (typeof content === 'string') return content
  return message
    .objects('content')
    .flatMap((part) => {
      const type = part.need('type', part.oneOf('type', ['text', 'thinking']))
      return type === 'text' ? [part.need('text', part.text('text'))] : []
    })
    .join('\n')
}

type Open = Map<string, string>

const readCalls = (message: Fields, open: Open): { name: string; input: string }[] =>
  message.objects('tool_calls').map((made) => {
    made.need('type', made.oneOf('type', ['function']))
    const target = made.need('function', made.object('function'))
    const name = target.need('name', target.text('name'))
    open.set(made.need('id', made.text('id')), name)
    return { name, input: target.text('arguments') ?? '{}' }
  })

const unanswered = (open: ReadonlyMap<string, string>): void => {
  const [id] = open.keys()
  if (id !== undefined)
    throw badRequest(`invalid request: tool call id ${id} has no corresponding tool message with results`, 'messages')
}

const readMessages = (body: Fields, call: Call): Message[] => {
  const raw = body.objects('messages')
  if (raw.length === 0) throw badRequest('invalid request: messages must not be empty', 'messages')
  let open: Open = new Map()
  const messages = raw.map((message): Message => {
    const role = message.need('role', message.oneOf('role', ['system', 'user', 'assistant', 'tool']))
    if (role === 'tool') {
      const id = message.need('tool_call_id', message.text('tool_call_id'))
      const toolName = open.get(id)
      if (toolName === undefined)
        throw badRequest(
          `invalid request: tool_call_id ${id} does not match any tool call of the message before`,
          'messages',
        )
      open.delete(id)
      return { role, text: resultText(message), media: [], calls: [], toolName }
    }
    unanswered(open)
    open = new Map()
    if (role === 'assistant') {
      const calls = readCalls(message, open)
      message.text('tool_plan')
      return { role, text: assistantText(message), media: [], calls }
    }
    message.need('content', message.get('content'))
    const content = readContent(message.value['content'], `${message.at}.content`, (id) => call.state.files.has(id))
    return { role, ...content, calls: [] }
  })
  unanswered(open)
  return messages
}

const readTools = (body: Fields): ToolSpec[] =>
  body.objects('tools').map((tool): ToolSpec => {
    tool.need('type', tool.oneOf('type', ['function']))
    const spec = tool.need('function', tool.object('function'))
    const name = spec.need('name', spec.text('name'))
    if (!/^[a-zA-Z0-9_-]+$/.test(name))
      throw spec.bad('name', `invalid request: tool name '${name}' may only contain letters, digits, '_' and '-'`)
    return {
      kind: 'function',
      name,
      description: spec.text('description') ?? '',
      parameters: spec.need('parameters', spec.object('parameters')).value,
      strict: body.flag('strict_tools') ?? false,
    }
  })

const readToolChoice = (body: Fields, tools: readonly ToolSpec[]): ToolChoice => {
  const asked = body.oneOf('tool_choice', ['REQUIRED', 'NONE'])
  if (asked !== undefined && tools.length === 0)
    throw badRequest('invalid request: tool_choice requires tools to be set', 'tool_choice')
  return { mode: asked === undefined ? 'auto' : asked === 'REQUIRED' ? 'required' : 'none' }
}

const readFormat = (body: Fields): OutputFormat => {
  const format = body.object('response_format')
  const type = format?.need('type', format.oneOf('type', ['text', 'json_object'])) ?? 'text'
  const schema = format?.object('json_schema')
  if (type === 'text') return { type }
  return schema === undefined ? { type } : { type: 'json_schema', schema: schema.value, strict: false }
}

export interface CohereRequest {
  readonly prompt: Prompt
  readonly stream: boolean
  readonly logprobs: boolean
  /** To be cited. */
  readonly documents: readonly SourceDocument[]
}

const MAX_STOPS = 5

const readThinking = (body: Fields, model: string): { thinks: boolean; budget: number | undefined } => {
  const asked = body.object('thinking')
  if (asked === undefined) return { thinks: isReasoningModel(model), budget: undefined }
  const type = asked.need('type', asked.oneOf('type', ['enabled', 'disabled']))
  return { thinks: type === 'enabled', budget: asked.integer('token_budget', 1, MAX_TOKENS) }
}

/** @throws ApiError 400, 404 */
export const readCohereChat = (call: Call): CohereRequest => {
  checkName(call)
  const body = new Fields(WORDS, call.body, '')
  body.only(TOP)
  for (const name of ['temperature', 'frequency_penalty', 'presence_penalty']) body.number(name, 0, 1)
  body.number('p', 0.01, 0.99)
  body.integer('k', 0, 500)
  const stop = body.strings('stop_sequences') ?? []
  if (stop.length > MAX_STOPS)
    throw badRequest(`invalid request: stop_sequences must have at most ${MAX_STOPS} members`, 'stop_sequences')
  const tools = readTools(body)
  const thinking = readThinking(body, call.model)
  const documents = readDocuments(body)
  const lead: Message[] = documents.map(({ text }) => ({ role: 'system', text, media: [], calls: [] }))
  const mode = body.object('citation_options')?.oneOf('mode', ['ENABLED', 'DISABLED', 'FAST', 'ACCURATE', 'OFF'])
  const prompt: Prompt = {
    model: call.model,
    messages: [...lead, ...readMessages(body, call)],
    tools,
    toolChoice: readToolChoice(body, tools),
    parallel: true,
    format: readFormat(body),
    seed: body.integer('seed', 0, Number.MAX_SAFE_INTEGER) ?? 0,
    stop,
    maxTokens: body.integer('max_tokens', 1, MAX_TOKENS),
    minTokens: 0,
    effort: undefined,
    thinks: thinking.thinks,
    thinkBudget: thinking.budget,
    suffix: call.suffix,
  }
  return {
    prompt,
    stream: body.flag('stream') ?? false,
    logprobs: body.flag('logprobs') ?? false,
    documents: mode === 'OFF' || mode === 'DISABLED' ? [] : documents,
  }
}
