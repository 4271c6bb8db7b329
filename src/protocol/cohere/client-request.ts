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
  oneOf,
  textAt,
} from '../canonical/read.ts'
import { fieldNames, unknownFields } from '../canonical/say.ts'
import { functionFields } from '../openai/client-chat-request.ts'
import { withDocuments } from './client-documents.ts'
import { cohereMessages } from './client-messages.ts'

const KNOWN = fieldNames(`
  model messages stream tools strict_tools tool_choice documents response_format thinking max_tokens temperature p k
  frequency_penalty presence_penalty seed stop_sequences logprobs citation_options safety_mode priority
`)

/** Reads a request of /v2/chat (cohere-ai `V2ChatRequest`). */
export function cohereChatRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  const topK = maybeWhole(sent['k'], 'k')
  return compact<ChatRequest>({
    model,
    messages: withDocuments(cohereMessages(sent['messages']), sent['documents']),
    stream,
    tools: toolsOf(sent),
    toolChoice: toolChoice(sent['tool_choice']),
    format: outputFormat(sent['response_format']),
    reasoning: reasoningOf(sent['thinking']),
    maxTokens: maybeWhole(sent['max_tokens'], 'max_tokens', 1),
    temperature: maybeNumber(sent['temperature'], 'temperature', 0),
    topP: maybeNumber(sent['p'], 'p', 0),
    // Off, which is what all backends do unasked.
    topK: topK === 0 ? undefined : topK,
    frequencyPenalty: maybeNumber(sent['frequency_penalty'], 'frequency_penalty'),
    presencePenalty: maybeNumber(sent['presence_penalty'], 'presence_penalty'),
    seed: maybeWhole(sent['seed'], 'seed', -Number.MAX_SAFE_INTEGER),
    stop:
      sent['stop_sequences'] == null
        ? undefined
        : listAt(sent['stop_sequences'], 'stop_sequences').map((item, i) => textAt(item, `stop_sequences[${i}]`)),
    logprobs: maybeFlag(sent['logprobs'], 'logprobs'),
    own: ownFields(sent),
    unknown: unknownFields(sent, KNOWN),
    ...NOT_SPOKEN,
  })
}

/** What no other vendor has. */
const OWN = ['citation_options', 'safety_mode', 'priority'] as const

function ownFields(sent: JsonObject): NativePart | undefined {
  const value: JsonObject = {}
  for (const name of OWN) if (sent[name] != null) value[name] = sent[name]
  return Object.keys(value).length === 0 ? undefined : { type: 'native', by: 'cohere.chat', value }
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  serverTools: undefined,
  parallelTools: undefined,
  minP: undefined,
  repetitionPenalty: undefined,
  n: undefined,
  logitBias: undefined,
  topLogprobs: undefined,
  verbosity: undefined,
  modalities: undefined,
  audio: undefined,
  prediction: undefined,
  user: undefined,
  metadata: undefined,
  serviceTier: undefined,
  store: undefined,
  promptCacheKey: undefined,
  safetyIdentifier: undefined,
  suffix: undefined,
  echo: undefined,
} as const

function toolsOf(sent: JsonObject): readonly Tool[] | undefined {
  const strict = maybeFlag(sent['strict_tools'], 'strict_tools')
  const tools = sent['tools'] == null ? [] : listAt(sent['tools'], 'tools')
  if (tools.length === 0) return undefined
  return tools.map((item, i) => {
    const at = `tools[${i}]`
    const tool = objectAt(item, at)
    oneOf(textAt(tool['type'], `${at}.type`), ['function'], `${at}.type`)
    const found = functionFields(objectAt(tool['function'], `${at}.function`), `${at}.function`)
    return strict === true ? { ...found, strict } : found
  })
}

function toolChoice(value: Json | undefined): ToolChoice | undefined {
  const choice = maybeText(value, 'tool_choice')
  if (choice === undefined) return undefined
  return { mode: oneOf(choice, ['REQUIRED', 'NONE'], 'tool_choice') === 'NONE' ? 'none' : 'required' }
}

function outputFormat(value: Json | undefined): OutputFormat | undefined {
  if (value === undefined || value === null) return undefined
  const format = objectAt(value, 'response_format')
  if (format['type'] === 'text') return undefined
  if (format['type'] !== 'json_object') throw badField('response_format.type', 'text or json_object')
  const schema = format['json_schema']
  if (schema === undefined || schema === null) return { type: 'json' }
  return { type: 'schema', name: 'answer', schema: objectAt(schema, 'response_format.json_schema') }
}

/** What is thought is told, too. */
function reasoningOf(value: Json | undefined): Reasoning | undefined {
  if (value === undefined || value === null) return undefined
  const thinking = objectAt(value, 'thinking')
  const budget = maybeWhole(thinking['token_budget'], 'thinking.token_budget', 1)
  const type = oneOf(textAt(thinking['type'], 'thinking.type'), ['enabled', 'disabled'], 'thinking.type')
  if (type === 'disabled') return { effort: null, budget: 0, visible: null }
  return { effort: null, budget: budget ?? -1, visible: true }
}
