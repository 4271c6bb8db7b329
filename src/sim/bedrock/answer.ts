/** A ConverseResponse, whole or as its events. */
import type { Answer, StreamEvent } from '../answer.ts'
import { jsonPieces, textPieces, think } from '../brain.ts'
import type { Call, Handler } from '../call.ts'
import { ApiError } from '../errors.ts'
import type { JsonObject } from '../json.ts'
import { asObject, parseJson } from '../json.ts'
import { checkModel } from '../models.ts'
import type { Thought, ToolCall } from '../prompt.ts'
import { hash32 } from '../random.ts'
import { seal } from '../seal.ts'
import { tokenize } from '../tokens.ts'
import { wantsBlock, wantsRedaction, wantsRefusal } from '../triggers.ts'
import type { MarkedUse } from '../usage.ts'
import { measureMarked } from '../usage.ts'
import type { Arrived } from '../wire.ts'
import { EVENT_STREAM, EXCEPTION } from './eventstream.ts'
import type { ConverseRequest, Marks } from './request.ts'
import { readConverseRequest } from './request.ts'

/** inputTokens leaves out what was read from the cache or written to it; the total has all. */
const usageBody = (use: MarkedUse, { upTo, hour }: Marks, output: number): JsonObject => ({
  inputTokens: use.tokens - use.cached - use.written,
  outputTokens: output,
  totalTokens: use.tokens + output,
  cacheReadInputTokens: use.cached,
  cacheWriteInputTokens: use.written,
  ...(upTo < 0 ? {} : { cacheDetails: [{ ttl: hour ? '1h' : '5m', inputTokens: use.written }] }),
})

const STOPS = { stop: 'end_turn', length: 'max_tokens', tool_calls: 'tool_use' } as const

const toolId = (call: ToolCall): string => `tooluse_${call.id.replace(/^call_/, '')}`

const inputOf = (call: ToolCall): JsonObject => {
  try {
    return asObject(parseJson(call.input)) ?? {}
  } catch {
    return {}
  }
}

interface Made {
  readonly request: ConverseRequest
  readonly thought: Thought
  readonly stopReason: string
  readonly more: JsonObject
  readonly usage: JsonObject
  readonly use: { readonly prompt: number; readonly completion: number }
}

const NOTHING = { text: '', calls: [], visibleTokens: 0, reasoningTokens: 0, reasoning: '' } as const

const make = (call: Call): Made => {
  try {
    checkModel(call.state, call.model)
  } catch {
    throw new ApiError(400, 'The provided model identifier is invalid.')
  }
  const request = readConverseRequest(call)
  const { prompt, marks } = request
  const silent = wantsBlock(prompt) ? 'guardrail_intervened' : wantsRefusal(prompt) ? 'content_filtered' : undefined
  const made = think(prompt, call.state.seed)
  const thought = silent === undefined ? made : { ...made, ...NOTHING }
  const counted = measureMarked(call.state, prompt, marks.upTo)
  const output = thought.visibleTokens + thought.reasoningTokens
  const own = thought.stopped === undefined ? STOPS[thought.finish] : 'stop_sequence'
  const told = request.tellStop ? { additionalModelResponseFields: { stop_sequence: thought.stopped ?? null } } : {}
  return {
    request,
    thought,
    stopReason: silent ?? own,
    more: told,
    usage: usageBody(counted, marks, output),
    use: { prompt: counted.tokens, completion: output },
  }
}

const hidden = (call: Call): string => Buffer.from(seal(call.state, 'redacted', '')).toString('base64')

const blocksOf = (call: Call, { request, thought }: Made): JsonObject[] => {
  const blocks: JsonObject[] = []
  if (thought.reasoningTokens > 0) {
    const signature = seal(call.state, 'thinking', thought.reasoning)
    const said = { reasoningText: { text: thought.reasoning, signature } }
    blocks.push({ reasoningContent: wantsRedaction(request.prompt) ? { redactedContent: hidden(call) } : said })
  }
  if (thought.text !== null && thought.text !== '') blocks.push({ text: thought.text })
  for (const made of thought.calls)
    blocks.push({ toolUse: { toolUseId: toolId(made), name: made.name, input: inputOf(made) } })
  return blocks
}

const LATENCY_MS = 100

export const converse: Handler = (call): Answer => {
  const made = make(call)
  return {
    kind: 'json',
    body: {
      output: { message: { role: 'assistant', content: blocksOf(call, made) } },
      stopReason: made.stopReason,
      usage: made.usage,
      metrics: { latencyMs: LATENCY_MS },
      ...made.more,
    },
    use: made.use,
    payloadKey: 'output',
  }
}

const PADDING = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** Each event is padded, so that its length does not tell what it says. */
const event = (name: string, fields: JsonObject, content = false): StreamEvent => {
  const length = hash32(name + JSON.stringify(fields)) % PADDING.length
  return { event: name, data: JSON.stringify({ ...fields, p: PADDING.slice(0, length) }), content }
}

const delta = (contentBlockIndex: number, fields: JsonObject, content: boolean): StreamEvent =>
  event('contentBlockDelta', { contentBlockIndex, delta: fields }, content)

/** Only calls have a start: texts and thoughts begin with their first piece. */
const blockEvents = (call: Call, made: Made): StreamEvent[] => {
  const { thought, request } = made
  const events: StreamEvent[] = []
  let index = 0
  const end = (): void => void events.push(event('contentBlockStop', { contentBlockIndex: index++ }))
  if (thought.reasoningTokens > 0) {
    const say = (fields: JsonObject): void => void events.push(delta(index, { reasoningContent: fields }, false))
    if (wantsRedaction(request.prompt)) say({ redactedContent: hidden(call) })
    else {
      for (const text of tokenize(thought.reasoning)) say({ text })
      say({ signature: seal(call.state, 'thinking', thought.reasoning) })
    }
    end()
  }
  if (thought.text !== null && thought.text !== '') {
    for (const text of textPieces(thought)) events.push(delta(index, { text }, true))
    end()
  }
  for (const one of thought.calls) {
    const toolUse = { toolUseId: toolId(one), name: one.name }
    events.push(event('contentBlockStart', { contentBlockIndex: index, start: { toolUse } }, true))
    for (const input of jsonPieces(one.input)) events.push(delta(index, { toolUse: { input } }, true))
    end()
  }
  return events
}

const FRAME = new Set(['messageStart', 'messageStop', 'metadata'])

const errorEvent = (before: boolean): StreamEvent =>
  before
    ? {
        event: `${EXCEPTION}serviceUnavailableException`,
        data: '{"message":"Bedrock is unable to process your request."}',
        content: false,
      }
    : {
        event: `${EXCEPTION}modelStreamErrorException`,
        data: '{"message":"The model failed while it answered.","originalStatusCode":529,"originalMessage":"Overloaded"}',
        content: false,
      }

const streamOf = (events: readonly StreamEvent[]): Answer => ({
  kind: 'stream',
  events,
  endEvents: 2,
  framing: EVENT_STREAM,
  contentEvent: (text, position) => {
    const index = events.slice(0, position).filter((one) => one.event === 'contentBlockStop').length
    return delta(index, { text }, true)
  },
  errorEvent: (_, position) => errorEvent(!events.slice(0, position).some(({ content }) => content)),
  bare: (one) => (FRAME.has(one.event ?? '') ? [one] : []),
})

export const converseStream: Handler = (call): Answer => {
  const made = make(call)
  const events = [
    event('messageStart', { role: 'assistant' }),
    ...blockEvents(call, made),
    event('messageStop', { stopReason: made.stopReason, ...made.more }),
    event('metadata', { usage: made.usage, metrics: { latencyMs: LATENCY_MS } }),
  ]
  return { ...streamOf(events), use: made.use }
}

/** What a prompt gets that a guardrail stops. */
export const filteredAnswer = (_: string, { path }: Arrived): Answer => {
  const usage: JsonObject = { inputTokens: 8, outputTokens: 0, totalTokens: 8 }
  const stopReason = 'guardrail_intervened'
  const metrics = { latencyMs: LATENCY_MS }
  if (!path.endsWith('-stream'))
    return {
      kind: 'json',
      body: { output: { message: { role: 'assistant', content: [] } }, stopReason, usage, metrics },
    }
  return streamOf([
    event('messageStart', { role: 'assistant' }),
    event('messageStop', { stopReason }),
    event('metadata', { usage, metrics }),
  ])
}
