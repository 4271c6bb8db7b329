import type { JsonObject, Media, Message, Part, TextPart, ToolResultPart } from '../../contracts/canonical.ts'
import type { Dialect } from '../../contracts/dialect.ts'
import { GatewayError } from '../../core/errors.ts'
import { isFields } from './loose.ts'

/** Shared parts of writing a conversation for backends. */

export interface Turn {
  readonly role: 'user' | 'assistant'
  readonly parts: Part[]
}

export const isInstruction = (message: Message): boolean => message.role === 'system' || message.role === 'developer'

const isText = (part: Part): part is TextPart => part.type === 'text'

interface Hoisted {
  /** Texts of the instructions before the conversation. */
  readonly instructions: readonly TextPart[]
  readonly rest: readonly Message[]
}

/** For wires that have instructions in a field of their own: those at the beginning; later ones stay where they are. */
export function hoist(messages: readonly Message[]): Hoisted {
  let at = 0
  const instructions: TextPart[] = []
  for (; at < messages.length && isInstruction(messages[at]!); at++)
    for (const part of messages[at]!.parts) if (isText(part) && part.text !== '') instructions.push(part)
  return { instructions, rest: messages.slice(at) }
}

/** An instruction in the middle, as a part of the user's turn: marked, so that it is not read as the user's own words. */
const insideInstruction = (message: Message): TextPart => ({
  type: 'text',
  text: `<system>\n${joinedText(message.parts)}\n</system>`,
})

/**
 * Neighbours of one side become one turn. Results stand first in the user's: the vendors that want turns want results
 * right after the calls. Turns without parts are left out.
 */
export function asTurns(messages: readonly Message[]): Turn[] {
  const turns: Turn[] = []
  for (const message of messages) {
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const parts = isInstruction(message) ? [insideInstruction(message)] : message.parts
    if (parts.length === 0) continue
    const last = turns.at(-1)
    if (last?.role === role) last.parts.push(...parts)
    else turns.push({ role, parts: [...parts] })
  }
  for (const { parts } of turns) resultsFirst(parts)
  return turns
}

function resultsFirst(parts: Part[]): void {
  const late = parts.findIndex(
    (part, i) => part.type === 'tool_result' && i > 0 && parts[i - 1]!.type !== 'tool_result',
  )
  if (late < 0) return
  const results = parts.filter((part) => part.type === 'tool_result')
  const others = parts.filter((part) => part.type !== 'tool_result')
  parts.splice(0, parts.length, ...results, ...others)
}

/** Names of the tools by the ids of their calls: results of some clients do not say them. */
export function callNames(messages: readonly Message[]): ReadonlyMap<string, string> {
  const names = new Map<string, string>()
  for (const message of messages)
    for (const part of message.parts) if (part.type === 'tool_call') names.set(part.id, part.name)
  return names
}

/** Texts and refusals, one below the other where there are several. */
export function joinedText(parts: readonly Part[], between = '\n'): string {
  let text = ''
  for (const part of parts) {
    if ((part.type !== 'text' && part.type !== 'refusal') || part.text === '') continue
    text = text === '' ? part.text : text + between + part.text
  }
  return text
}

/** A result as one text. */
export const resultText = (part: ToolResultPart): string => joinedText(part.content)

/** A result for wires that want an object: its own when it is one, else as the text under `key`. */
export function resultObject(part: ToolResultPart, key: string): JsonObject {
  const text = resultText(part)
  if (part.error !== true && text.startsWith('{')) {
    try {
      const value: unknown = JSON.parse(text)
      if (isFields(value)) return value as JsonObject
    } catch {
      // A text that begins with a brace.
    }
  }
  return { [key]: text }
}

export const unsupported = (message: string, detail = ''): GatewayError =>
  new GatewayError('unsupported_parameter', message, { param: 'messages', ...(detail === '' ? {} : { detail }) })

/** Ids of files are known only where the file was uploaded; both dialects of OpenAI share theirs. */
export function ownFileId(source: Media & { readonly kind: 'id' }, dialect: Dialect): string {
  const family = (name: Dialect): string => name.slice(0, name.indexOf('.'))
  if (family(source.by) !== family(dialect))
    throw unsupported('A file is named by an id of another provider: send the file itself.')
  return source.id
}

export const dataUrl = (mime: string, data: string): string => `data:${mime};base64,${data}`
