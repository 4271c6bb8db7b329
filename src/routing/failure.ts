import { GatewayError, type ErrorCode } from '../core/errors.ts'
import { KEY_SHAPES } from '../core/redact.ts'
import type { UpstreamFault, UpstreamHeaders } from '../contracts/upstream.ts'
import { errorOf } from '../protocol/openai/answer.ts'
import { retryAfterMs } from '../protocol/retry-after.ts'
import { meshFault, type MeshFault } from '../mesh/origin.ts'

/**
 * What an attempt's failure means for the target and for the request.
 * failure: the target's fault, counts for its breaker. busy: rate limited or overloaded with a hint, rests a while.
 * dead: credentials or account refused, rests long. client: the request's own fault, no target would do better.
 * missing: this target has no such model, another may. context, content: the request's fault, but a fallback may help.
 * limited: Heddle's own limits or queue keep the request from the target; it was not called.
 */
export type FailureKind = 'limited' | 'failure' | 'busy' | 'dead' | 'client' | 'missing' | 'context' | 'content'

/** Who failed: a proxy of the mesh on the way, the provider itself, or the network (no connection, no proxy's answer). */
export type FailureOrigin = 'mesh' | 'provider' | 'network'

/** Nobody's: Heddle itself kept the request from the target. */
export const NOT_CALLED = { origin: '', errorType: '', sameAgain: true } as const

export interface AttemptFailure {
  readonly kind: FailureKind
  /** For logs, metrics and explain: `connect`, `http_503`, `first_token_timeout`, … */
  readonly reason: string
  /** Upstream status, 0 = none. */
  readonly status: number
  /** Worth another attempt on this or another target. */
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly origin: '' | FailureOrigin
  /** What OpenTelemetry's `error.type` says of a failure in the mesh; else ''. */
  readonly errorType: '' | MeshFault
  /** The same target may do better in a moment. */
  readonly sameAgain: boolean
  /** What refused the request is proofs of reasoning that are not the backend's: without them it may do. */
  readonly foreignProof?: true
  /** What the client gets when nothing better follows. */
  readonly error: GatewayError
}

const CONTEXT =
  /context_length_exceeded|context length|maximum context|too many tokens|prompt is too long|input is too long|string_above_max_length|token count.{0,40}exceeds the maximum/i
const CONTENT =
  /content_filter|content_policy|content management policy|responsibleaipolicy|safety system|moderation_blocked/i
const OVERLOAD =
  /overloaded|server_?busy|engine_overloaded|slow_?down|RESOURCE_EXHAUSTED|UNAVAILABLE|too_many_requests|throttl|capacity/i
/** Google and xAI refuse a key with 400. */
const BAD_KEY = /api_key_invalid|api key (?:not valid|not found|expired)|(?:invalid|incorrect) api key/i
/** OpenAI by its code, Anthropic (also at Bedrock) and Google in words. */
const FOREIGN_PROOF =
  /invalid_encrypted_content|invalid `(?:signature|data)` in `(?:redacted_)?thinking|(?:corrupted|invalid) thought.?signature|thought.?signature is (?:not valid|invalid)/i
const QUOTA =
  /insufficient_quota|billing_(hard_limit|not_active)|account_deactivated|credit balance|payment_required|exceeded your current quota/i

/** Quotas are not filled up in between two tries: SDKs are told to give up. */
const QUOTA_MS = 300_000
const ERROR_TEXT_LIMIT = 2000
// Keys and hosts that providers quote in their errors.
const SECRETS = new RegExp(String.raw`${KEY_SHAPES}|\b(?:key|api)[-_](?=[A-Za-z*_-]*\d)[A-Za-z0-9*_-]{6,}`, 'gi')
const HOSTS =
  /\bhttps?:\/\/[^\s"'<>]+|\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b|\b[\w-]+(?:\.[\w-]+)*\.(?:internal|local|svc|cluster|lan|corp)\b(?::\d+)?/gi

/** A provider's message made fit for a client: no keys, no hosts, none of the given secrets, bounded. */
export function cleanMessage(text: string, secrets: readonly string[] = []): string {
  let clean = text
  // Before the cut, or a part of one could stand at the end.
  for (const secret of secrets) clean = clean.replaceAll(secret, '[redacted]')
  return clean.slice(0, ERROR_TEXT_LIMIT).replace(SECRETS, '[redacted]').replace(HOSTS, '[redacted]')
}

export interface FailureContext {
  /** Statuses that are worth another attempt, by configuration. */
  readonly statuses: readonly number[]
  /** Wall clock, epoch ms, for dates in Retry-After. */
  readonly now: number
  readonly target: string
  /** What must never show: the provider's key and the like. */
  readonly secrets: readonly string[]
  /** Text of the answer where a proxy of the mesh may have made it; left out = no proxy stands on the way. */
  readonly proxyText?: string | undefined
}

const failure = (
  kind: FailureKind,
  reason: string,
  status: number,
  retryable: boolean,
  error: GatewayError,
): AttemptFailure => ({
  kind,
  reason,
  status,
  retryable,
  retryAfterMs: error.retryAfterMs,
  origin: 'provider',
  errorType: '',
  sameAgain: true,
  error,
})

/** What a provider said, cleaned, and everything that is decided from it. */
interface Said extends ProviderError {
  readonly code: string
  readonly type: string
  /** Status of the answer, and what it stands for: an error inside a 200 names its own. */
  readonly status: number
  readonly shown: number
  readonly reason: string
  readonly words: string
  readonly detail: string
  readonly wait: number | undefined
}

/** An HTTP answer with an error status, or an error inside a 200 (status 200 then). */
export function classifyAnswer(
  status: number,
  headers: UpstreamHeaders,
  body: unknown,
  context: FailureContext,
): AttemptFailure {
  const made = context.proxyText === undefined ? null : meshFault(status, headers, context.proxyText)
  if (made !== null) return meshFailure(made, status, headers, context)
  const raw = errorOf(body)
  const clean = (text: string): string => cleanMessage(text, context.secrets)
  const [code, type, message] = [clean(raw.code).slice(0, 100), clean(raw.type), clean(raw.message)]
  const words = `${code} ${type} ${message}`
  const suffix = code || type ? `_${slug(code || type)}` : ''
  const said: Said = {
    code,
    type,
    message,
    param: raw.param === null ? null : clean(raw.param).slice(0, 200),
    status,
    shown: status === 200 ? raw.status || statusOfType(type, code) : status,
    reason: status === 200 ? `error_in_200${suffix}` : `http_${status}`,
    words,
    detail: `${context.target}: ${words.slice(0, 300)}`,
    wait: retryAfterMs(headers, body, context.now),
  }
  return refusedGateway(said) ?? refusedRequest(said) ?? overloadedOrBroken(said, context) ?? otherAnswer(said)
}

const MESH_WORDS: Readonly<Record<MeshFault, string>> = {
  'mesh.overflow': 'has no room for more calls to the backend',
  'mesh.connect': 'cannot reach the backend',
  'mesh.timeout': 'gave the backend no more time',
  'mesh.rate_limited': 'limits calls to the backend',
  'mesh.egress_denied': 'does not allow calls to the backend',
  'mesh.no_route': 'knows no way to the backend',
  'mesh.error': 'failed to call the backend',
}

/** A proxy on the way answered in the backend's place. */
function meshFailure(
  fault: MeshFault,
  status: number,
  headers: UpstreamHeaders,
  context: FailureContext,
): AttemptFailure {
  const wait = retryAfterMs(headers, null, context.now)
  const error = new GatewayError(
    fault === 'mesh.timeout' ? 'upstream_timeout' : 'upstream_unavailable',
    `The mesh ${MESH_WORDS[fault]}.`,
    { retryAfterMs: wait, detail: `${context.target}: ${fault}, status ${status}` },
  )
  // Full is not broken: the target is not to blame, and asking again at once would only add to it.
  const full = fault === 'mesh.overflow' || fault === 'mesh.rate_limited'
  return {
    ...failure(full ? 'busy' : 'failure', fault.replace('.', '_'), status, true, error),
    origin: 'mesh',
    errorType: fault,
    sameAgain: fault === 'mesh.connect' || fault === 'mesh.timeout' || fault === 'mesh.error',
  }
}

/** Credentials or account: the provider's text may quote the key, so it goes nowhere but, cleaned, to the log. */
function refusedGateway({ shown, words, reason, status, detail }: Said): AttemptFailure | null {
  if (shown === 429 && QUOTA.test(words)) {
    return failure(
      'dead',
      reason,
      status,
      true,
      new GatewayError('upstream_rate_limited', 'The provider reports that its quota is used up.', {
        retryAfterMs: QUOTA_MS,
        detail,
        publicCode: 'insufficient_quota',
      }),
    )
  }
  const refusal = new GatewayError('upstream_auth', 'The provider refused the gateway.', { detail })
  if (shown === 401 || shown === 402 || shown === 403) return failure('dead', reason, status, true, refusal)
  // No reason to rest the target: a message can quote what a client wrote.
  return shown === 400 && BAD_KEY.test(words) ? failure('missing', reason, status, true, refusal) : null
}

/** The request's own fault, where a fallback may still help. */
function refusedRequest(said: Said): AttemptFailure | null {
  const { shown, words, reason, status, detail, code } = said
  if (shown === 404)
    return failure(
      'missing',
      reason,
      status,
      true,
      passed('model_not_found', 404, said, named(code) || 'model_not_found', detail),
    )
  if (shown !== 400 && shown !== 413 && shown !== 422) return null
  if (CONTEXT.test(words))
    return failure(
      'context',
      reason,
      status,
      false,
      passed('context_length_exceeded', 400, said, 'context_length_exceeded', detail),
    )
  if (CONTENT.test(words))
    return failure('content', reason, status, false, passed('content_filter', 400, said, 'content_filter', detail))
  return null
}

function overloadedOrBroken(
  { shown, words, reason, status, detail, code, type, wait }: Said,
  context: FailureContext,
): AttemptFailure | null {
  if (shown === 429) {
    return failure(
      'busy',
      reason,
      status,
      true,
      new GatewayError('upstream_rate_limited', 'The provider is rate limiting this model.', {
        retryAfterMs: wait,
        detail,
        publicCode: 'rate_limit_exceeded',
      }),
    )
  }
  // A request error can quote the request: there only the names tell, or clients could count failures against a target.
  const overloaded = OVERLOAD.test(shown >= 400 && shown < 500 ? `${code} ${type}` : words)
  const retryable = overloaded || context.statuses.includes(shown)
  if (!retryable && shown < 500) return null
  const error = new GatewayError(
    overloaded ? 'upstream_unavailable' : (CODE_OF_STATUS[shown] ?? 'upstream_error'),
    'The provider failed to answer.',
    { retryAfterMs: wait, detail },
  )
  return failure(wait !== undefined && retryable ? 'busy' : 'failure', reason, status, retryable, error)
}

const CODE_OF_STATUS: Readonly<Record<number, ErrorCode>> = {
  408: 'upstream_timeout',
  503: 'upstream_unavailable',
  504: 'upstream_timeout',
  529: 'upstream_unavailable',
}

function otherAnswer(said: Said): AttemptFailure {
  const { shown, words, reason, status, detail, code } = said
  if (shown >= 400) {
    const error = passed('invalid_request', shown, said, named(code) || 'invalid_request', detail)
    const refused = failure('client', reason, status, false, error)
    return shown === 400 && FOREIGN_PROOF.test(words) ? { ...refused, foreignProof: true } : refused
  }
  return failure(
    'failure',
    reason,
    status,
    true,
    new GatewayError('upstream_invalid_response', `The provider answered with status ${status}.`, { detail }),
  )
}

interface ProviderError {
  readonly message: string
  readonly param: string | null
}

/** An error that the client can mend: it sees the provider's words, without keys and hosts. */
function passed(code: ErrorCode, status: number, e: ProviderError, publicCode: string, detail: string): GatewayError {
  const { message } = e
  return new GatewayError(code, message || 'The provider refused the request.', {
    status,
    param: e.param ?? undefined,
    publicCode,
    detail,
    verbatim: message !== '',
  })
}

/** Google and vLLM put the status there: a number is no name. */
const named = (code: string): string => (/^\d+$/.test(code) ? '' : code)

const slug = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .slice(0, 40)

/** Status that an error inside a 200 stands for, by the names that OpenAI, Anthropic and Google give. */
function statusOfType(type: string, code: string): number {
  const text = `${type} ${code}`.toLowerCase()
  if (/rate_limit|resource_exhausted|too_many/.test(text)) return 429
  if (/insufficient_quota/.test(text)) return 429
  if (/authentication|invalid_api_key|unauthenticated/.test(text)) return 401
  if (/permission/.test(text)) return 403
  if (/overloaded|unavailable/.test(text)) return 503
  if (/not_found/.test(text)) return 404
  if (/invalid_request|invalid_argument|context_length|content_(filter|policy)|invalid_prompt/.test(text)) return 400
  return 500
}

const FAULT_CODES: Readonly<Record<UpstreamFault['kind'], ErrorCode>> = {
  connect: 'upstream_unavailable',
  tls: 'upstream_unavailable',
  reset: 'upstream_error',
  protocol: 'upstream_invalid_response',
  aborted: 'upstream_error',
}

/** The connection failed, or broke before the answer was complete. */
export function classifyFault(fault: UpstreamFault, target: string): AttemptFailure {
  const message =
    fault.kind === 'connect' || fault.kind === 'tls'
      ? 'The provider cannot be reached.'
      : 'The connection to the provider broke.'
  const error = new GatewayError(FAULT_CODES[fault.kind], message, { detail: `${target}: ${fault.detail}` })
  return { ...failure('failure', fault.kind, 0, true, error), origin: 'network' }
}

/** A timer of the attempt ran out. */
export function timeoutFailure(which: 'first_token' | 'idle' | 'attempt' | 'commit', target: string): AttemptFailure {
  const words = {
    first_token: 'did not begin to answer in time',
    idle: 'stopped in the middle of its answer',
    attempt: 'did not finish in time',
    commit: 'sent no content in time',
  }[which]
  return failure(
    'failure',
    `${which}_timeout`,
    0,
    true,
    new GatewayError('upstream_timeout', `The provider ${words}.`, { detail: target }),
  )
}

/** The answer is not one: wrong type, wrong shape, broken JSON or SSE, cut off, too large. */
export function invalidAnswer(reason: string, target: string, detail = ''): AttemptFailure {
  return failure(
    'failure',
    reason,
    200,
    true,
    new GatewayError('upstream_invalid_response', 'The provider sent no valid answer.', {
      detail: `${target}: ${reason} ${detail}`,
    }),
  )
}

/** What a request that cannot be planned means for its fallbacks. */
export function kindOfRefusal(refusal: GatewayError): FailureKind {
  if (refusal.code === 'context_length_exceeded') return 'context'
  return refusal.code.startsWith('upstream_') ? 'failure' : 'client'
}

/** Text is with the client, and nobody can go on with it. */
export function streamInterrupted(failure: AttemptFailure): GatewayError {
  return new GatewayError('stream_interrupted', 'The provider broke off in the middle of its answer.', {
    detail: failure.error.detail ?? failure.reason,
  })
}
