import type { Client } from './client.ts'
import type { Link } from './link.ts'
import type { McpEndpoint } from './endpoint.ts'
import type { ServerTicket } from './session-token.ts'
import type { ListKind } from './state.ts'
import type { View } from './shown.ts'
import {
  errorText,
  isObject,
  notificationText,
  requestText,
  resultText,
  RPC,
  type JsonObject,
  type RpcId,
  type RpcNotification,
  type RpcRequest,
} from './json-rpc.ts'
import { sharedUri, tagged } from './names.ts'

/** Where what a server says of its own accord goes. */
export interface ToClient {
  readonly endpoint: McpEndpoint
  readonly view: View
  /** null or takesMessages false = there is no way to the client. */
  readonly outlet: { readonly takesMessages: boolean; message(text: string): void } | null
}

const CHANGES: Readonly<Record<string, readonly ListKind[]>> = {
  'notifications/tools/list_changed': ['tools'],
  'notifications/prompts/list_changed': ['prompts'],
  'notifications/resources/list_changed': ['resources', 'templates'],
}

/** What a server says beside its answers. */
export interface Said {
  readonly client: Client
  readonly link: Link
  /** In which session. */
  readonly ticket: ServerTicket
  readonly message: RpcRequest | RpcNotification
  /** The message as it came. */
  readonly text: string
  /** The token of progress that the server knows, and the client's own; left out or null = they are the same. */
  readonly tokens?: Tokens | null
}

export interface Tokens {
  readonly sent: RpcId
  readonly own: unknown
}

/** Passes it to the client, or to the gateway itself. */
export function fromServer(to: ToClient, said: Said): void {
  const { client, link, message, text, tokens = null } = said
  if (message.kind === 'request') {
    askClient(to, said, message)
    return
  }
  const { endpoint, outlet, view } = to
  for (const kind of CHANGES[message.method] ?? []) endpoint.catalog.stale(link, client, kind)
  if (outlet?.takesMessages !== true) return
  const changed = shownNotification(view, link, message, tokens)
  if (changed !== DROPPED) outlet.message(changed === null ? text : notificationText(message.method, changed))
}

const DROPPED = 'dropped'

/** Its parameters as the client knows them; null = as they are. */
function shownNotification(
  view: View,
  { name }: Link,
  { method, params }: RpcNotification,
  tokens: Tokens | null,
): JsonObject | null | typeof DROPPED {
  if (method === 'notifications/progress' && tokens !== null && params['progressToken'] === tokens.sent)
    return tokens.own === undefined ? DROPPED : { ...params, progressToken: tokens.own }
  if (method === 'notifications/cancelled') {
    const { requestId } = params
    return isRpcId(requestId) ? { ...params, requestId: tagged(name, requestId) } : DROPPED
  }
  if (method === 'notifications/resources/updated' && view.scope === '' && typeof params['uri'] === 'string')
    return { ...params, uri: sharedUri(name, params['uri']) }
  return null
}

const isRpcId = (value: unknown): value is RpcId =>
  typeof value === 'string' || (typeof value === 'number' && Number.isSafeInteger(value))

/** Sampling, elicitation, roots: the client's answer finds its way back by the id. */
function askClient({ outlet }: ToClient, { client, link, ticket }: Said, { id, method, params }: RpcRequest): void {
  if (method === 'ping') {
    void link.pass(client, ticket, resultText(id, {}))
    return
  }
  if (client.modern || outlet?.takesMessages !== true) {
    const error = { code: RPC.method, message: 'The client cannot be asked.' }
    void link.pass(client, ticket, errorText(id, error))
    return
  }
  const { _meta: meta } = params
  const token = isObject(meta) ? meta['progressToken'] : undefined
  const asked = isRpcId(token)
    ? { ...params, _meta: { ...(meta as JsonObject), progressToken: tagged(link.name, token) } }
    : params
  outlet.message(requestText(tagged(link.name, id), method, asked))
}
