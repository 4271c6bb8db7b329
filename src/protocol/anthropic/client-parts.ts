import type { Citation, FinishReason, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { ReasoningBlock } from '../canonical/collect.ts'
import { packProof } from '../canonical/proof-out.ts'
import { errorText } from '../canonical/say.ts'

/** Pieces of Messages answers that whole answers and streams write alike. */

const DIALECT = 'anthropic.messages'

/**
 * anthropic-sdk `StopReason`. An answer that the backend gave up is told as cut off: of the reasons there are, the only
 * one that does not call it complete.
 */
export function stopReason(reason: FinishReason | '', refused: boolean): string {
  switch (reason) {
    case 'length':
    case 'error':
      return 'max_tokens'
    case 'tool_calls':
      return 'tool_use'
    case 'stop_sequence':
      return refused ? 'refusal' : 'stop_sequence'
    case 'content_filter':
    case 'refusal':
      return 'refusal'
    case 'pause':
      return 'pause_turn'
    default:
      return refused ? 'refusal' : 'end_turn'
  }
}

/** The block's signature as a client of this dialect keeps it; '' = none. */
export const thinkingSignature = ({ signature, id }: ReasoningBlock): string =>
  signature === null ? '' : packProof({ kind: 'signature', of: id, opaque: signature }, DIALECT, 'signature')

export const redactedData = (opaque: Opaque): string =>
  packProof({ kind: 'redacted', of: '', opaque }, DIALECT, 'redacted')

/**
 * Signature of a tool call, which has no place in a tool_use: it travels in an empty thinking block, which clients
 * return untouched, and names its call.
 */
export const callSignature = (id: string, opaque: Opaque): string =>
  packProof({ kind: 'call', of: id, opaque }, DIALECT, 'signature')

/** As Anthropic's own search tells it, when it is not Anthropic's own; null = there is nothing to tell of it. */
export function citationJson({ native, url, title, quote }: Citation): JsonObject | null {
  if (native?.by === DIALECT) return native.value
  if (url === undefined) return null
  return {
    type: 'web_search_result_location',
    url,
    title: title ?? null,
    cited_text: quote ?? '',
    encrypted_index: '',
  }
}

const TYPES: ReadonlyMap<number, string> = new Map([
  [400, 'invalid_request_error'],
  [401, 'authentication_error'],
  [402, 'billing_error'],
  [403, 'permission_error'],
  [404, 'not_found_error'],
  [413, 'request_too_large'],
  [429, 'rate_limit_error'],
  [503, 'overloaded_error'],
  [504, 'timeout_error'],
  [529, 'overloaded_error'],
])

/** The envelope (anthropic-sdk `ErrorResponse`): clients tell errors apart by `error.type`. */
export function anthropicError(error: GatewayError, requestId: string): string {
  const type = TYPES.get(error.status) ?? (error.status < 500 ? 'invalid_request_error' : 'api_error')
  const where = error.param === undefined ? '' : `${error.param}: `
  // By some names clients know what to send instead: those of Anthropic go on, and one of ours that means the same.
  const details = error.publicCode === error.code ? {} : { details: { error_code: error.publicCode } }
  return JSON.stringify({
    type: 'error',
    error: { type, message: `${where}${errorText(error)}`, ...details },
    request_id: requestId,
  })
}
