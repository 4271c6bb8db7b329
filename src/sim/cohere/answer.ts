/** Answers of `/v2/chat`, whole or as events. */
import type { Answer, StreamEvent } from '../answer.ts'
import { jsonPieces, logprobsOf, textPieces, think } from '../brain.ts'
import type { Call, Handler } from '../call.ts'
import type { Json, JsonObject } from '../json.ts'
import type { Thought, ToolCall } from '../prompt.ts'
import { tokenize } from '../tokens.ts'
import type { Use } from '../usage.ts'
import { measurePrompt, totalUse } from '../usage.ts'
import type { CohereRequest } from './request.ts'
import { readCohereChat } from './request.ts'

const usageBody = (use: Use): JsonObject => ({
  billed_units: { input_tokens: use.prompt, output_tokens: use.completion },
  tokens: { input_tokens: use.prompt, output_tokens: use.completion },
  cached_tokens: use.cached,
})

const FINISH = { stop: 'COMPLETE', length: 'MAX_TOKENS', tool_calls: 'TOOL_CALL' } as const

const finishOf = (thought: Thought): string =>
  thought.stopped === undefined ? FINISH[thought.finish] : 'STOP_SEQUENCE'

const callBody = (call: ToolCall): JsonObject => ({
  id: `${call.name}_${call.id.slice(-12)}`,
  type: 'function',
  function: { name: call.name, arguments: call.input },
})

/** What it says it will do before it calls. */
const planOf = (thought: Thought): string =>
  `I will use ${thought.calls.map(({ name }) => name).join(' and ')} to answer this.`

/** The first words rest on the first document. */
const citationsOf = (request: CohereRequest, thought: Thought, contentIndex: number): JsonObject[] => {
  const [document] = request.documents
  const text = /^\S+(?:\s+\S+){0,2}/.exec(thought.text ?? '')?.[0]
  if (document === undefined || text === undefined) return []
  const sources = [{ type: 'document', id: document.id, document: { id: document.id, ...document.data } }]
  return [{ start: 0, end: text.length, text, sources, type: 'TEXT_CONTENT', content_index: contentIndex }]
}

const logprobBody = (text: string): JsonObject[] =>
  logprobsOf(text, 0).map(({ token, logprob }, index) => ({ text: token, token_ids: [index], logprobs: [logprob] }))

const messageBody = (request: CohereRequest, thought: Thought): JsonObject => {
  const content: Json[] = []
  if (thought.reasoning !== '') content.push({ type: 'thinking', thinking: thought.reasoning })
  if (thought.text !== null) content.push({ type: 'text', text: thought.text })
  const citations = citationsOf(request, thought, content.length - 1)
  return {
    role: 'assistant',
    ...(content.length === 0 ? {} : { content }),
    ...(thought.calls.length === 0 ? {} : { tool_plan: planOf(thought), tool_calls: thought.calls.map(callBody) }),
    ...(citations.length === 0 ? {} : { citations }),
  }
}

const event = (type: string, fields: JsonObject, content = false): StreamEvent => ({
  event: type,
  data: JSON.stringify({ type, ...fields }),
  content,
})

const contentEvents = (
  index: number,
  type: 'text' | 'thinking',
  pieces: readonly string[],
  logprobs: boolean,
): StreamEvent[] => [
  event('content-start', { index, delta: { message: { content: { type, [type]: '' } } } }),
  ...pieces.map((piece) =>
    event(
      'content-delta',
      {
        index,
        delta: { message: { content: { [type]: piece } } },
        ...(logprobs ? { logprobs: logprobBody(piece)[0] ?? null } : {}),
      },
      type === 'text',
    ),
  ),
  event('content-end', { index }),
]

const callEvents = (call: ToolCall, index: number): StreamEvent[] => {
  const body = callBody(call)
  const opening = { ...body, function: { name: call.name, arguments: '' } }
  return [
    event('tool-call-start', { index, delta: { message: { tool_calls: opening } } }, true),
    ...jsonPieces(call.input).map((piece) =>
      event('tool-call-delta', { index, delta: { message: { tool_calls: { function: { arguments: piece } } } } }, true),
    ),
    event('tool-call-end', { index }),
  ]
}

const eventsOf = (request: CohereRequest, thought: Thought): StreamEvent[] => {
  const events: StreamEvent[] = []
  let index = 0
  if (thought.reasoning !== '') events.push(...contentEvents(index++, 'thinking', tokenize(thought.reasoning), false))
  if (thought.text !== null) {
    events.push(...contentEvents(index, 'text', textPieces(thought), request.logprobs))
    for (const [at, citation] of citationsOf(request, thought, index).entries()) {
      events.push(event('citation-start', { index: at, delta: { message: { citations: citation } } }))
      events.push(event('citation-end', { index: at }))
    }
  }
  if (thought.calls.length > 0)
    for (const piece of tokenize(planOf(thought)))
      events.push(event('tool-plan-delta', { delta: { message: { tool_plan: piece } } }))
  return [...events, ...thought.calls.flatMap(callEvents)]
}

const FRAME = new Set(['message-start', 'message-end'])

/** Of the content that is open at a position. */
const indexAt = (events: readonly StreamEvent[], position: number): number =>
  Math.max(0, events.slice(0, position).filter((one) => one.event === 'content-start').length - 1)

const streamAnswer = (id: string, request: CohereRequest, thought: Thought, use: Use): Answer => {
  const events = [
    event('message-start', {
      id,
      delta: { message: { role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] } },
    }),
    ...eventsOf(request, thought),
    event('message-end', { id, delta: { finish_reason: finishOf(thought), usage: usageBody(use) } }),
  ]
  return {
    kind: 'stream',
    events,
    use,
    endEvents: 1,
    contentEvent: (text, position) =>
      event('content-delta', { index: indexAt(events, position), delta: { message: { content: { text } } } }, true),
    errorEvent: () =>
      event('message-end', { id, delta: { finish_reason: 'ERROR', error: 'internal server error, please try again' } }),
    bare: (one) => (FRAME.has(one.event ?? '') ? [one] : []),
  }
}

/** As Cohere writes them: a UUID. */
export const uuid = (call: Call): string =>
  call.state.nextId(32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

export const chat: Handler = (call): Answer => {
  const request = readCohereChat(call)
  const thought = think(request.prompt, call.state.seed)
  const use = totalUse(measurePrompt(call.state, request.prompt), [thought])
  const id = uuid(call)
  if (request.stream) return streamAnswer(id, request, thought, use)
  return {
    kind: 'json',
    body: {
      id,
      finish_reason: finishOf(thought),
      message: messageBody(request, thought),
      usage: usageBody(use),
      ...(request.logprobs && thought.text !== null ? { logprobs: logprobBody(thought.text) } : {}),
    },
    use,
    payloadKey: 'message',
  }
}
