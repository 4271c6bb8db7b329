/** Answers of `/api/chat` and `/api/generate`: one object, or a line for each piece. */
import type { Answer, StreamEvent } from '../answer.ts'
import { logprobsOf, textPieces, think } from '../brain.ts'
import type { Call, Handler } from '../call.ts'
import { NDJSON } from '../framing.ts'
import type { Json, JsonObject } from '../json.ts'
import { asObject, isObject, parseJson } from '../json.ts'
import type { Thought, ToolCall } from '../prompt.ts'
import { tokenize } from '../tokens.ts'
import type { Use } from '../usage.ts'
import { measurePrompt, totalUse } from '../usage.ts'
import type { OllamaRequest } from './request.ts'
import { readChat, readGenerate } from './request.ts'

/** Nanoseconds, made up: a millisecond a token. */
const NS_A_TOKEN = 1_000_000
const LOAD_NS = 10_000_000

const counts = (use: Use): JsonObject => ({
  total_duration: LOAD_NS + (use.prompt + use.completion) * NS_A_TOKEN,
  load_duration: LOAD_NS,
  prompt_eval_count: use.prompt,
  prompt_eval_duration: use.prompt * NS_A_TOKEN,
  eval_count: use.completion,
  eval_duration: use.completion * NS_A_TOKEN,
})

const argsOf = (call: ToolCall): JsonObject => {
  try {
    return asObject(parseJson(call.input)) ?? {}
  } catch {
    return {}
  }
}

const callBody = (call: ToolCall, index: number): JsonObject => ({
  id: call.id,
  function: { index, name: call.name, arguments: argsOf(call) },
})

const logprobBody = (text: string, top: number): Json[] =>
  logprobsOf(text, top).map(({ alternatives, ...token }) => ({
    ...token,
    top_logprobs: alternatives.map((other) => ({ ...other })),
  }))

/** What differs between the two operations. */
interface Shape {
  /** Fields of a piece or of a whole answer. */
  said(text: string, thinking: string, calls: readonly JsonObject[]): JsonObject
  readonly key: string
  readonly ending: JsonObject
}

const CHAT: Shape = {
  said: (content, thinking, calls) => ({
    message: {
      role: 'assistant',
      content,
      ...(thinking === '' ? {} : { thinking }),
      ...(calls.length === 0 ? {} : { tool_calls: [...calls] }),
    },
  }),
  key: 'message',
  ending: {},
}

const GENERATE: Shape = {
  said: (response, thinking) => ({ response, ...(thinking === '' ? {} : { thinking }) }),
  key: 'response',
  ending: { context: [1, 2, 3] },
}

const reasonOf = (thought: Thought): string => (thought.finish === 'length' ? 'length' : 'stop')

const streamAnswer = (shape: Shape, head: JsonObject, request: OllamaRequest, thought: Thought, use: Use): Answer => {
  const line = (fields: JsonObject, content: boolean): StreamEvent => ({
    data: JSON.stringify({ ...head, ...fields, done: false }),
    content,
  })
  const pieces = textPieces(thought).map((text) => {
    const logprobs = request.top === undefined ? {} : { logprobs: logprobBody(text, request.top) }
    return line({ ...shape.said(text, '', []), ...logprobs }, true)
  })
  const end = { ...head, ...shape.said('', '', []), done: true, done_reason: reasonOf(thought) }
  return {
    kind: 'stream',
    framing: NDJSON,
    events: [
      ...tokenize(thought.reasoning).map((text) => line(shape.said('', text, []), false)),
      ...pieces,
      ...thought.calls.map((call, index) => line(shape.said('', '', [callBody(call, index)]), true)),
      { data: JSON.stringify({ ...end, ...shape.ending, ...counts(use) }), content: false },
    ],
    use,
    endEvents: 1,
    contentEvent: (text) => line(shape.said(text, '', []), true),
    errorEvent: () => ({
      data: JSON.stringify({ error: 'an error was encountered while running the model: unexpected EOF' }),
      content: false,
    }),
    bare: (event) => {
      const value = parseJson(event.data)
      if (!isObject(value) || event.content) return []
      const { [shape.key]: _, ...rest } = value
      return [{ data: JSON.stringify(rest), content: false }]
    },
  }
}

const answer = (call: Call, request: OllamaRequest, shape: Shape): Answer => {
  const head: JsonObject = { model: call.model, created_at: new Date().toISOString() }
  if (request.empty)
    return { kind: 'json', body: { ...head, ...shape.said('', '', []), done: true, done_reason: 'load' } }
  const thought = think(request.prompt, call.state.seed)
  const use = totalUse(measurePrompt(call.state, request.prompt), [thought])
  if (request.stream) return streamAnswer(shape, head, request, thought, use)
  const said = shape.said(thought.text ?? '', thought.reasoning, thought.calls.map(callBody))
  const logprobs =
    request.top === undefined || thought.text === null ? {} : { logprobs: logprobBody(thought.text, request.top) }
  const end = { done: true, done_reason: reasonOf(thought), ...shape.ending, ...counts(use) }
  return { kind: 'json', body: { ...head, ...said, ...logprobs, ...end }, use, payloadKey: shape.key }
}

export const chat: Handler = (call) => answer(call, readChat(call), CHAT)
export const generate: Handler = (call) => answer(call, readGenerate(call), GENERATE)
