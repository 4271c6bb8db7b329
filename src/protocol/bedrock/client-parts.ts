import type { Citation, FinishReason, JsonObject, Opaque } from '../../contracts/canonical.ts'
import type { AnswerContext } from '../../contracts/dialect.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { ReasoningBlock } from '../canonical/collect.ts'
import { packProof, unpackProof } from '../canonical/proof-out.ts'
import { errorText } from '../canonical/say.ts'

/** Pieces of Converse answers that whole answers and streams write alike. */

export const DIALECT = 'bedrock.converse'

/**
 * `StopReason` of @aws-sdk/client-bedrock-runtime 3.1164. A turn that is to be continued is told as cut off: of the reasons
 * there are, the only one that asks for more.
 */
export function stopReason(reason: FinishReason | '', refused: boolean): string {
  switch (reason) {
    case 'length':
    case 'pause':
      return 'max_tokens'
    case 'tool_calls':
      return 'tool_use'
    case 'content_filter':
    case 'refusal':
      return 'content_filtered'
    case 'error':
      return 'malformed_model_output'
    case 'stop_sequence':
      return refused ? 'content_filtered' : 'stop_sequence'
    default:
      return refused ? 'content_filtered' : 'end_turn'
  }
}

/** The reasoning's signature as a client of this dialect keeps it; '' = none. */
export const reasoningSignature = ({ signature, id }: Pick<ReasoningBlock, 'signature' | 'id'>): string =>
  signature === null ? '' : packProof({ kind: 'signature', of: id, opaque: signature }, DIALECT, 'signature')

/**
 * Signature of a tool call, which has no place in a toolUse: it travels in a reasoning block without text, which clients
 * return untouched, and names its call.
 */
export const callSignature = (id: string, opaque: Opaque): string =>
  packProof({ kind: 'call', of: id, opaque }, DIALECT, 'signature')

/** `hdl2.r` in base64: Bedrock's own that begins so is packed as well, or it would be taken for ours. */
export const PACKED_BLOB = 'aGRsMi5y'

/** redactedContent is of type blob: SDKs make bytes of it, so that it must be base64, whatever it was. */
export function redactedText(opaque: Opaque): string {
  const { by, value } = opaque
  const isBlob =
    by === DIALECT && !value.startsWith(PACKED_BLOB) && Buffer.from(value, 'base64').toString('base64') === value
  if (isBlob) return value
  // By another kind than is natural there it gets our mark in any case.
  return Buffer.from(packProof({ kind: 'redacted', of: '', opaque }, DIALECT, 'signature')).toString('base64')
}

/** What a client returned in its place. */
export const redactedOf = (text: string): Opaque =>
  text.startsWith(PACKED_BLOB)
    ? unpackProof(Buffer.from(text, 'base64').toString(), DIALECT, 'redacted').opaque
    : { by: DIALECT, value: text }

/** `Citation`; null = there is nothing to tell of it. */
export function citationJson({ native, url, title, quote }: Citation): JsonObject | null {
  if (native?.by === DIALECT) return native.value
  if (url === undefined && title === undefined) return null
  return {
    ...(title === undefined ? {} : { title }),
    ...(quote === undefined ? {} : { sourceContent: [{ text: quote }] }),
    ...(url === undefined ? {} : { location: { web: { url } } }),
  }
}

/** Milliseconds that the call took, a whole number. */
const latencyMs = ({ timer }: AnswerContext): number =>
  timer === undefined ? 0 : Math.max(0, Math.round(timer.clock.monotonic() - timer.startedAt))

export const metrics = (context: AnswerContext): JsonObject => ({ latencyMs: latencyMs(context) })

/**
 * Which sequence it was is a field of Claude's own answers, which a client gets where it asks for it by a JSON pointer
 * (RFC 6901): whole answers have it at one place, streams at another.
 */
export function stopFields({ sent }: AnswerContext, sequence: string): JsonObject {
  const paths = sent['additionalModelResponseFieldPaths']
  if (sequence === '' || !Array.isArray(paths)) return {}
  const fields: JsonObject = {}
  if (paths.includes('/stop_sequence')) fields['stop_sequence'] = sequence
  if (paths.includes('/delta/stop_sequence')) fields['delta'] = { stop_sequence: sequence }
  return Object.keys(fields).length > 0 ? { additionalModelResponseFields: fields } : {}
}

/** Body of an error (API reference, Converse: Errors); its name stands in the header `x-amzn-errortype`. */
export const converseError = (error: GatewayError, requestId: string): string =>
  JSON.stringify({ message: errorMessage(error), request_id: requestId })

const errorMessage = (error: GatewayError): string =>
  `${error.param === undefined ? '' : `${error.param}: `}${errorText(error)}`

/** Statuses of `errors` in the SDK's own table, and the names by which it chooses a class. */
const ERRORS: ReadonlyMap<number, string> = new Map([
  [400, 'ValidationException'],
  [401, 'AccessDeniedException'],
  [402, 'ServiceQuotaExceededException'],
  [403, 'AccessDeniedException'],
  [404, 'ResourceNotFoundException'],
  [408, 'ModelTimeoutException'],
  [424, 'ModelErrorException'],
  [429, 'ThrottlingException'],
  [503, 'ServiceUnavailableException'],
  [504, 'ModelTimeoutException'],
])

/** status: of HTTP, Heddle's or Bedrock's own. */
export const errorName = (status: number): string =>
  ERRORS.get(status) ?? (status < 500 ? 'ValidationException' : 'InternalServerException')

/** As Bedrock itself has it: who shows no key is denied, and a model that is too slow is not asked again by SDKs. */
export const errorStatus = (status: number): number => (status === 401 ? 403 : status === 504 ? 408 : status)

/** Name and body of an exception in a stream (`ConverseStreamOutput`). */
export function streamException(error: GatewayError): readonly [name: string, body: string] {
  const message = errorMessage(error)
  const { status } = error
  if (status === 429) return ['throttlingException', JSON.stringify({ message })]
  if (status === 503) return ['serviceUnavailableException', JSON.stringify({ message })]
  if (status === 500) return ['internalServerException', JSON.stringify({ message })]
  if (status < 500) return ['validationException', JSON.stringify({ message })]
  return [
    'modelStreamErrorException',
    JSON.stringify({ message, originalStatusCode: status, originalMessage: error.message }),
  ]
}
