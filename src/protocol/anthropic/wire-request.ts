import type { ChatRequest, Json, JsonObject, Message, Tool } from '../../contracts/canonical.ts'
import type { WireTarget } from '../../contracts/dialect.ts'
import { asTurns, hoist, isInstruction, joinedText } from '../canonical/history.ts'
import { put } from '../canonical/loose.ts'
import { closedSchema, parametersOf } from '../canonical/schema.ts'
import { blockOf, withMark } from './wire-parts.ts'
import { claudeFacts, type ClaudeFacts, thinkingFor, type Thinking } from './wire-models.ts'

/**
 * The tool that older models answer with when a JSON format is asked for. The answer's reader tells what is written into
 * it as text, so it never shows.
 */
export const ANSWER_TOOL = 'heddle-json-answer'

/** The API takes no more markers; the last ones cover the most. */
const MAX_MARKS = 4
const FORCING = new Set(['required', 'tool'])

/** Body of POST /v1/messages, by MessageCreateParams of @anthropic-ai/sdk 1.12. */
export function anthropicRequest(request: ChatRequest, target: WireTarget): JsonObject {
  const facts = claudeFacts(target.model)
  const marked: JsonObject[] = []
  const answersByTool = request.format !== undefined && !(request.format.type === 'schema' && facts.schema)
  const tools = toolsOf(request, facts, answersByTool, marked)
  const { instructions, rest } = hoist(request.messages)
  const system: Json[] = instructions.map((part) => withMark({ type: 'text', text: part.text }, part.cache, marked))
  const messages = messagesOf(rest, facts, marked)
  const forced = answersByTool || FORCING.has(request.toolChoice?.mode ?? '') || mustCallAllowed(request)
  const may = !forced && !(facts.thinking === 'budget' && openTurnWithoutThoughts(messages))
  const thinking = thinkingFor(facts, request.reasoning ?? null, {
    maxTokens: request.maxTokens ?? null,
    greatest: target.maxOutputTokens,
    may,
  })
  const body: JsonObject = { model: target.model, max_tokens: thinking.maxTokens, messages }
  if (system.length > 0) body['system'] = system
  if (tools.length > 0) body['tools'] = tools
  put(body, 'tool_choice', choiceOf(request, tools.length > 0, answersByTool))
  if (thinking.config !== null) body['thinking'] = { ...thinking.config }
  put(body, 'output_config', outputConfig(request, thinking, answersByTool))
  sampling(body, request, facts, thinking.on)
  others(body, request)
  if (request.stream) body['stream'] = true
  for (const block of marked.slice(0, -MAX_MARKS)) delete block['cache_control']
  return body
}

function others(body: JsonObject, request: ChatRequest): void {
  const stops = request.stop?.filter((stop) => stop.trim() !== '') ?? []
  if (stops.length > 0) body['stop_sequences'] = stops
  const user = request.user ?? request.safetyIdentifier
  if (user !== undefined) body['metadata'] = { user_id: user }
  if (request.serviceTier !== undefined && request.serviceTier !== 'auto')
    body['service_tier'] = request.serviceTier === 'priority' ? 'auto' : 'standard_only'
}

const mustCallAllowed = ({ toolChoice }: ChatRequest): boolean => toolChoice?.mode === 'allowed' && toolChoice.required

function messagesOf(rest: readonly Message[], facts: ClaudeFacts, marked: JsonObject[]): JsonObject[] {
  const messages: JsonObject[] = []
  for (const [role, group] of grouped(rest, facts)) {
    if (role === 'system') {
      messages.push({ role, content: group.map((one) => joinedText(one.parts)).join('\n') })
      continue
    }
    for (const turn of asTurns(group)) {
      const content: JsonObject[] = []
      for (const part of turn.parts) {
        const block = blockOf(part, marked)
        if (block !== null) content.push(block)
      }
      if (content.length === 0) continue
      const last = messages.at(-1)
      if (last?.['role'] === turn.role) (last['content'] as Json[]).push(...content)
      else messages.push({ role: turn.role, content })
    }
  }
  // The conversation must begin with the user, and no text may be empty: the least that can be said.
  if (messages[0]?.['role'] !== 'user') messages.unshift({ role: 'user', content: [{ type: 'text', text: '...' }] })
  trimPrefill(messages.at(-1))
  return messages
}

/**
 * Instructions in the middle go as messages of their own where the model takes them and where they may stand: after the
 * user's turn, and before the assistant's or at the end. All others become marked texts of the user's turn.
 */
function grouped(rest: readonly Message[], facts: ClaudeFacts): [role: 'turns' | 'system', messages: Message[]][] {
  const groups: ['turns' | 'system', Message[]][] = []
  rest.forEach((message, at) => {
    const own = facts.systemInside && isInstruction(message) && standsWell(rest, at)
    const role = own ? 'system' : 'turns'
    const last = groups.at(-1)
    if (last?.[0] === role) last[1].push(message)
    else groups.push([role, [message]])
  })
  return groups
}

function standsWell(rest: readonly Message[], at: number): boolean {
  let before = at - 1
  while (before >= 0 && isInstruction(rest[before]!)) before--
  let after = at + 1
  while (after < rest.length && isInstruction(rest[after]!)) after++
  const role = rest[before]?.role
  return (role === 'user' || role === 'tool') && (after === rest.length || rest[after]!.role === 'assistant')
}

/** The API refuses a last answer that ends with white space. */
function trimPrefill(last: JsonObject | undefined): void {
  if (last?.['role'] !== 'assistant') return
  const block = (last['content'] as JsonObject[]).at(-1)
  if (typeof block?.['text'] === 'string') block['text'] = block['text'].trimEnd()
}

/**
 * While calls are being answered, models with a budget want the thoughts that led to them; where those are lost (another
 * backend made the calls), they can only go on without thinking.
 */
function openTurnWithoutThoughts(messages: readonly JsonObject[]): boolean {
  const last = messages.at(-1)
  const before = messages.at(-2)
  if (last?.['role'] !== 'user' || before?.['role'] !== 'assistant') return false
  if ((last['content'] as JsonObject[])[0]?.['type'] !== 'tool_result') return false
  const first = (before['content'] as JsonObject[])[0]?.['type']
  return first !== 'thinking' && first !== 'redacted_thinking'
}

function toolsOf(request: ChatRequest, facts: ClaudeFacts, answersByTool: boolean, marked: JsonObject[]): Json[] {
  const choice = request.toolChoice
  const offered = (request.tools ?? []).filter((tool) => choice?.mode !== 'allowed' || choice.names.includes(tool.name))
  const tools: Json[] = offered.map((tool) => withMark(toolOf(tool, facts), tool.cache, marked))
  if (answersByTool) tools.push(answerTool(request))
  return tools
}

function toolOf(tool: Tool, facts: ClaudeFacts): JsonObject {
  const strict = tool.strict === true && facts.schema
  const schema = parametersOf(tool.schema)
  const written: JsonObject = { name: tool.name, input_schema: objectSchema(strict ? closedSchema(schema) : schema) }
  put(written, 'description', tool.description)
  if (strict) written['strict'] = true
  return written
}

/** `type: object` is required at the top. */
const objectSchema = (schema: JsonObject): JsonObject =>
  schema['type'] === 'object' ? schema : { ...schema, type: 'object' }

function answerTool({ format }: ChatRequest): JsonObject {
  const asked = format?.type === 'schema' ? format.schema : { type: 'object', additionalProperties: true }
  const about = format?.type === 'schema' ? format.description : undefined
  return {
    name: ANSWER_TOOL,
    description: `Give the answer to the user with this tool, as JSON.${about === undefined ? '' : ` ${about}`}`,
    input_schema: objectSchema(parametersOf(asked)),
  }
}

function choiceOf(request: ChatRequest, hasTools: boolean, answersByTool: boolean): JsonObject | undefined {
  if (!hasTools) return undefined
  const choice = request.toolChoice
  const single = request.parallelTools === false ? { disable_parallel_tool_use: true } : {}
  if (answersByTool) {
    const others = (request.tools?.length ?? 0) > 0 && choice?.mode !== 'none'
    return others ? { type: 'any', ...single } : { type: 'tool', name: ANSWER_TOOL, disable_parallel_tool_use: true }
  }
  if (choice?.mode === 'none') return { type: 'none' }
  if (choice?.mode === 'tool') return { type: 'tool', name: choice.name, ...single }
  if (choice?.mode === 'required' || mustCallAllowed(request)) return { type: 'any', ...single }
  return choice === undefined && request.parallelTools !== false ? undefined : { type: 'auto', ...single }
}

function outputConfig(request: ChatRequest, thinking: Thinking, answersByTool: boolean): JsonObject | undefined {
  const config: JsonObject = {}
  if (thinking.effort !== null) config['effort'] = thinking.effort
  if (request.format?.type === 'schema' && !answersByTool)
    config['format'] = { type: 'json_schema', schema: closedSchema(request.format.schema) }
  return Object.keys(config).length > 0 ? config : undefined
}

/** Thinking fixes the temperature, and newer models take one of temperature and top_p at most. */
function sampling(body: JsonObject, request: ChatRequest, facts: ClaudeFacts, thinks: boolean): void {
  if (!facts.sampling) return
  const { temperature, topP, topK } = request
  if (!thinks && temperature !== undefined) body['temperature'] = Math.min(Math.max(temperature, 0), 1)
  const mayTopP = thinks ? topP !== undefined && topP >= 0.95 : temperature === undefined
  if (mayTopP) put(body, 'top_p', topP)
  if (!thinks) put(body, 'top_k', topK)
}
