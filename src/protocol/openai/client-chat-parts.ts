import type { Citation, Json, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext } from '../../contracts/dialect.ts'
import type { CallBlock, CollectedChoice, ReasoningBlock } from '../canonical/collect.ts'
import { packProof } from '../canonical/proof-out.ts'
import { nativeCitation, urlCitation } from './client-citations.ts'

/** Pieces of chat answers that whole answers and streams write alike. */

/**
 * Finish reasons of the chat API; `error` is OpenRouter's addition for an answer that the backend gave up: the others
 * would call it complete. A refusal that has no text was cut by a filter, as far as a chat client can know.
 */
export function chatReason(choice: CollectedChoice): string {
  const { reason } = choice
  switch (reason) {
    case '':
    case 'stop':
    case 'stop_sequence':
    case 'pause':
      return 'stop'
    case 'refusal':
      return choice.blocks.some((block) => block.type === 'refusal') ? 'stop' : 'content_filter'
    default:
      return reason
  }
}

/** The client described functions in the way that was before tools, and can only read answers of that kind. */
export const isLegacy = (context: AnswerContext): boolean =>
  context.sent['functions'] != null && context.sent['tools'] == null

/** The client said that it does not want to see reasoning (OpenRouter `reasoning.exclude`). */
export const hidesReasoning = (context: AnswerContext): boolean => context.request.reasoning?.visible === false

export function toolCallJson(call: CallBlock): JsonObject {
  const inner: JsonObject = call.custom
    ? { type: 'custom', custom: { name: call.name, input: call.arguments } }
    : { type: 'function', function: { name: call.name, arguments: call.arguments } }
  return { id: call.id, ...inner, ...signatureJson(call) }
}

/** Where Google's compatible endpoint has it. */
export const signatureJson = (call: CallBlock): JsonObject =>
  call.signature === null
    ? {}
    : {
        extra_content: {
          google: {
            thought_signature: packProof({ kind: 'call', of: '', opaque: call.signature }, 'openai.chat', 'call'),
          },
        },
      }

/**
 * OpenRouter `reasoning_details` (docs: reasoning tokens). What has a text is `reasoning.text`, also where its proof is
 * of another kind; what has none is `reasoning.encrypted`.
 */
export function detailJson(block: ReasoningBlock, index: number): JsonObject {
  const id = block.id === '' ? {} : { id: block.id }
  if (block.redacted !== null) {
    const data = packProof({ kind: 'redacted', of: '', opaque: block.redacted }, 'openai.chat', 'redacted')
    return { type: 'reasoning.encrypted', data, ...id, index }
  }
  if (block.signature === null) return { type: 'reasoning.text', text: block.text, ...id, index }
  const proof = { kind: 'signature', of: '', opaque: block.signature } as const
  return block.text === ''
    ? { type: 'reasoning.encrypted', data: packProof(proof, 'openai.chat', 'redacted'), ...id, index }
    : {
        type: 'reasoning.text',
        text: block.text,
        signature: packProof(proof, 'openai.chat', 'signature'),
        ...id,
        index,
      }
}

export const isProved = (block: ReasoningBlock): boolean =>
  block.signature !== null || block.redacted !== null || block.id !== ''

/**
 * Signature of a call, for clients that keep `reasoning_details` and nothing else: as OpenRouter tells those of Gemini,
 * under the id of the call.
 */
export function callDetail(call: CallBlock, index: number): JsonObject {
  const data = packProof({ kind: 'call', of: call.id, opaque: call.signature! }, 'openai.chat', 'redacted')
  return { type: 'reasoning.encrypted', data, id: call.id, index }
}

/** All of a choice, when any of it is proved: what is proved goes back together with what stands around it. */
export function detailsJson(choice: CollectedChoice): JsonObject[] {
  const thoughts = choice.blocks.filter((block) => block.type === 'reasoning')
  const signed = choice.blocks.filter((block) => block.type === 'tool_call').filter((call) => call.signature !== null)
  if (signed.length === 0 && !thoughts.some(isProved)) return []
  return [...thoughts.map(detailJson), ...signed.map((call, i) => callDetail(call, thoughts.length + i))]
}

/** Citations of the characters from..to as the chat API has them; sources without a URL cannot be told. */
export function annotations(citations: readonly Citation[], from: number, to: number): JsonObject[] {
  const found: JsonObject[] = []
  for (const citation of citations) {
    const own = nativeCitation(citation, 'openai.chat')
    const url = urlCitation(citation, from, to)
    if (own !== null) found.push(own)
    else if (url !== null) found.push({ type: 'url_citation', url_citation: url })
  }
  return found
}

export const logprobsJson = (entries: readonly Json[]): JsonObject => ({ content: [...entries], refusal: null })
