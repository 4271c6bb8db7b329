/** The errors of the OpenAI API, as its SDKs expect them: `{"error":{"message","type","param","code"}}`, all four keys. */
import type { JsonObject } from './json.ts'

export interface ApiErrorOptions {
  readonly type?: string
  readonly param?: string | null
  readonly code?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

export class ApiError extends Error {
  readonly status: number
  readonly type: string
  readonly param: string | null
  readonly code: string | null
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    const usual = usualError(status)
    this.type = options.type ?? usual.type
    this.code = options.code === undefined ? usual.code : options.code
    this.param = options.param ?? null
    this.headers = options.headers ?? {}
  }

  envelope(): JsonObject {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } }
  }
}

interface Usual {
  readonly type: string
  readonly code: string | null
  readonly message: string
}

const USUAL: Readonly<Record<number, Usual>> = {
  400: { type: 'invalid_request_error', code: null, message: 'The request is invalid.' },
  401: { type: 'invalid_request_error', code: 'invalid_api_key', message: 'Incorrect API key provided.' },
  402: {
    type: 'insufficient_quota',
    code: 'billing_hard_limit_reached',
    message: 'Billing hard limit has been reached.',
  },
  403: { type: 'permission_error', code: 'permission_denied', message: 'You do not have access to this resource.' },
  404: {
    type: 'invalid_request_error',
    code: 'model_not_found',
    message: 'The model does not exist or you do not have access to it.',
  },
  405: {
    type: 'invalid_request_error',
    code: 'method_not_supported',
    message: 'Not allowed to use this method on this path.',
  },
  408: { type: 'timeout', code: 'request_timeout', message: 'The request timed out.' },
  409: { type: 'invalid_request_error', code: 'conflict', message: 'The resource was changed by another request.' },
  413: { type: 'invalid_request_error', code: 'request_too_large', message: 'The request body is too large.' },
  415: { type: 'invalid_request_error', code: 'unsupported_media_type', message: 'The content type is not supported.' },
  422: {
    type: 'invalid_request_error',
    code: 'unprocessable_entity',
    message: 'The request was well-formed but cannot be processed.',
  },
  429: { type: 'requests', code: 'rate_limit_exceeded', message: 'Rate limit reached. Please try again later.' },
  500: {
    type: 'server_error',
    code: null,
    message: 'The server had an error while processing your request. Sorry about that!',
  },
  502: { type: 'server_error', code: 'bad_gateway', message: 'Bad gateway.' },
  503: {
    type: 'service_unavailable',
    code: 'service_unavailable',
    message: 'The engine is currently overloaded, please try again later.',
  },
  504: { type: 'timeout', code: 'gateway_timeout', message: 'The upstream server took too long to answer.' },
  529: { type: 'overloaded_error', code: 'overloaded', message: 'Overloaded.' },
}

/** What OpenAI (or the provider known for the status) sends with it. */
export const usualError = (status: number): Usual =>
  USUAL[status] ??
  (status >= 500
    ? { type: 'server_error', code: null, message: `Simulated error ${status}.` }
    : { type: 'invalid_request_error', code: null, message: `Simulated error ${status}.` })

/** A 400 that names the field at fault. */
export const badRequest = (message: string, param: string | null, code: string | null = null): ApiError =>
  new ApiError(400, message, { param, code })
