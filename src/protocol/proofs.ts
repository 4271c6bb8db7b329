import type { Json, JsonObject } from '../contracts/canonical.ts'
import type { Dialect } from '../contracts/dialect.ts'
import { PACKED_BLOB, redactedOf } from './bedrock/client-parts.ts'
import { isObject } from './canonical/read.ts'

/**
 * Proofs of reasoning in requests that go on in the dialect of their client: signatures and encrypted thoughts, which only
 * the account that made them can check.
 */

/** Which of them; gets the proof as the client returned it. */
export type Proofs = (value: string) => boolean

export const ANY_PROOF: Proofs = () => true
/**
 * Marked by Heddle with the name of another maker, when it gave them to the client (see canonical/opaque.ts); or empty, as
 * of a maker that signs nothing.
 */
export const FOREIGN_PROOF: Proofs = (value) => value === '' || /^hdl[12]\./.test(value)

/** Every request of a client that speaks its backend's dialect is looked through for these: bytes, made once. */
const MARKS = ['"hdl1.', '"hdl2.', `"${PACKED_BLOB}`, '"signature":""', '"signature": ""'].map((mark) =>
  Buffer.from(mark),
)

/** Some text of the body may begin as a foreign proof does: worth a look. */
export const mayHoldForeignProofs = (body: Buffer): boolean => MARKS.some((mark) => body.includes(mark))

/** The body without such proofs, and without what means nothing without them; null = it has none. */
export function withoutProofs(dialect: Dialect, body: JsonObject, which: Proofs): JsonObject | null {
  switch (dialect) {
    case 'anthropic.messages':
      return messages(body, which)
    case 'openai.responses':
      return responses(body, which)
    case 'gemini.generate':
      return gemini(body, which)
    case 'openai.chat':
      return chat(body, which)
    case 'bedrock.converse':
      return converse(body, which)
    default:
      return null
  }
}

const listOf = (value: Json | undefined): readonly Json[] => (Array.isArray(value) ? value : [])
const holds = (value: Json | undefined, which: Proofs): boolean => typeof value === 'string' && which(value)

/** Every object of a list as `change` has it: null = left out. The list itself, when nothing changes. */
function changed(list: readonly Json[], change: (item: JsonObject) => JsonObject | null): readonly Json[] {
  const out: Json[] = []
  let differs = false
  for (const item of list) {
    const next = isObject(item) ? change(item) : item
    if (next !== item) differs = true
    if (next !== null) out.push(next)
  }
  return differs ? out : list
}

// ── Anthropic Messages ──────────────────────────────────────────────────────
function messages(body: JsonObject, which: Proofs): JsonObject | null {
  const before = listOf(body['messages'])
  const proves = (block: JsonObject): boolean =>
    (block['type'] === 'thinking' && holds(block['signature'], which)) ||
    (block['type'] === 'redacted_thinking' && holds(block['data'], which))
  const after = changed(before, (message) => {
    const content = listOf(message['content'])
    const left = changed(content, (block) => (proves(block) ? null : block))
    if (left === content) return message
    return left.length === 0 ? null : { ...message, content: [...left] }
  })
  if (after === before) return null
  const out: JsonObject = { ...body, messages: [...after] }
  return opensWithoutThought(after) ? notThinking(out) : out
}

/** A turn of calls and results that is not over goes on without thinking when it began without (docs: extended thinking). */
function opensWithoutThought(list: readonly Json[]): boolean {
  let first: Json | undefined
  for (let i = list.length - 1; i >= 0; i--) {
    const message = list[i]
    if (!isObject(message)) break
    const content = listOf(message['content'])
    if (message['role'] === 'assistant') first = content[0]
    else if (!content.some((block) => isObject(block) && block['type'] === 'tool_result')) break
  }
  return isObject(first) && first['type'] !== 'thinking' && first['type'] !== 'redacted_thinking'
}

function notThinking({ thinking: _thinking, context_management: management, ...body }: JsonObject): JsonObject {
  if (!isObject(management)) return body
  const edits = changed(listOf(management['edits']), (edit) =>
    typeof edit['type'] === 'string' && edit['type'].startsWith('clear_thinking') ? null : edit,
  )
  return edits.length === 0 ? body : { ...body, context_management: { ...management, edits: [...edits] } }
}

// ── OpenAI Responses ────────────────────────────────────────────────────────
function responses(body: JsonObject, which: Proofs): JsonObject | null {
  const before = listOf(body['input'])
  const left = changed(before, (item) =>
    item['type'] === 'reasoning' && holds(item['encrypted_content'], which) ? null : item,
  )
  if (left === before) return null
  // By their ids OpenAI knows that these came with reasoning, and wants it back.
  const input = left.map((item): Json => {
    if (!isObject(item) || item['type'] === 'item_reference' || item['type'] === 'reasoning') return item
    const { id: _id, ...rest } = item
    return rest
  })
  return { ...body, input }
}

// ── Bedrock Converse ────────────────────────────────────────────────────────
function converse(body: JsonObject, which: Proofs): JsonObject | null {
  const before = listOf(body['messages'])
  const proves = (block: JsonObject): boolean => {
    const said = block['reasoningContent']
    if (!isObject(said)) return false
    const { reasoningText: text, redactedContent: hidden } = said
    return (
      (isObject(text) && holds(text['signature'], which)) || (typeof hidden === 'string' && isBlobOf(hidden, which))
    )
  }
  const after = changed(before, (message) => {
    const content = listOf(message['content'])
    const left = changed(content, (block) => (proves(block) ? null : block))
    if (left === content) return message
    return left.length === 0 ? null : { ...message, content: [...left] }
  })
  return after === before ? null : { ...body, messages: [...after] }
}

/** Hidden reasoning is bytes there: what Heddle has packed must be unpacked to be known. */
const isBlobOf = (text: string, which: Proofs): boolean =>
  which(text) || (text.startsWith(PACKED_BLOB) && redactedOf(text).by !== 'bedrock.converse')

// ── Gemini ──────────────────────────────────────────────────────────────────
/** What Google says to be given in place of a signature that a call does not have (ai.google.dev: thought signatures). */
const UNSIGNED = 'skip_thought_signature_validator'

function gemini(body: JsonObject, which: Proofs): JsonObject | null {
  const before = listOf(body['contents'])
  const after = changed(before, (content) => {
    const parts = listOf(content['parts'])
    const left = changed(parts, (part) => unsigned(part, which))
    if (left === parts) return content
    return left.length === 0 ? null : { ...content, parts: [...left] }
  })
  return after === before ? null : { ...body, contents: [...after] }
}

function unsigned(part: JsonObject, which: Proofs): JsonObject | null {
  const name = 'thoughtSignature' in part ? 'thoughtSignature' : 'thought_signature'
  if (!holds(part[name], which) || part[name] === UNSIGNED) return part
  if ('functionCall' in part || 'function_call' in part) return { ...part, [name]: UNSIGNED }
  const { [name]: _signature, ...rest } = part
  const isEmpty = Object.keys(rest).every((key) => key === 'thought' || (key === 'text' && rest[key] === ''))
  return isEmpty ? null : rest
}

// ── OpenAI Chat: OpenRouter's details, and what Google's compatible API signs calls with ────
function chat(body: JsonObject, which: Proofs): JsonObject | null {
  const before = listOf(body['messages'])
  const after = changed(before, (message) => withoutCallProofs(withoutDetails(message, which), which))
  return after === before ? null : { ...body, messages: [...after] }
}

function withoutDetails(message: JsonObject, which: Proofs): JsonObject {
  const details = listOf(message['reasoning_details'])
  const left = changed(details, (one) => (holds(one['signature'], which) || holds(one['data'], which) ? null : one))
  if (left === details) return message
  const { reasoning_details: _details, ...rest } = message
  return left.length === 0 ? rest : { ...rest, reasoning_details: [...left] }
}

function withoutCallProofs(message: JsonObject, which: Proofs): JsonObject {
  const calls = listOf(message['tool_calls'])
  const left = changed(calls, (call) => {
    const { extra_content: extra, ...rest } = call
    const google = isObject(extra) ? extra['google'] : undefined
    return isObject(google) && holds(google['thought_signature'], which) ? rest : call
  })
  return left === calls ? message : { ...message, tool_calls: [...left] }
}
