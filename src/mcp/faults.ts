import type { ErrorCode, GatewayError } from '../core/errors.ts'
import type { RpcError } from './json-rpc.ts'
import { GatewayError as Fault } from '../core/errors.ts'
import { RPC, RpcFault } from './json-rpc.ts'
import { ServerError } from './server-error.ts'

const CODES: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_request: RPC.invalid,
  invalid_json: RPC.parse,
  not_found: RPC.method,
  permission_denied: RPC.denied,
  rate_limited: RPC.limited,
  budget_exceeded: RPC.limited,
  upstream_rate_limited: RPC.limited,
  upstream_error: RPC.unavailable,
  upstream_invalid_response: RPC.unavailable,
  upstream_auth: RPC.unavailable,
  upstream_unavailable: RPC.unavailable,
  upstream_timeout: RPC.timeout,
  internal: RPC.internal,
}

/** What a client is told: which server it was, what happened, and by what the operator finds it again. */
export function rpcOf(error: unknown, requestId: string, server: string): RpcError {
  if (error instanceof ServerError) return error.rpc
  if (error instanceof RpcFault) {
    const { code, message, data } = error
    return { code, message, data: { ...data, request_id: requestId } }
  }
  const fault = Fault.from(error)
  return {
    code: CODES[fault.code] ?? RPC.refused,
    message: fault.message,
    data: {
      reason: fault.code,
      ...(server === '' ? {} : { server }),
      ...(fault.retryAfterMs === undefined ? {} : { retry_after_ms: Math.ceil(fault.retryAfterMs) }),
      request_id: requestId,
    },
  }
}

/** For records and metrics: `ok`, a code of ours, or `tool_error` and `server_error` of what the server itself says. */
export type Outcome = ErrorCode | 'ok' | 'tool_error' | 'server_error'

export function outcomeOf(error: unknown): Outcome {
  if (error instanceof ServerError) return 'server_error'
  if (error instanceof RpcFault) return 'invalid_request'
  return Fault.from(error).code
}

/** Faults of ours: they are logged with their cause. */
export const isOurs = (error: unknown): error is GatewayError =>
  !(error instanceof ServerError) && !(error instanceof RpcFault) && Fault.from(error).code === 'internal'
