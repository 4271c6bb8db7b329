import type { ChatRequest, Json, JsonObject, Tool } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { claudeFacts, type ClaudeFacts, thinkingFor, type Thinking } from '../anthropic/wire-models.ts'
import { asTurns, callNames, hoist } from '../canonical/history.ts'
import { put } from '../canonical/loose.ts'
import { closedSchema, parametersOf } from '../canonical/schema.ts'
import { Blocks } from './wire-blocks.ts'

/** The tool that models without structured outputs answer with; the answer's reader tells what is in it as text. */
export const ANSWER_TOOL = 'heddle-json-answer'

/** Families whose structured outputs Bedrock offers: docs.aws.amazon.com, "Get validated JSON results from models". */
const STRUCTURED = ['qwen.', 'openai.', 'deepseek.', 'mistral.', 'google.', 'minimax.', 'moonshot', 'nvidia.']

/** What a model takes, by its id; claude: null = another family. */
interface Family {
  readonly claude: ClaudeFacts | null
  readonly nova: boolean
  readonly openai: boolean
  readonly structured: boolean
}

function familyOf(model: string): Family {
  const claude = model.includes('claude') ? claudeFacts(model) : null
  return {
    claude,
    nova: model.includes('amazon.nova'),
    openai: model.includes('openai.'),
    structured: claude === null ? STRUCTURED.some((name) => model.includes(name)) : claude.schema,
  }
}

/** Body of POST /model/{id}/converse, by ConverseRequest of @aws-sdk/client-bedrock-runtime 3.1164. */
export function bedrockRequest(request: ChatRequest, target: WireTarget): JsonObject {
  const family = familyOf(target.model)
  const blocks = new Blocks(marksIn(request), target.model)
  const { instructions, rest } = hoist(request.messages)
  // The service reads tools, then instructions, then messages: markers are counted in that order.
  const byTool = request.format !== undefined && !(request.format.type === 'schema' && family.structured)
  const toolConfig = toolsOf(request, blocks, byTool)
  const system: Json[] = []
  for (const part of instructions) {
    system.push({ text: part.text })
    blocks.mark(system, part.cache)
  }
  const messages = messagesOf(rest, blocks)
  const body: JsonObject = { messages }
  if (system.length > 0) body['system'] = system
  put(body, 'toolConfig', toolConfig)
  const thinking = thinkingOf(request, target, family, messages, byTool)
  put(body, 'inferenceConfig', inference(request, family, thinking))
  put(body, 'additionalModelRequestFields', additional(request, family, thinking))
  put(body, 'outputConfig', output(request, thinking, byTool, family))
  if (family.claude !== null && (request.stop?.length ?? 0) > 0)
    body['additionalModelResponseFieldPaths'] = ['/delta/stop_sequence']
  if (request.metadata !== undefined) body['requestMetadata'] = textsOf(request.metadata)
  if (request.serviceTier !== undefined && TIERS.has(request.serviceTier))
    body['serviceTier'] = { type: request.serviceTier }
  return body
}

const TIERS = new Set(['priority', 'default', 'flex', 'reserved'])

const textsOf = (metadata: NonNullable<ChatRequest['metadata']>): JsonObject =>
  Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)]),
  )

function marksIn({ messages, tools = [] }: ChatRequest): number {
  let marks = 0
  for (const tool of tools) if (tool.cache !== undefined) marks++
  for (const { parts } of messages) for (const part of parts) if ('cache' in part && part.cache !== undefined) marks++
  return marks
}

function messagesOf(rest: ChatRequest['messages'], blocks: Blocks): JsonObject[] {
  const messages: JsonObject[] = []
  for (const turn of asTurns(rest)) {
    const content = blocks.content(turn)
    if (content.length === 0) continue
    const last = messages.at(-1)
    if (last?.['role'] === turn.role) (last['content'] as Json[]).push(...content)
    else messages.push({ role: turn.role, content })
  }
  // The conversation must begin with the user, and no text may be empty.
  if (messages[0]?.['role'] !== 'user') messages.unshift({ role: 'user', content: [{ text: '...' }] })
  return messages
}

function toolsOf(request: ChatRequest, blocks: Blocks, byTool: boolean): JsonObject | undefined {
  const tools = offeredTools(request, blocks)
  const only = tools.length === 0
  if (byTool) tools.push({ toolSpec: answerTool(request) })
  else if (only) tools.push(...calledTools(request))
  if (tools.length === 0) return undefined
  const choice = only && !byTool ? undefined : choiceOf(request, byTool, only)
  return choice === undefined ? { tools } : { tools, toolChoice: choice }
}

function offeredTools({ tools = [], toolChoice: choice }: ChatRequest, blocks: Blocks): Json[] {
  const offered: Json[] = []
  for (const tool of tools) {
    if (choice?.mode === 'none' || (choice?.mode === 'allowed' && !choice.names.includes(tool.name))) continue
    offered.push({ toolSpec: specOf(tool) })
    blocks.mark(offered, tool.cache)
  }
  return offered
}

/** Calls in the conversation are refused without the tools that they call. */
function calledTools({ tools, messages }: ChatRequest): JsonObject[] {
  const names = new Set(callNames(messages).values())
  return [...names].map((name) => ({
    toolSpec: specOf(tools?.find((tool) => tool.name === name) ?? { name, schema: null }),
  }))
}

function choiceOf({ toolChoice: choice }: ChatRequest, byTool: boolean, only: boolean): JsonObject | undefined {
  if (byTool) return only ? { tool: { name: ANSWER_TOOL } } : { any: {} }
  if (choice?.mode === 'tool') return { tool: { name: choice.name } }
  return choice?.mode === 'required' || (choice?.mode === 'allowed' && choice.required) ? { any: {} } : undefined
}

function specOf(tool: Tool): JsonObject {
  const spec: JsonObject = { name: tool.name }
  if (tool.description !== undefined && tool.description !== '') spec['description'] = tool.description
  const schema = parametersOf(tool.schema)
  spec['inputSchema'] = { json: schema['type'] === 'object' ? schema : { ...schema, type: 'object' } }
  return spec
}

function answerTool({ format }: ChatRequest): JsonObject {
  const schema = format?.type === 'schema' ? parametersOf(format.schema) : { type: 'object' }
  const json = schema['type'] === 'object' ? schema : { ...schema, type: 'object' }
  return {
    name: ANSWER_TOOL,
    description: 'Give the answer to the user with this tool, as JSON.',
    inputSchema: { json },
  }
}

function thinkingOf(
  request: ChatRequest,
  target: WireTarget,
  { claude }: Family,
  messages: readonly JsonObject[],
  byTool: boolean,
): Thinking | null {
  if (claude === null) return null
  const { toolChoice } = request
  const forced = byTool || toolChoice?.mode === 'required' || toolChoice?.mode === 'tool'
  const may =
    !forced && !(toolChoice?.mode === 'allowed' && toolChoice.required) && !openWithoutThoughts(claude, messages)
  return thinkingFor(claude, request.reasoning ?? null, {
    maxTokens: request.maxTokens ?? null,
    greatest: target.maxOutputTokens,
    may,
  })
}

/** As for Anthropic itself: models with a budget want the thoughts that led to the calls that are being answered. */
function openWithoutThoughts(claude: ClaudeFacts, messages: readonly JsonObject[]): boolean {
  const last = messages.at(-1)
  const before = messages.at(-2)
  if (claude.thinking !== 'budget' || last?.['role'] !== 'user' || before?.['role'] !== 'assistant') return false
  const answers = 'toolResult' in (last['content'] as JsonObject[])[0]!
  return answers && !('reasoningContent' in (before['content'] as JsonObject[])[0]!)
}

function inference(request: ChatRequest, family: Family, thinking: Thinking | null): JsonObject | undefined {
  const config: JsonObject = {}
  // A budget must be below the maximum, which therefore must be said.
  const budgeted = thinking?.config?.budget_tokens !== undefined
  put(config, 'maxTokens', budgeted ? thinking.maxTokens : request.maxTokens)
  const samples = family.claude === null || (family.claude.sampling && thinking?.on !== true)
  if (samples) {
    const most = family.claude === null ? Infinity : 1
    if (request.temperature !== undefined) config['temperature'] = Math.min(request.temperature, most)
    // Newer Claude models take one of both.
    if (family.claude === null || request.temperature === undefined) put(config, 'topP', request.topP)
  }
  const stops = request.stop?.filter((stop) => stop.trim() !== '') ?? []
  if (stops.length > 0) config['stopSequences'] = stops
  return Object.keys(config).length > 0 ? config : undefined
}

/** What Converse has no field for goes in the model's own words. */
function additional(request: ChatRequest, family: Family, thinking: Thinking | null): JsonObject | undefined {
  const fields: JsonObject = {}
  const { topK, reasoning } = request
  if (thinking?.config !== null && thinking !== null) fields['thinking'] = { ...thinking.config }
  if (family.claude !== null) {
    if (family.claude.sampling && thinking?.on !== true) put(fields, 'top_k', topK)
  } else if (family.nova) {
    if (topK !== undefined) fields['inferenceConfig'] = { topK }
    const effort = NOVA_EFFORTS[reasoning?.effort ?? '']
    if (effort !== undefined) fields['reasoningConfig'] = { type: 'enabled', maxReasoningEffort: effort }
  } else {
    put(fields, 'top_k', topK)
    if (family.openai) put(fields, 'reasoning_effort', OPENAI_EFFORTS[reasoning?.effort ?? ''])
  }
  return Object.keys(fields).length > 0 ? fields : undefined
}

const NOVA_EFFORTS: Readonly<Record<string, string>> = {
  minimal: 'low',
  low: 'low',
  medium: 'medium',
  high: 'high',
  xhigh: 'high',
  max: 'high',
}
/** gpt-oss knows three. */
const OPENAI_EFFORTS: Readonly<Record<string, string>> = { ...NOVA_EFFORTS, none: 'low' }

function output(
  request: ChatRequest,
  thinking: Thinking | null,
  byTool: boolean,
  { claude }: Family,
): JsonObject | undefined {
  const config: JsonObject = {}
  if (thinking !== null && thinking.effort !== null) config['effort'] = thinking.effort
  if (request.format?.type === 'schema' && !byTool) {
    const { name, description, schema } = request.format
    const written: JsonObject = { schema: JSON.stringify(claude === null ? schema : closedSchema(schema)), name }
    put(written, 'description', description)
    config['textFormat'] = { type: 'json_schema', structure: { jsonSchema: written } }
  }
  return Object.keys(config).length > 0 ? config : undefined
}
