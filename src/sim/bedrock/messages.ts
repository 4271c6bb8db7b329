/** The turns of a Converse request. */
import type { Call } from '../call.ts'
import { badRequest } from '../errors.ts'
import type { Fields } from '../fields.ts'
import { base64Length } from '../parts.ts'
import type { Message } from '../prompt.ts'
import { isSealed } from '../seal.ts'

const IMAGES = ['png', 'jpeg', 'gif', 'webp'] as const
const DOCUMENTS: Readonly<Record<string, string>> = {
  pdf: 'application/pdf',
  csv: 'text/csv',
  doc: 'application/msword',
  docx: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
  xls: 'application/vnd.ms-excel',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  html: 'text/html',
  txt: 'text/plain',
  md: 'text/markdown',
}
/** Single white space only. */
const DOCUMENT_NAME = /^(?!.*\s\s)[a-zA-Z0-9 \-()[\]]{1,200}$/

const sourceOf = (block: Fields, mime: string): string => {
  const source = block.need('source', block.object('source'))
  if (source.object('s3Location') !== undefined) return mime.startsWith('image/') ? 'an image by URL' : 'a file by URL'
  const text = source.text('text')
  if (text !== undefined) return `${mime} (${Buffer.byteLength(text)} bytes)`
  const bytes = source.need('bytes', source.text('bytes'))
  return `${mime} (${base64Length(bytes, source.where('bytes'))} bytes)`
}

const imageOf = (block: Fields): string =>
  sourceOf(block, `image/${block.need('format', block.oneOf('format', IMAGES))}`)

const documentOf = (block: Fields): string => {
  const format = block.oneOf('format', Object.keys(DOCUMENTS)) ?? 'txt'
  const name = block.need('name', block.text('name'))
  if (!DOCUMENT_NAME.test(name))
    throw block.bad(
      'name',
      `The file name ${name} contains invalid characters. File names can only contain alphanumeric characters, whitespace characters, hyphens, parentheses, and square brackets. The name can't contain more than one consecutive whitespace character.`,
    )
  return sourceOf(block, DOCUMENTS[format] ?? format)
}

interface Turn {
  readonly texts: string[]
  readonly media: string[]
  readonly calls: { readonly id: string; readonly name: string; readonly input: string }[]
  readonly results: { readonly id: string; readonly text: string; readonly media: string[] }[]
  documents: number
}

const ID = /^[a-zA-Z0-9_.:-]{1,64}$/

const checkId = (block: Fields): string => {
  const id = block.need('toolUseId', block.text('toolUseId'))
  if (!ID.test(id))
    throw block.bad(
      'toolUseId',
      `1 validation error detected: Value '${id}' at '${block.where('toolUseId')}' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.:-]+`,
    )
  return id
}

const readUse = (turn: Turn, block: Fields): void => {
  const id = checkId(block)
  if (turn.calls.some((made) => made.id === id))
    throw badRequest(`The toolUse blocks at ${block.at} contain duplicate Ids: ${id}`, block.at)
  const input = block.need('input', block.object('input'))
  turn.calls.push({ id, name: block.need('name', block.text('name')), input: JSON.stringify(input.value) })
}

const readResult = (turn: Turn, block: Fields): void => {
  const texts: string[] = []
  const media: string[] = []
  block.need('content', block.list('content'))
  for (const part of block.objects('content')) {
    const json = part.get('json')
    const text = part.text('text')
    if (text !== undefined) texts.push(text)
    else if (json !== undefined) texts.push(JSON.stringify(json))
    else if (part.get('image') !== undefined) media.push(imageOf(part.need('image', part.object('image'))))
    else media.push(documentOf(part.need('document', part.object('document'))))
  }
  block.oneOf('status', ['success', 'error'])
  turn.results.push({ id: checkId(block), text: texts.join('\n'), media })
}

const checkReasoning = (call: Call, block: Fields): void => {
  const said = block.object('reasoningText')
  const proof = said?.text('signature')
  const hidden = block.text('redactedContent')
  const fine =
    said === undefined
      ? hidden !== undefined && isSealed(call.state, 'redacted', '', Buffer.from(hidden, 'base64').toString())
      : proof === undefined || isSealed(call.state, 'thinking', said.text('text') ?? '', proof)
  if (!fine)
    throw badRequest(
      `The model returned the following errors: ${block.at}: Invalid \`signature\` in \`thinking\` block`,
      block.at,
    )
}

const KINDS = new Set([
  'text',
  'image',
  'document',
  'video',
  'audio',
  'toolUse',
  'toolResult',
  'guardContent',
  'cachePoint',
  'reasoningContent',
  'citationsContent',
  'searchResult',
])

const readBlock = (turn: Turn, block: Fields, call: Call): void => {
  const [kind, ...others] = Object.keys(block.value)
  if (kind === undefined || others.length > 0 || !KINDS.has(kind))
    throw badRequest(
      `The content field at ${block.at} must have exactly one member of: ${[...KINDS].join(', ')}.`,
      block.at,
    )
  if (kind === 'text') {
    const text = block.need('text', block.text('text'))
    if (text.trim() === '')
      throw badRequest(
        `The text field in the ContentBlock object at ${block.at} is blank. Add text to the text field, and try again.`,
        block.at,
      )
    turn.texts.push(text)
    return
  }
  const inner = block.need(kind, block.object(kind))
  if (kind === 'image') turn.media.push(imageOf(inner))
  else if (kind === 'document') {
    turn.documents++
    turn.media.push(documentOf(inner))
  } else if (kind === 'toolUse') readUse(turn, inner)
  else if (kind === 'toolResult') readResult(turn, inner)
  else if (kind === 'reasoningContent') checkReasoning(call, inner)
}

const checkRoles = (messages: readonly Fields[]): void => {
  if (messages.length === 0)
    throw badRequest(
      'A conversation must contain at least one message. Try again with a conversation that has one.',
      null,
    )
  for (const [index, message] of messages.entries()) {
    const role = message.need('role', message.oneOf('role', ['user', 'assistant']))
    if (index === 0 && role !== 'user')
      throw badRequest(
        'A conversation must start with a user message. Try again with a conversation that starts with a user message.',
        message.at,
      )
    if (role === messages[index - 1]?.text('role'))
      throw badRequest(
        'A conversation must alternate between user and assistant roles. Make sure the conversation alternates between user and assistant roles and try again.',
        message.at,
      )
  }
}

type Open = ReadonlyMap<string, string>

const pair = (open: Open, turn: Turn, at: string): Message[] => {
  const given = new Set(turn.results.map(({ id }) => id))
  const missing = [...open.keys()].filter((id) => !given.has(id))
  if (missing.length > 0)
    throw badRequest(`Expected toolResult blocks at ${at}.content for the following Ids: ${missing.join(', ')}`, at)
  if (turn.results.length > open.size)
    throw badRequest(
      `The number of toolResult blocks at ${at}.content exceeds the number of toolUse blocks of previous turn.`,
      at,
    )
  return turn.results.map(({ id, text, media }) => {
    const toolName = open.get(id)
    if (toolName === undefined)
      throw badRequest(`The toolResult block at ${at}.content has an Id that no toolUse block has: ${id}`, at)
    return { role: 'tool', text, media, calls: [], toolName }
  })
}

export interface Turns {
  readonly messages: readonly Message[]
  /** How many of `messages` stand up to the end of each message of the request. */
  readonly spans: readonly number[]
}

/** @throws ApiError 400 */
export const readMessages = (call: Call, body: Fields): Turns => {
  const raw = body.objects('messages')
  checkRoles(raw)
  const messages: Message[] = []
  const spans: number[] = []
  let open: Open = new Map()
  for (const message of raw) {
    const turn: Turn = { texts: [], media: [], calls: [], results: [], documents: 0 }
    const blocks = message.objects('content')
    if (blocks.length === 0)
      throw badRequest(
        `The content field in the Message object at ${message.at} is empty. Add a ContentBlock object to the content field and try again.`,
        message.at,
      )
    for (const block of blocks) readBlock(turn, block, call)
    if (turn.calls.length + turn.results.length > 0 && body.get('toolConfig') === undefined)
      throw badRequest('The toolConfig field must be defined when using toolUse and toolResult content blocks.', null)
    if (turn.documents > 0 && turn.texts.length === 0)
      throw badRequest(`A text block must be included in ${message.at}.content when using documents.`, message.at)
    messages.push(...pair(open, turn, message.at))
    open = new Map(turn.calls.map(({ id, name }) => [id, name]))
    const role = message.text('role') === 'assistant' ? 'assistant' : 'user'
    if (role === 'assistant' || turn.texts.length + turn.media.length > 0)
      messages.push({ role, text: turn.texts.join('\n'), media: turn.media, calls: turn.calls })
    spans.push(messages.length)
  }
  if (open.size > 0)
    pair(open, { texts: [], media: [], calls: [], results: [], documents: 0 }, `messages.${raw.length}`)
  return { messages, spans }
}
