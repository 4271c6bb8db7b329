import { hash } from 'node:crypto'
import type {
  CacheMark,
  FilePart,
  ImagePart,
  Json,
  JsonObject,
  Part,
  ReasoningPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { badField } from '../canonical/read.ts'
import { ownFileId, unsupported } from '../canonical/history.ts'
import { argumentsObject } from '../canonical/say.ts'

/** Content blocks of the Messages API, from parts of a conversation. */

const IMAGES = new Set(['image/jpeg', 'image/png', 'image/gif', 'image/webp'])

/** Ids of calls must be of these letters; others become a hash of themselves: the same for the call and its result. */
export function toolUseId(id: string): string {
  for (let i = 0; i < id.length; i++) {
    const c = id.charCodeAt(i)
    const fits = (c >= 48 && c <= 57) || (c >= 65 && c <= 90) || (c >= 97 && c <= 122) || c === 45 || c === 95
    if (!fits) return hashedId(id)
  }
  return id === '' ? hashedId(id) : id
}
const hashedId = (id: string): string => `toolu_${hash('sha256', id, 'hex').slice(0, 24)}`

export function cacheControl(mark: CacheMark): JsonObject {
  return mark.ttl === '1h' || mark.ttl === '5m' ? { type: 'ephemeral', ttl: mark.ttl } : { type: 'ephemeral' }
}

/** A block, and those after which it may be cached are noted in `marked`. */
export function withMark(block: JsonObject, mark: CacheMark | undefined, marked: JsonObject[]): JsonObject {
  if (mark === undefined) return block
  block['cache_control'] = cacheControl(mark)
  marked.push(block)
  return block
}

/** null = nothing to send: the API refuses empty texts, and thoughts that it cannot verify. */
export function blockOf(part: Part, marked: JsonObject[]): JsonObject | null {
  switch (part.type) {
    case 'text':
      return part.text.trim() === '' ? null : withMark({ type: 'text', text: part.text }, part.cache, marked)
    case 'refusal':
      return part.text.trim() === '' ? null : { type: 'text', text: part.text }
    case 'image':
      return withMark({ type: 'image', source: imageSource(part) }, part.cache, marked)
    case 'file':
      return withMark(documentBlock(part), part.cache, marked)
    case 'reasoning':
      return thinkingBlock(part)
    case 'tool_call':
      return withMark(
        { type: 'tool_use', id: toolUseId(part.id), name: part.name, input: argumentsObject(part.arguments) },
        part.cache,
        marked,
      )
    case 'tool_result':
      return withMark(resultBlock(part, marked), part.cache, marked)
    default:
      return null
  }
}

function imageSource({ source }: ImagePart): JsonObject {
  if (source.kind === 'url') return { type: 'url', url: source.url }
  if (source.kind === 'id') return { type: 'file', file_id: ownFileId(source, 'anthropic.messages') }
  if (!IMAGES.has(source.mime)) throw badField('messages.content', 'an image of type JPEG, PNG, GIF or WebP')
  return { type: 'base64', media_type: source.mime, data: source.data }
}

function documentBlock({ source, name }: FilePart): JsonObject {
  const block: JsonObject = { type: 'document', source: documentSource(source) }
  if (name !== undefined) block['title'] = name
  return block
}

function documentSource(source: FilePart['source']): JsonObject {
  if (source.kind === 'url') return { type: 'url', url: source.url }
  if (source.kind === 'id') return { type: 'file', file_id: ownFileId(source, 'anthropic.messages') }
  if (source.mime === 'application/pdf') return { type: 'base64', media_type: source.mime, data: source.data }
  if (!source.mime.startsWith('text/'))
    throw unsupported('The backend of this model reads documents that are PDF or text.')
  return { type: 'text', media_type: 'text/plain', data: Buffer.from(source.data, 'base64').toString('utf8') }
}

function thinkingBlock(part: ReasoningPart): JsonObject | null {
  if (part.redacted !== undefined) return { type: 'redacted_thinking', data: part.redacted.value }
  if (part.signature === undefined) return null
  return { type: 'thinking', thinking: part.text, signature: part.signature.value }
}

function resultBlock(part: ToolResultPart, marked: JsonObject[]): JsonObject {
  const block: JsonObject = { type: 'tool_result', tool_use_id: toolUseId(part.id) }
  const content: Json[] = []
  for (const inner of part.content) {
    const one = blockOf(inner, marked)
    if (one !== null) content.push(one)
  }
  if (content.length > 0) block['content'] = content
  if (part.error === true) block['is_error'] = true
  return block
}
