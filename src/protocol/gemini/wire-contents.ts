import type {
  Json,
  JsonObject,
  Media,
  Message,
  Part,
  ReasoningPart,
  ToolCallPart,
  ToolResultPart,
} from '../../contracts/canonical.ts'
import { asTurns, callNames, ownFileId, resultObject, resultText } from '../canonical/history.ts'
import { argumentsObject } from '../canonical/say.ts'
import type { GeminiFacts } from './wire-models.ts'

/** What the API takes in place of a signature that never was: ai.google.dev/gemini-api/docs/thought-signatures, FAQ. */
const NO_SIGNATURE = 'skip_thought_signature_validator'

/** `contents` of the API, from a conversation without its leading instructions. */
export function contentsOf(messages: readonly Message[], facts: GeminiFacts, ids: boolean): JsonObject[] {
  const names = callNames(messages)
  const contents: JsonObject[] = []
  for (const { role, parts } of asTurns(messages)) {
    const written = role === 'assistant' ? modelParts(parts, facts, ids) : userParts(parts, names, facts, ids)
    if (written.length > 0) contents.push({ role: role === 'assistant' ? 'model' : 'user', parts: written })
  }
  // A call must follow something of the user's.
  if (contents[0]?.['role'] !== 'user') contents.unshift({ role: 'user', parts: [{ text: '...' }] })
  return contents
}

function modelParts(parts: readonly Part[], facts: GeminiFacts, ids: boolean): JsonObject[] {
  const out: JsonObject[] = []
  /** The signature of a text, when it came before it. */
  let waiting: string | null = null
  let signed = false
  for (const [at, part] of parts.entries()) {
    if (part.type === 'reasoning') waiting = addThought(out, part, parts[at + 1], waiting)
    else if (part.type === 'tool_call') {
      const signature = part.signature?.value
      const call = callPart(part, ids)
      if (signature !== undefined) call['thoughtSignature'] = signature
      else if (facts.signs && !signed) call['thoughtSignature'] = NO_SIGNATURE
      signed ||= signature !== undefined
      out.push(call)
    } else if ((part.type === 'text' || part.type === 'refusal') && part.text !== '') {
      const text: JsonObject = { text: part.text }
      const signature: string | null | undefined = part.type === 'text' ? (part.signature?.value ?? waiting) : waiting
      if (typeof signature === 'string') text['thoughtSignature'] = signature
      waiting = null
      out.push(text)
    } else {
      const media = mediaPart(part)
      if (media !== null) out.push(media)
    }
  }
  return out
}

/**
 * Thoughts with their signature; a signature alone is that of the text before it, or after it where a client keeps
 * reasoning first. Returns the signature that waits for its text.
 */
function addThought(
  out: JsonObject[],
  part: ReasoningPart,
  next: Part | undefined,
  waiting: string | null,
): string | null {
  const signature = part.signature?.value
  if (signature === undefined) return waiting
  const last = out.at(-1)
  if (part.text !== '') out.push({ text: part.text, thought: true, thoughtSignature: signature })
  else if (last !== undefined && isBareText(last)) last['thoughtSignature'] = signature
  else if (next?.type === 'text' && next.text !== '' && next.signature === undefined) return signature
  else out.push({ text: '', thoughtSignature: signature })
  return waiting
}

const isBareText = (part: JsonObject): boolean =>
  'text' in part && part['thought'] !== true && part['thoughtSignature'] === undefined

function callPart(part: ToolCallPart, ids: boolean): JsonObject {
  const call: JsonObject = { name: part.name, args: argumentsObject(part.arguments) }
  return { functionCall: ids ? { id: part.id, ...call } : call }
}

function userParts(
  parts: readonly Part[],
  names: ReadonlyMap<string, string>,
  facts: GeminiFacts,
  ids: boolean,
): JsonObject[] {
  const out: JsonObject[] = []
  const after: JsonObject[] = []
  for (const part of parts) {
    if (part.type === 'tool_result') {
      const media = part.content.map(mediaPart).filter((one) => one !== null)
      const response = resultPart(part, names, ids)
      if (media.length > 0 && facts.signs) response['parts'] = media
      else after.push(...media)
      out.push({ functionResponse: response })
    } else if (part.type === 'text' || part.type === 'refusal') {
      if (part.text !== '') after.push({ text: part.text })
    } else {
      const media = mediaPart(part)
      if (media !== null) after.push(media)
    }
  }
  return [...out, ...after]
}

function resultPart(part: ToolResultPart, names: ReadonlyMap<string, string>, ids: boolean): JsonObject {
  const name = part.name ?? names.get(part.id) ?? part.id
  const response: Json = part.error === true ? { error: resultText(part) } : resultObject(part, 'output')
  return ids ? { id: part.id, name, response } : { name, response }
}

const TYPES: ReadonlyMap<string, string> = new Map([
  ['png', 'image/png'],
  ['webp', 'image/webp'],
  ['gif', 'image/gif'],
  ['heic', 'image/heic'],
  ['pdf', 'application/pdf'],
  ['mp3', 'audio/mpeg'],
  ['wav', 'audio/wav'],
  ['txt', 'text/plain'],
])
const USUAL: Readonly<Record<string, string>> = { image: 'image/jpeg', audio: 'audio/mpeg', file: 'application/pdf' }

/** The API wants a type with a URL; the name says it, or what is usual. */
function typeOf(url: string, kind: string): string {
  const path = url.split(/[?#]/, 1)[0]!
  return TYPES.get(path.slice(path.lastIndexOf('.') + 1).toLowerCase()) ?? USUAL[kind]!
}

function mediaPart(part: Part): JsonObject | null {
  if (part.type !== 'image' && part.type !== 'audio' && part.type !== 'file') return null
  const source: Media = part.source
  if (source.kind === 'base64') return { inlineData: { mimeType: source.mime, data: source.data } }
  if (source.kind === 'id') return { fileData: { fileUri: ownFileId(source, 'gemini.generate') } }
  return { fileData: { mimeType: source.mime ?? typeOf(source.url, part.type), fileUri: source.url } }
}
