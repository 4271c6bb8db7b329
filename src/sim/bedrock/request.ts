/** From the body of `/converse` to a Prompt. */
import { isReasoningModel } from '../brain.ts'
import type { Call } from '../call.ts'
import { badRequest } from '../errors.ts'
import type { Words } from '../fields.ts'
import { Fields, MAX_TOKENS } from '../fields.ts'
import type { Json } from '../json.ts'
import { parseJson } from '../json.ts'
import type { Message, OutputFormat, Prompt, ToolChoice, ToolSpec } from '../prompt.ts'
import { readMessages } from './messages.ts'

const DETECTED = '1 validation error detected: Value at'

export const WORDS: Words = {
  member: (at, key) => (at === '' ? String(key) : `${at}.${key}`),
  missing: (at) => `${DETECTED} '${at}' failed to satisfy constraint: Member must not be null`,
  type: (at, wanted) => `${DETECTED} '${at}' failed to satisfy constraint: Member must be of type ${wanted}`,
  range: (at, low, high, value) =>
    `1 validation error detected: Value '${value}' at '${at}' failed to satisfy constraint: Member must have value ${value < low ? `greater than or equal to ${low}` : `less than or equal to ${high}`}`,
  oneOf: (at, allowed, value) =>
    `1 validation error detected: Value '${value}' at '${at}' failed to satisfy constraint: Member must satisfy enum value set: [${allowed.join(', ')}]`,
  extra: (at) =>
    `Malformed input request: #: extraneous key [${at}] is not permitted, please reformat your input and try again.`,
}

const TOP = new Set([
  'modelId',
  'messages',
  'system',
  'inferenceConfig',
  'toolConfig',
  'guardrailConfig',
  'additionalModelRequestFields',
  'promptVariables',
  'additionalModelResponseFieldPaths',
  'requestMetadata',
  'performanceConfig',
  'serviceTier',
  'outputConfig',
])

/** What the models of some vendor take beside what all take. */
const ADDITIONAL = new Set([
  'thinking',
  'reasoning_config',
  'reasoningConfig',
  'reasoning_effort',
  'output_config',
  'top_k',
  'topK',
  'inferenceConfig',
  'tool_choice',
  'anthropic_beta',
  'anthropic_version',
])

const NAME = /^[a-zA-Z0-9_-]{1,64}$/
const MIN_BUDGET = 1024

const readTools = (config: Fields | undefined): ToolSpec[] => {
  if (config === undefined) return []
  config.only(new Set(['tools', 'toolChoice']))
  const tools = config.objects('tools')
  if (tools.length === 0)
    throw badRequest(
      "1 validation error detected: Value '[]' at 'toolConfig.tools' failed to satisfy constraint: Member must have length greater than or equal to 1",
      'toolConfig.tools',
    )
  return tools.flatMap((tool): ToolSpec[] => {
    const spec = tool.object('toolSpec')
    if (spec === undefined) return []
    const name = spec.need('name', spec.text('name'))
    if (!NAME.test(name))
      throw spec.bad(
        'name',
        `1 validation error detected: Value '${name}' at '${spec.where('name')}' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+`,
      )
    const input = spec.need('inputSchema', spec.object('inputSchema'))
    const schema = input.need('json', input.object('json')).value
    if (schema['type'] !== 'object')
      throw badRequest(
        `The value at ${input.where('json')}.type must be one of the following: object.`,
        input.where('json'),
      )
    const description = spec.text('description') ?? ''
    if (spec.get('description') === '') throw spec.bad('description', WORDS.missing(spec.where('description')))
    return [{ kind: 'function', name, description, parameters: schema, strict: spec.flag('strict') ?? false }]
  })
}

const readToolChoice = (config: Fields | undefined, tools: readonly ToolSpec[]): ToolChoice => {
  const choice = config?.object('toolChoice')
  if (choice === undefined) return { mode: 'auto' }
  if (Object.keys(choice.value).length !== 1)
    throw badRequest('The toolChoice field must have exactly one member.', choice.at)
  if (choice.object('any') !== undefined) return { mode: 'required' }
  if (choice.object('auto') !== undefined) return { mode: 'auto' }
  const tool = choice.need('tool', choice.object('tool'))
  const name = tool.need('name', tool.text('name'))
  if (!tools.some((known) => known.name === name))
    throw badRequest(`The tool ${name} in toolConfig.toolChoice is not in toolConfig.tools.`, tool.at)
  return { mode: 'named', name }
}

interface Thinking {
  readonly thinks: boolean
  readonly budget: number | undefined
  readonly effort: string | undefined
  readonly parallel: boolean
}

const SAID = 'The model returned the following errors:'

const checkBudget = (budget: number | undefined, maxTokens: number | undefined): void => {
  if (budget === undefined || budget < MIN_BUDGET)
    throw badRequest(
      `${SAID} thinking.enabled.budget_tokens: Input should be greater than or equal to ${MIN_BUDGET}`,
      null,
    )
  if (maxTokens !== undefined && budget >= maxTokens)
    throw badRequest(`${SAID} \`max_tokens\` must be greater than \`thinking.budget_tokens\`.`, null)
}

/** Of models that take it as OpenAI's do, then Nova, then Claude. */
const readEffort = (body: Fields, extra: Fields | undefined): string | undefined =>
  extra?.text('reasoning_effort') ??
  extra?.object('reasoningConfig')?.text('maxReasoningEffort') ??
  extra?.object('output_config')?.text('effort') ??
  body.object('outputConfig')?.text('effort')

/** As each vendor's models are told: Claude's `thinking` (or `reasoning_config`), Nova's `reasoningConfig`. */
const readAdditional = (body: Fields, maxTokens: number | undefined): Thinking => {
  const extra = body.object('additionalModelRequestFields')
  const effort = readEffort(body, extra)
  const byItself = isReasoningModel(body.text('modelId') ?? '')
  if (extra === undefined) return { thinks: byItself, budget: undefined, effort, parallel: true }
  for (const name of Object.keys(extra.value))
    if (!ADDITIONAL.has(name)) throw badRequest(`${SAID} ${name}: Extra inputs are not permitted`, null)
  const parallel = extra.object('tool_choice')?.flag('disable_parallel_tool_use') !== true
  const claude = extra.object('thinking') ?? extra.object('reasoning_config')
  const asked = claude ?? extra.object('reasoningConfig')
  if (asked === undefined)
    return { thinks: byItself || extra.get('reasoning_effort') !== undefined, budget: undefined, effort, parallel }
  const type = asked.need('type', asked.oneOf('type', ['enabled', 'disabled', 'adaptive']))
  const budget = claude?.integer('budget_tokens', 0, MAX_TOKENS)
  if (type === 'enabled' && claude !== undefined) checkBudget(budget, maxTokens)
  return { thinks: type !== 'disabled', budget, effort, parallel }
}

const readFormat = (body: Fields): OutputFormat => {
  const format = body.object('outputConfig')?.object('textFormat')
  if (format === undefined) return { type: 'text' }
  format.need('type', format.oneOf('type', ['json_schema']))
  const structure = format.need('structure', format.object('structure'))
  const asked = structure.need('jsonSchema', structure.object('jsonSchema'))
  const text = asked.need('schema', asked.text('schema'))
  let schema: Json
  try {
    schema = parseJson(text)
  } catch {
    throw asked.bad('schema', `The value at ${asked.where('schema')} is not valid JSON.`)
  }
  return { type: 'json_schema', schema, strict: false }
}

export interface Marks {
  /** Messages of the prompt up to the last mark; -1 = none. */
  readonly upTo: number
  readonly hour: boolean
}

/** The last one stands for all before it. */
const readMarks = (body: Fields, lead: number, spans: readonly number[]): Marks => {
  let marks: Marks = { upTo: -1, hour: false }
  const look = (blocks: readonly Fields[], upTo: (index: number) => number): void => {
    for (const [index, block] of blocks.entries()) {
      const mark = block.object('cachePoint')
      if (mark === undefined) continue
      mark.need('type', mark.oneOf('type', ['default']))
      marks = { upTo: upTo(index), hour: mark.oneOf('ttl', ['5m', '1h']) === '1h' }
    }
  }
  look(body.object('toolConfig')?.objects('tools') ?? [], () => 0)
  const system = body.objects('system')
  look(system, (index) => system.slice(0, index).filter((block) => block.get('text') !== undefined).length)
  for (const [index, message] of body.objects('messages').entries())
    look(message.objects('content'), () => lead + (spans[index] ?? 0))
  return marks
}

const readSystem = (body: Fields): Message[] =>
  body.objects('system').flatMap((block): Message[] => {
    const text = block.text('text')
    if (text === undefined) return []
    if (text.trim() === '')
      throw badRequest(
        `The text field in the SystemContentBlock object at ${block.at} is blank. Add text to the text field, and try again.`,
        block.at,
      )
    return [{ role: 'system', text, media: [], calls: [] }]
  })

export interface ConverseRequest {
  readonly prompt: Prompt
  readonly marks: Marks
  /** The client wants to know at what the answer stopped. */
  readonly tellStop: boolean
}

/** @throws ApiError 400 as the API does. */
export const readConverseRequest = (call: Call): ConverseRequest => {
  const body = new Fields(WORDS, { modelId: call.model, ...call.body }, '')
  body.only(TOP)
  const inference = body.object('inferenceConfig')
  inference?.only(new Set(['maxTokens', 'temperature', 'topP', 'stopSequences']))
  inference?.number('temperature', 0, 1)
  inference?.number('topP', 0, 1)
  const maxTokens = inference?.integer('maxTokens', 1, MAX_TOKENS)
  const config = body.object('toolConfig')
  const tools = readTools(config)
  const thinking = readAdditional(body, maxTokens)
  const system = readSystem(body)
  const { messages, spans } = readMessages(call, body)
  const choice = readToolChoice(config, tools)
  if (thinking.thinks && thinking.budget !== undefined && choice.mode !== 'auto')
    throw badRequest(`${SAID} Thinking may not be enabled when tool_choice forces tool use.`, null)
  const prompt: Prompt = {
    model: call.model,
    messages: [...system, ...messages],
    tools,
    toolChoice: choice,
    parallel: thinking.parallel,
    format: readFormat(body),
    seed: 0,
    stop: inference?.strings('stopSequences') ?? [],
    maxTokens,
    minTokens: 0,
    effort: thinking.effort,
    thinks: thinking.thinks,
    thinkBudget: thinking.budget,
    suffix: call.suffix,
  }
  const paths = body.strings('additionalModelResponseFieldPaths') ?? []
  return { prompt, marks: readMarks(body, system.length, spans), tellStop: paths.includes('/stop_sequence') }
}
