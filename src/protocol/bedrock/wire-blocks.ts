import { hash } from 'node:crypto'
import type {
  CacheMark,
  FilePart,
  ImagePart,
  Json,
  JsonObject,
  Media,
  Part,
  ReasoningPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { toolUseId } from '../anthropic/wire-parts.ts'
import { type Turn, unsupported } from '../canonical/history.ts'
import { badField } from '../canonical/read.ts'
import { argumentsObject } from '../canonical/say.ts'

/** Content blocks of Converse, by ContentBlock of @aws-sdk/client-bedrock-runtime 3.1164; bytes are base64 in JSON. */

const IMAGES: ReadonlyMap<string, string> = new Map([
  ['image/png', 'png'],
  ['image/jpeg', 'jpeg'],
  ['image/gif', 'gif'],
  ['image/webp', 'webp'],
])
const DOCUMENTS: ReadonlyMap<string, string> = new Map([
  ['application/pdf', 'pdf'],
  ['text/csv', 'csv'],
  ['text/html', 'html'],
  ['text/markdown', 'md'],
  ['application/msword', 'doc'],
  ['application/vnd.openxmlformats-officedocument.wordprocessingml.document', 'docx'],
  ['application/vnd.ms-excel', 'xls'],
  ['application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', 'xlsx'],
])
const AUDIO: ReadonlyMap<string, string> = new Map([
  ['audio/mpeg', 'mp3'],
  ['audio/x-wav', 'wav'],
  ['audio/wave', 'wav'],
  ['audio/x-flac', 'flac'],
  ['audio/mp4', 'm4a'],
])

/** The service takes no more markers; the last ones cover the most. */
const MAX_MARKS = 4

/** What is counted through one request. */
export class Blocks {
  /** Markers that are still to be left out. */
  #surplus: number
  #documents = 0
  readonly #mistral: boolean

  constructor(marks: number, model: string) {
    this.#surplus = Math.max(0, marks - MAX_MARKS)
    this.#mistral = model.includes('mistral.')
  }

  /** A marker follows what it covers. */
  mark(out: Json[], mark: CacheMark | undefined): void {
    if (mark === undefined) return
    if (this.#surplus > 0) {
      this.#surplus--
      return
    }
    const point: JsonObject = { type: 'default' }
    if (mark.ttl === '5m' || mark.ttl === '1h') point['ttl'] = mark.ttl
    out.push({ cachePoint: point })
  }

  content({ parts }: Turn): Json[] {
    const out: Json[] = []
    for (const part of parts) {
      const block = this.#block(part)
      if (block === null) continue
      out.push(block)
      if ('cache' in part) this.mark(out, part.cache)
    }
    // A document alone is refused.
    if (parts.some((part) => part.type === 'file') && !parts.some((part) => part.type === 'text'))
      out.push({ text: '...' })
    return out
  }

  #block(part: Part): JsonObject | null {
    switch (part.type) {
      case 'text':
      case 'refusal':
        return part.text.trim() === '' ? null : { text: part.text }
      case 'image':
        return imageBlock(part)
      case 'audio':
        return { audio: { format: audioFormat(part.source), source: sourceOf(part.source) } }
      case 'file':
        return this.#document(part)
      case 'reasoning':
        return reasoningBlock(part)
      case 'tool_call':
        return {
          toolUse: { toolUseId: this.#id(part.id), name: part.name, input: argumentsObject(part.arguments) },
        }
      case 'tool_result':
        return this.#result(part)
      default:
        return null
    }
  }

  /** Mistral wants ids of nine letters and digits. */
  #id(id: string): string {
    return this.#mistral ? hash('sha256', id, 'hex').slice(0, 9) : toolUseId(id)
  }

  #document({ source, name }: FilePart): JsonObject {
    const mime = source.kind === 'id' ? '' : (source.mime ?? 'application/pdf')
    const format = DOCUMENTS.get(mime) ?? (mime.startsWith('text/') || mime === 'application/json' ? 'txt' : undefined)
    if (format === undefined) throw unsupported('The backend of this model does not read documents of this type.')
    return { document: { format, name: this.#name(name), source: sourceOf(source) } }
  }

  /** Names of few letters only, and no two alike. */
  #name(name: string | undefined): string {
    const count = ++this.#documents
    const stem = (name ?? 'document')
      .replace(/\.[^.]*$/, '')
      .replaceAll(/[^A-Za-z0-9()[\]-]+/g, '-')
      .slice(0, 100)
    return count === 1 ? stem || 'document' : `${stem || 'document'}-${count}`
  }

  #result(part: ToolResultPart): JsonObject {
    const content: Json[] = []
    for (const inner of part.content) {
      const block = this.#block(inner)
      if (block !== null) content.push(block)
    }
    // An empty result is one, too; an empty list is refused.
    if (content.length === 0) content.push({ json: {} })
    const result: JsonObject = { toolUseId: this.#id(part.id), content }
    if (part.error === true) result['status'] = 'error'
    return { toolResult: result }
  }
}

function imageBlock({ source }: ImagePart): JsonObject {
  const mime = source.kind === 'id' ? '' : (source.mime ?? `image/${source.kind === 'url' ? ending(source.url) : ''}`)
  const format = IMAGES.get(mime === 'image/jpg' ? 'image/jpeg' : mime)
  if (format === undefined) throw badField('messages.content', 'an image of type PNG, JPEG, GIF or WebP')
  return { image: { format, source: sourceOf(source) } }
}

const ending = (url: string): string => url.slice(url.lastIndexOf('.') + 1).toLowerCase()

function audioFormat(source: Media): string {
  const mime = source.kind === 'id' ? '' : (source.mime ?? `audio/${source.kind === 'url' ? ending(source.url) : ''}`)
  if (!mime.startsWith('audio/')) throw badField('messages.content', 'a recording of an audio type')
  return AUDIO.get(mime) ?? mime.slice('audio/'.length)
}

function sourceOf(source: Media): JsonObject {
  if (source.kind === 'base64') return { bytes: source.data }
  if (source.kind === 'url' && source.url.startsWith('s3://')) return { s3Location: { uri: source.url } }
  throw unsupported('The backend of this model takes media in the request or from S3, not by other URLs.')
}

function reasoningBlock(part: ReasoningPart): JsonObject | null {
  if (part.redacted !== undefined) return { reasoningContent: { redactedContent: part.redacted.value } }
  if (part.signature === undefined) return null
  return { reasoningContent: { reasoningText: { text: part.text, signature: part.signature.value } } }
}
