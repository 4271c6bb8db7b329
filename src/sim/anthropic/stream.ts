/** The events of a streamed message (RawMessageStreamEvent of @anthropic-ai/sdk). */
import type { StreamAnswer, StreamEvent } from '../answer.ts'
import { jsonPieces } from '../brain.ts'
import type { JsonObject } from '../json.ts'
import { asString } from '../json.ts'
import { tokenize } from '../tokens.ts'

export interface Streamed {
  readonly head: JsonObject
  /** Usage as known when the answer begins. */
  readonly opening: JsonObject
  readonly content: readonly JsonObject[]
  /** Of the calls among the content, as the model wrote it. */
  readonly inputs: readonly string[]
  readonly ending: JsonObject
  readonly usage: JsonObject
  readonly isJson: boolean
}

const event = (type: string, fields: JsonObject, content = false): StreamEvent => ({
  event: type,
  data: JSON.stringify({ type, ...fields }),
  content,
})

const delta = (index: number, fields: JsonObject, content: boolean): StreamEvent =>
  event('content_block_delta', { index, delta: fields }, content)

const start = (index: number, block: JsonObject, content = false): StreamEvent =>
  event('content_block_start', { index, content_block: block }, content)

const blockEvents = (block: JsonObject, index: number, input: string, isJson: boolean): StreamEvent[] => {
  const end = event('content_block_stop', { index })
  switch (block['type']) {
    case 'thinking': {
      const pieces = tokenize(asString(block['thinking']) ?? '')
      return [
        start(index, { type: 'thinking', thinking: '', signature: '' }),
        ...pieces.map((thinking) => delta(index, { type: 'thinking_delta', thinking }, false)),
        delta(index, { type: 'signature_delta', signature: block['signature'] ?? '' }, false),
        end,
      ]
    }
    case 'text': {
      const text = asString(block['text']) ?? ''
      const pieces = isJson ? jsonPieces(text) : tokenize(text)
      return [
        start(index, { type: 'text', text: '' }),
        ...pieces.map((piece) => delta(index, { type: 'text_delta', text: piece }, true)),
        end,
      ]
    }
    case 'tool_use':
      return [
        start(index, { ...block, input: {} }, true),
        delta(index, { type: 'input_json_delta', partial_json: '' }, false),
        ...jsonPieces(input).map((piece) => delta(index, { type: 'input_json_delta', partial_json: piece }, true)),
        end,
      ]
    default:
      return [start(index, block), end]
  }
}

/** Kept when the answer lacks its payload. */
const FRAME = new Set(['message_start', 'ping', 'message_delta', 'message_stop'])

/** Of the block that is open at a position, or was last. */
const indexAt = (events: readonly StreamEvent[], position: number): number => {
  const starts = events.slice(0, position).filter((one) => one.event === 'content_block_start')
  return Math.max(0, starts.length - 1)
}

export const messageStream = (made: Streamed): StreamAnswer => {
  const none = Object.fromEntries(Object.keys(made.ending).map((key) => [key, null]))
  let calls = 0
  const blocks = made.content.flatMap((block, index) =>
    blockEvents(block, index, block['type'] === 'tool_use' ? (made.inputs[calls++] ?? '') : '', made.isJson),
  )
  const { cache_creation: _, service_tier: _t, inference_geo: _g, speed: _p, ...usage } = made.usage
  const events = [
    event('message_start', { message: { ...made.head, content: [], ...none, usage: made.opening } }),
    event('ping', {}),
    ...blocks,
    event('message_delta', { delta: { ...made.ending, container: null }, usage }),
    event('message_stop', {}),
  ]
  return {
    kind: 'stream',
    events,
    endEvents: 1,
    contentEvent: (text, position) => delta(indexAt(events, position), { type: 'text_delta', text }, true),
    // Overload inside a stream that began well is what this vendor is known for.
    errorEvent: () => event('error', { error: { type: 'overloaded_error', message: 'Overloaded' } }),
    bare: (one) => (FRAME.has(one.event ?? '') ? [one] : []),
  }
}
