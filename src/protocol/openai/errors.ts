import { ERROR_CODES, type GatewayError } from '../../core/errors.ts'

/** The OpenAI error envelope: all four keys always there (openai-openapi `Error`), plus the request id. */
export function errorJson(error: GatewayError, requestId: string): string {
  const row = ERROR_CODES[error.code]
  return JSON.stringify({
    error: {
      message: error.verbatim ? error.message : `${error.message} ${row.help}`,
      type: row.type,
      param: error.param ?? null,
      code: error.publicCode,
      request_id: requestId,
    },
  })
}

/** An error after the stream has begun: SDKs raise it (openai-node `Stream`), and no `[DONE]` follows. */
export function errorEvent(error: GatewayError, requestId: string): string {
  return `data: ${errorJson(error, requestId)}\n\n`
}

/** The same in the Responses dialect, whose events have a type and a number (openai-openapi `ResponseErrorEvent`). */
export function responsesErrorEvent(error: GatewayError, requestId: string, sequenceNumber: number): string {
  const row = ERROR_CODES[error.code]
  const data = {
    type: 'error',
    code: error.publicCode,
    message: error.verbatim ? error.message : `${error.message} ${row.help}`,
    param: error.param ?? null,
    sequence_number: sequenceNumber,
    request_id: requestId,
  }
  return `event: error\ndata: ${JSON.stringify(data)}\n\n`
}

const SDK_MAX_WAIT_MS = 60_000

/** Headers of an error answer, flat. SDKs ignore a retry-after over 60 s and retry at once: they are told not to. */
export function errorHeaders(error: GatewayError): string[] {
  const headers: string[] = [...error.headers]
  const { retryAfterMs } = error
  if (retryAfterMs !== undefined) {
    headers.push(
      'retry-after',
      String(Math.max(1, Math.ceil(retryAfterMs / 1000))),
      'retry-after-ms',
      String(Math.ceil(retryAfterMs)),
    )
  }
  const retryStatus = error.status === 408 || error.status === 409 || error.status === 429 || error.status >= 500
  if (retryStatus && (!ERROR_CODES[error.code].retryable || (retryAfterMs ?? 0) > SDK_MAX_WAIT_MS))
    headers.push('x-should-retry', 'false')
  return headers
}
