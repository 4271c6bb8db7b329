import type { Json, JsonObject, Message, Opaque, Part, ReasoningPart, ToolCallPart } from '../../contracts/canonical.ts'
import { audioMime, base64At, fileMime, urlMedia } from '../canonical/media.ts'
import { unpackProof } from '../canonical/proof-out.ts'
import { badField, compact, isObject, listAt, maybeText, objectAt, oneOf, textAt } from '../canonical/read.ts'
import { cacheMark } from '../canonical/say.ts'
import { urlCitations } from './client-citations.ts'

const ROLES = ['system', 'developer', 'user', 'assistant', 'tool', 'function'] as const

/** Messages of a chat request (openai-openapi `ChatCompletionRequestMessage`). */
export function chatMessages(sent: Json | undefined): Message[] {
  const list = listAt(sent, 'messages')
  const messages: Message[] = []
  /** Legacy calls have no ids: the result answers the call before it. */
  let legacyId = ''
  for (const [i, item] of list.entries()) {
    const at = `messages[${i}]`
    const message = objectAt(item, at)
    const role = oneOf(textAt(message['role'], `${at}.role`), ROLES, `${at}.role`)
    if (role === 'tool' || role === 'function') {
      pushResult(messages, role === 'tool' ? toolResult(message, at) : legacyResult(message, legacyId, at))
      continue
    }
    const name = maybeText(message['name'], `${at}.name`)
    if (role === 'assistant' && isObject(message['function_call'])) legacyId = `call_${i}`
    const parts =
      role === 'assistant'
        ? assistantParts(message, legacyId, at)
        : contentParts(message['content'], `${at}.content`, false)
    messages.push(compact<Message>({ role, parts, name }))
  }
  return messages
}

/** Results in a row are one message: they answer one message of calls. */
export function pushResult(messages: Message[], result: Part): void {
  const last = messages.at(-1)
  if (last?.role === 'tool') messages[messages.length - 1] = { role: 'tool', parts: [...last.parts, result] }
  else messages.push({ role: 'tool', parts: [result] })
}

const toolResult = (message: JsonObject, at: string): Part =>
  compact<Part & { type: 'tool_result' }>({
    type: 'tool_result',
    id: textAt(message['tool_call_id'], `${at}.tool_call_id`),
    name: maybeText(message['name'], `${at}.name`),
    content: contentParts(message['content'], `${at}.content`, false),
    error: message['is_error'] === true ? true : undefined,
    cache: cacheMark(message, at),
  })

function legacyResult(message: JsonObject, id: string, at: string): Part {
  const name = textAt(message['name'], `${at}.name`)
  const content = maybeText(message['content'], `${at}.content`) ?? ''
  return { type: 'tool_result', id: id === '' ? `call_${name}` : id, name, content: [{ type: 'text', text: content }] }
}

function assistantParts(message: JsonObject, legacyId: string, at: string): Part[] {
  /** Signatures of calls that stand in reasoning_details, under the ids of the calls. */
  const signatures = new Map<string, Opaque>()
  const parts: Part[] = reasoningParts(message, signatures, at)
  const { content, refusal, tool_calls: calls, function_call: legacy, audio } = message
  const texts = content === undefined || content === null ? [] : contentParts(content, `${at}.content`, true)
  parts.push(...withCitations(texts, message))
  const refused = maybeText(refusal, `${at}.refusal`)
  if (refused !== undefined && refused !== '') parts.push({ type: 'refusal', text: refused })
  if (isObject(audio)) parts.push({ type: 'native', by: 'openai.chat', value: { audio } })
  if (calls !== undefined && calls !== null)
    for (const [i, call] of listAt(calls, `${at}.tool_calls`).entries())
      parts.push(signed(toolCall(objectAt(call, `${at}.tool_calls[${i}]`), `${at}.tool_calls[${i}]`), signatures))
  if (legacy !== undefined && legacy !== null) parts.push(legacyCall(legacy, legacyId, `${at}.function_call`))
  return parts
}

function signed(call: ToolCallPart, signatures: ReadonlyMap<string, Opaque>): ToolCallPart {
  const signature = call.signature === undefined ? signatures.get(call.id) : undefined
  return signature === undefined ? call : { ...call, signature }
}

/** Annotations of the whole message rest on its text. */
function withCitations(texts: Part[], message: JsonObject): Part[] {
  const citations = urlCitations(message['annotations'])
  const i = citations.length === 0 ? -1 : texts.findLastIndex((part) => part.type === 'text')
  if (i < 0) return texts
  return texts.map((part, k) => (k === i && part.type === 'text' ? { ...part, citations } : part))
}

function legacyCall(value: Json, id: string, at: string): ToolCallPart {
  const call = objectAt(value, at)
  return {
    type: 'tool_call',
    id,
    name: textAt(call['name'], `${at}.name`),
    arguments: maybeText(call['arguments'], `${at}.arguments`) ?? '',
  }
}

function toolCall(call: JsonObject, at: string): ToolCallPart {
  const custom = call['type'] === 'custom'
  const kind = custom ? 'custom' : 'function'
  const inner = objectAt(call[kind], `${at}.${kind}`)
  const field = custom ? 'input' : 'arguments'
  // Google's compatible endpoint, whose clients know this place: ai.google.dev/gemini-api/docs/thought-signatures.
  const google = isObject(call['extra_content']) ? call['extra_content']['google'] : undefined
  const signature = isObject(google) ? maybeText(google['thought_signature'], `${at}.extra_content`) : undefined
  return compact<ToolCallPart>({
    type: 'tool_call',
    id: textAt(call['id'], `${at}.id`),
    name: textAt(inner['name'], `${at}.${kind}.name`),
    arguments: maybeText(inner[field], `${at}.${kind}.${field}`) ?? '',
    custom: custom ? true : undefined,
    signature: signature === undefined ? undefined : unpackProof(signature, 'openai.chat', 'call').opaque,
    cache: cacheMark(call, at),
  })
}

/**
 * What was thought, in the forms that clients keep it: OpenRouter `reasoning_details`, LiteLLM `thinking_blocks`,
 * DeepSeek `reasoning_content`. The first that is there counts: they say the same.
 */
function reasoningParts(message: JsonObject, signatures: Map<string, Opaque>, at: string): ReasoningPart[] {
  const { reasoning_details: details, thinking_blocks: blocks } = message
  if (Array.isArray(details) && details.length > 0) return mergedDetails(details, signatures, `${at}.reasoning_details`)
  if (Array.isArray(blocks) && blocks.length > 0)
    return blocks.map((entry, i) => thinkingBlock(entry, `${at}.thinking_blocks[${i}]`))
  const text = message['reasoning_content'] ?? message['reasoning']
  return typeof text === 'string' && text !== '' ? [{ type: 'reasoning', text }] : []
}

/** null = it was the signature of a call. */
function detail(entry: Json, signatures: Map<string, Opaque>, at: string): ReasoningPart | null {
  const value = objectAt(entry, at)
  const id = maybeText(value['id'], `${at}.id`)
  const part = (fields: Partial<ReasoningPart>): ReasoningPart =>
    compact<ReasoningPart>({ type: 'reasoning', text: '', signature: undefined, redacted: undefined, id, ...fields })
  switch (value['type']) {
    case 'reasoning.encrypted': {
      const proof = unpackProof(textAt(value['data'], `${at}.data`), 'openai.chat', 'redacted')
      if (proof.kind === 'call') {
        signatures.set(proof.of, proof.opaque)
        return null
      }
      return part(proof.kind === 'redacted' ? { redacted: proof.opaque } : { signature: proof.opaque })
    }
    case 'reasoning.summary':
      return part({ text: maybeText(value['summary'], `${at}.summary`) ?? '' })
    case 'reasoning.text': {
      const signature = maybeText(value['signature'], `${at}.signature`)
      return part({
        text: maybeText(value['text'], `${at}.text`) ?? '',
        ...(signature === undefined || signature === ''
          ? {}
          : { signature: unpackProof(signature, 'openai.chat', 'signature').opaque }),
      })
    }
    default:
      throw badField(`${at}.type`, 'reasoning.text, reasoning.summary or reasoning.encrypted')
  }
}

/** Streams come in pieces, which some clients keep: those with one index are one part. */
function mergedDetails(entries: readonly Json[], signatures: Map<string, Opaque>, at: string): ReasoningPart[] {
  const merged: ReasoningPart[] = []
  let index: Json | undefined
  for (const [i, entry] of entries.entries()) {
    const part = detail(entry, signatures, `${at}[${i}]`)
    if (part === null) continue
    const last = merged.at(-1)
    const own = isObject(entry) ? entry['index'] : undefined
    const open = last !== undefined && last.signature === undefined && last.redacted === undefined
    if (open && part.redacted === undefined && own !== undefined && own === index)
      merged[merged.length - 1] = { ...last, ...part, text: last.text + part.text }
    else merged.push(part)
    index = own
  }
  return merged
}

function thinkingBlock(entry: Json, at: string): ReasoningPart {
  const value = objectAt(entry, at)
  if (value['type'] === 'redacted_thinking') {
    const { opaque } = unpackProof(textAt(value['data'], `${at}.data`), 'openai.chat', 'redacted')
    return { type: 'reasoning', text: '', redacted: opaque }
  }
  const signature = maybeText(value['signature'], `${at}.signature`)
  return compact<ReasoningPart>({
    type: 'reasoning',
    text: maybeText(value['thinking'], `${at}.thinking`) ?? '',
    signature:
      signature === undefined || signature === ''
        ? undefined
        : unpackProof(signature, 'openai.chat', 'signature').opaque,
    redacted: undefined,
    id: undefined,
  })
}

/** String or list of parts; assistant: refusals may stand among them. */
function contentParts(content: Json | undefined, at: string, assistant: boolean): Part[] {
  if (typeof content === 'string') return content === '' && assistant ? [] : [{ type: 'text', text: content }]
  if (!Array.isArray(content)) throw badField(at, 'a string or a list of parts')
  return content.map((item, i) => contentPart(objectAt(item, `${at}[${i}]`), `${at}[${i}]`))
}

function contentPart(part: JsonObject, at: string): Part {
  const cache = cacheMark(part, at)
  switch (textAt(part['type'], `${at}.type`)) {
    case 'text':
      return compact<Part & { type: 'text' }>({
        type: 'text',
        text: textAt(part['text'], `${at}.text`),
        cache,
        citations: undefined,
        signature: undefined,
      })
    case 'image_url': {
      const image = objectAt(part['image_url'], `${at}.image_url`)
      const source = urlMedia(textAt(image['url'], `${at}.image_url.url`), 'image/png', `${at}.image_url.url`)
      const detail = maybeText(image['detail'], `${at}.image_url.detail`)
      return compact<Part & { type: 'image' }>({ type: 'image', source, detail, cache })
    }
    case 'input_audio': {
      const audio = objectAt(part['input_audio'], `${at}.input_audio`)
      const data = base64At(textAt(audio['data'], `${at}.input_audio.data`), `${at}.input_audio.data`)
      const mime = audioMime(textAt(audio['format'], `${at}.input_audio.format`))
      return compact<Part & { type: 'audio' }>({ type: 'audio', source: { kind: 'base64', mime, data }, cache })
    }
    case 'file':
      return filePart(part, at)
    case 'refusal':
      return { type: 'refusal', text: textAt(part['refusal'], `${at}.refusal`) }
    default:
      return { type: 'native', by: 'openai.chat', value: part }
  }
}

function filePart(part: JsonObject, at: string): Part {
  const file = objectAt(part['file'], `${at}.file`)
  const name = maybeText(file['filename'], `${at}.file.filename`)
  const cache = cacheMark(part, at)
  const id = maybeText(file['file_id'], `${at}.file.file_id`)
  if (id !== undefined)
    return compact<Part & { type: 'file' }>({
      type: 'file',
      source: { kind: 'id', id, by: 'openai.chat' },
      name,
      cache,
    })
  const data = textAt(file['file_data'], `${at}.file.file_data`)
  const source = fileSource(data, name, `${at}.file.file_data`)
  return compact<Part & { type: 'file' }>({ type: 'file', source, name, cache })
}

/** A data URL, as OpenAI wants it; a URL, as OpenRouter allows; or the bare bytes. */
export const fileSource = (data: string, name: string | undefined, at: string) =>
  data.includes(':') ? urlMedia(data, fileMime(name), at) : barePart(data, name, at)

const barePart = (data: string, name: string | undefined, at: string) =>
  ({ kind: 'base64', mime: fileMime(name), data: base64At(data, at) }) as const
