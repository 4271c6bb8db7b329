/** Prompts and answers as GenAI's conventions write them on spans: only when the configuration asks for content. */
import type { AnswerParts, Attributes, RequestTrace } from '../contracts/trace.ts'
import type { Operation } from '../contracts/config.ts'
import { redact } from '../core/redact.ts'
import { foreignInput, foreignOutput, isForeign } from './spans-dialects.ts'
import { A } from '../telemetry/semconv.ts'
import { MAX_ANSWER } from '../telemetry/trace/tracing.ts'

/** Of one attribute, characters; collectors refuse spans that are too large. */
const MAX_CONTENT = 16 * 1024
/** Read at most so much of one text: what is taken out makes texts shorter. */
const MAX_TEXT = 2 * MAX_CONTENT
/** A secret that the end cuts in two would not be known any more. */
const CUT_MARGIN = 512

type Json = Readonly<Record<string, unknown>>
type Clean = (text: string) => string

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')

const cleaner = (content: RequestTrace['content']): Clean => {
  if (content === 'full') return (text) => text.slice(0, MAX_CONTENT)
  return (text) => {
    const cut = text.length > MAX_TEXT
    const clean = redact(cut ? text.slice(0, MAX_TEXT) : text)
    return (cut ? clean.slice(0, -CUT_MARGIN) : clean).slice(0, MAX_CONTENT)
  }
}

/** The end of a text that was not kept whole may be half a secret. */
const cutting = (clean: Clean, content: RequestTrace['content']): Clean =>
  content === 'redacted' ? (text) => clean(text).slice(0, -CUT_MARGIN) : clean

/** Images, files and recordings are named, never copied. */
function partOf(part: unknown, clean: Clean): Json {
  if (typeof part === 'string') return { type: 'text', content: clean(part) }
  if (!isObject(part)) return { type: 'unknown' }
  const type = textOf(part['type']).slice(0, 64)
  const text = part['text'] ?? part['refusal']
  return typeof text === 'string' ? { type: 'text', content: clean(text) } : { type: type || 'unknown' }
}

function callOf(call: unknown, clean: Clean): Json {
  const { id, function: fn } = isObject(call) ? call : {}
  const { name, arguments: args } = isObject(fn) ? fn : {}
  return { type: 'tool_call', id: textOf(id), name: textOf(name), arguments: clean(textOf(args)) }
}

function messageOf(message: unknown, clean: Clean): Json {
  if (!isObject(message)) return { role: 'user', parts: [partOf(message, clean)] }
  const { role, content, tool_calls: calls, tool_call_id: id } = message
  const parts: Json[] = []
  if (role === 'tool' && typeof content === 'string')
    parts.push({ type: 'tool_call_response', id: textOf(id), response: clean(content) })
  else if (Array.isArray(content)) for (const part of content) parts.push(partOf(part, clean))
  else if (content !== null && content !== undefined) parts.push(partOf(content, clean))
  if (Array.isArray(calls)) for (const call of calls) parts.push(callOf(call, clean))
  return { role: textOf(role).slice(0, 64) || 'user', parts }
}

/** As JSON, with as many from the end as fit: the last ones are what the answer answers. */
function listText(messages: readonly Json[]): string {
  const kept: string[] = []
  let length = 2
  for (let i = messages.length - 1; i >= 0; i--) {
    const text = JSON.stringify(messages[i])
    if (length + text.length > MAX_CONTENT && kept.length > 0) break
    kept.unshift(text)
    length += text.length + 1
  }
  return `[${kept.join(',')}]`
}

const isSystem = (message: unknown): boolean =>
  isObject(message) && (message['role'] === 'system' || message['role'] === 'developer')

/** body: the request, parsed. */
export function inputContent(operation: Operation, body: Json, content: RequestTrace['content']): Attributes {
  const clean = cleaner(content)
  if (isForeign(operation)) {
    const { messages, system } = foreignInput(operation, body, clean)
    return inputAttributes(messages, system)
  }
  const given = body['messages'] ?? body['input'] ?? body['prompt']
  const list = Array.isArray(given) ? given : given === undefined || given === null ? [] : [given]
  const system = list.filter(isSystem).flatMap((message) => messageOf(message, clean)['parts'] as Json[])
  if (typeof body['instructions'] === 'string') system.push(partOf(body['instructions'], clean))
  // Numbers are tokens, which say nothing to a reader.
  const others = list.filter((message) => !isSystem(message) && typeof message !== 'number')
  return inputAttributes(operation === 'passthrough' ? [] : others.map((message) => messageOf(message, clean)), system)
}

const inputAttributes = (messages: readonly Json[], system: readonly Json[]): Attributes => ({
  ...(messages.length === 0 ? {} : { [A.inputMessages]: listText(messages) }),
  ...(system.length === 0 ? {} : { [A.systemInstructions]: listText(system) }),
})

function choiceMessage(choice: unknown, clean: Clean): Json {
  const { message, text, finish_reason: reason } = isObject(choice) ? choice : {}
  const said = message === undefined ? { role: 'assistant', content: text } : message
  return { ...messageOf(said, clean), finish_reason: textOf(reason) }
}

function outputOf(body: Json, clean: Clean): readonly Json[] {
  const { choices, output, status } = body
  if (Array.isArray(choices)) return choices.map((choice) => choiceMessage(choice, clean))
  if (!Array.isArray(output)) return []
  return output
    .filter((item) => isObject(item) && item['type'] === 'message')
    .map((item) => ({ ...messageOf({ ...item, role: 'assistant' }, clean), finish_reason: textOf(status) }))
}

/** The text of a stream, put together: chat and completion chunks, and the Responses dialect's text deltas. */
function streamedText(text: string): { readonly said: string; readonly reason: string } {
  let said = ''
  let reason = ''
  for (const line of text.split('\n')) {
    if (!line.startsWith('data:') || !line.includes('{')) continue
    const event = parsed(line.slice(5))
    if (event === null) continue
    if (event['type'] === 'response.output_text.delta') said += textOf(event['delta'])
    const choice = Array.isArray(event['choices']) ? (event['choices'][0] as unknown) : null
    if (!isObject(choice)) continue
    const { delta } = choice
    said += isObject(delta) ? textOf(delta['content']) : textOf(choice['text'])
    reason = textOf(choice['finish_reason']) || reason
  }
  return { said, reason }
}

function parsed(text: string): Json | null {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : null
  } catch {
    return null
  }
}

export function outputContent(
  { all }: AnswerParts,
  stream: boolean,
  content: RequestTrace['content'],
  operation: Operation = 'chat',
): Attributes {
  if (all.length === 0) return {}
  const bytes = Buffer.concat(all)
  const clean = cleaner(content)
  if (isForeign(operation)) {
    const message = foreignOutput(
      operation,
      bytes,
      stream,
      bytes.length >= MAX_ANSWER ? cutting(clean, content) : clean,
    )
    return message === null ? {} : { [A.outputMessages]: listText([message]) }
  }
  const text = bytes.toString()
  if (!stream) {
    const body = parsed(text)
    const messages = body === null ? [] : outputOf(body, clean)
    return messages.length === 0 ? {} : { [A.outputMessages]: listText(messages) }
  }
  const { said, reason } = streamedText(text)
  const shown = clean(said)
  const cut = content === 'redacted' && bytes.length >= MAX_ANSWER
  const parts = [{ type: 'text', content: cut ? shown.slice(0, -CUT_MARGIN) : shown }]
  return said === '' ? {} : { [A.outputMessages]: listText([{ role: 'assistant', parts, finish_reason: reason }]) }
}
