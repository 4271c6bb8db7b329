/** A message of the Anthropic API, whole or as its events. */
import type { Answer } from '../answer.ts'
import { think } from '../brain.ts'
import type { Call, Handler } from '../call.ts'
import type { Json, JsonObject } from '../json.ts'
import { asObject, parseJson } from '../json.ts'
import type { Thought, ToolCall } from '../prompt.ts'
import { seal } from '../seal.ts'
import { wantsRedaction, wantsRefusal } from '../triggers.ts'
import type { MarkedUse } from '../usage.ts'
import { measureMarked } from '../usage.ts'
import type { Marks, MessagesRequest } from './request.ts'
import { readMessagesRequest } from './request.ts'
import { messageStream } from './stream.ts'

/** input_tokens leaves out what was read from the cache or written to it. */
const usageBody = (use: MarkedUse, marks: Marks, output: number, thinking: number): JsonObject => ({
  input_tokens: use.tokens - use.cached - use.written,
  cache_creation_input_tokens: use.written,
  cache_read_input_tokens: use.cached,
  cache_creation: {
    ephemeral_5m_input_tokens: marks.hour ? 0 : use.written,
    ephemeral_1h_input_tokens: marks.hour ? use.written : 0,
  },
  output_tokens: output,
  output_tokens_details: { thinking_tokens: thinking },
  server_tool_use: null,
  service_tier: 'standard',
  inference_geo: 'not_available',
  speed: null,
})

const STOPS = { stop: 'end_turn', length: 'max_tokens', tool_calls: 'tool_use' } as const

/** `toolu_` and 24 letters, as derived as the brain's id. */
const toolId = (call: ToolCall): string => `toolu_${call.id.replace(/^call_/, '')}`

/** Of a call that was cut off, nothing can be said. */
const inputOf = (call: ToolCall): JsonObject => {
  try {
    return asObject(parseJson(call.input)) ?? {}
  } catch {
    return {}
  }
}

const thoughtBlocks = (call: Call, request: MessagesRequest, thought: Thought): JsonObject[] => {
  if (thought.reasoningTokens === 0) return []
  const { seed } = call.state
  if (wantsRedaction(request.prompt)) return [{ type: 'redacted_thinking', data: seal({ seed }, 'redacted', '') }]
  const thinking = request.thinking.omitted ? '' : thought.reasoning
  return [{ type: 'thinking', thinking, signature: seal({ seed }, 'thinking', thinking) }]
}

const blocksOf = (call: Call, request: MessagesRequest, thought: Thought): JsonObject[] => [
  ...thoughtBlocks(call, request, thought),
  ...(thought.text === null || thought.text === '' ? [] : [{ type: 'text', text: thought.text }]),
  ...thought.calls.map((made): JsonObject => ({
    type: 'tool_use',
    id: toolId(made),
    name: made.name,
    input: inputOf(made),
    caller: { type: 'direct' },
  })),
]

interface Ending {
  readonly stop_reason: Json
  readonly stop_sequence: Json
  readonly stop_details: Json
}

const endingOf = (thought: Thought): Ending => ({
  stop_reason: thought.stopped === undefined ? STOPS[thought.finish] : 'stop_sequence',
  stop_sequence: thought.stopped ?? null,
  stop_details: null,
})

const REFUSED: Ending = {
  stop_reason: 'refusal',
  stop_sequence: null,
  stop_details: { type: 'refusal', category: null, explanation: null },
}

export const createMessage: Handler = (call): Answer => {
  const request = readMessagesRequest(call, false)
  const { prompt, marks } = request
  const refused = wantsRefusal(prompt)
  const made = think(prompt, call.state.seed)
  const thought: Thought = refused ? { ...made, text: '', calls: [], visibleTokens: 1, reasoningTokens: 0 } : made
  const use = measureMarked(call.state, prompt, marks.upTo)
  const output = thought.visibleTokens + thought.reasoningTokens
  const head: JsonObject = {
    id: `msg_01${call.state.nextId(22)}`,
    type: 'message',
    role: 'assistant',
    model: call.model,
    container: null,
    diagnostics: null,
  }
  const ending = refused ? REFUSED : endingOf(thought)
  const content = blocksOf(call, request, thought)
  const usage = usageBody(use, marks, output, thought.reasoningTokens)
  const charged = { prompt: use.tokens, completion: output }
  if (!request.stream)
    return { kind: 'json', body: { ...head, content, ...ending, usage }, use: charged, payloadKey: 'content' }
  const opening = usageBody(use, marks, Math.min(output, 1), 0)
  const inputs = thought.calls.map(({ input }) => input)
  return {
    ...messageStream({ head, opening, content, inputs, ending: { ...ending }, usage, isJson: thought.isJson }),
    use: charged,
  }
}

export const countTokens: Handler = (call) => {
  const { prompt } = readMessagesRequest(call, true)
  return { kind: 'json', body: { input_tokens: measureMarked(call.state, prompt, -1).tokens } }
}
