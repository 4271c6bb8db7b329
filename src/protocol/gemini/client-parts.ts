import type { Citation, FinishReason, Json, JsonObject } from '../../contracts/canonical.ts'
import type { AnswerContext } from '../../contracts/dialect.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Block, CallBlock, CollectedChoice, ReasoningBlock } from '../canonical/collect.ts'
import { isObject } from '../canonical/read.ts'
import { argumentsObject, errorText } from '../canonical/say.ts'
import { signatureText } from './client-fields.ts'

/** Pieces of generateContent answers that whole answers and streams write alike. */

/** google-genai `FinishReason`. */
export function finishReason(reason: FinishReason | ''): string {
  switch (reason) {
    case 'length':
      return 'MAX_TOKENS'
    case 'content_filter':
    case 'refusal':
      return 'SAFETY'
    case 'error':
      return 'OTHER'
    default:
      return 'STOP'
  }
}

/** Thoughts are told to those who asked for them; what proves them goes to all, who must return it. */
export const showsThoughts = (context: AnswerContext): boolean => context.request.reasoning?.visible !== false

export const callPart = (call: CallBlock): JsonObject => ({
  functionCall: {
    id: call.id,
    name: call.name,
    args: call.custom ? { raw_arguments: call.arguments } : argumentsObject(call.arguments),
  },
  ...(call.signature === null
    ? {}
    : { thoughtSignature: signatureText({ kind: 'call', of: '', opaque: call.signature }, 'call') }),
})

/** Signature of a call that has been told already. */
export const lateSignature = (call: CallBlock): JsonObject => ({
  text: '',
  thought: true,
  thoughtSignature: signatureText({ kind: 'call', of: call.id, opaque: call.signature! }, 'signature'),
})

/** null = nothing proves it. */
export function proofOf({ signature, redacted, id }: ReasoningBlock): string | null {
  if (redacted !== null) return signatureText({ kind: 'redacted', of: '', opaque: redacted }, 'signature')
  return signature === null ? null : signatureText({ kind: 'signature', of: id, opaque: signature }, 'signature')
}

export function blockPart(block: Block, shows: boolean): JsonObject | null {
  switch (block.type) {
    case 'text':
      return block.text === '' ? null : { text: block.text }
    case 'refusal':
      return { text: block.text }
    case 'tool_call':
      return callPart(block)
    default: {
      const proof = proofOf(block)
      const text = shows ? block.text : ''
      if (proof === null) return text === '' ? null : { text, thought: true }
      return { text, thought: true, thoughtSignature: proof }
    }
  }
}

/**
 * google-genai `GroundingMetadata`, whose offsets count bytes of UTF-8. Citations of Gemini's own are its chunks.
 * text: of the whole candidate.
 */
export function grounding(choice: CollectedChoice, text: string): JsonObject {
  const chunks: JsonObject[] = []
  const supports: JsonObject[] = []
  for (const block of choice.blocks) {
    if (block.type !== 'text') continue
    for (const citation of block.citations) {
      const chunk = chunkOf(citation)
      if (chunk === null) continue
      const from = citation.from ?? block.from
      const to = citation.to ?? block.from + block.text.length
      const passage = text.slice(from, to)
      const startIndex = Buffer.byteLength(text.slice(0, from))
      const segment = { startIndex, endIndex: startIndex + Buffer.byteLength(passage), text: passage }
      supports.push({ segment, groundingChunkIndices: [chunks.push(chunk) - 1] })
    }
  }
  return chunks.length === 0 ? {} : { groundingMetadata: { groundingChunks: chunks, groundingSupports: supports } }
}

function chunkOf({ native, url, title }: Citation): JsonObject | null {
  if (native?.by === 'gemini.generate') return native.value
  return url === undefined ? null : { web: { uri: url, title: title ?? '' } }
}

/** Entries of the chat API as google-genai `LogprobsResult`. */
export function logprobsResult(entries: readonly Json[]): JsonObject {
  if (entries.length === 0) return {}
  const candidate = (entry: Json): JsonObject =>
    isObject(entry) ? { token: entry['token'] ?? '', logProbability: entry['logprob'] ?? 0 } : {}
  const top = (entry: Json): JsonObject => ({
    candidates: (isObject(entry) && Array.isArray(entry['top_logprobs']) ? entry['top_logprobs'] : []).map(candidate),
  })
  return { logprobsResult: { chosenCandidates: entries.map(candidate), topCandidates: entries.map(top) } }
}

/** google.rpc.Code by HTTP status. */
const STATUSES: ReadonlyMap<number, string> = new Map([
  [400, 'INVALID_ARGUMENT'],
  [401, 'UNAUTHENTICATED'],
  [403, 'PERMISSION_DENIED'],
  [404, 'NOT_FOUND'],
  [409, 'ABORTED'],
  [429, 'RESOURCE_EXHAUSTED'],
  [499, 'CANCELLED'],
  [500, 'INTERNAL'],
  [503, 'UNAVAILABLE'],
  [504, 'DEADLINE_EXCEEDED'],
])

/** The envelope of Google's APIs (google.rpc.Status), with what its clients look for: when to try again, which field. */
export function geminiError(error: GatewayError, requestId: string): string {
  const { status, retryAfterMs, param, publicCode } = error
  const details: JsonObject[] = [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: publicCode.toUpperCase(),
      domain: 'heddle',
      metadata: { request_id: requestId },
    },
  ]
  if (param !== undefined)
    details.push({
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: [{ field: param, description: error.message }],
    })
  if (retryAfterMs !== undefined)
    details.push({
      '@type': 'type.googleapis.com/google.rpc.RetryInfo',
      retryDelay: `${Math.max(1, Math.ceil(retryAfterMs / 1000))}s`,
    })
  const named = STATUSES.get(status) ?? (status < 500 ? 'INVALID_ARGUMENT' : 'UNAVAILABLE')
  return JSON.stringify({ error: { code: status, message: errorText(error), status: named, details } })
}
