/** From the body of `POST /v1/messages` to a Prompt, as strictly as the API reads it. */
import { isReasoningModel } from '../brain.ts'
import type { Call } from '../call.ts'
import { badRequest } from '../errors.ts'
import type { Words } from '../fields.ts'
import { Fields, MAX_TOKENS } from '../fields.ts'
import type { JsonObject } from '../json.ts'
import type { Message, OutputFormat, Prompt, ToolChoice, ToolSpec } from '../prompt.ts'
import type { Thinking } from './messages.ts'
import { readMessages, textOf } from './messages.ts'

export const WORDS: Words = {
  member: (at, key) => (at === '' ? String(key) : `${at}.${key}`),
  missing: (at) => `${at}: Field required`,
  type: (at, wanted) =>
    `${at}: Input should be ${wanted === 'object' ? 'an object' : `a valid ${wanted === 'array' ? 'list' : wanted}`}`,
  range: (at, low, high, value) =>
    `${at}: Input should be ${value < low ? `greater than or equal to ${low}` : `less than or equal to ${high}`}`,
  oneOf: (at, allowed) => `${at}: Input should be ${allowed.map((one) => `'${one}'`).join(' or ')}`,
  extra: (at) => `${at}: Extra inputs are not permitted`,
}

const TOP = new Set([
  'model',
  'max_tokens',
  'messages',
  'cache_control',
  'container',
  'context_management',
  'diagnostics',
  'inference_geo',
  'mcp_servers',
  'metadata',
  'output_config',
  'service_tier',
  'speed',
  'stop_sequences',
  'stream',
  'system',
  'temperature',
  'thinking',
  'tool_choice',
  'tools',
  'top_k',
  'top_p',
  'user_profile_id',
])
/** Counting takes nothing that concerns the answer only. */
const TOP_COUNT = new Set([
  'model',
  'messages',
  'cache_control',
  'context_management',
  'mcp_servers',
  'output_config',
  'speed',
  'system',
  'thinking',
  'tool_choice',
  'tools',
])

const MIN_BUDGET = 1024
const MAX_MARKS = 4
const TOOL_NAME = /^[a-zA-Z0-9_-]{1,128}$/

const TOOL_FIELDS = new Set([
  'type',
  'name',
  'description',
  'input_schema',
  'strict',
  'cache_control',
  'allowed_callers',
  'defer_loading',
  'eager_input_streaming',
  'input_examples',
])

const readTools = (body: Fields): ToolSpec[] => {
  const seen = new Set<string>()
  return body.objects('tools').flatMap((tool): ToolSpec[] => {
    const type = tool.text('type') ?? 'custom'
    // Tools that run at the vendor exist, but this model never uses them.
    if (type !== 'custom') return []
    const where = { ...WORDS, member: (at: string, key: string | number) => `${at}.custom.${key}` }
    const own = new Fields(where, tool.value, tool.at)
    own.only(TOOL_FIELDS)
    const name = own.need('name', own.text('name'))
    if (!TOOL_NAME.test(name))
      throw own.bad('name', `${own.where('name')}: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'`)
    if (seen.has(name)) throw badRequest('tools: Tool names must be unique.', 'tools')
    seen.add(name)
    const schema = own.need('input_schema', own.object('input_schema'))
    if (schema.text('type') !== 'object')
      throw schema.bad('type', `${own.where('input_schema')}.type: Input should be 'object'`)
    const description = own.text('description') ?? ''
    return [{ kind: 'function', name, description, parameters: schema.value, strict: own.flag('strict') ?? false }]
  })
}

interface Chosen {
  readonly choice: ToolChoice
  readonly parallel: boolean
}

const readToolChoice = (body: Fields, tools: readonly ToolSpec[]): Chosen => {
  const asked = body.object('tool_choice')
  if (asked === undefined) return { choice: { mode: 'auto' }, parallel: true }
  const type = asked.need('type', asked.oneOf('type', ['auto', 'any', 'tool', 'none']))
  asked.only(
    new Set(['type', ...(type === 'none' ? [] : ['disable_parallel_tool_use']), ...(type === 'tool' ? ['name'] : [])]),
  )
  const parallel = !(asked.flag('disable_parallel_tool_use') ?? false)
  if (body.get('tools') === undefined && type !== 'none')
    throw badRequest('tool_choice may only be specified while providing tools', 'tool_choice')
  if (type !== 'tool') return { choice: { mode: type === 'any' ? 'required' : type }, parallel }
  const name = asked.need('name', asked.text('name'))
  if (!tools.some((tool) => tool.name === name))
    throw badRequest(`Tool '${name}' not found in provided tools`, 'tool_choice.name')
  return { choice: { mode: 'named', name }, parallel }
}

const readThinking = (body: Fields): Thinking => {
  const asked = body.object('thinking')
  if (asked === undefined) return { mode: 'unset', budget: undefined, omitted: false }
  const type = asked.need('type', asked.oneOf('type', ['enabled', 'disabled', 'adaptive', 'between_tools']))
  const omitted = asked.oneOf('display', ['summarized', 'omitted']) === 'omitted'
  const budget = asked.integer('budget_tokens', 0, MAX_TOKENS)
  if (type !== 'enabled') {
    if (budget !== undefined) throw asked.bad('budget_tokens', `thinking.${type}.budget_tokens: ${EXTRA}`)
    return { mode: type, budget: undefined, omitted }
  }
  if (budget === undefined) throw asked.bad('budget_tokens', WORDS.missing(`thinking.${type}.budget_tokens`))
  if (budget < MIN_BUDGET)
    throw asked.bad(
      'budget_tokens',
      `thinking.enabled.budget_tokens: Input should be greater than or equal to ${MIN_BUDGET}`,
    )
  return { mode: type, budget, omitted }
}

const EXTRA = 'Extra inputs are not permitted'

/** What does not go with thinking (docs: extended thinking, "Feature compatibility"). */
const checkThinking = (body: Fields, { mode, budget }: Thinking, choice: ToolChoice, max: number | undefined): void => {
  if (mode !== 'enabled') return
  if (budget !== undefined && max !== undefined && budget >= max)
    throw badRequest('`max_tokens` must be greater than `thinking.budget_tokens`.', 'max_tokens')
  if (choice.mode === 'required' || choice.mode === 'named')
    throw badRequest('Thinking may not be enabled when tool_choice forces tool use.', 'tool_choice')
  if ((body.number('temperature', 0, 1) ?? 1) !== 1)
    throw badRequest('`temperature` may only be set to 1 when thinking is enabled.', 'temperature')
  if (body.get('top_k') !== undefined) throw badRequest('`top_k` must be unset when thinking is enabled.', 'top_k')
  if ((body.number('top_p', 0, 1) ?? 1) < 0.95)
    throw badRequest('`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.', 'top_p')
}

interface Output {
  readonly format: OutputFormat
  readonly effort: string | undefined
}

const readOutput = (body: Fields): Output => {
  const config = body.object('output_config')
  config?.only(new Set(['effort', 'format', 'task_budget']))
  const effort = config?.oneOf('effort', ['low', 'medium', 'high', 'xhigh', 'max'])
  const format = config?.object('format')
  if (format === undefined) return { format: { type: 'text' }, effort }
  format.need('type', format.oneOf('type', ['json_schema']))
  format.only(new Set(['type', 'schema']))
  const schema = format.need('schema', format.object('schema')).value
  checkClosed(schema, format.where('schema'))
  return { format: { type: 'json_schema', schema, strict: false }, effort }
}

/** Structured outputs demand closed objects. */
const checkClosed = (schema: JsonObject, at: string): void => {
  if (schema['type'] !== 'object' || schema['additionalProperties'] === false) return
  throw badRequest(`${at}: For 'object' type, 'additionalProperties' must be explicitly set to false`, at)
}

const readStops = (body: Fields): string[] => {
  const stops = body.strings('stop_sequences') ?? []
  for (const stop of stops)
    if (stop.trim() === '')
      throw badRequest('stop_sequences: each stop sequence must contain non-whitespace', 'stop_sequences')
  return stops
}

const readSystem = (body: Fields): Message[] => {
  const system = body.get('system')
  if (system === undefined) return []
  const texts = typeof system === 'string' ? [system] : body.objects('system').map(textOf)
  return texts.map((text) => ({ role: 'system', text, media: [], calls: [] }))
}

/** Where cache marks stand: messages up to the last (-1 = none), and how long it keeps them. */
export interface Marks {
  readonly upTo: number
  readonly hour: boolean
}

const markOf = (value: JsonObject, at: string): { hour: boolean } | undefined => {
  const mark = new Fields(WORDS, value, at).object('cache_control')
  if (mark === undefined) return undefined
  mark.need('type', mark.oneOf('type', ['ephemeral']))
  mark.only(new Set(['type', 'ttl']))
  return { hour: mark.oneOf('ttl', ['5m', '1h']) === '1h' }
}

const isObjects = (value: unknown): value is JsonObject[] => Array.isArray(value)

/** @param lead how many messages the instructions became; @param spans messages of the prompt up to each of the request. */
const readMarks = (body: Fields, lead: number, spans: readonly number[]): Marks => {
  let marks: Marks = { upTo: -1, hour: false }
  let count = 0
  const look = (blocks: unknown, at: string, upTo: (index: number) => number): void => {
    if (!isObjects(blocks)) return
    for (const [index, block] of blocks.entries()) {
      const mark = markOf(block, `${at}.${index}`)
      if (mark === undefined) continue
      count++
      marks = { upTo: upTo(index), hour: mark.hour }
    }
  }
  look(body.value['tools'], 'tools', () => 0)
  look(body.value['system'], 'system', (index) => index + 1)
  for (const [index, message] of body.objects('messages').entries())
    look(message.value['content'], `messages.${index}.content`, () => lead + (spans[index] ?? 0))
  if (count > MAX_MARKS)
    throw badRequest(`A maximum of 4 blocks with cache_control may be provided. Found ${count}.`, null)
  const whole = markOf(body.value, '')
  return whole === undefined ? marks : { upTo: lead + (spans.at(-1) ?? 0), hour: whole.hour }
}

export interface MessagesRequest {
  readonly prompt: Prompt
  readonly stream: boolean
  readonly thinking: Thinking
  readonly marks: Marks
}

/** @throws ApiError 400 as the API does. */
export const readMessagesRequest = (call: Call, counting: boolean): MessagesRequest => {
  const body = new Fields(WORDS, call.body, '')
  const maxTokens = body.integer('max_tokens', 0, MAX_TOKENS)
  if (!counting) body.need('max_tokens', maxTokens)
  if (!counting && body.get('thread') !== undefined)
    throw badRequest('thread: this request cannot be threaded.', 'thread', 'thread_unsupported_request')
  body.only(counting ? TOP_COUNT : TOP)
  for (const name of ['temperature', 'top_p']) body.number(name, 0, 1)
  body.integer('top_k', 0, MAX_TOKENS)
  body.object('metadata')?.only(new Set(['user_id']))
  body.oneOf('service_tier', ['auto', 'standard_only'])
  const tools = readTools(body)
  const { choice, parallel } = readToolChoice(body, tools)
  const thinking = readThinking(body)
  checkThinking(body, thinking, choice, maxTokens)
  const { format, effort } = readOutput(body)
  const system = readSystem(body)
  const { messages, spans } = readMessages(call, body, thinking)
  const marks = readMarks(body, system.length, spans)
  const prompt: Prompt = {
    model: call.model,
    messages: [...system, ...messages],
    tools,
    toolChoice: choice,
    parallel,
    format,
    seed: 0,
    stop: readStops(body),
    maxTokens,
    minTokens: 0,
    effort,
    // Effort alone concerns the answer as a whole, not whether it thinks.
    thinks:
      thinking.mode === 'unset'
        ? isReasoningModel(call.model)
        : thinking.mode === 'enabled' || thinking.mode === 'adaptive',
    thinkBudget: thinking.budget,
    suffix: call.suffix,
  }
  return { prompt, stream: body.flag('stream') ?? false, thinking, marks }
}
