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
import { GatewayError } from '../../core/errors.ts'
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
import { cacheMark, fieldNames, notYet, unknownFields } from '../canonical/say.ts'
import { readMessages } from './client-content.ts'

const KNOWN = fieldNames(`
  model messages system max_tokens stream temperature top_p top_k stop_sequences tools tool_choice thinking
  output_config output_format metadata service_tier cache_control mcp_servers container
`)

/** They need a state, or a connection, that only Anthropic's own servers have. */
const REFUSED: readonly (readonly [field: string, why: string])[] = [
  ['mcp_servers', 'servers are only reached by Anthropic itself'],
  ['container', 'containers are only kept by Anthropic itself'],
]

/** A conversation that the server holds. By this name SDKs know that they must send it whole (anthropic-sdk `ThreadState`). */
const threadRefusal = (): GatewayError =>
  new GatewayError('unsupported_parameter', 'Conversations are only held by Anthropic itself: send all messages.', {
    param: 'thread',
    publicCode: 'thread_unsupported_request',
  })

/** Reads a Messages request (anthropic-sdk `MessageCreateParamsBase`). */
export function messagesRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  for (const [field, why] of REFUSED) if (isSet(sent[field])) throw notYet(field, why)
  if (isSet(sent['thread'])) throw threadRefusal()
  const maxTokens = maybeWhole(sent['max_tokens'], 'max_tokens', 1)
  if (maxTokens === undefined) throw badField('max_tokens', 'a whole number of at least 1')
  const metadata = sent['metadata'] == null ? {} : objectAt(sent['metadata'], 'metadata')
  const choice = sent['tool_choice'] == null ? undefined : objectAt(sent['tool_choice'], 'tool_choice')
  const tier = maybeText(sent['service_tier'], 'service_tier')
  const config = sent['output_config'] == null ? {} : objectAt(sent['output_config'], 'output_config')
  return compact<ChatRequest>({
    model,
    messages: readMessages(sent),
    stream,
    ...toolsOf(sent['tools']),
    toolChoice: choice === undefined ? undefined : toolChoice(choice),
    parallelTools:
      choice !== undefined && maybeFlag(choice['disable_parallel_tool_use'], 'tool_choice.disable_parallel_tool_use')
        ? false
        : undefined,
    format:
      outputFormat(config['format'], 'output_config.format') ?? outputFormat(sent['output_format'], 'output_format'),
    reasoning: reasoningOf(sent['thinking'], maybeText(config['effort'], 'output_config.effort')),
    maxTokens,
    temperature: maybeNumber(sent['temperature'], 'temperature', 0),
    topP: maybeNumber(sent['top_p'], 'top_p', 0),
    topK: maybeWhole(sent['top_k'], 'top_k', 0),
    stop:
      sent['stop_sequences'] == null
        ? undefined
        : listAt(sent['stop_sequences'], 'stop_sequences').map((item, i) => textAt(item, `stop_sequences[${i}]`)),
    user: maybeText(metadata['user_id'], 'metadata.user_id'),
    // What OpenAI, whose words the tiers are in, calls the usual one.
    serviceTier: tier === 'standard_only' ? 'default' : tier,
    unknown: unknownFields(sent, KNOWN),
    ...NOT_SPOKEN,
  })
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  minP: undefined,
  frequencyPenalty: undefined,
  presencePenalty: undefined,
  repetitionPenalty: undefined,
  seed: undefined,
  n: undefined,
  logitBias: undefined,
  logprobs: undefined,
  topLogprobs: undefined,
  verbosity: undefined,
  modalities: undefined,
  audio: undefined,
  prediction: undefined,
  metadata: undefined,
  store: undefined,
  promptCacheKey: undefined,
  safetyIdentifier: undefined,
  suffix: undefined,
  echo: undefined,
} as const

const isSet = (value: Json | undefined): boolean =>
  value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0)

function toolsOf(value: Json | undefined): { tools: Tool[] | undefined; serverTools: NativePart[] | undefined } {
  const tools: Tool[] = []
  const serverTools: NativePart[] = []
  if (value !== undefined && value !== null)
    for (const [i, item] of listAt(value, 'tools').entries()) {
      const at = `tools[${i}]`
      const tool = objectAt(item, at)
      const type = maybeText(tool['type'], `${at}.type`) ?? 'custom'
      if (type === 'custom') tools.push(clientTool(tool, at))
      else serverTools.push({ type: 'native', by: 'anthropic.messages', value: tool })
    }
  return {
    tools: tools.length > 0 ? tools : undefined,
    serverTools: serverTools.length > 0 ? serverTools : undefined,
  }
}

const clientTool = (tool: JsonObject, at: string): Tool =>
  compact<Tool>({
    name: textAt(tool['name'], `${at}.name`),
    description: maybeText(tool['description'], `${at}.description`),
    schema: objectAt(tool['input_schema'], `${at}.input_schema`),
    strict: maybeFlag(tool['strict'], `${at}.strict`),
    custom: undefined,
    cache: cacheMark(tool, at),
  })

function toolChoice(choice: JsonObject): ToolChoice {
  switch (choice['type']) {
    case 'auto':
    case 'none':
      return { mode: choice['type'] }
    case 'any':
      return { mode: 'required' }
    case 'tool':
      return { mode: 'tool', name: textAt(choice['name'], 'tool_choice.name') }
    default:
      throw badField('tool_choice.type', 'auto, any, tool or none')
  }
}

function outputFormat(value: Json | undefined, at: string): OutputFormat | undefined {
  if (value === undefined || value === null) return undefined
  const format = objectAt(value, at)
  if (format['type'] !== 'json_schema') throw badField(`${at}.type`, 'json_schema')
  return { type: 'schema', name: 'answer', schema: objectAt(format['schema'], `${at}.schema`) }
}

function reasoningOf(value: Json | undefined, effort: string | undefined): Reasoning | undefined {
  if (value === undefined || value === null)
    return effort === undefined ? undefined : { effort, budget: null, visible: null }
  const thinking = objectAt(value, 'thinking')
  const display = maybeText(thinking['display'], 'thinking.display')
  const visible = display === undefined ? null : display !== 'omitted'
  const found = (budget: number): Reasoning => ({ effort: effort ?? null, budget, visible })
  switch (thinking['type']) {
    case 'disabled':
      return found(0)
    case 'adaptive':
    case 'between_tools':
      return found(-1)
    case 'enabled': {
      const budget = maybeWhole(thinking['budget_tokens'], 'thinking.budget_tokens', 1)
      if (budget === undefined) throw badField('thinking.budget_tokens', 'a whole number of at least 1')
      return found(budget)
    }
    default:
      throw badField('thinking.type', 'enabled, adaptive or disabled')
  }
}
