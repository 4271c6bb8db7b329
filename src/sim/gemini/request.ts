/** From the body of `:generateContent` to a Prompt. */
import { isReasoningModel } from '../brain.ts'
import type { Call } from '../call.ts'
import { badRequest } from '../errors.ts'
import { ANY_SEED, Fields, MAX_TOKENS } from '../fields.ts'
import type { Json } from '../json.ts'
import { asObject } from '../json.ts'
import type { OutputFormat, Prompt, ToolChoice, ToolSpec } from '../prompt.ts'
import { mustSign, readContents, readInstruction } from './contents.ts'
import { camel, jsonSchema, WORDS } from './words.ts'

const TOP = new Set([
  'model',
  'contents',
  'systemInstruction',
  'tools',
  'toolConfig',
  'safetySettings',
  'generationConfig',
  'cachedContent',
  'labels',
  'serviceTier',
  'store',
])
const CONFIG = new Set([
  'temperature',
  'topP',
  'topK',
  'candidateCount',
  'maxOutputTokens',
  'stopSequences',
  'responseMimeType',
  'responseSchema',
  'responseJsonSchema',
  'presencePenalty',
  'frequencyPenalty',
  'seed',
  'responseLogprobs',
  'logprobs',
  'thinkingConfig',
  'responseModalities',
  'speechConfig',
  'mediaResolution',
  'audioTimestamp',
  'routingConfig',
  'enableEnhancedCivicAnswers',
  'imageConfig',
])
const DECLARATION = new Set([
  'name',
  'description',
  'parameters',
  'parametersJsonSchema',
  'response',
  'responseJsonSchema',
  'behavior',
])

const MAX_STOPS = 5
/** Of a name. */
const NAME = /^[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}$/

const readTools = (body: Fields): ToolSpec[] =>
  body.objects('tools').flatMap((tool) =>
    tool.objects('functionDeclarations').map((spec): ToolSpec => {
      spec.only(DECLARATION)
      const name = spec.need('name', spec.text('name'))
      if (!NAME.test(name))
        throw spec.bad(
          'name',
          `* GenerateContentRequest.${spec.where('name')}: Invalid function name. Must start with a letter or an underscore.`,
        )
      const own = spec.object('parameters')?.value
      if (own !== undefined && spec.get('parametersJsonSchema') !== undefined)
        throw spec.bad('parameters', 'parameters and parameters_json_schema are mutually exclusive.')
      const parameters: Json = own === undefined ? (spec.get('parametersJsonSchema') ?? {}) : jsonSchema(own)
      return { kind: 'function', name, description: spec.text('description') ?? '', parameters, strict: false }
    }),
  )

interface Chosen {
  readonly choice: ToolChoice
  readonly tools: readonly ToolSpec[]
}

const readToolConfig = (body: Fields, tools: readonly ToolSpec[]): Chosen => {
  const config = body.object('toolConfig')?.object('functionCallingConfig')
  const mode = config?.oneOf('mode', ['MODE_UNSPECIFIED', 'AUTO', 'ANY', 'NONE', 'VALIDATED']) ?? 'AUTO'
  const names = config?.strings('allowedFunctionNames') ?? []
  if (names.length > 0 && mode !== 'ANY' && mode !== 'VALIDATED')
    throw badRequest('Function calling config: allowed_function_names should be set only when mode is ANY.', null)
  for (const name of names)
    if (!tools.some((tool) => tool.name === name))
      throw badRequest(`Function calling config: unknown function name ${name} in allowed_function_names.`, null)
  const offered = names.length === 0 ? tools : tools.filter(({ name }) => names.includes(name))
  const [only, ...others] = names
  if (mode === 'ANY' && only !== undefined && others.length === 0)
    return { choice: { mode: 'named', name: only }, tools }
  return { choice: { mode: mode === 'ANY' ? 'required' : mode === 'NONE' ? 'none' : 'auto' }, tools: offered }
}

const readFormat = (config: Fields | undefined): OutputFormat => {
  const mime = config?.oneOf('responseMimeType', ['text/plain', 'application/json', 'text/x.enum']) ?? 'text/plain'
  const schema = config?.get('responseSchema')
  const json = config?.get('responseJsonSchema')
  if (schema !== undefined && json !== undefined)
    throw badRequest('response_schema and response_json_schema are mutually exclusive.', null)
  if (schema === undefined && json === undefined) return { type: mime === 'application/json' ? 'json_object' : 'text' }
  if (mime === 'text/plain')
    throw badRequest(
      "* GenerateContentRequest.generation_config.response_schema: only allowed when response mime type is 'application/json' or 'text/x.enum'.",
      null,
    )
  return { type: 'json_schema', schema: schema === undefined ? (json ?? {}) : jsonSchema(schema), strict: false }
}

interface Thinking {
  readonly thinks: boolean | undefined
  readonly budget: number | undefined
  readonly effort: string | undefined
  readonly visible: boolean
}

const LEVELS = ['THINKING_LEVEL_UNSPECIFIED', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH'] as const

const readThinking = (config: Fields | undefined, model: string): Thinking => {
  const asked = config?.object('thinkingConfig')
  asked?.only(new Set(['includeThoughts', 'thinkingBudget', 'thinkingLevel']))
  const budget = asked?.integer('thinkingBudget', -1, MAX_TOKENS)
  const level = asked === undefined ? undefined : readLevel(asked)
  const visible = asked?.flag('includeThoughts') ?? false
  if (budget !== undefined && level !== undefined)
    throw badRequest('You can only set only one of thinking budget and thinking level.', null)
  const byName = mustSign(model) || isReasoningModel(model) ? true : undefined
  const thinks =
    budget === 0 ? false : budget !== undefined || level !== undefined || visible ? true : (byName ?? false)
  return { thinks, budget: budget === undefined || budget <= 0 ? undefined : budget, effort: level, visible }
}

/** Of an enum, either spelling is taken. */
const readLevel = (asked: Fields): string | undefined => {
  const value = asked.text('thinkingLevel')
  if (value === undefined) return undefined
  const found = LEVELS.find((level) => level === value.toUpperCase())
  if (found === undefined) throw asked.bad('thinkingLevel', WORDS.oneOf(asked.where('thinkingLevel'), LEVELS, value))
  return found === 'THINKING_LEVEL_UNSPECIFIED' ? undefined : found.toLowerCase()
}

export interface GenerateRequest {
  readonly prompt: Prompt
  readonly candidates: number
  /** Alternatives for each token; undefined: no logprobs. */
  readonly top: number | undefined
  /** What is thought is shown. */
  readonly thoughts: boolean
}

const readStops = (config: Fields | undefined): string[] => {
  const stops = config?.strings('stopSequences') ?? []
  if (stops.length > MAX_STOPS)
    throw badRequest(`The number of stop sequences must be at most ${MAX_STOPS}.`, 'generationConfig.stopSequences')
  return stops
}

/** @throws ApiError 400 as the API does. */
export const readGenerateRequest = (call: Call, raw: Json = call.body): GenerateRequest => {
  const body = new Fields(WORDS, asObject(camel(raw)), '')
  body.only(TOP)
  const config = body.object('generationConfig')
  config?.only(CONFIG)
  config?.number('temperature', 0, 2)
  config?.number('topP', 0, 1)
  config?.number('topK', 0, MAX_TOKENS)
  config?.number('presencePenalty', -2, 2)
  config?.number('frequencyPenalty', -2, 2)
  const all = readTools(body)
  const { choice, tools } = readToolConfig(body, all)
  const thinking = readThinking(config, call.model)
  const logprobs = config?.integer('logprobs', 0, 20)
  const wanted = config?.flag('responseLogprobs') ?? false
  if (logprobs !== undefined && !wanted)
    throw badRequest('logprobs is only allowed when response_logprobs is true.', 'generationConfig.logprobs')
  const prompt: Prompt = {
    model: call.model,
    messages: [...readInstruction(body, call), ...readContents(body, call)],
    tools,
    toolChoice: choice,
    parallel: true,
    format: readFormat(config),
    seed: config?.integer('seed', ...ANY_SEED) ?? 0,
    stop: readStops(config),
    maxTokens: config?.integer('maxOutputTokens', 1, MAX_TOKENS),
    minTokens: 0,
    effort: thinking.effort,
    thinks: thinking.thinks,
    thinkBudget: thinking.budget,
    suffix: call.suffix,
  }
  return {
    prompt,
    candidates: config?.integer('candidateCount', 1, 8) ?? 1,
    top: wanted ? (logprobs ?? 0) : undefined,
    thoughts: thinking.visible,
  }
}
