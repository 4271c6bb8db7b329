import { LRUCache } from 'lru-cache'
import type { JsonObject, RpcId } from './json-rpc.ts'
import type { ServerTicket } from './session-token.ts'

/** What workers of a process tell each other. */
export type Gossip =
  | { readonly kind: 'ticket'; readonly key: string; readonly server: string; readonly ticket: ServerTicket | null }
  | { readonly kind: 'ended'; readonly key: string }
  | { readonly kind: 'cancel'; readonly key: string; readonly id: RpcId; readonly reason: string }
  | { readonly kind: 'stale'; readonly server: string; readonly list: ListKind; readonly scope: string }
  | { readonly kind: 'seen'; readonly server: string; readonly tool: string; readonly hash: string }

export interface GossipLine {
  send(message: Gossip): void
  /** Of other workers. */
  onMessage(listener: (message: Gossip) => void): void
  close(): void
}

export const LIST_KINDS = ['tools', 'prompts', 'resources', 'templates'] as const
export type ListKind = (typeof LIST_KINDS)[number]

/** Sessions of servers that are remembered beside those that clients carry. */
const MAX_TICKETS = 50_000
const MAX_ENDED = 50_000
/** Tools whose look is remembered, of one server. */
const MAX_TOOLS = 20_000

/** What a worker knows of one server; it outlives configurations. */
export class ServerState {
  /** Speaks without a handshake; null = not known. */
  modern: boolean | null = null
  /** Speaks with one; null = not known. */
  handshake: boolean | null = null
  /** As it last said. */
  capabilities: JsonObject | null = null
  instructions = ''
  /** Monotonic ms: until then it is not asked again. */
  downUntil = 0
  up: boolean | null = null
  /** SHA-256 of each tool when it was first seen, by name. */
  readonly seen = new Map<string, string>()
  /** Those that have changed since. */
  readonly changed = new Map<string, string>()

  /** False = it was seen before, and looked different. */
  note(tool: string, hash: string): boolean {
    const known = this.seen.get(tool)
    if (known === undefined) {
      if (this.seen.size < MAX_TOOLS) this.seen.set(tool, hash)
      return true
    }
    return known === hash
  }
}

/** What a worker remembers of sessions and servers. */
export class McpState {
  /** By session and server; over those that the client carries. */
  readonly #tickets = new LRUCache<string, { readonly ticket: ServerTicket | null }>({ max: MAX_TICKETS })
  readonly #ended: LRUCache<string, true>
  readonly #servers = new Map<string, ServerState>()
  readonly #line: GossipLine | null
  readonly #listeners: ((message: Gossip) => void)[] = []

  /** sessionMs: a session is surely over so long after it ended. line: null = there is one worker. */
  constructor(sessionMs: number, line: GossipLine | null) {
    this.#ended = new LRUCache({ max: MAX_ENDED, ttl: Math.max(1, Math.ceil(sessionMs)) })
    this.#line = line
    line?.onMessage((message) => this.#heard(message))
  }

  /** key: name and URL: another address is another server. */
  server(key: string): ServerState {
    let state = this.#servers.get(key)
    if (state === undefined) this.#servers.set(key, (state = new ServerState()))
    return state
  }

  /** undefined = nothing newer than what the client carries; null = that one is not known any more. */
  ticket(session: string, server: string): ServerTicket | null | undefined {
    return this.#tickets.get(`${session}/${server}`)?.ticket
  }

  /** shared: other workers may meet the session, too. */
  putTicket(session: string, server: string, ticket: ServerTicket | null): void {
    this.#tickets.set(`${session}/${server}`, { ticket })
    this.#line?.send({ kind: 'ticket', key: session, server, ticket })
  }

  hasEnded(session: string): boolean {
    return this.#ended.has(session)
  }

  end(session: string): void {
    this.#ended.set(session, true)
    this.#line?.send({ kind: 'ended', key: session })
  }

  tell(message: Gossip): void {
    this.#line?.send(message)
  }

  /** What other workers tell, beside tickets and ends. */
  onGossip(listener: (message: Gossip) => void): () => void {
    this.#listeners.push(listener)
    return () => {
      const at = this.#listeners.indexOf(listener)
      if (at >= 0) this.#listeners.splice(at, 1)
    }
  }

  #heard(message: Gossip): void {
    if (message.kind === 'ticket') {
      const { key, server, ticket } = message
      this.#tickets.set(`${key}/${server}`, { ticket })
    } else if (message.kind === 'ended') this.#ended.set(message.key, true)
    for (const listener of this.#listeners) listener(message)
  }

  close(): void {
    this.#line?.close()
  }
}
