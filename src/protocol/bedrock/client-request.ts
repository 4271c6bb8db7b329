import type {
  CacheMark,
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
import { fieldNames, notYet, parsed, unknownFields } from '../canonical/say.ts'
import { markAt, readMessages } from './client-content.ts'
import { onlyBedrockIn } from './only-bedrock.ts'

const KNOWN = fieldNames(`
  modelId messages system inferenceConfig toolConfig additionalModelRequestFields additionalModelResponseFieldPaths
  requestMetadata serviceTier outputConfig guardrailConfig promptVariables performanceConfig
`)

const maybeObject = (value: Json | undefined, param: string): JsonObject =>
  value === undefined || value === null ? {} : objectAt(value, param)

/** Reads a Converse or ConverseStream request (@aws-sdk/client-bedrock-runtime 3.1164, `ConverseRequest` as it is sent). */
export function converseRequest(sent: JsonObject, model: string, stream: boolean): ChatRequest {
  const refusal = onlyBedrockIn(sent)
  if (refusal !== null) throw notYet(...refusal)
  const inference = maybeObject(sent['inferenceConfig'], 'inferenceConfig')
  const tools = maybeObject(sent['toolConfig'], 'toolConfig')
  const output = maybeObject(sent['outputConfig'], 'outputConfig')
  const { unknown, ...own } = additional(maybeObject(sent['additionalModelRequestFields'], ADDITIONAL))
  const effort = maybeText(output['effort'], 'outputConfig.effort')
  const tier = maybeObject(sent['serviceTier'], 'serviceTier')
  const metadata = maybeObject(sent['requestMetadata'], 'requestMetadata')
  return compact<ChatRequest>({
    ...own,
    model,
    messages: readMessages(sent),
    stream,
    ...toolsOf(tools['tools']),
    toolChoice: toolChoice(tools['toolChoice']),
    format: outputFormat(output['textFormat']),
    reasoning: withEffort(own.reasoning, effort),
    maxTokens: maybeWhole(inference['maxTokens'], 'inferenceConfig.maxTokens', 1),
    temperature: maybeNumber(inference['temperature'], 'inferenceConfig.temperature', 0),
    topP: maybeNumber(inference['topP'], 'inferenceConfig.topP', 0),
    stop: stopsOf(inference['stopSequences']),
    metadata: Object.keys(metadata).length > 0 ? metadata : undefined,
    serviceTier: maybeText(tier['type'], 'serviceTier.type'),
    unknown: leftBehind(sent, unknown),
    ...NOT_SPOKEN,
  })
}

/** The dialect has no words for these. */
const NOT_SPOKEN = {
  n: undefined,
  logitBias: undefined,
  logprobs: undefined,
  topLogprobs: undefined,
  verbosity: undefined,
  modalities: undefined,
  audio: undefined,
  prediction: undefined,
  user: undefined,
  store: undefined,
  promptCacheKey: undefined,
  safetyIdentifier: undefined,
  suffix: undefined,
  echo: undefined,
} as const

/** Told in a header. */
function leftBehind(sent: JsonObject, unknown: readonly string[]): readonly string[] | undefined {
  const names = [...(unknownFields(sent, KNOWN) ?? []), ...unknown]
  const latency = isObject(sent['performanceConfig']) ? sent['performanceConfig']['latency'] : undefined
  if (latency !== undefined && latency !== null && latency !== 'standard') names.push('performanceConfig')
  return names.length > 0 ? names : undefined
}

const stopsOf = (value: Json | undefined): string[] | undefined =>
  value === undefined || value === null
    ? undefined
    : listAt(value, 'inferenceConfig.stopSequences').map((item, i) =>
        textAt(item, `inferenceConfig.stopSequences[${i}]`),
      )

// ── in the model's own words ────────────────────────────────────────────────
const ADDITIONAL = 'additionalModelRequestFields'

type Own = Pick<
  { readonly [K in keyof ChatRequest]: ChatRequest[K] | undefined },
  | 'topK'
  | 'minP'
  | 'seed'
  | 'frequencyPenalty'
  | 'presencePenalty'
  | 'repetitionPenalty'
  | 'parallelTools'
  | 'reasoning'
>

const READ = fieldNames(`
  top_k topK min_p seed frequency_penalty presence_penalty repetition_penalty tool_choice thinking reasoning_config
  reasoningConfig reasoning_effort output_config inferenceConfig
`)

/** Fields of models themselves, as most of their vendors have them: Claude, Nova, gpt-oss and other open ones. */
function additional(fields: JsonObject): Own & { readonly unknown: readonly string[] } {
  const at = (name: string): string => `${ADDITIONAL}.${name}`
  const number = (name: string): number | undefined => maybeNumber(fields[name], at(name))
  const choice = maybeObject(fields['tool_choice'], at('tool_choice'))
  const nova = maybeObject(fields['inferenceConfig'], at('inferenceConfig'))
  const single = maybeFlag(choice['disable_parallel_tool_use'], at('tool_choice.disable_parallel_tool_use'))
  return {
    topK:
      maybeWhole(fields['top_k'], at('top_k')) ??
      maybeWhole(fields['topK'], at('topK')) ??
      maybeWhole(nova['topK'], at('inferenceConfig.topK')),
    minP: number('min_p'),
    seed: number('seed'),
    frequencyPenalty: number('frequency_penalty'),
    presencePenalty: number('presence_penalty'),
    repetitionPenalty: number('repetition_penalty'),
    parallelTools: single === true ? false : undefined,
    reasoning: reasoningOf(fields),
    unknown: Object.keys(fields)
      .filter((name) => !READ.has(name) && fields[name] !== null)
      .map(at),
  }
}

function withEffort(reasoning: Reasoning | undefined, effort: string | undefined): Reasoning | undefined {
  if (effort === undefined) return reasoning
  return { ...(reasoning ?? { budget: null, visible: null }), effort }
}

/** Claude's `thinking` (older: `reasoning_config`), Nova's `reasoningConfig`, gpt-oss' `reasoning_effort`. */
function reasoningOf(fields: JsonObject): Reasoning | undefined {
  const said = maybeObject(fields['output_config'], `${ADDITIONAL}.output_config`)
  const effort =
    maybeText(fields['reasoning_effort'], `${ADDITIONAL}.reasoning_effort`) ??
    maybeText(said['effort'], `${ADDITIONAL}.output_config.effort`) ??
    null
  for (const name of ['thinking', 'reasoning_config', 'reasoningConfig']) {
    const value = fields[name]
    if (value !== undefined && value !== null) return thinkingOf(objectAt(value, `${ADDITIONAL}.${name}`), name, effort)
  }
  return effort === null ? undefined : { effort, budget: null, visible: null }
}

function thinkingOf(config: JsonObject, name: string, effort: string | null): Reasoning {
  const at = `${ADDITIONAL}.${name}`
  const display = maybeText(config['display'], `${at}.display`)
  const visible = display === undefined ? null : display !== 'omitted'
  switch (config['type']) {
    case 'disabled':
      return { effort, budget: 0, visible }
    case 'adaptive':
      return { effort, budget: -1, visible }
    case 'enabled': {
      const own = maybeText(config['maxReasoningEffort'], `${at}.maxReasoningEffort`)
      const budget = maybeWhole(config['budget_tokens'], `${at}.budget_tokens`, 1)
      if (name !== 'reasoningConfig' && budget === undefined)
        throw badField(`${at}.budget_tokens`, 'a whole number of at least 1')
      return { effort: effort ?? own ?? null, budget: budget ?? (own === undefined ? -1 : null), visible }
    }
    default:
      throw badField(`${at}.type`, 'enabled, adaptive or disabled')
  }
}

// ── tools ───────────────────────────────────────────────────────────────────
function toolsOf(value: Json | undefined): { tools: Tool[] | undefined; serverTools: NativePart[] | undefined } {
  const tools: Tool[] = []
  const serverTools: NativePart[] = []
  for (const [i, item] of (value === undefined || value === null ? [] : listAt(value, 'toolConfig.tools')).entries()) {
    const at = `toolConfig.tools[${i}]`
    const tool = objectAt(item, at)
    const mark = markAt(tool, at)
    if (mark !== null) markLast(tools, mark)
    else if (isObject(tool['toolSpec'])) tools.push(toolOf(tool['toolSpec'], `${at}.toolSpec`))
    else if (isObject(tool['systemTool'])) serverTools.push({ type: 'native', by: 'bedrock.converse', value: tool })
    else throw badField(at, 'a toolSpec, a systemTool or a cachePoint')
  }
  return {
    tools: tools.length > 0 ? tools : undefined,
    serverTools: serverTools.length > 0 ? serverTools : undefined,
  }
}

function markLast(tools: Tool[], cache: CacheMark): void {
  const last = tools.pop()
  if (last !== undefined) tools.push({ ...last, cache })
}

const toolOf = (spec: JsonObject, at: string): Tool =>
  compact<Tool>({
    name: textAt(spec['name'], `${at}.name`),
    description: maybeText(spec['description'], `${at}.description`),
    schema: objectAt(objectAt(spec['inputSchema'], `${at}.inputSchema`)['json'], `${at}.inputSchema.json`),
    strict: maybeFlag(spec['strict'], `${at}.strict`),
    custom: undefined,
    cache: undefined,
  })

function toolChoice(value: Json | undefined): ToolChoice | undefined {
  if (value === undefined || value === null) return undefined
  const choice = objectAt(value, 'toolConfig.toolChoice')
  if (choice['any'] != null) return { mode: 'required' }
  if (choice['auto'] != null) return { mode: 'auto' }
  const tool = choice['tool']
  if (!isObject(tool)) throw badField('toolConfig.toolChoice', 'auto, any or tool')
  return { mode: 'tool', name: textAt(tool['name'], 'toolConfig.toolChoice.tool.name') }
}

function outputFormat(value: Json | undefined): OutputFormat | undefined {
  if (value === undefined || value === null) return undefined
  const at = 'outputConfig.textFormat'
  const format = objectAt(value, at)
  if (format['type'] !== 'json_schema') throw badField(`${at}.type`, 'json_schema')
  const where = `${at}.structure.jsonSchema`
  const asked = objectAt(objectAt(format['structure'], `${at}.structure`)['jsonSchema'], where)
  const schema = parsed(textAt(asked['schema'], `${where}.schema`))
  if (!isObject(schema)) throw badField(`${where}.schema`, 'a JSON Schema as text')
  const description = maybeText(asked['description'], `${where}.description`)
  return {
    type: 'schema',
    name: maybeText(asked['name'], `${where}.name`) ?? 'answer',
    ...(description === undefined ? {} : { description }),
    schema,
  }
}
