import type { HeaderList } from '../contracts/http.ts'
import type { FailureOrigin } from '../routing/failure.ts'
import type { Attempt } from './attempt.ts'
import type { Exchange } from './exchange.ts'
import type { StreamAttempt } from './stream-attempt.ts'
import { ERROR_CODES, type GatewayError } from '../core/errors.ts'
import { converseError, errorName, errorStatus, streamException } from '../protocol/bedrock/client-parts.ts'
import { encodeEventStream } from '../protocol/bedrock/event-stream.ts'
import { clientDialect } from '../protocol/client-dialects.ts'
import { cohereErrorEvent } from '../protocol/cohere/client-parts.ts'
import { errorEvent, errorHeaders, errorJson, responsesErrorEvent } from '../protocol/openai/errors.ts'
import { dialectAt } from './operation.ts'
import { FrameStream } from './frame-stream.ts'
import { RawAttempt } from './raw-attempt.ts'
import { TranslatedStream } from './translated-stream.ts'

/** Told to wait nowhere else: for statuses that never go without (RFC 9110 10.2.3; Linkerd's load biaser reads it). */
const RETRY_AFTER_MS = 1000
/** Failed Dependency (RFC 4918 11.4): outlier detection counts 5xx against the gateway, which is well. */
const FAILED_DEPENDENCY = 424

/** Errors by which one replica says that another may well do it. */
const OF_THIS_REPLICA: ReadonlySet<string> = new Set(['overloaded', 'draining', 'request_timeout'])
/** Answers that say when to come back: whoever waits as told may. */
const WAIT_AND_RETRY: ReadonlySet<string> = new Set(['rate_limited', 'upstream_rate_limited'])

/** Ends of calls that were not made because no credential could be used. */
const NO_CREDENTIAL: ReadonlySet<string> = new Set(['key_refused', 'no_key'])

/** Status and headers of an error answer, as callers and the proxies between want them. */
export function errorHead(x: Exchange, error: GatewayError): { readonly status: number; readonly headers: HeaderList } {
  const { mesh } = x.snapshot.policies
  const headers: HeaderList = ['content-type', 'application/json', 'x-request-id', x.id, ...errorHeaders(error)]
  const origin = originOf(x)
  // A caller in a hurry would have the others' gateway ejected as well.
  const notOurs = origin === 'provider' || origin === 'network' || error.code === 'deadline_exceeded'
  const mapped = mesh.mapProviderErrors && error.status >= 500 && notOurs
  const status = mapped
    ? FAILED_DEPENDENCY
    : BEDROCK_PATH.test(x.received.path)
      ? errorStatus(error.status)
      : error.status
  if (origin !== '' && (mapped || mesh.kind !== 'none')) headers.push('x-llm-error-origin', origin)
  if ((status === 429 || status === 503) && !headers.includes('retry-after'))
    headers.push('retry-after', String(RETRY_AFTER_MS / 1000), 'retry-after-ms', String(RETRY_AFTER_MS))
  if (mesh.veto && isFinal(x, error)) {
    headers.push('x-envoy-ratelimited', 'true')
    if (!headers.includes('x-should-retry')) headers.push('x-should-retry', 'false')
  }
  return { status, headers }
}

/** Who of those behind us failed; '' = nobody was called, or it was the request's own fault. */
function originOf({ attempts, error, planNote }: Exchange): '' | FailureOrigin {
  if (error === null || !/^(?:upstream_|deadline_)/.test(error.code)) return ''
  const last = attempts.at(-1)
  // Nothing could be planned: all targets rest, for what they have done to requests before.
  if (last === undefined) return planNote === '' && error.code !== 'deadline_exceeded' ? 'provider' : ''
  if (last.origin !== '') return last.origin
  // Still at work when its time was over; or it takes none of the credentials, or gives none.
  return last.result === 'open' || NO_CREDENTIAL.has(last.result) ? 'provider' : ''
}

/** Nobody on the way should ask again: what could be tried has been tried, or would fail again. */
function isFinal({ attempts }: Exchange, error: GatewayError): boolean {
  if (OF_THIS_REPLICA.has(error.code) || WAIT_AND_RETRY.has(error.code)) return false
  return !ERROR_CODES[error.code].retryable || error.code === 'budget_exceeded' || attempts.length > 0
}

/** Where clients of Bedrock ask: Heddle's own path of theirs, and the runtime's passed on. */
const BEDROCK_PATH = /^\/(?:model\/|passthrough\/[^/]+\/model\/[^/]+\/(?:converse|invoke))/

/** `x-amzn-errortype` of an error, by which SDKs of AWS choose a class; null = whoever asks at this path is no client of Bedrock. */
export const bedrockErrorType = (path: string, status: number): string | null =>
  BEDROCK_PATH.test(path) ? errorName(status) : null

/** The envelope that the clients of a path know. */
export function errorBody(path: string, error: GatewayError, id: string): string {
  if (BEDROCK_PATH.test(path)) return converseError(error, id)
  const dialect = dialectAt(path)
  return dialect === 'openai.chat' ? errorJson(error, id) : clientDialect(dialect).error(error, id)
}

/**
 * What ends a stream that has begun; null = its bytes are such that nobody can append an error to them: only a broken
 * connection says that they are not all.
 */
export function errorTail(x: Exchange, error: GatewayError, writing: Attempt | null): string | Buffer | null {
  if (writing instanceof TranslatedStream) return writing.encoder.error(error)
  if (!x.stream || writing instanceof RawAttempt) return null
  if (writing instanceof FrameStream) return encodeEventStream(...streamException(error), 'exception')
  switch (x.operation) {
    case 'responses':
      return responsesErrorEvent(error, x.id, (writing as StreamAttempt).events)
    case 'messages':
      return `event: error\ndata: ${errorBody(x.received.path, error, x.id)}\n\n`
    case 'generate_content':
      return `data: ${errorBody(x.received.path, error, x.id)}\n\n`
    case 'cohere_chat':
      return cohereErrorEvent(error, x.id)
    default:
      return errorEvent(error, x.id)
  }
}

/** A fault of ours: its trace belongs in the log, not in the answer. */
export function logFault({ services, id }: Exchange, { cause }: GatewayError): void {
  const err = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause)
  services.log('error', { request_id: id, err }, 'internal error')
}
