import type { RpcError, RpcMessage } from './json-rpc.ts'
import { GatewayError } from '../core/errors.ts'

/** A request that a server has answered with an error of its own. */
export class ServerError extends Error {
  readonly rpc: RpcError
  constructor(rpc: RpcError) {
    super(rpc.message)
    this.name = 'ServerError'
    this.rpc = rpc
  }
}

/** A request that a server did not take, by the status of HTTP. */
export class ServerRefusal extends GatewayError {
  readonly httpStatus: number
  /** Its own message, when it is JSON-RPC. */
  readonly rpc: RpcMessage | null

  constructor(server: string, httpStatus: number, rpc: RpcMessage | null, retryAfterMs?: number) {
    const code = httpStatus === 401 || httpStatus === 403 ? 'upstream_auth' : codeOfStatus(httpStatus)
    super(code, `MCP server '${server}' answered with HTTP status ${httpStatus}.`, {
      detail: `http status ${httpStatus}`,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    })
    this.httpStatus = httpStatus
    this.rpc = rpc
  }
}

const codeOfStatus = (status: number) => {
  if (status === 429) return 'upstream_rate_limited'
  if (status === 503) return 'upstream_unavailable'
  return status >= 500 ? 'upstream_error' : 'upstream_invalid_response'
}
