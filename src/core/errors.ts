/**
 * The one error class and the one table of codes.
 * Codes are stable API: clients and dashboards match on them. Rendering into a dialect's envelope is protocol's job.
 */

interface CodeRow {
  /** HTTP status sent to the client. */
  readonly status: number
  /** `type` in the OpenAI envelope. */
  readonly type: string
  /** The same request may succeed later: the client's SDK is told so (`x-should-retry`). */
  readonly retryable: boolean
  /** Access-log level of a request that ends with this code. */
  readonly level: 'info' | 'warn' | 'error'
  /** Shown in docs/reference/errors.md: what the caller or operator can do. */
  readonly help: string
}

const row = (status: number, type: string, retryable: boolean, level: CodeRow['level'], help: string): CodeRow => ({
  status,
  type,
  retryable,
  level,
  help,
})

export const ERROR_CODES = {
  invalid_request: row(
    400,
    'invalid_request_error',
    false,
    'info',
    'Correct the named field and send the request again.',
  ),
  invalid_json: row(
    400,
    'invalid_request_error',
    false,
    'info',
    'Send a body that is valid UTF-8 JSON (RFC 8259) without duplicate keys.',
  ),
  unsupported_parameter: row(
    400,
    'invalid_request_error',
    false,
    'info',
    'Remove the parameter, or use a model whose targets support it.',
  ),
  context_length_exceeded: row(
    400,
    'invalid_request_error',
    false,
    'info',
    'Shorten the prompt, or configure a context-window fallback for the model.',
  ),
  content_filter: row(
    400,
    'invalid_request_error',
    false,
    'info',
    'The provider refused the content; change the prompt or configure a content-policy fallback.',
  ),
  unauthenticated: row(401, 'authentication_error', false, 'info', 'Send a valid key as `Authorization: Bearer ...`.'),
  permission_denied: row(
    403,
    'permission_error',
    false,
    'info',
    'Ask the operator for access to this model or operation.',
  ),
  not_found: row(404, 'invalid_request_error', false, 'info', 'Check the path; the OpenAI API lives below /v1.'),
  model_not_found: row(
    404,
    'invalid_request_error',
    false,
    'info',
    'Use a model that `GET /v1/models` lists, or add it to the configuration.',
  ),
  method_not_allowed: row(405, 'invalid_request_error', false, 'info', 'Use the method named in the `allow` header.'),
  request_timeout: row(
    408,
    'invalid_request_error',
    true,
    'info',
    'The request did not arrive in time; send it faster or in smaller parts.',
  ),
  payload_too_large: row(
    413,
    'invalid_request_error',
    false,
    'info',
    'Send a smaller body, or raise `server.limits.body`.',
  ),
  unsupported_media_type: row(
    415,
    'invalid_request_error',
    false,
    'info',
    'Send `application/json`, plain or encoded with gzip, deflate, br or zstd.',
  ),
  headers_too_large: row(431, 'invalid_request_error', false, 'info', 'Send fewer or shorter headers.'),
  rate_limited: row(429, 'rate_limit_error', true, 'info', 'Wait as long as `retry-after` says.'),
  budget_exceeded: row(
    429,
    'rate_limit_error',
    true,
    'info',
    'The budget is used up: wait until it begins anew (`retry-after`), or ask the operator to raise it.',
  ),
  client_closed: row(
    499,
    'client_closed',
    false,
    'info',
    'The client went away before the answer was complete; nothing to do.',
  ),
  internal: row(500, 'internal_error', false, 'error', 'A fault in Heddle; report it with the request id.'),
  upstream_error: row(
    502,
    'upstream_error',
    true,
    'warn',
    'The provider failed; try again, or give the model another target to fail over to.',
  ),
  upstream_invalid_response: row(
    502,
    'upstream_error',
    true,
    'warn',
    'The provider sent something that is not an answer; check its base_url and dialect.',
  ),
  upstream_auth: row(
    502,
    'upstream_error',
    false,
    'error',
    'The provider refused the configured credentials; the operator must correct them.',
  ),
  upstream_rate_limited: row(
    429,
    'rate_limit_error',
    true,
    'warn',
    'The provider is rate limiting; wait as long as `retry-after` says, or add a target.',
  ),
  upstream_unavailable: row(
    503,
    'upstream_error',
    true,
    'warn',
    'No target can take the request now; wait as long as `retry-after` says.',
  ),
  upstream_timeout: row(
    504,
    'upstream_error',
    true,
    'warn',
    'The provider did not answer in time; raise the timers of the route or add a target.',
  ),
  deadline_exceeded: row(
    504,
    'upstream_error',
    false,
    'info',
    'Give the call more time: its deadline comes from the SDK’s timeout, a header, or the route of a proxy.',
  ),
  stream_interrupted: row(
    502,
    'upstream_error',
    true,
    'warn',
    'The answer broke off after it had begun; what came so far is incomplete.',
  ),
  overloaded: row(
    503,
    'overloaded_error',
    true,
    'warn',
    'Heddle sheds load; wait as long as `retry-after` says, or add workers or replicas.',
  ),
  draining: row(
    503,
    'overloaded_error',
    true,
    'info',
    'This instance is shutting down; retry, a new connection reaches another one.',
  ),
  proxy_misconfigured: row(
    500,
    'internal_error',
    false,
    'error',
    'The operator must set up the proxy in front as the guide of the policy service says.',
  ),
  config_invalid: row(
    500,
    'internal_error',
    false,
    'error',
    'Correct the configuration at the named file, line and column.',
  ),
} as const satisfies Record<string, CodeRow>

export type ErrorCode = keyof typeof ERROR_CODES

export interface GatewayErrorOptions {
  readonly cause?: unknown
  /** The request field at fault, for the envelope's `param`. */
  readonly param?: string | undefined
  /** How long the caller should wait, in ms. */
  readonly retryAfterMs?: number | undefined
  /** Sent with the error, flat: name, value. Such as the limits that refused. */
  readonly headers?: readonly string[] | undefined
  /** For the log only: never sent to a client. Must not hold secrets or content. */
  readonly detail?: string | undefined
  /** Overrides the table's status: only for client mistakes that a provider reported with another 4xx. */
  readonly status?: number | undefined
  /** The message is a provider's, fit for the client as it is: no help sentence is added. */
  readonly verbatim?: boolean | undefined
  /** A provider's own `code` (such as `insufficient_quota`), shown instead of ours when it helps the client. */
  readonly publicCode?: string | undefined
}

const NO_HEADERS: readonly string[] = []
const BRAND = Symbol.for('heddle.GatewayError')

export class GatewayError extends Error {
  readonly [BRAND] = true
  readonly code: ErrorCode
  readonly status: number
  readonly param: string | undefined
  readonly retryAfterMs: number | undefined
  readonly detail: string | undefined
  readonly publicCode: string
  readonly headers: readonly string[]
  readonly verbatim: boolean

  constructor(code: ErrorCode, message: string, options: GatewayErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'GatewayError'
    this.code = code
    this.status = options.status ?? ERROR_CODES[code].status
    this.param = options.param
    this.retryAfterMs = options.retryAfterMs
    this.detail = options.detail
    this.publicCode = options.publicCode ?? code
    this.headers = options.headers ?? NO_HEADERS
    this.verbatim = options.verbatim === true
  }

  /** By brand, not by `instanceof`: holds across realms and duplicate copies of the package. */
  static is(value: unknown): value is GatewayError {
    return typeof value === 'object' && value !== null && BRAND in value
  }

  /** Anything thrown becomes a GatewayError; what is not one already is a fault of ours. */
  static from(value: unknown): GatewayError {
    if (GatewayError.is(value)) return value
    return new GatewayError('internal', 'Heddle failed to handle this request.', { cause: value })
  }
}
