import type { Json, JsonObject } from '../../contracts/canonical.ts'
import { isObject } from '../../protocol/canonical/read.ts'

type Tell = (type: string, fields: JsonObject) => void

/**
 * The events of a response that is whole, for clients that want a stream of it: each text in one piece. Numbered from 0,
 * alike each time (openai-openapi `ResponseStreamEvent`).
 */
export function replayEvents(response: JsonObject): string {
  let out = ''
  let number = 0
  const tell: Tell = (type, fields) => {
    out += `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...fields })}\n\n`
  }
  const begun = { ...response, status: 'in_progress', output: [], usage: null, error: null, incomplete_details: null }
  tell('response.created', { response: begun })
  tell('response.in_progress', { response: begun })
  const output = Array.isArray(response['output']) ? response['output'] : []
  for (const [index, item] of output.entries()) if (isObject(item)) tellItem(tell, item, index)
  tell(`response.${String(response['status'])}`, { response })
  return out
}

function tellItem(tell: Tell, item: JsonObject, index: number): void {
  const place = { output_index: index }
  const at = { ...place, item_id: item['id'] ?? '' }
  const type = item['type']
  const field = type === 'custom_tool_call' ? 'input' : 'arguments'
  const begun: JsonObject = { ...item, ...(item['status'] === undefined ? {} : { status: 'in_progress' }) }
  if (type === 'message') begun['content'] = []
  else if (type === 'reasoning') begun['summary'] = []
  else if (typeof item[field] === 'string') begun[field] = ''
  tell('response.output_item.added', { ...place, item: begun })
  if (type === 'message')
    listOf(item['content']).forEach((part, i) => tellPart(tell, part, { ...at, content_index: i }))
  else if (type === 'reasoning')
    listOf(item['summary']).forEach((part, i) => tellSummary(tell, part, { ...at, summary_index: i }))
  else if (typeof item[field] === 'string') {
    const name = type === 'custom_tool_call' ? 'response.custom_tool_call_input' : 'response.function_call_arguments'
    if (item[field] !== '') tell(`${name}.delta`, { ...at, delta: item[field] })
    tell(`${name}.done`, { ...at, [field]: item[field] })
  }
  tell('response.output_item.done', { ...place, item })
}

const listOf = (value: Json | undefined): readonly JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : [])

function tellPart(tell: Tell, part: JsonObject, at: JsonObject): void {
  const refusal = part['type'] === 'refusal'
  const field = refusal ? 'refusal' : 'text'
  const name = refusal ? 'response.refusal' : 'response.output_text'
  const logprobs: JsonObject = refusal ? {} : { logprobs: part['logprobs'] ?? [] }
  const empty: JsonObject = refusal ? { ...part, refusal: '' } : { ...part, text: '', annotations: [], logprobs: [] }
  tell('response.content_part.added', { ...at, part: empty })
  if (part[field] !== '') tell(`${name}.delta`, { ...at, delta: part[field] ?? '', ...logprobs })
  if (Array.isArray(part['annotations']))
    for (const [i, annotation] of part['annotations'].entries())
      tell('response.output_text.annotation.added', { ...at, annotation_index: i, annotation })
  tell(`${name}.done`, { ...at, [field]: part[field] ?? '', ...logprobs })
  tell('response.content_part.done', { ...at, part })
}

function tellSummary(tell: Tell, part: JsonObject, at: JsonObject): void {
  const text = part['text'] ?? ''
  tell('response.reasoning_summary_part.added', { ...at, part: { ...part, text: '' } })
  if (text !== '') tell('response.reasoning_summary_text.delta', { ...at, delta: text })
  tell('response.reasoning_summary_text.done', { ...at, text })
  tell('response.reasoning_summary_part.done', { ...at, part })
}

const NUMBER = /"sequence_number":(\d+)/

/** Events of a text that are whole, and what is left of it. */
export function splitEvents(text: string): { readonly events: readonly string[]; readonly rest: string } {
  const parts = text.split('\n\n')
  const rest = parts.pop()!
  return { events: parts.map((part) => `${part}\n\n`), rest }
}

/** Number of an event; -1 = it has none (a comment). */
export const numberOf = (event: string): number => {
  // The client's own words stand in quotes with backslashes: the first one outside is the event's, or of its head.
  const at = event.startsWith('event:') ? NUMBER.exec(event) : null
  return at === null ? -1 : Number(at[1])
}
