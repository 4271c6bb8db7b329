import type {
  Json,
  JsonObject,
  Message,
  Opaque,
  Part,
  ReasoningPart,
  TextPart,
  ToolCallPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { base64At, urlMedia } from '../canonical/media.ts'
import { badField, compact, isObject, listAt, maybeText, objectAt, textAt } from '../canonical/read.ts'
import { argumentsText } from '../canonical/say.ts'
import { withSignatures } from '../canonical/signed-parts.ts'
import { field, signatureProof } from './client-fields.ts'

const DIALECT = 'gemini.generate'

interface Call {
  readonly id: string
  readonly name: string
}

/**
 * Contents of a request (google-genai `Content`), the system instruction before them. Contents of the model in a row are
 * one message: Google's own client keeps each event of a stream as a content.
 */
export function readContents(sent: JsonObject): Message[] {
  const messages: Message[] = []
  const system = field(sent, 'systemInstruction')
  if (system !== undefined && system !== null) {
    const parts = new ContentReader([]).read(system, 'systemInstruction', 0)
    if (parts.length > 0) messages.push({ role: 'system', parts })
  }
  const contents = sent['contents']
  const list = isObject(contents) || typeof contents === 'string' ? [contents] : listAt(contents, 'contents')
  let answer: ContentReader | null = null
  /** Calls that wait for their results, which often name the function alone. */
  let waiting: Call[] = []
  for (const [i, content] of list.entries()) {
    const at = `contents[${i}]`
    const role = isObject(content) ? maybeText(content['role'], `${at}.role`) : undefined
    if (role !== undefined && !['user', 'model', 'function', 'system', ''].includes(role))
      throw badField(`${at}.role`, 'user or model')
    if (role !== 'model') {
      answer = null
      push(messages, new ContentReader(waiting).read(content, at, i), role === 'system' ? 'system' : 'user')
      continue
    }
    if (answer === null) messages.push({ role: 'assistant', parts: [] })
    answer ??= new ContentReader([])
    const parts = answer.read(content, at, i)
    messages[messages.length - 1] = { role: 'assistant', parts }
    waiting = parts.filter((part) => part.type === 'tool_call')
  }
  return messages
}

/** Results of calls are messages of their own, before what the user says beside them. */
function push(messages: Message[], parts: readonly Part[], role: 'user' | 'system'): void {
  const results = parts.filter((part) => part.type === 'tool_result')
  const others = parts.filter((part) => part.type !== 'tool_result')
  const last = messages.at(-1)
  if (results.length > 0 && last?.role === 'tool')
    messages[messages.length - 1] = { role: 'tool', parts: [...last.parts, ...results] }
  else if (results.length > 0) messages.push({ role: 'tool', parts: results })
  if (others.length > 0 || results.length === 0) messages.push({ role, parts: others })
}

class ContentReader {
  #at = ''
  #index = 0
  readonly #waiting: Call[]
  readonly #parts: Part[] = []
  /** Signatures that came too late for their call stand in parts of their own, and name it. */
  readonly #signatures = new Map<string, Opaque>()

  /** waiting: is emptied of the calls whose results are read. */
  constructor(waiting: Call[]) {
    this.#waiting = waiting
  }

  /** All parts so far. index: of the content, for the ids of calls that have none. */
  read(content: Json, at: string, index: number): Part[] {
    this.#at = at
    this.#index = index
    if (typeof content === 'string') return [{ type: 'text', text: content }]
    const { parts } = objectAt(content, this.#at)
    const list =
      parts === undefined || parts === null ? [] : isObject(parts) ? [parts] : listAt(parts, `${this.#at}.parts`)
    for (const [i, part] of list.entries()) this.#part(objectAt(part, `${this.#at}.parts[${i}]`), i)
    return withSignatures([...this.#parts], this.#signatures)
  }

  #part(part: JsonObject, i: number): void {
    const at = `${this.#at}.parts[${i}]`
    const signature = maybeText(field(part, 'thoughtSignature'), `${at}.thoughtSignature`) ?? ''
    const call = field(part, 'functionCall')
    const result = field(part, 'functionResponse')
    const inline = field(part, 'inlineData')
    const file = field(part, 'fileData')
    if (call != null) this.#call(objectAt(call, `${at}.functionCall`), signature, i, `${at}.functionCall`)
    else if (result != null) this.#result(objectAt(result, `${at}.functionResponse`), i, `${at}.functionResponse`)
    else if (inline != null) this.#parts.push(media(objectAt(inline, `${at}.inlineData`), part, `${at}.inlineData`))
    else if (file != null) this.#parts.push(fileOf(objectAt(file, `${at}.fileData`), part, `${at}.fileData`))
    else if (part['text'] === undefined || part['text'] === null) {
      if (signature !== '' && Object.keys(part).length === 1) this.#thought('', signature)
      else this.#parts.push({ type: 'native', by: DIALECT, value: part })
    } else this.#text(textAt(part['text'], `${at}.text`), part['thought'] === true, signature)
  }

  #text(text: string, thought: boolean, signature: string): void {
    if (thought || (text === '' && signature !== '')) this.#thought(text, signature)
    else if (text !== '')
      this.#parts.push(
        compact<TextPart>({
          type: 'text',
          text,
          cache: undefined,
          citations: undefined,
          signature: signature === '' ? undefined : signatureProof(signature, 'signature').opaque,
        }),
      )
  }

  #thought(text: string, signature: string): void {
    if (signature === '') {
      if (text !== '') this.#parts.push({ type: 'reasoning', text: this.#openThought() + text })
      return
    }
    const { kind, of, opaque } = signatureProof(signature, 'signature')
    if (kind === 'call') {
      this.#signatures.set(of, opaque)
      return
    }
    // Streams tell a thought in pieces, and what proves it in the last.
    const before = kind === 'signature' ? this.#openThought() : ''
    this.#parts.push(
      compact<ReasoningPart>({
        type: 'reasoning',
        text: before + text,
        signature: kind === 'signature' ? opaque : undefined,
        redacted: kind === 'redacted' ? opaque : undefined,
        id: of === '' ? undefined : of,
      }),
    )
  }

  /** Takes back the thought before, when nothing proves it yet; '' = there is none. */
  #openThought(): string {
    const last = this.#parts.at(-1)
    if (last?.type !== 'reasoning' || last.signature !== undefined || last.redacted !== undefined) return ''
    this.#parts.pop()
    return last.text
  }

  #call(call: JsonObject, signature: string, i: number, at: string): void {
    const id = maybeText(call['id'], `${at}.id`) ?? ''
    this.#parts.push(
      compact<ToolCallPart>({
        type: 'tool_call',
        id: id === '' ? `call_${this.#index}_${i}` : id,
        name: textAt(call['name'], `${at}.name`),
        arguments: argumentsText(call['args'] == null ? {} : objectAt(call['args'], `${at}.args`)),
        custom: undefined,
        signature: signature === '' ? undefined : signatureProof(signature, 'call').opaque,
        cache: undefined,
      }),
    )
  }

  #result(result: JsonObject, i: number, at: string): void {
    const name = textAt(result['name'], `${at}.name`)
    const sent = maybeText(result['id'], `${at}.id`) ?? ''
    const match = this.#waiting.findIndex((call) => (sent === '' ? call.name === name : call.id === sent))
    const [call] = match < 0 ? [] : this.#waiting.splice(match, 1)
    const id = sent !== '' ? sent : (call?.id ?? `call_${this.#index}_${i}`)
    const response = result['response'] == null ? {} : objectAt(result['response'], `${at}.response`)
    const content = [...responseParts(response), ...resultMedia(result['parts'], `${at}.parts`)]
    this.#parts.push(
      compact<ToolResultPart>({
        type: 'tool_result',
        id,
        name,
        content,
        error: response['error'] !== undefined && response['output'] === undefined ? true : undefined,
        cache: undefined,
      }),
    )
  }
}

/** What clients wrap a result in (Google's own: `output`, `error`); anything else is told as it is, as JSON. */
const WRAPPERS: ReadonlySet<string> = new Set(['output', 'error', 'result', 'content'])

function responseParts(response: JsonObject): Part[] {
  // The AI SDK repeats the name of the tool beside its result.
  const { name: _name, ...named } = response
  const inner = 'content' in response ? named : response
  const keys = Object.keys(inner)
  if (keys.length === 0) return []
  const only = keys.length === 1 && WRAPPERS.has(keys[0]!) ? inner[keys[0]!] : undefined
  return [{ type: 'text', text: typeof only === 'string' ? only : JSON.stringify(response) }]
}

function resultMedia(value: Json | undefined, at: string): Part[] {
  if (value === undefined || value === null) return []
  return listAt(value, at).map((item, i) => {
    const part = objectAt(item, `${at}[${i}]`)
    const inline = field(part, 'inlineData')
    if (inline != null) return media(objectAt(inline, `${at}[${i}].inlineData`), part, `${at}[${i}].inlineData`)
    const file = field(part, 'fileData')
    return file != null
      ? fileOf(objectAt(file, `${at}[${i}].fileData`), part, `${at}[${i}].fileData`)
      : { type: 'native', by: DIALECT, value: part }
  })
}

function media(inline: JsonObject, part: JsonObject, at: string): Part {
  const mime = textAt(field(inline, 'mimeType'), `${at}.mimeType`)
  const source = { kind: 'base64', mime, data: base64At(textAt(inline['data'], `${at}.data`), `${at}.data`) } as const
  return attachment(source, mime, inline, part)
}

function fileOf(file: JsonObject, part: JsonObject, at: string): Part {
  const uri = textAt(field(file, 'fileUri'), `${at}.fileUri`)
  const mime = maybeText(field(file, 'mimeType'), `${at}.mimeType`) ?? ''
  // Files that were uploaded to Google can be read by nobody else.
  if (uri.startsWith('https://generativelanguage.googleapis.com/') || !uri.includes(':'))
    return attachment({ kind: 'id', id: uri, by: DIALECT }, mime, file, part)
  const source = urlMedia(uri, mime, `${at}.fileUri`)
  return attachment(source.kind === 'url' && mime !== '' ? { ...source, mime } : source, mime, file, part)
}

function attachment(source: TextSource, mime: string, holder: JsonObject, part: JsonObject): Part {
  if (mime.startsWith('image/')) return { type: 'image', source }
  if (mime.startsWith('audio/')) return { type: 'audio', source }
  if (mime.startsWith('video/')) return { type: 'native', by: DIALECT, value: part }
  const name = field(holder, 'displayName')
  return { type: 'file', source, ...(typeof name === 'string' ? { name } : {}) }
}

type TextSource = Extract<Part, { type: 'file' }>['source']
