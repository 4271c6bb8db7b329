import type { Client } from './client.ts'
import type { McpExchange } from './exchange.ts'
import type { Link } from './link.ts'
import type { ServerTicket, Session } from './session-token.ts'
import { GatewayError } from '../core/errors.ts'
import { isObject, RPC, RpcFault, textIn, type JsonObject, type RpcRequest } from './json-rpc.ts'
import { agreed, META, REVISIONS } from './revisions.ts'
import { callerOf, SessionSealer } from './session-token.ts'

const MAX_TEXT = 128
const MAX_CAPABILITIES = 4096
const MAX_INSTRUCTIONS = 32 * 1024

/** A client's word on itself, short enough to be carried in a header. */
function shortInfo(info: JsonObject): JsonObject {
  const short = (name: string): string | undefined => textIn(info, name)?.slice(0, MAX_TEXT)
  const title = short('title')
  return {
    name: short('name') ?? 'unknown',
    version: short('version') ?? '0',
    ...(title === undefined ? {} : { title }),
  }
}

/** What is not known here could not be passed on: tasks, and what has not been thought of. */
const PASSED = ['sampling', 'elicitation', 'roots'] as const

function shortCapabilities(capabilities: JsonObject): JsonObject {
  const kept = Object.fromEntries(
    PASSED.flatMap((name) => (isObject(capabilities[name]) ? [[name, capabilities[name]]] : [])),
  )
  if (JSON.stringify(kept).length <= MAX_CAPABILITIES) return kept
  return Object.fromEntries(Object.keys(kept).map((name) => [name, {}]))
}

/** What all servers together can do. Lists of tools are always there: a server that is down may come back. */
function capabilitiesOf(links: readonly Link[], modern: boolean): JsonObject {
  const has = (name: string): boolean => links.some(({ state }) => state.capabilities?.[name] !== undefined)
  const says = (name: string, flag: string): boolean =>
    links.some(({ state }) => {
      const found = state.capabilities?.[name]
      return isObject(found) && found[flag] === true
    })
  return {
    tools: { listChanged: true },
    ...(has('prompts') ? { prompts: { listChanged: true } } : {}),
    ...(has('resources') ? { resources: { listChanged: true, subscribe: says('resources', 'subscribe') } } : {}),
    ...(has('completions') ? { completions: {} } : {}),
    ...(has('logging') && !modern ? { logging: {} } : {}),
  }
}

function instructionsOf(links: readonly Link[], scope: string): JsonObject {
  const told = links.filter(({ state }) => state.instructions !== '')
  if (told.length === 0) return {}
  const text =
    scope === ''
      ? told
          .map(({ config, state }) => `# ${config.name} (names begin with ${config.prefix})\n\n${state.instructions}`)
          .join('\n\n')
      : told[0]!.state.instructions
  return { instructions: text.slice(0, MAX_INSTRUCTIONS) }
}

const serverInfo = (x: McpExchange): JsonObject => ({
  name: x.view.scope === '' ? 'heddle' : `heddle/${x.view.scope}`,
  title: 'Heddle',
  version: x.endpoint.version,
})

/** At a server's own endpoint nothing is left without it. */
function mustReach(x: McpExchange, results: readonly PromiseSettledResult<unknown>[]): void {
  const [only] = results
  if (x.view.scope !== '' && only?.status === 'rejected') throw only.reason
}

/** Begins a session here and at all servers that can be reached. Rejects with RpcFault, GatewayError, ServerError. */
export async function initialize(x: McpExchange, { params }: RpcRequest): Promise<JsonObject> {
  x.outlet?.wait()
  if (x.client !== null) throw new RpcFault(RPC.invalid, 'The session has begun already.')
  const asked = textIn(params, 'protocolVersion')
  const { clientInfo, capabilities } = params
  if (asked === null || !isObject(clientInfo) || !isObject(capabilities))
    throw new RpcFault(RPC.params, '`initialize` needs protocolVersion, clientInfo and capabilities.')
  const client: Client = {
    key: SessionSealer.nonce(),
    modern: false,
    revision: agreed(asked),
    clientInfo: shortInfo(clientInfo),
    capabilities: shortCapabilities(capabilities),
    tickets: {},
    tenant: x.principal.tenant,
  }
  const { links } = x.view
  const results = await Promise.allSettled(links.map((link) => link.begin(client)))
  mustReach(x, results)
  const tickets: Record<string, ServerTicket> = {}
  for (const [i, result] of results.entries()) if (result.status === 'fulfilled') tickets[links[i]!.name] = result.value
  const id = seal(x, client, tickets)
  x.metrics.session('', 'begun')
  x.outlet?.addHeaders('mcp-session-id', id)
  return {
    protocolVersion: client.revision,
    capabilities: capabilitiesOf(links, false),
    serverInfo: serverInfo(x),
    ...instructionsOf(links, x.view.scope),
  }
}

function seal(x: McpExchange, client: Client, servers: Readonly<Record<string, ServerTicket>>): string {
  const { sealer, config, state } = x.endpoint
  const { key: nonce, revision, clientInfo, capabilities } = client
  const expiresAt = x.services.clock.now() + config.session.ttlMs
  const session: Session = { nonce, expiresAt, scope: x.view.scope, revision, clientInfo, capabilities, servers }
  const caller = callerOf(x.principal)
  const id = sealer.seal(session, caller)
  if (id !== null) return id
  // Too many servers with too long ids: the workers of this process remember them.
  for (const [name, ticket] of Object.entries(servers)) state.putTicket(nonce, name, ticket)
  const shorter = sealer.seal({ ...session, servers: {} }, caller)
  if (shorter === null) throw new GatewayError('internal', 'The session cannot be sealed.')
  return shorter
}

/** What a client without a session may ask first (2026-07-28, server/discover). */
export async function discover(x: McpExchange): Promise<JsonObject> {
  const { links } = x.view
  const client = x.client!
  const results = await Promise.allSettled(links.map(async (link) => link.ticketOf(client)))
  mustReach(x, results)
  return {
    resultType: 'complete',
    supportedVersions: REVISIONS,
    capabilities: capabilitiesOf(links, true),
    ...instructionsOf(links, x.view.scope),
    ttlMs: x.endpoint.config.listTtlMs,
    cacheScope: 'private',
    _meta: { [META.serverInfo]: serverInfo(x) },
  }
}
