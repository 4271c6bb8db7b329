import type {
  CacheMark,
  Citation,
  Json,
  JsonObject,
  Media,
  Message,
  Opaque,
  Part,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { audioMime, base64At } from '../canonical/media.ts'
import { badField, compact, isObject, listAt, maybeText, objectAt, oneOf, textAt } from '../canonical/read.ts'
import { argumentsText } from '../canonical/say.ts'
import { pushReasoning, pushUser, withSignatures } from '../canonical/signed-parts.ts'
import { DIALECT, redactedOf } from './client-parts.ts'

/** Messages of Converse, by Message and ContentBlock of @aws-sdk/client-bedrock-runtime 3.1164; blobs are base64 in JSON. */

const ROLES = ['user', 'assistant', 'system'] as const

/** The system prompt, then the messages. */
export function readMessages(sent: JsonObject): Message[] {
  const messages: Message[] = []
  const system = sent['system']
  if (system !== undefined && system !== null) {
    const parts = readBlocks(system, 'system')
    if (parts.length > 0) messages.push({ role: 'system', parts })
  }
  for (const [i, item] of listAt(sent['messages'], 'messages').entries()) {
    const at = `messages[${i}]`
    const message = objectAt(item, at)
    const role = oneOf(textAt(message['role'], `${at}.role`), ROLES, `${at}.role`)
    const parts = readBlocks(message['content'], `${at}.content`)
    if (role === 'user') pushUser(messages, parts)
    else messages.push({ role, parts })
  }
  return messages
}

/** The block is a cache point; null = it is another one. */
export function markAt(block: JsonObject, at: string): CacheMark | null {
  if (block['cachePoint'] === undefined || block['cachePoint'] === null) return null
  const point = objectAt(block['cachePoint'], `${at}.cachePoint`)
  return { ttl: maybeText(point['ttl'], `${at}.cachePoint.ttl`) ?? null }
}

function readBlocks(value: Json | undefined, at: string): Part[] {
  const parts: Part[] = []
  /** Signatures of tool calls stand in reasoning blocks of ours; they belong to the call they name. */
  const signatures = new Map<string, Opaque>()
  for (const [i, item] of listAt(value, at).entries()) {
    const where = `${at}[${i}]`
    const block = objectAt(item, where)
    const mark = markAt(block, where)
    if (mark === null) readBlock(block, where, parts, signatures)
    else markLast(parts, mark)
  }
  return withSignatures(parts, signatures)
}

/** A marker stands behind what it covers. */
function markLast(parts: Part[], cache: CacheMark): void {
  const last = parts.at(-1)
  if (last === undefined || last.type === 'reasoning' || last.type === 'refusal' || last.type === 'native') return
  parts[parts.length - 1] = { ...last, cache }
}

/** Members of the union that are read; of one that is not known nobody else knows either. */
function readBlock(block: JsonObject, at: string, parts: Part[], signatures: Map<string, Opaque>): void {
  const kind = Object.keys(block).find((key) => block[key] !== null)
  if (kind === undefined) throw badField(at, 'a content block')
  const value = block[kind]!
  const where = `${at}.${kind}`
  switch (kind) {
    case 'text':
      parts.push({ type: 'text', text: textAt(value, where) })
      return
    case 'image':
      parts.push(imageOf(objectAt(value, where), where))
      return
    case 'audio':
      parts.push(audioOf(objectAt(value, where), where))
      return
    case 'document':
      parts.push(...documentOf(objectAt(value, where), where))
      return
    case 'searchResult':
      parts.push(searchResult(objectAt(value, where), where))
      return
    case 'guardContent':
      // Marks what a guardrail of AWS looks at; without one it is content like any other.
      readBlock(guarded(objectAt(value, where)), where, parts, signatures)
      return
    case 'citationsContent':
      parts.push(...cited(objectAt(value, where), where))
      return
    case 'reasoningContent':
      reasoning(objectAt(value, where), where, parts, signatures)
      return
    case 'toolUse':
      parts.push(toolUse(objectAt(value, where), where))
      return
    case 'toolResult':
      parts.push(toolResult(objectAt(value, where), where))
      return
    case 'json':
      parts.push({ type: 'text', text: JSON.stringify(value) })
      return
    default:
      parts.push({ type: 'native', by: DIALECT, value: block })
  }
}

const guarded = (value: JsonObject): JsonObject =>
  isObject(value['text']) ? { text: value['text']['text'] ?? null } : value

/** Bytes, or where they are in S3. */
function sourceOf(block: JsonObject, at: string, mime: string): Media {
  const source = objectAt(block['source'], `${at}.source`)
  if (isObject(source['s3Location'])) {
    const uri = textAt(source['s3Location']['uri'], `${at}.source.s3Location.uri`)
    return { kind: 'url', url: uri, mime }
  }
  const bytes = textAt(source['bytes'], `${at}.source.bytes`)
  return { kind: 'base64', mime, data: base64At(bytes, `${at}.source.bytes`) }
}

function imageOf(block: JsonObject, at: string): Part {
  const format = textAt(block['format'], `${at}.format`)
  return { type: 'image', source: sourceOf(block, at, `image/${format}`) }
}

function audioOf(block: JsonObject, at: string): Part {
  const format = textAt(block['format'], `${at}.format`)
  return { type: 'audio', source: sourceOf(block, at, audioMime(format)) }
}

const FORMATS: ReadonlyMap<string, string> = new Map([
  ['pdf', 'application/pdf'],
  ['csv', 'text/csv'],
  ['doc', 'application/msword'],
  ['docx', 'application/vnd.openxmlformats-officedocument.wordprocessingml.document'],
  ['xls', 'application/vnd.ms-excel'],
  ['xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
  ['html', 'text/html'],
  ['txt', 'text/plain'],
  ['md', 'text/markdown'],
])

/** Documents of plain text become text, which all backends read; the others are files. */
function documentOf(block: JsonObject, at: string): Part[] {
  const format = maybeText(block['format'], `${at}.format`) ?? 'txt'
  const mime = FORMATS.get(format)
  if (mime === undefined) throw badField(`${at}.format`, `one of ${[...FORMATS.keys()].join(', ')}`)
  const name = textAt(block['name'], `${at}.name`)
  const about = maybeText(block['context'], `${at}.context`) ?? ''
  const source = objectAt(block['source'], `${at}.source`)
  const lead = [name, about].filter((text) => text !== '').join('\n')
  const told = (text: string): Part[] => [{ type: 'text', text: `${lead}\n\n${text}` }]
  if (typeof source['text'] === 'string') return told(source['text'])
  if (Array.isArray(source['content'])) return told(textsIn(source['content'], `${at}.source.content`).join('\n'))
  const media = sourceOf(block, at, mime)
  if (media.kind === 'base64' && mime.startsWith('text/')) return told(Buffer.from(media.data, 'base64').toString())
  const file: Part = { type: 'file', source: media, name: `${name}.${format}` }
  return about === '' ? [file] : [{ type: 'text', text: about }, file]
}

const textsIn = (list: Json | undefined, at: string): string[] =>
  listAt(list, at).map((item, i) => textAt(objectAt(item, `${at}[${i}]`)['text'], `${at}[${i}].text`))

/** A find of the client's own search: text that names its source, for models whose API has no such block. */
function searchResult(block: JsonObject, at: string): Part {
  const url = textAt(block['source'], `${at}.source`)
  const title = textAt(block['title'], `${at}.title`)
  const text = `${title}\n${url}\n\n${textsIn(block['content'], `${at}.content`).join('\n')}`
  return { type: 'text', text, citations: [{ url, title }] }
}

/** A text with its sources that a model wrote earlier. */
function cited(block: JsonObject, at: string): Part[] {
  const text = block['content'] == null ? '' : textsIn(block['content'], `${at}.content`).join('')
  const list = block['citations'] == null ? [] : listAt(block['citations'], `${at}.citations`)
  const citations = list.filter(isObject).map(citation)
  if (text === '' && citations.length === 0) return []
  return [
    compact<TextPart>({
      type: 'text',
      text,
      citations: citations.length > 0 ? citations : undefined,
      cache: undefined,
      signature: undefined,
    }),
  ]
}

function citation(value: JsonObject): Citation {
  const { title, location } = value
  const web = isObject(location) ? location['web'] : undefined
  const url = isObject(web) ? web['url'] : undefined
  return compact<Citation>({
    url: typeof url === 'string' ? url : undefined,
    title: typeof title === 'string' ? title : undefined,
    quote: undefined,
    from: undefined,
    to: undefined,
    native: { by: DIALECT, value },
  })
}

function reasoning(value: JsonObject, at: string, parts: Part[], signatures: Map<string, Opaque>): void {
  const hidden = maybeText(value['redactedContent'], `${at}.redactedContent`)
  if (hidden !== undefined) {
    parts.push({ type: 'reasoning', text: '', redacted: redactedOf(hidden) })
    return
  }
  const said = objectAt(value['reasoningText'], `${at}.reasoningText`)
  const text = maybeText(said['text'], `${at}.reasoningText.text`) ?? ''
  const signature = maybeText(said['signature'], `${at}.reasoningText.signature`) ?? ''
  pushReasoning({ text, signature }, DIALECT, parts, signatures)
}

const toolUse = (value: JsonObject, at: string): ToolCallPart => ({
  type: 'tool_call',
  id: textAt(value['toolUseId'], `${at}.toolUseId`),
  name: textAt(value['name'], `${at}.name`),
  arguments: argumentsText(objectAt(value['input'] ?? {}, `${at}.input`)),
})

const toolResult = (value: JsonObject, at: string): ToolResultPart =>
  compact<ToolResultPart>({
    type: 'tool_result',
    id: textAt(value['toolUseId'], `${at}.toolUseId`),
    name: undefined,
    content: value['content'] == null ? [] : readBlocks(value['content'], `${at}.content`),
    error: maybeText(value['status'], `${at}.status`) === 'error' ? true : undefined,
    cache: undefined,
  })
