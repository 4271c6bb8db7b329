/** The event sequence of a streamed response; the items are those of the finished one, so both forms agree. */
import type { StreamEvent } from './answer.ts'
import { jsonPieces } from './brain.ts'
import type { Json, JsonObject } from './json.ts'
import { asArray, asObject, asString } from './json.ts'
import { tokenize } from './tokens.ts'

type Emit = (type: string, fields: JsonObject, content?: boolean) => void

const textEvents = (emit: Emit, item: JsonObject, index: number, isJson: boolean): void => {
  const id = asString(item['id']) ?? ''
  const [part] = (asArray(item['content']) ?? []).map((content) => asObject(content))
  const text = asString(part?.['text']) ?? ''
  const logprobs = asArray(part?.['logprobs']) ?? []
  const place = { item_id: id, output_index: index, content_index: 0 }
  emit('response.output_item.added', { output_index: index, item: { ...item, status: 'in_progress', content: [] } })
  emit('response.content_part.added', {
    ...place,
    part: { type: 'output_text', annotations: [], logprobs: [], text: '' },
  })
  const pieces = isJson ? jsonPieces(text) : tokenize(text)
  for (const [at, delta] of pieces.entries()) {
    const own: Json[] = isJson || logprobs[at] === undefined ? [] : [logprobs[at]]
    emit('response.output_text.delta', { ...place, delta, logprobs: own }, true)
  }
  emit('response.output_text.done', { ...place, text, logprobs })
  emit('response.content_part.done', { ...place, part: part ?? {} })
  emit('response.output_item.done', { output_index: index, item })
}

const callEvents = (emit: Emit, item: JsonObject, index: number): void => {
  const id = asString(item['id']) ?? ''
  const custom = item['type'] === 'custom_tool_call'
  const field = custom ? 'input' : 'arguments'
  const event = custom ? 'response.custom_tool_call_input' : 'response.function_call_arguments'
  const input = asString(item[field]) ?? ''
  const place = { item_id: id, output_index: index }
  emit(
    'response.output_item.added',
    { output_index: index, item: { ...item, status: 'in_progress', [field]: '' } },
    true,
  )
  for (const delta of jsonPieces(input)) emit(`${event}.delta`, { ...place, delta }, true)
  emit(`${event}.done`, { ...place, [field]: input, ...(custom ? {} : { name: item['name'] ?? '' }) })
  emit('response.output_item.done', { output_index: index, item })
}

const reasoningEvents = (emit: Emit, item: JsonObject, index: number): void => {
  const id = asString(item['id']) ?? ''
  emit('response.output_item.added', { output_index: index, item: { ...item, summary: [] } })
  for (const [at, part] of (asArray(item['summary']) ?? []).entries()) {
    const text = asString(asObject(part)?.['text']) ?? ''
    const place = { item_id: id, output_index: index, summary_index: at }
    emit('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } })
    for (const delta of tokenize(text)) emit('response.reasoning_summary_text.delta', { ...place, delta })
    emit('response.reasoning_summary_text.done', { ...place, text })
    emit('response.reasoning_summary_part.done', { ...place, part })
  }
  emit('response.output_item.done', { output_index: index, item })
}

/** @param opening the response as it is at the start. @param response as it is at the end. */
export const responseEvents = (opening: JsonObject, response: JsonObject, isJson: boolean): StreamEvent[] => {
  const events: StreamEvent[] = []
  const emit: Emit = (type, fields, content = false) => {
    events.push({ event: type, data: JSON.stringify({ type, sequence_number: events.length, ...fields }), content })
  }
  emit('response.created', { response: opening })
  emit('response.in_progress', { response: opening })
  for (const [index, raw] of (asArray(response['output']) ?? []).entries()) {
    const item = asObject(raw) ?? {}
    if (item['type'] === 'message') textEvents(emit, item, index, isJson)
    else if (item['type'] === 'reasoning') reasoningEvents(emit, item, index)
    else callEvents(emit, item, index)
  }
  emit(response['status'] === 'incomplete' ? 'response.incomplete' : 'response.completed', { response })
  return events
}
