import type {
  CacheMark,
  Citation,
  Json,
  JsonObject,
  Media,
  Message,
  Opaque,
  Part,
  ToolCallPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { base64At, urlMedia } from '../canonical/media.ts'
import { unpackProof } from '../canonical/proof-out.ts'
import {
  badField,
  compact,
  isObject,
  listAt,
  maybeFlag,
  maybeText,
  objectAt,
  oneOf,
  textAt,
} from '../canonical/read.ts'
import { argumentsText, cacheMark } from '../canonical/say.ts'
import { pushReasoning, pushUser, withSignatures } from '../canonical/signed-parts.ts'

const DIALECT = 'anthropic.messages'
const ROLES = ['user', 'assistant', 'system'] as const

/** Messages of a request (anthropic-sdk `MessageParam`), the system prompt before them. */
export function readMessages(sent: JsonObject): Message[] {
  const messages: Message[] = []
  const system = sent['system']
  if (system !== undefined && system !== null) {
    const parts = content(system, 'system')
    if (parts.length > 0) messages.push({ role: 'system', parts })
  }
  for (const [i, item] of listAt(sent['messages'], 'messages').entries()) {
    const at = `messages[${i}]`
    const message = objectAt(item, at)
    const role = oneOf(textAt(message['role'], `${at}.role`), ROLES, `${at}.role`)
    const parts = content(message['content'], `${at}.content`)
    if (role === 'user') pushUser(messages, parts)
    else messages.push({ role, parts })
  }
  return withMark(messages, cacheMark(sent, ''))
}

/** `cache_control` of the whole request stands for one at its last block. */
function withMark(messages: Message[], cache: CacheMark | undefined): Message[] {
  const last = messages.at(-1)
  const part = last?.parts.at(-1)
  if (cache === undefined || last === undefined || part === undefined) return messages
  if (part.type === 'reasoning' || part.type === 'refusal' || part.type === 'native') return messages
  return [...messages.slice(0, -1), { ...last, parts: [...last.parts.slice(0, -1), { ...part, cache }] }]
}

/** String or blocks. */
function content(value: Json | undefined, at: string): Part[] {
  if (typeof value === 'string') return [{ type: 'text', text: value }]
  if (!Array.isArray(value)) throw badField(at, 'a string or a list of blocks')
  const parts: Part[] = []
  /** Signatures of tool calls stand in thinking blocks of ours; they belong to the call they name. */
  const signatures = new Map<string, Opaque>()
  for (const [i, item] of value.entries()) block(objectAt(item, `${at}[${i}]`), `${at}[${i}]`, parts, signatures)
  return withSignatures(parts, signatures)
}

function block(value: JsonObject, at: string, parts: Part[], signatures: Map<string, Opaque>): void {
  const cache = cacheMark(value, at)
  switch (textAt(value['type'], `${at}.type`)) {
    case 'text':
      parts.push(textPart(value, at))
      return
    case 'image':
      parts.push(
        compact<Part & { type: 'image' }>({ type: 'image', source: source(value, at), detail: undefined, cache }),
      )
      return
    case 'document':
      parts.push(...documentParts(value, at))
      return
    case 'search_result':
      parts.push(searchResult(value, at))
      return
    case 'thinking':
      thinking(value, at, parts, signatures)
      return
    case 'redacted_thinking':
      parts.push(redacted(value, at))
      return
    case 'tool_use':
      parts.push(toolUse(value, at))
      return
    case 'tool_result':
      parts.push(toolResult(value, at))
      return
    default:
      parts.push({ type: 'native', by: DIALECT, value })
  }
}

function textPart(value: JsonObject, at: string): Part {
  const citations = value['citations']
  return compact<Part & { type: 'text' }>({
    type: 'text',
    text: textAt(value['text'], `${at}.text`),
    cache: cacheMark(value, at),
    citations: Array.isArray(citations) && citations.length > 0 ? citations.filter(isObject).map(citation) : undefined,
    signature: undefined,
  })
}

/** A citation of a text that the model wrote earlier: kept as it is, and what others understand of it. */
function citation(value: JsonObject): Citation {
  const { url, source: from, title, document_title: document, cited_text: quote } = value
  const found = [url, from].find((text) => typeof text === 'string')
  const named = [title, document].find((text) => typeof text === 'string')
  return compact<Citation>({
    url: found,
    title: named,
    quote: typeof quote === 'string' ? quote : undefined,
    from: undefined,
    to: undefined,
    native: { by: DIALECT, value },
  })
}

function source(value: JsonObject, at: string): Media {
  const inner = objectAt(value['source'], `${at}.source`)
  switch (inner['type']) {
    case 'base64': {
      const mime = textAt(inner['media_type'], `${at}.source.media_type`)
      return { kind: 'base64', mime, data: base64At(textAt(inner['data'], `${at}.source.data`), `${at}.source.data`) }
    }
    case 'url':
      return urlMedia(textAt(inner['url'], `${at}.source.url`), 'application/octet-stream', `${at}.source.url`)
    case 'file':
      return { kind: 'id', id: textAt(inner['file_id'], `${at}.source.file_id`), by: DIALECT }
    default:
      throw badField(`${at}.source.type`, 'base64, url or file')
  }
}

/** Documents of plain text become text, which all backends read; the others are files. */
function documentParts(value: JsonObject, at: string): Part[] {
  const inner = objectAt(value['source'], `${at}.source`)
  const name = maybeText(value['title'], `${at}.title`)
  const about = maybeText(value['context'], `${at}.context`)
  const cache = cacheMark(value, at)
  const lead = [name, about].filter((text) => text !== undefined && text !== '').join('\n')
  const told: Part[] = lead === '' ? [] : [{ type: 'text', text: lead }]
  if (inner['type'] === 'text') {
    const text = textAt(inner['data'], `${at}.source.data`)
    return marked([{ type: 'text', text: lead === '' ? text : `${lead}\n\n${text}` }], cache)
  }
  if (inner['type'] === 'content') return marked([...told, ...content(inner['content'], `${at}.source.content`)], cache)
  const file = compact<Part & { type: 'file' }>({ type: 'file', source: source(value, at), name, cache })
  return about === undefined || about === '' ? [file] : [{ type: 'text', text: about }, file]
}

const marked = (parts: Part[], cache: CacheMark | undefined): Part[] =>
  parts.map((part, i) =>
    cache !== undefined && i === parts.length - 1 && (part.type === 'text' || part.type === 'image')
      ? { ...part, cache }
      : part,
  )

/** A find of the client's own search: text that names its source, for models whose API has no such block. */
function searchResult(value: JsonObject, at: string): Part {
  const url = textAt(value['source'], `${at}.source`)
  const title = textAt(value['title'], `${at}.title`)
  const texts = content(value['content'], `${at}.content`).map((part) => (part.type === 'text' ? part.text : ''))
  return compact<Part & { type: 'text' }>({
    type: 'text',
    text: `${title}\n${url}\n\n${texts.join('\n')}`,
    cache: cacheMark(value, at),
    citations: [{ url, title }],
    signature: undefined,
  })
}

function thinking(value: JsonObject, at: string, parts: Part[], signatures: Map<string, Opaque>): void {
  const text = maybeText(value['thinking'], `${at}.thinking`) ?? ''
  const signature = maybeText(value['signature'], `${at}.signature`) ?? ''
  pushReasoning({ text, signature }, DIALECT, parts, signatures)
}

const redacted = (value: JsonObject, at: string): Part => ({
  type: 'reasoning',
  text: '',
  redacted: unpackProof(textAt(value['data'], `${at}.data`), DIALECT, 'redacted').opaque,
})

const toolUse = (value: JsonObject, at: string): ToolCallPart =>
  compact<ToolCallPart>({
    type: 'tool_call',
    id: textAt(value['id'], `${at}.id`),
    name: textAt(value['name'], `${at}.name`),
    arguments: argumentsText(objectAt(value['input'] ?? {}, `${at}.input`)),
    custom: undefined,
    signature: undefined,
    cache: cacheMark(value, at),
  })

const toolResult = (value: JsonObject, at: string): ToolResultPart =>
  compact<ToolResultPart>({
    type: 'tool_result',
    id: textAt(value['tool_use_id'], `${at}.tool_use_id`),
    name: undefined,
    content: value['content'] == null ? [] : content(value['content'], `${at}.content`),
    error: maybeFlag(value['is_error'], `${at}.is_error`) === true ? true : undefined,
    cache: cacheMark(value, at),
  })
