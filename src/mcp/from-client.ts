import type { Client } from './client.ts'
import type { McpExchange } from './exchange.ts'
import type { Link } from './link.ts'
import {
  errorText,
  notificationText,
  resultText,
  type RpcId,
  type RpcNotification,
  type RpcResponse,
} from './json-rpc.ts'
import { untagged } from './names.ts'

const MAX_REASON = 256

const isId = (value: unknown): value is RpcId => typeof value === 'string' || typeof value === 'number'

/** Whose session it is; null = the client has none there, so nothing can have been asked. */
function placeOf(x: McpExchange, client: Client, tag: unknown): { link: Link; id: RpcId } | null {
  const place = isId(tag) ? untagged(tag) : null
  const link = place === null ? undefined : x.view.links.find(({ name }) => name === place.server)
  return link === undefined || link.knownTicket(client) === null ? null : { link, id: place!.id }
}

const tell = (link: Link, client: Client, text: string): void => {
  const ticket = link.knownTicket(client)
  if (ticket !== null) void link.pass(client, ticket, text)
}

/** What the client says of its own accord. */
export function takeNotification(x: McpExchange, client: Client, { method, params }: RpcNotification): void {
  if (method === 'notifications/cancelled') {
    cancel(x, client, params['requestId'], params['reason'])
    return
  }
  if (method === 'notifications/progress') {
    const place = placeOf(x, client, params['progressToken'])
    if (place !== null) tell(place.link, client, notificationText(method, { ...params, progressToken: place.id }))
    return
  }
  // Servers have been told already that the session has begun, each when its own had.
  if (method === 'notifications/roots/list_changed')
    for (const link of x.view.links) tell(link, client, notificationText(method, params))
}

/** The call is in this worker, or in another one. */
function cancel(x: McpExchange, client: Client, id: unknown, reason: unknown): void {
  if (!isId(id)) return
  const why = typeof reason === 'string' ? reason.slice(0, MAX_REASON) : 'the client took the request back'
  if (x.endpoint.running.cancel(client.key, id, why)) return
  x.endpoint.state.tell({ kind: 'cancel', key: client.key, id, reason: why })
}

/** An answer to what a server has asked the client. */
export function takeResponse(x: McpExchange, client: Client, { id, result, error }: RpcResponse): void {
  const place = placeOf(x, client, id)
  if (place === null) return
  tell(place.link, client, error === null ? resultText(place.id, result ?? {}) : errorText(place.id, error))
}
