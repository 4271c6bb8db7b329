import { LRUCache } from 'lru-cache'
import type { McpServerConfig } from '../contracts/config-mcp.ts'
import type { Services } from '../pipeline/services.ts'
import type { Client } from './client.ts'
import type { Link } from './link.ts'
import type { McpMetrics } from './metrics.ts'
import type { ListKind, McpState } from './state.ts'
import { compileGlobs, type Matcher } from '../core/glob.ts'
import { fetchList, LISTS } from './list-fetch.ts'
import { textIn, type JsonObject } from './json-rpc.ts'
import { toolHash } from './tool-hash.ts'

/** One entry as its server has it. */
export interface Listed {
  readonly link: Link
  /** Name, URI or template. */
  readonly key: string
  readonly item: JsonObject
}

/** What a server lists; null = it could not be had. */
interface Kept {
  readonly items: readonly JsonObject[]
  readonly byKey: ReadonlyMap<string, JsonObject>
  /** Monotonic ms. */
  readonly until: number
}

const MAX_LISTS = 500
/** However long a server says that a list holds, ms. */
const MAX_TTL_MS = 3_600_000

export interface CatalogParts {
  readonly services: Services
  readonly state: McpState
  readonly metrics: McpMetrics
  readonly ttlMs: number
  /** Entries of a list. */
  readonly max: number
}

/** Lists of all servers, kept for a while. One a configuration. */
export class Catalog {
  readonly #parts: CatalogParts
  readonly #kept = new LRUCache<string, Kept>({ max: MAX_LISTS })
  readonly #coming = new Map<string, Promise<Kept>>()
  readonly #allowed = new Map<McpServerConfig, Matcher>()
  readonly #stopGossip: () => void

  constructor(parts: CatalogParts) {
    this.#parts = parts
    this.#stopGossip = parts.state.onGossip((message) => {
      if (message.kind === 'stale') this.#drop(message.server, message.list, message.scope)
      else if (message.kind === 'seen') this.#heard(message.server, message.tool, message.hash)
    })
  }

  close(): void {
    this.#stopGossip()
  }

  readonly #links = new Map<string, Link>()

  add(link: Link): void {
    this.#links.set(link.name, link)
  }

  #heard(server: string, tool: string, hash: string): void {
    const state = this.#links.get(server)?.state
    // The first look of any worker is that of all.
    if (state !== undefined && !state.seen.has(tool)) state.note(tool, hash)
  }

  /** A session may see other tools than the next one; without one all that call with one key see the same. */
  #scope(link: Link, client: Client): string {
    const ticket = link.knownTicket(client)
    return ticket !== null && ticket.id !== '' ? client.key : `tenant ${client.tenant}`
  }

  /** The server says that a list has changed. */
  stale(link: Link, client: Client, kind: ListKind): void {
    const scope = this.#scope(link, client)
    this.#drop(link.name, kind, scope)
    this.#parts.state.tell({ kind: 'stale', server: link.name, list: kind, scope })
  }

  #drop(server: string, kind: ListKind, scope: string): void {
    this.#kept.delete(`${server} ${kind} ${scope}`)
  }

  /** May anybody use a tool of that name? By the configuration alone. */
  allows({ config }: Link, tool: string): boolean {
    let matches = this.#allowed.get(config)
    if (matches === undefined) {
      const given = config.tools === null ? null : compileGlobs(config.tools)
      const denied = compileGlobs(config.deny)
      matches = (name) => (given === null || given(name)) && !denied(name)
      this.#allowed.set(config, matches)
    }
    return matches(tool)
  }

  /** A list of one server, all of it. Rejects as Link.ask(). */
  async list(link: Link, client: Client, kind: ListKind): Promise<Kept> {
    await link.ticketOf(client)
    if (!this.#has(link, kind)) return EMPTY
    const key = `${link.name} ${kind} ${this.#scope(link, client)}`
    const kept = this.#kept.get(key)
    if (kept !== undefined && kept.until > link.now()) return kept
    let coming = this.#coming.get(key)
    if (coming === undefined) {
      coming = this.#fetch(link, client, kind, key).finally(() => this.#coming.delete(key))
      this.#coming.set(key, coming)
    }
    return coming
  }

  #has({ state }: Link, kind: ListKind): boolean {
    return state.capabilities === null || state.capabilities[LISTS[kind].capability] !== undefined
  }

  async #fetch(link: Link, client: Client, kind: ListKind, key: string): Promise<Kept> {
    const { ttlMs, max } = this.#parts
    const fetched = await fetchList(link, client, kind, max)
    const items = kind === 'tools' ? fetched.items.filter((item) => this.#fits(link, item)) : fetched.items
    const field = LISTS[kind].key
    const byKey = new Map(items.map((item) => [textIn(item, field)!, item]))
    const holds = fetched.ttlMs < 0 ? ttlMs : Math.min(fetched.ttlMs, MAX_TTL_MS)
    const kept = { items, byKey, until: link.now() + holds }
    this.#kept.set(key, kept)
    return kept
  }

  /** Allowed, and not another one than was seen before where that matters. */
  #fits(link: Link, item: JsonObject): boolean {
    const name = textIn(item, 'name')!
    if (!this.allows(link, name)) return false
    const { config, state } = link
    const hash = toolHash(item)
    const pinned = Object.hasOwn(config.pins, name) ? config.pins[name] : undefined
    if (pinned !== undefined) {
      if (pinned === hash) return true
      this.#changed(link, name, hash, true)
      return false
    }
    if (!state.seen.has(name)) {
      this.#parts.state.tell({ kind: 'seen', server: link.name, tool: name, hash })
      this.#parts.services.log('debug', { server: link.name, tool: name, hash }, 'MCP tool seen for the first time')
    }
    if (state.note(name, hash)) return true
    this.#changed(link, name, hash, config.pin)
    return !config.pin
  }

  /** Told of once for each new look. */
  #changed({ name: server, state }: Link, tool: string, hash: string, refused: boolean): void {
    if (state.changed.get(tool) === hash) return
    state.changed.set(tool, hash)
    this.#parts.metrics.changedTool(server, refused)
    const fields = { server, tool, hash, before: state.seen.get(tool) ?? '', refused }
    this.#parts.services.log('warn', fields, 'an MCP tool is described differently than before')
  }

  /** A list of all of these servers, in their order; those that cannot be asked are missing. */
  async all(links: readonly Link[], client: Client, kind: ListKind): Promise<{ found: Listed[]; missing: string[] }> {
    const results = await Promise.allSettled(links.map((link) => this.list(link, client, kind)))
    const found: Listed[] = []
    const missing: string[] = []
    const field = LISTS[kind].key
    for (const [i, result] of results.entries()) {
      const link = links[i]!
      if (result.status === 'fulfilled') {
        for (const item of result.value.items) found.push({ link, key: textIn(item, field)!, item })
        continue
      }
      missing.push(link.name)
      this.#parts.metrics.missing(link.name, kind)
      const { reason } = result
      const fields = { server: link.name, list: kind, error: reason instanceof Error ? reason.message : String(reason) }
      this.#parts.services.log('debug', fields, 'a list of an MCP server cannot be had')
    }
    return { found, missing }
  }
}

const EMPTY: Kept = { items: [], byKey: new Map(), until: 0 }
