import type { JsonObject, Media, Message, Part, ReasoningPart, ToolCallPart } from '../../contracts/canonical.ts'
import { dataUrl, joinedText, ownFileId, resultText, unsupported } from '../canonical/history.ts'
import { isFields, put } from '../canonical/loose.ts'
import { badField } from '../canonical/read.ts'
import { cacheControl } from './wire-cache.ts'
import type { ChatQuirks } from './wire-chat-types.ts'

/** Messages of the chat API, from those of a conversation. */
export function chatMessages(messages: readonly Message[], quirks: ChatQuirks): JsonObject[] {
  const out: JsonObject[] = []
  /** Images of results, which a tool message cannot hold: they follow the last result. */
  let media: JsonObject[] = []
  for (const message of messages) {
    if (message.role !== 'tool' && media.length > 0) {
      out.push({ role: 'user', content: media })
      media = []
    }
    if (message.role === 'tool') media.push(...results(message, out, quirks))
    else if (message.role === 'assistant') out.push(assistantMessage(message, quirks))
    else if (message.parts.length > 0) out.push(plainMessage(message, quirks))
  }
  if (media.length > 0) out.push({ role: 'user', content: media })
  return out
}

function plainMessage(message: Message, quirks: ChatQuirks): JsonObject {
  const role = message.role === 'developer' && !quirks.official ? 'system' : message.role
  const written: JsonObject = { role, content: contentOf(message, quirks) }
  put(written, 'name', message.name)
  return written
}

/** A text alone as a string, which all take: templates of small servers know no parts in instructions. */
function contentOf({ role, parts }: Message, quirks: ChatQuirks): string | JsonObject[] {
  const [first] = parts
  const marked = quirks.cache && parts.some((part) => 'cache' in part && part.cache !== undefined)
  if (!marked && parts.length === 1 && first?.type === 'text') return first.text
  if (!marked && role !== 'user' && !quirks.official) return joinedText(parts)
  const content: JsonObject[] = []
  for (const part of parts) {
    const written = contentPart(part)
    if (written === null) continue
    if (quirks.cache && 'cache' in part && part.cache !== undefined) written['cache_control'] = cacheControl(part.cache)
    content.push(written)
  }
  return content
}

function contentPart(part: Part): JsonObject | null {
  switch (part.type) {
    case 'text':
    case 'refusal':
      return { type: 'text', text: part.text }
    case 'image': {
      const image: JsonObject = { url: mediaUrl(part.source) }
      put(image, 'detail', part.detail)
      return { type: 'image_url', image_url: image }
    }
    case 'audio':
      return { type: 'input_audio', input_audio: audioOf(part.source) }
    case 'file': {
      const { source } = part
      const file: JsonObject =
        source.kind === 'id' ? { file_id: ownFileId(source, 'openai.chat') } : { file_data: mediaUrl(source) }
      if (source.kind !== 'id') file['filename'] = part.name ?? nameFor(source.kind === 'base64' ? source.mime : null)
      return { type: 'file', file }
    }
    default:
      return null
  }
}

/** The API wants a name with the data. */
const nameFor = (mime: string | null): string =>
  mime === null || mime === 'application/pdf' ? 'file.pdf' : mime.startsWith('text/') ? 'file.txt' : 'file'

function mediaUrl(source: Media): string {
  if (source.kind === 'url') return source.url
  if (source.kind === 'base64') return dataUrl(source.mime, source.data)
  throw unsupported('The backend of this model takes images by URL or in the request, not by the id of a file.')
}

const AUDIO: ReadonlyMap<string, string> = new Map([
  ['audio/mpeg', 'mp3'],
  ['audio/mp3', 'mp3'],
  ['audio/x-wav', 'wav'],
  ['audio/wave', 'wav'],
])

function audioOf(source: Media): JsonObject {
  if (source.kind !== 'base64')
    throw unsupported('The backend of this model takes recordings in the request, not by URL.')
  if (!source.mime.startsWith('audio/')) throw badField('messages.content', 'a recording of an audio type')
  return { data: source.data, format: AUDIO.get(source.mime) ?? source.mime.slice('audio/'.length) }
}

function results(message: Message, out: JsonObject[], quirks: ChatQuirks): JsonObject[] {
  const media: JsonObject[] = []
  for (const part of message.parts) {
    if (part.type !== 'tool_result') continue
    const written: JsonObject = { role: 'tool', tool_call_id: part.id, content: resultText(part) }
    if (quirks.cache && part.cache !== undefined)
      written['content'] = [{ type: 'text', text: resultText(part), cache_control: cacheControl(part.cache) }]
    out.push(written)
    for (const inner of part.content) {
      const one = inner.type === 'text' ? null : contentPart(inner)
      if (one !== null) media.push(one)
    }
  }
  return media
}

function assistantMessage(message: Message, quirks: ChatQuirks): JsonObject {
  const written: JsonObject = { role: 'assistant', content: null }
  const calls = message.parts.filter((part) => part.type === 'tool_call')
  const refusals = message.parts.filter((part) => part.type === 'refusal')
  const texts = quirks.official ? message.parts.filter((part) => part.type === 'text') : message.parts
  const text = joinedText(texts, '')
  if (text !== '' || (calls.length === 0 && refusals.length === 0)) written['content'] = text
  if (quirks.official && refusals.length > 0) written['refusal'] = joinedText(refusals, '')
  if (calls.length > 0) written['tool_calls'] = calls.map(callOf)
  put(written, 'name', message.name)
  addReasoning(written, message.parts, quirks)
  return written
}

function callOf(call: ToolCallPart): JsonObject {
  const written: JsonObject = call.custom
    ? { id: call.id, type: 'custom', custom: { name: call.name, input: call.arguments } }
    : { id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments || '{}' } }
  if (call.signature !== undefined) written['extra_content'] = kept(call.signature.value, 'google')
  return written
}

/** What the answer's reader noted as JSON; a value that is none came from a client, bare. */
function kept(value: string, bare: 'google' | 'text' | 'encrypted'): JsonObject {
  try {
    const found: unknown = JSON.parse(value)
    if (isFields(found)) return found as JsonObject
  } catch {
    // Bare.
  }
  if (bare === 'google') return { google: { thought_signature: value } }
  return bare === 'text' ? { type: 'reasoning.text', signature: value } : { type: 'reasoning.encrypted', data: value }
}

function addReasoning(written: JsonObject, parts: readonly Part[], quirks: ChatQuirks): void {
  if (quirks.reasoning === null) return
  const thoughts = parts.filter((part) => part.type === 'reasoning')
  if (quirks.reasoning === 'details') {
    const details = thoughts.map(detailOf)
    if (details.length > 0) written['reasoning_details'] = details
    return
  }
  const text = thoughts.map((part) => part.text).join('')
  if (text !== '') written[quirks.reasoning] = text
}

function detailOf(part: ReasoningPart): JsonObject {
  if (part.redacted !== undefined) return kept(part.redacted.value, 'encrypted')
  if (part.signature === undefined) return { type: 'reasoning.text', text: part.text }
  const entry = kept(part.signature.value, 'text')
  return { ...entry, [entry['type'] === 'reasoning.summary' ? 'summary' : 'text']: part.text }
}
