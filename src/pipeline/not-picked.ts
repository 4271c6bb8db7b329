import type { GatewayError } from '../core/errors.ts'
import { NOT_CALLED, type AttemptFailure } from '../routing/failure.ts'

/** Whoever chooses an address has turned the call away: nobody was called. */
export const notPicked = (error: GatewayError): AttemptFailure => ({
  kind: 'limited',
  reason: error.code,
  status: 0,
  retryable: true,
  retryAfterMs: error.retryAfterMs,
  ...NOT_CALLED,
  error,
})
