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
import { fieldNames, notYet } from '../canonical/say.ts'
import { readContents } from './client-contents.ts'
import { camelOf, field, jsonSchema } from './client-fields.ts'

const KNOWN = fieldNames(
  'model contents systemInstruction tools toolConfig generationConfig cachedContent labels stream',
)
const KNOWN_CONFIG = fieldNames(`
  temperature topP topK candidateCount maxOutputTokens stopSequences presencePenalty frequencyPenalty seed
  responseLogprobs logprobs responseMimeType responseSchema responseJsonSchema responseModalities speechConfig
  thinkingConfig
`)

/** Reads a generateContent request (google-genai `GenerateContentParameters` as it is sent). */
export function generateRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  if (field(sent, 'cachedContent') != null)
    throw notYet('cachedContent', 'cached contents are only kept by Google itself')
  const config = objectOr(field(sent, 'generationConfig'), 'generationConfig')
  const get = (name: string): Json | undefined => field(config, name)
  const at = (name: string): string => `generationConfig.${name}`
  const topLogprobs = maybeWhole(get('logprobs'), at('logprobs'))
  if (topLogprobs !== undefined && topLogprobs > 20) throw badField(at('logprobs'), 'from 0 to 20')
  const labels = sent['labels']
  return compact<ChatRequest>({
    model,
    messages: readContents(sent),
    stream,
    ...toolsOf(sent['tools']),
    toolChoice: toolChoice(field(sent, 'toolConfig')),
    format: outputFormat(config),
    reasoning: reasoningOf(get('thinkingConfig')),
    maxTokens: maybeWhole(get('maxOutputTokens'), at('maxOutputTokens'), 1),
    temperature: maybeNumber(get('temperature'), at('temperature'), 0),
    topP: maybeNumber(get('topP'), at('topP'), 0),
    topK: maybeWhole(get('topK'), at('topK')),
    frequencyPenalty: maybeNumber(get('frequencyPenalty'), at('frequencyPenalty')),
    presencePenalty: maybeNumber(get('presencePenalty'), at('presencePenalty')),
    seed: maybeWhole(get('seed'), at('seed'), -Number.MAX_SAFE_INTEGER),
    stop: texts(get('stopSequences'), at('stopSequences')),
    n: maybeWhole(get('candidateCount'), at('candidateCount'), 1),
    logprobs: maybeFlag(get('responseLogprobs'), at('responseLogprobs')),
    topLogprobs,
    modalities: texts(get('responseModalities'), at('responseModalities'))?.map((name) => name.toLowerCase()),
    audio: get('speechConfig') == null ? undefined : objectAt(get('speechConfig'), at('speechConfig')),
    metadata: labels == null ? undefined : objectAt(labels, 'labels'),
    unknown: leftBehind(sent, config),
    ...NOT_SPOKEN,
  })
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  parallelTools: undefined,
  minP: undefined,
  repetitionPenalty: undefined,
  logitBias: undefined,
  verbosity: undefined,
  prediction: undefined,
  user: undefined,
  serviceTier: undefined,
  store: undefined,
  promptCacheKey: undefined,
  safetyIdentifier: undefined,
  suffix: undefined,
  echo: undefined,
} as const

const objectOr = (value: Json | undefined, at: string): JsonObject =>
  value === undefined || value === null ? {} : objectAt(value, at)

const texts = (value: Json | undefined, at: string): readonly string[] | undefined =>
  value === undefined || value === null ? undefined : listAt(value, at).map((item, i) => textAt(item, `${at}[${i}]`))

function leftBehind(sent: JsonObject, config: JsonObject): readonly string[] | undefined {
  const unknown = [
    ...Object.keys(sent).filter((name) => sent[name] !== null && !KNOWN.has(camelOf(name))),
    ...Object.keys(config)
      .filter((name) => config[name] !== null && !KNOWN_CONFIG.has(camelOf(name)))
      .map((name) => `generationConfig.${name}`),
  ]
  return unknown.length > 0 ? unknown : undefined
}

function toolsOf(value: Json | undefined): { tools: Tool[] | undefined; serverTools: NativePart[] | undefined } {
  const tools: Tool[] = []
  const serverTools: NativePart[] = []
  const list = value === undefined || value === null ? [] : isObject(value) ? [value] : listAt(value, 'tools')
  for (const [i, item] of list.entries()) {
    const tool = objectAt(item, `tools[${i}]`)
    for (const [name, inner] of Object.entries(tool)) {
      if (inner === null) continue
      if (camelOf(name) === 'functionDeclarations') tools.push(...declarations(inner, `tools[${i}].${name}`))
      else serverTools.push({ type: 'native', by: 'gemini.generate', value: { [camelOf(name)]: inner } })
    }
  }
  return {
    tools: tools.length > 0 ? tools : undefined,
    serverTools: serverTools.length > 0 ? serverTools : undefined,
  }
}

const declarations = (value: Json, at: string): Tool[] =>
  listAt(value, at).map((item, i) => {
    const tool = objectAt(item, `${at}[${i}]`)
    const schema = field(tool, 'parametersJsonSchema')
    const parameters = tool['parameters']
    return compact<Tool>({
      name: textAt(tool['name'], `${at}[${i}].name`),
      description: maybeText(tool['description'], `${at}[${i}].description`),
      schema:
        schema != null
          ? objectAt(schema, `${at}[${i}].parametersJsonSchema`)
          : parameters != null
            ? jsonSchema(objectAt(parameters, `${at}[${i}].parameters`))
            : null,
      strict: undefined,
      custom: undefined,
      cache: undefined,
    })
  })

/** google-genai `FunctionCallingConfigMode`; VALIDATED = as it likes, with arguments that fit their schema. */
function toolChoice(value: Json | undefined): ToolChoice | undefined {
  const outer = objectOr(value, 'toolConfig')
  const at = 'toolConfig.functionCallingConfig'
  const config = objectOr(field(outer, 'functionCallingConfig'), at)
  const names = texts(field(config, 'allowedFunctionNames'), `${at}.allowedFunctionNames`) ?? []
  const mode = maybeText(config['mode'], `${at}.mode`)?.toUpperCase()
  switch (mode) {
    case undefined:
    case 'MODE_UNSPECIFIED':
      return undefined
    case 'NONE':
      return { mode: 'none' }
    case 'AUTO':
    case 'VALIDATED':
      return names.length > 0 ? { mode: 'allowed', names, required: false } : { mode: 'auto' }
    case 'ANY':
      if (names.length === 1) return { mode: 'tool', name: names[0]! }
      return names.length > 0 ? { mode: 'allowed', names, required: true } : { mode: 'required' }
    default:
      throw badField(`${at}.mode`, 'AUTO, ANY, NONE or VALIDATED')
  }
}

function outputFormat(config: JsonObject): OutputFormat | undefined {
  const mime = maybeText(field(config, 'responseMimeType'), 'generationConfig.responseMimeType')
  if (mime === 'text/x.enum')
    throw notYet('generationConfig.responseMimeType', 'a bare word cannot be asked of other models; ask for JSON')
  const own = field(config, 'responseSchema')
  const other = field(config, 'responseJsonSchema') ?? config['_responseJsonSchema']
  const schema =
    own != null
      ? jsonSchema(objectAt(own, 'generationConfig.responseSchema'))
      : other != null
        ? objectAt(other, 'generationConfig.responseJsonSchema')
        : undefined
  if (schema !== undefined) return { type: 'schema', name: 'answer', schema }
  if (mime === 'application/json') return { type: 'json' }
  if (mime === undefined || mime === 'text/plain' || mime === '') return undefined
  throw badField('generationConfig.responseMimeType', 'text/plain or application/json')
}

function reasoningOf(value: Json | undefined): Reasoning | undefined {
  if (value === undefined || value === null) return undefined
  const at = 'generationConfig.thinkingConfig'
  const config = objectAt(value, at)
  const level = maybeText(field(config, 'thinkingLevel'), `${at}.thinkingLevel`)?.toLowerCase()
  const effort = level === undefined || level === 'thinking_level_unspecified' ? null : level
  const budget = maybeWhole(field(config, 'thinkingBudget'), `${at}.thinkingBudget`, -1) ?? null
  const visible = maybeFlag(field(config, 'includeThoughts'), `${at}.includeThoughts`) ?? null
  return effort === null && budget === null && visible === null ? undefined : { effort, budget, visible }
}
