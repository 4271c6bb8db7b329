import type {
  Json,
  JsonObject,
  Message,
  Part,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { isFields, listOf } from '../canonical/loose.ts'
import { urlMedia } from '../canonical/media.ts'
import { badField, compact, listAt, maybeText, objectAt, oneOf, textAt } from '../canonical/read.ts'
import { pushResult } from '../openai/client-chat-messages.ts'
import { documentPart } from './client-documents.ts'
import { citationOf } from './wire-answer.ts'

const DIALECT = 'cohere.chat'
const ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const

/** Messages of a request (cohere-ai `ChatMessageV2`). */
export function cohereMessages(sent: Json | undefined): Message[] {
  const messages: Message[] = []
  for (const [i, item] of listAt(sent, 'messages').entries()) {
    const at = `messages[${i}]`
    const message = objectAt(item, at)
    const role = oneOf(textAt(message['role'], `${at}.role`), ROLES, `${at}.role`)
    if (role === 'tool') pushResult(messages, toolResult(message, at))
    else if (role === 'assistant') messages.push({ role, parts: assistantParts(message, at) })
    else messages.push({ role, parts: contentParts(message['content'], `${at}.content`) })
  }
  return messages
}

/** String or list of contents; results of tools may hold documents. */
function contentParts(content: Json | undefined, at: string): Part[] {
  if (typeof content === 'string') return [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw badField(at, 'a string or a list of contents')
  return content.map((item, i) => contentPart(objectAt(item, `${at}[${i}]`), i, `${at}[${i}]`))
}

function contentPart(part: JsonObject, index: number, at: string): Part {
  switch (textAt(part['type'], `${at}.type`)) {
    case 'text':
      return { type: 'text', text: textAt(part['text'], `${at}.text`) }
    case 'image_url': {
      const image = objectAt(part['image_url'], `${at}.image_url`)
      const source = urlMedia(textAt(image['url'], `${at}.image_url.url`), 'image/png', `${at}.image_url.url`)
      const detail = maybeText(image['detail'], `${at}.image_url.detail`)
      return compact<Part & { type: 'image' }>({ type: 'image', source, detail, cache: undefined })
    }
    case 'document':
      return documentPart(part['document'] ?? null, index, `${at}.document`)
    default:
      return { type: 'native', by: DIALECT, value: part }
  }
}

const toolResult = (message: JsonObject, at: string): ToolResultPart => ({
  type: 'tool_result',
  id: textAt(message['tool_call_id'], `${at}.tool_call_id`),
  content: contentParts(message['content'], `${at}.content`),
})

/** What it planned, then what it thought and said, then its calls: the order in which Cohere's models write. */
function assistantParts(message: JsonObject, at: string): Part[] {
  const parts: Part[] = []
  const plan = maybeText(message['tool_plan'], `${at}.tool_plan`) ?? ''
  if (plan !== '') parts.push({ type: 'reasoning', text: plan })
  const said = spoken(message['content'], `${at}.content`)
  cite(said, message['citations'])
  for (const part of said) if (part.type !== 'text' || part.text !== '') parts.push(part)
  if (message['tool_calls'] != null)
    for (const [k, call] of listAt(message['tool_calls'], `${at}.tool_calls`).entries())
      parts.push(toolCall(objectAt(call, `${at}.tool_calls[${k}]`), `${at}.tool_calls[${k}]`))
  return parts
}

function spoken(content: Json | undefined, at: string): Part[] {
  if (content === undefined || content === null) return []
  if (typeof content === 'string') return [{ type: 'text', text: content }]
  return listAt(content, at).map((item, i): Part => {
    const part = objectAt(item, `${at}[${i}]`)
    const type = textAt(part['type'], `${at}[${i}].type`)
    if (type === 'text') return { type, text: textAt(part['text'], `${at}[${i}].text`) }
    if (type === 'thinking') return { type: 'reasoning', text: textAt(part['thinking'], `${at}[${i}].thinking`) }
    return { type: 'native', by: DIALECT, value: part }
  })
}

/** Each citation belongs to the content that it names, or to the only text. */
function cite(parts: Part[], sent: Json | undefined): void {
  for (const one of listOf(sent)) {
    if (!isFields(one)) continue
    const named = parts[typeof one['content_index'] === 'number' ? one['content_index'] : -1]
    const at = named?.type === 'text' ? parts.indexOf(named) : parts.findLastIndex(({ type }) => type === 'text')
    const text = parts[at] as TextPart | undefined
    if (text !== undefined) parts[at] = { ...text, citations: [...(text.citations ?? []), citationOf(one)] }
  }
}

function toolCall(call: JsonObject, at: string): ToolCallPart {
  const called = objectAt(call['function'], `${at}.function`)
  return {
    type: 'tool_call',
    id: textAt(call['id'], `${at}.id`),
    name: textAt(called['name'], `${at}.function.name`),
    arguments: maybeText(called['arguments'], `${at}.function.arguments`) ?? '{}',
  }
}
