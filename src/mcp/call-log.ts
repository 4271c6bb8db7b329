import type { Turn } from './turn.ts'
import { GatewayError } from '../core/errors.ts'
import { ERROR_CODES } from '../core/errors.ts'
import { RpcFault } from './json-rpc.ts'
import { ServerError } from './server-error.ts'

/** What was answered with an error: faults of ours with their cause, of servers with what they are. */
export function logCallFault({ services, requestId }: Turn, server: string, method: string, error: unknown): void {
  // A server's own answer, or a client's mistake.
  if (error instanceof ServerError || error instanceof RpcFault) return
  const fault = GatewayError.from(error)
  const { level } = ERROR_CODES[fault.code]
  const cause = fault.cause instanceof Error ? (fault.cause.stack ?? fault.cause.message) : undefined
  const fields = { request_id: requestId, server, method, code: fault.code, error: fault.message }
  services.log(level, { ...fields, detail: fault.detail, cause }, 'MCP request failed')
}
