import type { McpConfig } from '../contracts/config-mcp.ts'
import type { Received, ReplyWriter } from '../contracts/http.ts'
import type { Provider } from '../contracts/routing.ts'
import type { OpenExchange, SideDoor } from './side.ts'
import type { Services } from '../pipeline/services.ts'
import type { ClientStream } from './client-stream.ts'
import type { McpMetrics } from './metrics.ts'
import type { McpState } from './state.ts'
import type { View } from './shown.ts'
import type { GatewayError } from '../core/errors.ts'
import { compileGlobs, type Matcher } from '../core/glob.ts'
import { Catalog } from './catalog.ts'
import { McpExchange } from './exchange.ts'
import { errorText } from './json-rpc.ts'
import { Link } from './link.ts'
import { METADATA_PATH } from './metadata-path.ts'
import { rpcOf } from './faults.ts'
import { Running } from './running.ts'
import { SessionSealer } from './session-token.ts'

export interface EndpointParts {
  readonly config: McpConfig
  /** Compiled, in the order of the configuration's servers. */
  readonly providers: readonly Provider[]
  readonly services: Services
  readonly state: McpState
  readonly metrics: McpMetrics
  /** What sessions are sealed with when the configuration names nothing. */
  readonly seed: string
  readonly version: string
  /** Of the process: streams are ended when it does. */
  readonly streams: Set<ClientStream>
}

/** The MCP endpoint of one configuration. */
export class McpEndpoint implements SideDoor {
  readonly config: McpConfig
  readonly services: Services
  readonly state: McpState
  readonly metrics: McpMetrics
  readonly catalog: Catalog
  readonly sealer: SessionSealer
  readonly running = new Running()
  readonly streams: Set<ClientStream>
  readonly version: string
  readonly mayCall: Matcher
  readonly #all: View
  readonly #single = new Map<string, View>()
  readonly #links = new Map<string, Link>()
  readonly #stopGossip: () => void

  constructor(parts: EndpointParts) {
    const { config, services, state, metrics, version } = parts
    this.config = config
    this.services = services
    this.state = state
    this.metrics = metrics
    this.version = version
    this.streams = parts.streams
    this.mayCall = compileGlobs(config.origins)
    const { secrets } = config.session
    this.sealer = new SessionSealer(secrets.length === 0 ? [parts.seed] : secrets, services.clock.now)
    const { listed } = config.limits
    this.catalog = new Catalog({ services, state, metrics, ttlMs: config.listTtlMs, max: listed })
    const maxBytes = config.limits.answer
    const links = config.servers.map(
      (server, i) =>
        new Link({ config: server, provider: parts.providers[i]!, services, state, metrics, maxBytes, version }),
    )
    for (const link of links) {
      this.#links.set(link.name, link)
      this.#single.set(link.name, { links: [link], scope: link.name })
      this.catalog.add(link)
    }
    this.#all = { links, scope: '' }
    this.#stopGossip = state.onGossip((message) => {
      if (message.kind === 'cancel') this.running.cancel(message.key, message.id, message.reason)
      else if (message.kind === 'ended') this.endStreams(message.key)
    })
  }

  close(): void {
    this.#stopGossip()
    this.catalog.close()
  }

  /** A session is over. */
  endStreams(session: string): void {
    for (const stream of this.streams) if (stream.session === session) stream.end()
  }

  link(name: string): Link | null {
    return this.#links.get(name) ?? null
  }

  // ── paths ─────────────────────────────────────────────────────────────────
  takes(path: string): boolean {
    const { path: base } = this.config
    return path.startsWith(base)
      ? path.length === base.length || path.charCodeAt(base.length) === SLASH
      : path.startsWith(METADATA_PATH)
  }

  /** What a path shows; null = nothing is there. */
  viewOf(path: string): View | null {
    const rest = path.slice(this.config.path.length).replace(/\/$/, '')
    return rest === '' ? this.#all : (this.#single.get(rest.slice(1)) ?? null)
  }

  open(received: Received, reply: ReplyWriter): OpenExchange {
    return new McpExchange(this, received, reply)
  }

  errorBody(error: GatewayError, requestId: string): string {
    return errorText(null, rpcOf(error, requestId, ''))
  }
}

const SLASH = 0x2f
