import type { CallAccount } from './call-account.ts'
import type { McpExchange } from './exchange.ts'
import { logCallFault } from './call-log.ts'
import { isOurs, outcomeOf, rpcOf } from './faults.ts'
import { errorText, RpcFault, type RpcRequest } from './json-rpc.ts'

/** Answers a request that did not come as far as a server. */
export function refuse(x: McpExchange, { id, method }: RpcRequest, account: CallAccount, error: unknown): void {
  account.finish(outcomeOf(error))
  if (!x.open.delete(id)) return
  if (isOurs(error)) logCallFault(x, '', method, error)
  const status = error instanceof RpcFault && error.status === 404 ? 404 : 200
  x.outlet?.answer(errorText(id, rpcOf(error, x.requestId, '')), status)
}
