import type { Client } from './client.ts'
import type { McpExchange } from './exchange.ts'
import type { Link } from './link.ts'
import { GatewayError } from '../core/errors.ts'
import { CallAccount } from './call-account.ts'
import { isObject, RPC, RpcFault, textIn, type JsonObject, type RpcRequest } from './json-rpc.ts'
import { grantName, placeOfName, placeOfUri } from './names.ts'
import { paramHeaders, receivedParams } from './param-headers.ts'
import { refuse } from './refuse.ts'
import { RoutedCall } from './routed-call.ts'
import { ownerOf } from './shown.ts'

interface Destination {
  readonly link: Link
  /** As the server has it. */
  readonly name: string
  readonly params: JsonObject
}

type Kind = 'tools' | 'prompts' | 'uri' | 'ref'

/** What names the server of a request. */
export const ROUTED: ReadonlyMap<string, Kind> = new Map([
  ['tools/call', 'tools'],
  ['prompts/get', 'prompts'],
  ['resources/read', 'uri'],
  ['resources/subscribe', 'uri'],
  ['resources/unsubscribe', 'uri'],
  ['completion/complete', 'ref'],
] as const)

const unknown = (what: string, name: string): RpcFault =>
  new RpcFault(RPC.params, `Unknown ${what}: ${name.slice(0, 256)}`, { status: 200 })

const needed = (field: string): RpcFault => new RpcFault(RPC.params, `\`${field}\` must be a string.`, { status: 200 })

const NOUNS = { tools: 'tool', prompts: 'prompt' } as const

async function ofBareName(x: McpExchange, client: Client, kind: 'tools' | 'prompts', name: string) {
  const { catalog, config } = x.endpoint
  const { found } = await catalog.all(x.view.links, client, kind)
  const owner = ownerOf(config, found, name)
  if (owner === null) throw unknown(NOUNS[kind], name)
  return { link: owner.link, name: owner.key }
}

function ofName(
  x: McpExchange,
  client: Client,
  kind: 'tools' | 'prompts',
  name: string,
): Omit<Destination, 'params'> | Promise<Omit<Destination, 'params'>> {
  if (x.view.scope !== '') return { link: x.view.links[0]!, name }
  const { config } = x.endpoint
  const place = placeOfName(config.servers, name)
  if (place !== null) return { link: x.endpoint.link(place.server)!, name: place.name }
  if (config.names === 'unique') return ofBareName(x, client, kind, name)
  throw unknown(NOUNS[kind], name)
}

function ofUri(x: McpExchange, uri: string): Omit<Destination, 'params'> {
  if (x.view.scope !== '') return { link: x.view.links[0]!, name: uri }
  const place = placeOfUri(uri)
  const link = place === null ? null : x.endpoint.link(place.server)
  if (link === null) throw unknown('resource', uri)
  return { link, name: place!.name }
}

function then<T, R>(value: T | Promise<T>, use: (value: T) => R): R | Promise<R> {
  return value instanceof Promise ? value.then(use) : use(value)
}

function destinationOf(
  x: McpExchange,
  client: Client,
  { method, params }: RpcRequest,
): Destination | Promise<Destination> {
  const kind = ROUTED.get(method)!
  if (kind === 'uri') {
    const uri = textIn(params, 'uri')
    if (uri === null) throw needed('uri')
    const place = ofUri(x, uri)
    return { ...place, params: { ...params, uri: place.name } }
  }
  if (kind === 'ref') return destinationOfRef(x, client, params)
  const name = textIn(params, 'name')
  if (name === null) throw needed('name')
  return then(ofName(x, client, kind, name), (place) => ({ ...place, params: { ...params, name: place.name } }))
}

function destinationOfRef(x: McpExchange, client: Client, params: JsonObject): Destination | Promise<Destination> {
  const { ref } = params
  if (!isObject(ref)) throw new RpcFault(RPC.params, '`ref` must be an object.', { status: 200 })
  const uri = textIn(ref, 'uri')
  if (ref['type'] === 'ref/resource' && uri !== null) {
    const place = ofUri(x, uri)
    return { ...place, params: { ...params, ref: { ...ref, uri: place.name } } }
  }
  const name = textIn(ref, 'name')
  if (name === null) throw needed('ref.name')
  return then(ofName(x, client, 'prompts', name), (place) => ({
    ...place,
    params: { ...params, ref: { ...ref, name: place.name } },
  }))
}

/** One request for one server. Never throws: whatever happens is its answer. */
export function route(x: McpExchange, client: Client, request: RpcRequest): void {
  x.open.add(request.id)
  const failed = (error: unknown): void => {
    const { name } = request.params
    const about = { server: '', name: typeof name === 'string' ? name : '', tool: '' }
    refuse(x, request, new CallAccount(x, request, about), error)
  }
  try {
    const destination = destinationOf(x, client, request)
    if (destination instanceof Promise) destination.then((found) => admit(x, client, request, found), failed)
    else admit(x, client, request, destination)
  } catch (error) {
    failed(error)
  }
}

function admit(x: McpExchange, client: Client, request: RpcRequest, to: Destination): void {
  const isTool = request.method === 'tools/call'
  const { link, name } = to
  const about = { server: link.name, name: grantName(link.config, name), tool: isTool ? name : '' }
  const account = new CallAccount(x, request, about)
  try {
    account.check()
    if (isTool && !x.endpoint.catalog.allows(link, name)) throw unknown('tool', textIn(request.params, 'name') ?? '')
    const waiting = account.admit()
    const prepare = (): readonly string[] | Promise<readonly string[]> =>
      isTool ? toolReady(x, client, to) : NO_HEADERS
    const ready = waiting === undefined ? prepare() : waiting.then(prepare)
    const go = (more: readonly string[]): void => call(x, client, request, { ...to, more, account })
    if (ready instanceof Promise) ready.then(go).catch((error: unknown) => refuse(x, request, account, error))
    else go(ready)
  } catch (error) {
    refuse(x, request, account, error)
  }
}

const NO_HEADERS: readonly string[] = []

/** What must be known of a tool before it is called, and the headers that repeat its arguments. */
function toolReady(
  x: McpExchange,
  client: Client,
  { link, name, params }: Destination,
): readonly string[] | Promise<readonly string[]> {
  const { pin, pins } = link.config
  const pinned = pin || Object.hasOwn(pins, name)
  const speaksModern = link.state.modern === true
  if (!pinned && (!speaksModern || client.modern)) return speaksModern ? receivedParams(x.received) : NO_HEADERS
  return x.endpoint.catalog.list(link, client, 'tools').then(({ byKey }) => {
    const tool = byKey.get(name)
    if (pinned && tool === undefined)
      throw new GatewayError(
        'permission_denied',
        `Tool '${name}' of MCP server '${link.name}' is not as it was approved.`,
        {
          detail: 'pinned',
        },
      )
    if (client.modern) return receivedParams(x.received)
    return tool === undefined ? NO_HEADERS : paramHeaders(tool, params['arguments'])
  })
}

interface Ready extends Destination {
  readonly more: readonly string[]
  readonly account: CallAccount
}

function call(x: McpExchange, client: Client, request: RpcRequest, { link, params, more, account }: Ready): void {
  // The client has left meanwhile.
  if (!x.open.delete(request.id) || x.over) {
    account.finish('client_closed')
    return
  }
  const routed = new RoutedCall(x, client, { request, link, params, account, more })
  x.calls.push(routed)
  routed.start()
}
