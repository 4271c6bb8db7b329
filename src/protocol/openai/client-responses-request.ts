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
  listAt,
  maybeFlag,
  maybeNumber,
  maybeText,
  maybeWhole,
  objectAt,
  textAt,
} from '../canonical/read.ts'
import { fieldNames, notYet, unknownFields } from '../canonical/say.ts'
import {
  allowedTools,
  common,
  customTool,
  functionFields,
  schemaFormat,
  simpleFormat,
  texts,
} from './client-chat-request.ts'
import { inputMessages, isLostThought, isStrictSchema } from './client-responses-input.ts'

const KNOWN = fieldNames(`
  model input instructions stream stream_options tools tool_choice parallel_tool_calls text reasoning include
  max_output_tokens temperature top_p top_logprobs truncation user metadata service_tier store prompt_cache_key
  safety_identifier previous_response_id conversation background prompt
`)

/** They need what the call before left behind. */
const REFUSED: readonly (readonly [field: string, why: string])[] = [
  ['previous_response_id', 'answers of this model are not kept; send the whole conversation as input'],
  ['conversation', 'conversations are not kept; send the whole conversation as input'],
  ['prompt', 'prompts are only kept by OpenAI itself; send the text'],
]

/** Reads a Responses request (openai-openapi `CreateResponse`). */
export function responsesRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  for (const [field, why] of REFUSED) if (sent[field] != null) throw notYet(field, why)
  if (maybeFlag(sent['background'], 'background') === true)
    throw notYet('background', 'answers of this model are not kept; stream the answer, or wait for it')
  const text = sent['text'] == null ? {} : objectAt(sent['text'], 'text')
  const topLogprobs = maybeWhole(sent['top_logprobs'], 'top_logprobs')
  if (topLogprobs !== undefined && topLogprobs > 20) throw badField('top_logprobs', 'from 0 to 20')
  const include = texts(sent['include'], 'include') ?? []
  const logprobs = include.includes('message.output_text.logprobs') || (topLogprobs ?? 0) > 0
  return compact<ChatRequest>({
    model,
    messages: inputMessages(sent),
    stream,
    ...toolsOf(sent['tools']),
    toolChoice: toolChoice(sent['tool_choice']),
    parallelTools: maybeFlag(sent['parallel_tool_calls'], 'parallel_tool_calls'),
    format: textFormat(text['format']),
    verbosity: maybeText(text['verbosity'], 'text.verbosity'),
    reasoning: reasoningOf(sent['reasoning']),
    maxTokens: maybeWhole(sent['max_output_tokens'], 'max_output_tokens', 1),
    temperature: maybeNumber(sent['temperature'], 'temperature', 0),
    topP: maybeNumber(sent['top_p'], 'top_p', 0),
    logprobs: logprobs ? true : undefined,
    topLogprobs: logprobs ? topLogprobs : undefined,
    unknown: leftBehind(sent),
    ...common(sent),
    ...NOT_SPOKEN,
  })
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  topK: undefined,
  minP: undefined,
  frequencyPenalty: undefined,
  presencePenalty: undefined,
  repetitionPenalty: undefined,
  seed: undefined,
  stop: undefined,
  n: undefined,
  logitBias: undefined,
  modalities: undefined,
  audio: undefined,
  prediction: undefined,
  suffix: undefined,
  echo: undefined,
} as const

/** `truncation: auto` lets OpenAI shorten the input; nobody does that here. */
function leftBehind(sent: JsonObject): readonly string[] | undefined {
  const unknown = unknownFields(sent, KNOWN) ?? []
  const left = sent['truncation'] === 'auto' ? [...unknown, 'truncation'] : [...unknown]
  const { input } = sent
  if (Array.isArray(input) && input.some(isLostThought)) left.push('input.item_reference')
  return left.length > 0 ? left : undefined
}

function toolsOf(value: Json | undefined): { tools: Tool[] | undefined; serverTools: NativePart[] | undefined } {
  const tools: Tool[] = []
  const serverTools: NativePart[] = []
  if (value !== undefined && value !== null)
    for (const [i, item] of listAt(value, 'tools').entries()) {
      const tool = objectAt(item, `tools[${i}]`)
      const type = textAt(tool['type'], `tools[${i}].type`)
      if (type === 'function') tools.push(functionTool(tool, `tools[${i}]`))
      else if (type === 'custom') tools.push(customTool(tool, `tools[${i}]`))
      else serverTools.push({ type: 'native', by: 'openai.responses', value: tool })
    }
  return {
    tools: tools.length > 0 ? tools : undefined,
    serverTools: serverTools.length > 0 ? serverTools : undefined,
  }
}

/** Strict is the default here; OpenAI bends schemas until they fit, so only those that fit as they are become strict. */
function functionTool(tool: JsonObject, at: string): Tool {
  const found = functionFields(tool, at)
  if (tool['strict'] != null || found.schema === null || !isStrictSchema(found.schema)) return found
  return { ...found, strict: true }
}

function toolChoice(value: Json | undefined): ToolChoice | undefined {
  if (value === undefined || value === null) return undefined
  if (value === 'auto' || value === 'none' || value === 'required') return { mode: value }
  const choice = objectAt(value, 'tool_choice')
  switch (textAt(choice['type'], 'tool_choice.type')) {
    case 'function':
    case 'custom':
      return { mode: 'tool', name: textAt(choice['name'], 'tool_choice.name') }
    case 'allowed_tools':
      return allowedTools(choice, 'tool_choice')
    default:
      throw notYet('tool_choice', 'only functions and custom tools can be chosen')
  }
}

function textFormat(value: Json | undefined): OutputFormat | undefined {
  if (value === undefined || value === null) return undefined
  const format = objectAt(value, 'text.format')
  return format['type'] === 'json_schema' ? schemaFormat(format, 'text.format') : simpleFormat(format, 'text.format')
}

function reasoningOf(value: Json | undefined): Reasoning | undefined {
  if (value === undefined || value === null) return undefined
  const reasoning = objectAt(value, 'reasoning')
  const effort = maybeText(reasoning['effort'], 'reasoning.effort') ?? null
  const summary =
    maybeText(reasoning['summary'], 'reasoning.summary') ??
    maybeText(reasoning['generate_summary'], 'reasoning.generate_summary')
  const visible = summary === undefined ? null : summary !== 'none'
  return effort === null && visible === null ? undefined : { effort, budget: null, visible }
}
