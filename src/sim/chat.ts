/** `POST /v1/chat/completions`: the answer, whole or as a stream of chunks. */
import type { Answer, StreamEvent } from './answer.ts'
import { jsonPieces, logprobsOf, showsReasoning, textPieces, think } from './brain.ts'
import type { Call } from './call.ts'
import { epochSeconds } from './call.ts'
import { readChatPrompt } from './chat-request.ts'
import { badRequest } from './errors.ts'
import type { Json, JsonObject } from './json.ts'
import { asObject } from './json.ts'
import { flag, integerIn } from './params.ts'
import type { Prompt, Thought, ToolCall } from './prompt.ts'
import { hexId } from './random.ts'
import { tokenize } from './tokens.ts'
import type { Use } from './usage.ts'
import { measurePrompt, totalUse } from './usage.ts'

export const usageBody = (use: Use): JsonObject => ({
  prompt_tokens: use.prompt,
  completion_tokens: use.completion,
  total_tokens: use.prompt + use.completion,
  prompt_tokens_details: { cached_tokens: use.cached, audio_tokens: 0 },
  completion_tokens_details: {
    reasoning_tokens: use.reasoning,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0,
  },
})

interface Shape {
  readonly prompt: Prompt
  /** The request used `functions`: the answer has `function_call`. */
  readonly legacy: boolean
  /** Alternatives for each token; undefined: no logprobs. */
  readonly top: number | undefined
  readonly head: JsonObject
}

const finishReason = (thought: Thought, shape: Shape): string => {
  if (thought.finish !== 'tool_calls') return thought.finish
  if (shape.legacy) return 'function_call'
  // A named tool ends with "stop": the model had no choice to report (so does the API).
  return shape.prompt.toolChoice.mode === 'named' ? 'stop' : 'tool_calls'
}

const callBody = (call: ToolCall): JsonObject =>
  call.kind === 'custom'
    ? { id: call.id, type: 'custom', custom: { name: call.name, input: call.input } }
    : { id: call.id, type: 'function', function: { name: call.name, arguments: call.input } }

const logprobBody = (text: string, top: number): JsonObject => ({
  content: logprobsOf(text, top).map(({ alternatives, ...token }) => ({
    ...token,
    top_logprobs: alternatives.map((other) => ({ ...other })),
  })),
  refusal: null,
})

const shownThought = (thought: Thought, shape: Shape): string =>
  showsReasoning(shape.prompt.model) ? thought.reasoning : ''

const messageBody = (thought: Thought, shape: Shape): JsonObject => {
  const message: JsonObject = { role: 'assistant', content: thought.text, refusal: null, annotations: [] }
  const shown = shownThought(thought, shape)
  if (shown !== '') message['reasoning_content'] = shown
  const [first] = thought.calls
  if (first === undefined) return message
  if (shape.legacy) return { ...message, function_call: { name: first.name, arguments: first.input } }
  return { ...message, tool_calls: thought.calls.map(callBody) }
}

const choiceBody = (thought: Thought, index: number, shape: Shape): JsonObject => ({
  index,
  message: messageBody(thought, shape),
  logprobs: shape.top === undefined || thought.text === null ? null : logprobBody(thought.text, shape.top),
  finish_reason: finishReason(thought, shape),
})

/** Chunk bodies are joined from text: one JSON.stringify of the whole chunk for each token would be most of the work. */
const chunkMaker = (head: JsonObject, includeUsage: boolean) => {
  const before = `${JSON.stringify(head).slice(0, -1)},"choices":[`
  const after = includeUsage ? '],"usage":null}' : ']}'
  return (index: number, delta: string, finish: string | null, content: boolean, logprobs = 'null'): StreamEvent => ({
    data: `${before}{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish === null ? 'null' : `"${finish}"`}}${after}`,
    content,
  })
}

type Chunk = ReturnType<typeof chunkMaker>

const callEvents = (call: ToolCall, position: number, index: number, chunk: Chunk): StreamEvent[] => {
  const custom = call.kind === 'custom'
  const key = custom ? 'custom' : 'function'
  const field = custom ? 'input' : 'arguments'
  const first = { index: position, id: call.id, type: key, [key]: { name: call.name, [field]: '' } }
  return [
    chunk(index, JSON.stringify({ tool_calls: [first] }), null, true),
    ...jsonPieces(call.input).map((piece) =>
      chunk(index, `{"tool_calls":[{"index":${position},"${key}":{"${field}":${JSON.stringify(piece)}}}]}`, null, true),
    ),
  ]
}

const legacyCallEvents = (call: ToolCall, index: number, chunk: Chunk): StreamEvent[] => [
  chunk(index, JSON.stringify({ function_call: { name: call.name, arguments: '' } }), null, true),
  ...jsonPieces(call.input).map((piece) =>
    chunk(index, JSON.stringify({ function_call: { arguments: piece } }), null, true),
  ),
]

const choiceEvents = (thought: Thought, index: number, shape: Shape, chunk: Chunk): StreamEvent[] => {
  const content = thought.text === null ? 'null' : '""'
  const events = [chunk(index, `{"role":"assistant","content":${content},"refusal":null}`, null, false)]
  for (const piece of tokenize(shownThought(thought, shape)))
    events.push(chunk(index, `{"reasoning_content":${JSON.stringify(piece)}}`, null, false))
  for (const piece of textPieces(thought)) {
    const logprobs = shape.top === undefined ? 'null' : JSON.stringify(logprobBody(piece, shape.top))
    events.push(chunk(index, `{"content":${JSON.stringify(piece)}}`, null, true, logprobs))
  }
  const [first] = thought.calls
  if (shape.legacy && first !== undefined) events.push(...legacyCallEvents(first, index, chunk))
  else for (const [position, call] of thought.calls.entries()) events.push(...callEvents(call, position, index, chunk))
  events.push(chunk(index, '{}', finishReason(thought, shape), false))
  return events
}

const streamAnswer = (thoughts: readonly Thought[], use: Use, shape: Shape, includeUsage: boolean): Answer => {
  const chunk = chunkMaker(shape.head, includeUsage)
  const events = thoughts.flatMap((thought, index) => choiceEvents(thought, index, shape, chunk))
  if (includeUsage)
    events.push({ data: JSON.stringify({ ...shape.head, choices: [], usage: usageBody(use) }), content: false })
  events.push({ data: '[DONE]', content: false })
  return {
    kind: 'stream',
    events,
    use,
    endEvents: 1,
    contentEvent: (text) => chunk(0, `{"content":${JSON.stringify(text)}}`, null, true),
    errorEvent: (error) => ({ data: JSON.stringify({ error }), content: false }),
  }
}

const topLogprobs = (body: JsonObject): number | undefined => {
  const wanted = flag(body, 'logprobs') ?? false
  const top = integerIn(body, 'top_logprobs', 0, 20)
  if (top !== undefined && !wanted) {
    throw badRequest("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", 'top_logprobs')
  }
  return wanted ? (top ?? 0) : undefined
}

/** Whether a stream is wanted, and the usage chunk with it. */
export const streamOptions = (body: JsonObject): { stream: boolean; includeUsage: boolean } => {
  const stream = flag(body, 'stream') ?? false
  const options = asObject(body['stream_options'])
  if (options !== undefined && !stream) {
    throw badRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options')
  }
  return { stream, includeUsage: options?.['include_usage'] === true }
}

export const chatCompletion = (call: Call): Answer => {
  const { body, state } = call
  const prompt = readChatPrompt(call)
  const { stream, includeUsage } = streamOptions(body)
  const n = integerIn(body, 'n', 1, 128) ?? 1
  const top = topLogprobs(body)
  const thoughts = Array.from({ length: n }, (_, index) => think(prompt, state.seed, index))
  const use = totalUse(measurePrompt(state, prompt), thoughts)
  const head: JsonObject = {
    id: `chatcmpl-${state.nextId(24)}`,
    object: stream ? 'chat.completion.chunk' : 'chat.completion',
    created: epochSeconds(),
    model: call.model,
    service_tier: 'default',
    system_fingerprint: `fp_${hexId(String(state.seed), 10)}`,
  }
  const legacy = body['functions'] !== undefined && body['tools'] === undefined
  const shape: Shape = { prompt, legacy, top, head }
  if (stream) return streamAnswer(thoughts, use, shape, includeUsage)
  const choices: Json[] = thoughts.map((thought, index) => choiceBody(thought, index, shape))
  return { kind: 'json', body: { ...head, choices, usage: usageBody(use) }, use, payloadKey: 'choices' }
}
