import type { McpExchange } from './exchange.ts'
import type { Client } from './client.ts'
import { CallAccount } from './call-account.ts'
import { initialize, discover } from './begin.ts'
import { resultText, RPC, RpcFault, type JsonObject, type RpcRequest } from './json-rpc.ts'
import { list, LIST_METHODS } from './lists.ts'
import { refuse } from './refuse.ts'
import { route, ROUTED } from './route.ts'

/** Answered by Heddle, or by all servers together. Rejects with GatewayError, RpcFault, ServerError. */
type Handler = (x: McpExchange, request: RpcRequest, account: CallAccount) => JsonObject | Promise<JsonObject>

const NOTHING = { server: '', name: '', tool: '' } as const

/** All servers that the client has a session with; those that fail do not keep the others from it. */
async function setLevel(x: McpExchange, { params, method }: RpcRequest): Promise<JsonObject> {
  const client = x.client!
  const links = x.view.links.filter((link) => link.state.capabilities?.['logging'] !== undefined)
  await Promise.allSettled(links.map((link) => link.ask(client, method, params, x.origin)))
  return {}
}

const OF_SESSIONS: Readonly<Record<string, Handler>> = {
  initialize: (x, request) => initialize(x, request),
  ping: () => ({}),
  'logging/setLevel': setLevel,
}
const MODERN_ONLY: Readonly<Record<string, Handler>> = {
  'server/discover': (x) => discover(x),
}

const NOT_IN_MODERN: ReadonlySet<string> = new Set(['resources/subscribe', 'resources/unsubscribe'])

/** One request. Never throws: whatever happens is its answer. */
export function dispatch(x: McpExchange, request: RpcRequest): void {
  const { method } = request
  const modern = x.client?.modern === true
  if (x.client !== null && ROUTED.has(method) && !(modern && NOT_IN_MODERN.has(method))) {
    route(x, x.client, request)
    return
  }
  const account = new CallAccount(x, request, NOTHING)
  const handler = handlerOf(method, x.client)
  x.open.add(request.id)
  try {
    if (handler === null)
      throw new RpcFault(RPC.method, `Method not found: ${method.slice(0, 128)}`, { status: modern ? 404 : 200 })
    account.check()
    const waiting = account.admit()
    const result =
      waiting === undefined ? handler(x, request, account) : waiting.then(() => handler(x, request, account))
    if (result instanceof Promise)
      result.then(
        (found) => succeed(x, request, account, found),
        (error: unknown) => refuse(x, request, account, error),
      )
    else succeed(x, request, account, result)
  } catch (error) {
    refuse(x, request, account, error)
  }
}

function handlerOf(method: string, client: Client | null): Handler | null {
  const own = client?.modern === true ? MODERN_ONLY : OF_SESSIONS
  if (Object.hasOwn(own, method)) return own[method]!
  const kind = LIST_METHODS.get(method)
  return kind === undefined || client === null ? null : (x, request) => list(x, client, kind, request)
}

function succeed(x: McpExchange, { id }: RpcRequest, account: CallAccount, result: JsonObject): void {
  account.finish('ok')
  if (!x.open.delete(id)) return
  x.outlet?.answer(resultText(id, result))
}
