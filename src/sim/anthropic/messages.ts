/** The turns of a Messages request: blocks, pairing of calls with their results, thoughts that must come back unmodified. */
import type { Call, SimState } from '../call.ts'
import { badRequest } from '../errors.ts'
import type { Fields } from '../fields.ts'
import { table } from '../json.ts'
import { base64Length } from '../parts.ts'
import type { Message } from '../prompt.ts'
import { isSealed } from '../seal.ts'

export interface Thinking {
  readonly mode: 'unset' | 'enabled' | 'disabled' | 'adaptive' | 'between_tools'
  readonly budget: number | undefined
  /** The text of what is thought stays away; its proof does not. */
  readonly omitted: boolean
}

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/gif', 'image/webp'] as const

/** Short description of what a source holds. */
const sourceOf = (block: Fields, call: Call): string => {
  const image = block.text('type') === 'image'
  const source = block.need('source', block.object('source'))
  const type = source.need(
    'type',
    source.oneOf('type', image ? ['base64', 'url', 'file'] : ['base64', 'text', 'content', 'url', 'file']),
  )
  if (type === 'url') {
    const url = source.need('url', source.text('url'))
    if (!/^https?:\/\/\S+$/i.test(url))
      throw source.bad('url', `${source.where('url')}: Only HTTP(S) URLs are supported`)
    return image ? 'an image by URL' : 'a file by URL'
  }
  if (type === 'file') {
    const id = source.need('file_id', source.text('file_id'))
    if (!call.state.files.has(id)) throw source.bad('file_id', `${source.where('file_id')}: File not found: ${id}`)
    return `the file ${id}`
  }
  if (type === 'content') return 'text/plain'
  const data = source.need('data', source.text('data'))
  if (type === 'text') return `text/plain (${Buffer.byteLength(data)} bytes)`
  const mime = source.need('media_type', source.oneOf('media_type', image ? IMAGE_TYPES : ['application/pdf']))
  return `${mime} (${base64Length(data, source.where('data'))} bytes)`
}

/** Of a text block. */
export const textOf = (block: Fields): string => {
  block.need('type', block.oneOf('type', ['text']))
  block.only(TEXT_FIELDS)
  const text = block.need('text', block.text('text'))
  if (text === '') throw badRequest(`${block.at}: text content blocks must be non-empty`, block.at)
  return text
}

const TEXT_FIELDS = new Set(['type', 'text', 'cache_control', 'citations'])
const RESULT_FIELDS = new Set(['type', 'tool_use_id', 'content', 'is_error', 'cache_control', 'toolset_name'])
const USE_FIELDS = new Set(['type', 'id', 'name', 'input', 'cache_control', 'caller', 'toolset_name'])

/** What the blocks of a message come to. */
interface Turn {
  readonly texts: string[]
  readonly media: string[]
  readonly results: Message[]
  readonly calls: { readonly id: string; readonly name: string; readonly input: string }[]
}

interface Reading {
  readonly call: Call
  /** Calls of the message before, by id. */
  readonly open: Map<string, string>
}

type ReadBlock = (turn: Turn, block: Fields, reading: Reading) => void

const readResult: ReadBlock = (turn, block, { call, open }) => {
  block.only(RESULT_FIELDS)
  const id = block.need('tool_use_id', block.text('tool_use_id'))
  const toolName = open.get(id)
  if (toolName === undefined || turn.texts.length + turn.media.length > 0) {
    const message = `${block.at}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. Each \`tool_result\` block must have a corresponding \`tool_use\` block in the previous message.`
    throw badRequest(message, block.at)
  }
  open.delete(id)
  const content = block.get('content')
  const inner: Turn = { texts: [], media: [], results: [], calls: [] }
  if (typeof content === 'string') inner.texts.push(content)
  else
    for (const part of block.objects('content')) {
      const type = part.need('type', part.oneOf('type', ['text', 'image', 'document', 'search_result']))
      if (type === 'text') inner.texts.push(textOf(part))
      else if (type !== 'search_result') inner.media.push(sourceOf(part, call))
    }
  block.flag('is_error')
  turn.results.push({ role: 'tool', text: inner.texts.join('\n'), media: inner.media, calls: [], toolName })
}

const readUse: ReadBlock = (turn, block) => {
  block.only(USE_FIELDS)
  const id = block.need('id', block.text('id'))
  if (!/^[a-zA-Z0-9_-]+$/.test(id))
    throw block.bad('id', `${block.at}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'`)
  if (turn.calls.some((made) => made.id === id)) throw badRequest('messages: `tool_use` ids must be unique', block.at)
  const name = block.need('name', block.text('name'))
  const input = block.need('input', block.object('input'))
  turn.calls.push({ id, name, input: JSON.stringify(input.value) })
}

const checkProof = (state: SimState, block: Fields): void => {
  const text = block.need('thinking', block.text('thinking'))
  const signature = block.need('signature', block.text('signature'))
  block.only(new Set(['type', 'thinking', 'signature']))
  if (!isSealed(state, 'thinking', text, signature))
    throw badRequest(`${block.at}: Invalid \`signature\` in \`thinking\` block`, block.at)
}

const checkRedacted = (state: SimState, block: Fields): void => {
  const data = block.need('data', block.text('data'))
  if (!isSealed(state, 'redacted', '', data))
    throw badRequest(`${block.at}: Invalid \`data\` in \`redacted_thinking\` block`, block.at)
}

const media: ReadBlock = (turn, block, { call }) => void turn.media.push(sourceOf(block, call))
const text: ReadBlock = (turn, block) => void turn.texts.push(textOf(block))

const USER = table<ReadBlock>({
  text,
  image: media,
  document: media,
  search_result: (turn, block) => void turn.texts.push(block.objects('content').map(textOf).join('\n')),
  tool_result: readResult,
})

const ASSISTANT = table<ReadBlock>({
  text,
  tool_use: readUse,
  thinking: (_, block, { call }) => checkProof(call.state, block),
  redacted_thinking: (_, block, { call }) => checkRedacted(call.state, block),
  // What ran at the vendor says nothing to this model.
  server_tool_use: () => undefined,
  web_search_tool_result: () => undefined,
  code_execution_tool_result: () => undefined,
})

const SYSTEM = table<ReadBlock>({ text })

const readTurn = (message: Fields, role: string, last: boolean, reading: Reading): Turn => {
  const turn: Turn = { texts: [], media: [], results: [], calls: [] }
  const content = message.get('content')
  const empty = `${message.at}: ${role} messages must have non-empty content`
  const mayBeEmpty = last && role === 'assistant'
  if (typeof content === 'string') {
    if (content === '' && !mayBeEmpty) throw badRequest(empty, message.at)
    turn.texts.push(content)
    return turn
  }
  const blocks = message.objects('content')
  message.need('content', content)
  if (blocks.length === 0 && !mayBeEmpty) throw badRequest(empty, message.at)
  const kinds = role === 'user' ? USER : role === 'assistant' ? ASSISTANT : SYSTEM
  for (const block of blocks) {
    const type = block.need('type', block.text('type'))
    const read = kinds[type]
    if (read === undefined) {
      const tags = Object.keys(kinds).map((tag) => `'${tag}'`)
      throw badRequest(
        `${block.at}: Input tag '${type}' found using 'type' does not match any of the expected tags: ${tags.join(', ')}`,
        block.at,
      )
    }
    read(turn, block, reading)
  }
  return turn
}

const checkAnswered = (open: ReadonlyMap<string, string>, at: number): void => {
  if (open.size === 0) return
  const message = `messages.${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${[...open.keys()].join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`
  throw badRequest(message, `messages.${at}`)
}

/** While calls are being answered, the thoughts that led to them must come first in their message. */
const checkThoughts = (messages: readonly Fields[], { mode }: Thinking): void => {
  const at = messages.findLastIndex((message) => message.text('role') === 'assistant')
  const message = messages[at]
  if (mode !== 'enabled' || message === undefined || typeof message.get('content') === 'string') return
  const types = message.objects('content').map((block) => block.text('type') ?? '')
  const [first = ''] = types
  if (!types.includes('tool_use') || first === 'thinking' || first === 'redacted_thinking') return
  const told = `messages.${at}.content.0.type: Expected \`thinking\` or \`redacted_thinking\`, but found \`${first}\`. When \`thinking\` is enabled, a final \`assistant\` message must start with a thinking block (preceding the lastmost set of \`tool_use\` and \`tool_result\` blocks).`
  throw badRequest(told, `messages.${at}.content.0`)
}

const checkOrder = (messages: readonly Fields[]): void => {
  if (messages.length === 0) throw badRequest('messages: at least one message is required', 'messages')
  if (messages[0]?.text('role') !== 'user')
    throw badRequest('messages: first message must use the "user" role', 'messages')
}

export interface Turns {
  readonly messages: readonly Message[]
  /** How many of `messages` stand up to the end of each message of the request. */
  readonly spans: readonly number[]
}

/** @throws ApiError 400 */
export const readMessages = (call: Call, body: Fields, thinking: Thinking): Turns => {
  body.need('messages', body.get('messages'))
  const raw = body.objects('messages')
  checkOrder(raw)
  const messages: Message[] = []
  const spans: number[] = []
  let open = new Map<string, string>()
  for (const [index, message] of raw.entries()) {
    message.only(new Set(['role', 'content']))
    const role = message.need('role', message.oneOf('role', ['user', 'assistant', 'system']))
    // Neighbouring turns of the user are one turn to the API: results may be spread over them.
    if (role !== 'user') checkAnswered(open, index - 1)
    const turn = readTurn(message, role, index === raw.length - 1, { call, open })
    if (role === 'assistant') open = new Map(turn.calls.map(({ id, name }) => [id, name]))
    messages.push(...turn.results)
    const said = turn.texts.length + turn.media.length + turn.calls.length > 0
    if (said || role === 'assistant')
      messages.push({ role, text: turn.texts.join('\n'), media: turn.media, calls: turn.calls })
    spans.push(messages.length)
  }
  checkAnswered(open, raw.length - 1)
  checkThoughts(raw, thinking)
  const last = raw.at(-1)
  if (last?.text('role') === 'assistant' && /\s$/.test(messages.at(-1)?.text ?? ''))
    throw badRequest('messages: final assistant content cannot end with trailing whitespace', 'messages')
  return { messages, spans }
}
