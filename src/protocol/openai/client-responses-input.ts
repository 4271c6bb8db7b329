import type { Json, JsonObject, Message, Opaque, Part, ReasoningPart, ToolCallPart } from '../../contracts/canonical.ts'
import { audioMime, base64At, fileMime, urlMedia } from '../canonical/media.ts'
import { unpackProof } from '../canonical/proof-out.ts'
import { badField, compact, isObject, listAt, maybeText, objectAt, oneOf, textAt } from '../canonical/read.ts'
import { cacheMark, notYet } from '../canonical/say.ts'
import { fileSource, pushResult } from './client-chat-messages.ts'
import { urlCitations } from './client-citations.ts'

const DIALECT = 'openai.responses'
const ROLES = ['user', 'assistant', 'system', 'developer'] as const

/**
 * The input of a Responses request (openai-openapi `InputItem`). What the model did in a row (reasoning, text, calls) is
 * one message of the assistant.
 */
export function inputMessages(sent: JsonObject): Message[] {
  const messages: Message[] = []
  const instructions = maybeText(sent['instructions'], 'instructions')
  if (instructions !== undefined && instructions !== '')
    messages.push({ role: 'system', parts: [{ type: 'text', text: instructions }] })
  const input = sent['input']
  if (typeof input === 'string') messages.push({ role: 'user', parts: [{ type: 'text', text: input }] })
  else if (Array.isArray(input)) new ItemReader(messages).read(input)
  else throw badField('input', 'a string or a list of items')
  return messages
}

/** A reference to reasoning that nobody has kept: the conversation goes on without it. */
export const isLostThought = (item: Json): boolean =>
  isObject(item) && item['type'] === 'item_reference' && typeof item['id'] === 'string' && item['id'].startsWith('rs_')

class ItemReader {
  readonly #messages: Message[]
  /** Signatures of tool calls stand in reasoning items of ours; they belong to the call they name. */
  readonly #signatures = new Map<string, Opaque>()

  constructor(messages: Message[]) {
    this.#messages = messages
  }

  read(input: readonly Json[]): void {
    for (const [i, item] of input.entries()) this.#item(objectAt(item, `input[${i}]`), `input[${i}]`)
    if (this.#signatures.size === 0) return
    for (const [i, message] of this.#messages.entries())
      this.#messages[i] = { ...message, parts: message.parts.map((part) => this.#signed(part)) }
  }

  #signed(part: Part): Part {
    const signature = part.type === 'tool_call' ? this.#signatures.get(part.id) : undefined
    return signature === undefined ? part : ({ ...part, signature } as ToolCallPart)
  }

  #assistant(parts: readonly Part[]): void {
    const last = this.#messages.at(-1)
    if (last?.role === 'assistant')
      this.#messages[this.#messages.length - 1] = { ...last, parts: [...last.parts, ...parts] }
    else this.#messages.push({ role: 'assistant', parts })
  }

  #item(item: JsonObject, at: string): void {
    const type = item['type'] === undefined || item['type'] === null ? 'message' : textAt(item['type'], `${at}.type`)
    switch (type) {
      case 'message':
        this.#message(item, at)
        return
      case 'function_call':
      case 'custom_tool_call':
        this.#assistant([call(item, type === 'custom_tool_call', at)])
        return
      case 'function_call_output':
      case 'custom_tool_call_output':
        pushResult(this.#messages, output(item, at))
        return
      case 'reasoning':
        this.#reasoning(item, at)
        return
      case 'item_reference':
        // The AI SDK names what was thought so, unless it is told that nothing is stored.
        if (isLostThought(item)) return
        throw notYet(at, 'nothing is kept between calls; send the item itself')
      default:
        this.#native(item, type)
    }
  }

  #message(item: JsonObject, at: string): void {
    const role = oneOf(textAt(item['role'], `${at}.role`), ROLES, `${at}.role`)
    const parts = itemContent(item['content'], `${at}.content`)
    if (role === 'assistant') this.#assistant(parts)
    else this.#messages.push({ role, parts })
  }

  /** What the client answers to tools of the provider is the client's word, the rest is the model's. */
  #native(item: JsonObject, type: string): void {
    const part: Part = { type: 'native', by: DIALECT, value: item }
    if (type.endsWith('_output') || type.endsWith('_response')) this.#messages.push({ role: 'user', parts: [part] })
    else this.#assistant([part])
  }

  #reasoning(item: JsonObject, at: string): void {
    const own = item['content'] == null ? '' : joinedTexts(item['content'], `${at}.content`)
    const text = own === '' && item['summary'] != null ? joinedTexts(item['summary'], `${at}.summary`) : own
    const encrypted = maybeText(item['encrypted_content'], `${at}.encrypted_content`) ?? ''
    if (encrypted === '') {
      if (text !== '') this.#assistant([{ type: 'reasoning', text }])
      return
    }
    const proof = unpackProof(encrypted, DIALECT, 'signature')
    if (proof.kind === 'call') {
      this.#signatures.set(proof.of, proof.opaque)
      return
    }
    const isOwn = proof.of === '' && proof.opaque.by === DIALECT && proof.opaque.value === encrypted
    const id = isOwn ? maybeText(item['id'], `${at}.id`) : proof.of
    this.#assistant([
      compact<ReasoningPart>({
        type: 'reasoning',
        text,
        signature: proof.kind === 'signature' ? proof.opaque : undefined,
        redacted: proof.kind === 'redacted' ? proof.opaque : undefined,
        id: id === '' ? undefined : id,
      }),
    ])
  }
}

const joinedTexts = (value: Json, at: string): string =>
  listAt(value, at)
    .map((item, i) => textAt(objectAt(item, `${at}[${i}]`)['text'], `${at}[${i}].text`))
    .join('\n\n')

function call(item: JsonObject, custom: boolean, at: string): ToolCallPart {
  const field = custom ? 'input' : 'arguments'
  return compact<ToolCallPart>({
    type: 'tool_call',
    id: textAt(item['call_id'], `${at}.call_id`),
    name: textAt(item['name'], `${at}.name`),
    arguments: textAt(item[field], `${at}.${field}`),
    custom: custom ? true : undefined,
    signature: undefined,
    cache: undefined,
  })
}

function output(item: JsonObject, at: string): Part {
  const value = item['output']
  return compact<Part & { type: 'tool_result' }>({
    type: 'tool_result',
    id: textAt(item['call_id'], `${at}.call_id`),
    name: maybeText(item['name'], `${at}.name`),
    content: itemContent(value, `${at}.output`),
    error: undefined,
    cache: undefined,
  })
}

function itemContent(value: Json | undefined, at: string): Part[] {
  if (typeof value === 'string') return [{ type: 'text', text: value }]
  if (!Array.isArray(value)) throw badField(at, 'a string or a list of parts')
  return value.map((item, i) => itemPart(objectAt(item, `${at}[${i}]`), `${at}[${i}]`))
}

function itemPart(part: JsonObject, at: string): Part {
  const cache = cacheMark(part, at)
  switch (textAt(part['type'], `${at}.type`)) {
    case 'input_text':
    case 'output_text':
    case 'text': {
      const citations = urlCitations(part['annotations'])
      return compact<Part & { type: 'text' }>({
        type: 'text',
        text: textAt(part['text'], `${at}.text`),
        cache,
        citations: citations.length > 0 ? citations : undefined,
        signature: undefined,
      })
    }
    case 'refusal':
      return { type: 'refusal', text: textAt(part['refusal'], `${at}.refusal`) }
    case 'input_image': {
      const id = maybeText(part['file_id'], `${at}.file_id`)
      const source =
        id === undefined
          ? urlMedia(textAt(part['image_url'], `${at}.image_url`), 'image/png', `${at}.image_url`)
          : ({ kind: 'id', id, by: DIALECT } as const)
      const detail = maybeText(part['detail'], `${at}.detail`)
      return compact<Part & { type: 'image' }>({ type: 'image', source, detail, cache })
    }
    case 'input_file':
      return inputFile(part, at)
    case 'input_audio': {
      const audio = objectAt(part['input_audio'], `${at}.input_audio`)
      const data = base64At(textAt(audio['data'], `${at}.input_audio.data`), `${at}.input_audio.data`)
      const mime = audioMime(textAt(audio['format'], `${at}.input_audio.format`))
      return compact<Part & { type: 'audio' }>({ type: 'audio', source: { kind: 'base64', mime, data }, cache })
    }
    default:
      return { type: 'native', by: DIALECT, value: part }
  }
}

function inputFile(part: JsonObject, at: string): Part {
  const name = maybeText(part['filename'], `${at}.filename`)
  const id = maybeText(part['file_id'], `${at}.file_id`)
  const url = maybeText(part['file_url'], `${at}.file_url`)
  const cache = cacheMark(part, at)
  const source =
    id !== undefined
      ? ({ kind: 'id', id, by: DIALECT } as const)
      : url !== undefined
        ? urlMedia(url, fileMime(name), `${at}.file_url`)
        : fileSource(textAt(part['file_data'], `${at}.file_data`), name, `${at}.file_data`)
  return compact<Part & { type: 'file' }>({ type: 'file', source, name, cache })
}

/** An object that has what a schema must have for OpenAI to hold a model strictly to it: everything named and required. */
export function isStrictSchema(schema: Json | undefined): boolean {
  if (!isObject(schema)) return true
  const { properties, required, items } = schema
  if (schema['type'] === 'object' || isObject(properties)) {
    if (schema['additionalProperties'] !== false || !Array.isArray(required)) return false
    const names = isObject(properties) ? Object.keys(properties) : []
    if (names.some((name) => !required.includes(name))) return false
  }
  const inner = [...(isObject(properties) ? Object.values(properties) : []), items, ...listed(schema['anyOf'])]
  return inner.every((part) => isStrictSchema(part))
}

const listed = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : [])
