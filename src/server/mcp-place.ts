import { createHash } from 'node:crypto'
import { BroadcastChannel } from 'node:worker_threads'
import type { ProviderConfig } from '../contracts/config.ts'
import type { Provider } from '../contracts/routing.ts'
import type { SideDoor } from '../http/side-door.ts'
import type { Services } from '../pipeline/services.ts'
import type { Snapshot } from '../pipeline/snapshot.ts'
import type { MetricRegistry } from '../telemetry/metrics.ts'
import type { ConfigUpdate } from './worker.ts'
import { McpEndpoint, McpMetrics, McpState, type ClientStream, type Gossip, type GossipLine } from '../mcp/index.ts'

export interface McpPlaceParts {
  readonly services: Services
  readonly metrics: MetricRegistry
  readonly workers: number
  readonly version: string
}

/** Sessions that have ended are remembered for so long, whatever the configuration says later. Ms. */
const REMEMBERED_MS = 7 * 86_400_000

/** What one worker serves of MCP, over all configurations. */
export class McpPlace {
  readonly #parts: McpPlaceParts
  readonly #metrics: McpMetrics
  readonly #streams = new Set<ClientStream>()
  readonly #endpoints = new WeakMap<Snapshot, McpEndpoint>()
  readonly #state: McpState

  /** seed: the same in all workers of the process. */
  constructor(parts: McpPlaceParts, seed: string) {
    this.#parts = parts
    this.#metrics = new McpMetrics(parts.metrics)
    this.#state = new McpState(REMEMBERED_MS, parts.workers > 1 ? lineOf(seed) : null)
  }

  /** For compileSnapshot(): the servers of a configuration, called as backends are. */
  compiler({ config, shared }: ConfigUpdate) {
    return (compile: (provider: ProviderConfig) => Provider, held: (() => void)[]): ((snapshot: Snapshot) => void) => {
      const mcp = config.mcp!
      const { services, version } = this.#parts
      const endpoint = new McpEndpoint({
        config: mcp,
        providers: mcp.servers.map(({ provider }) => compile(provider)),
        services,
        state: this.#state,
        metrics: this.#metrics,
        seed: shared.mcpSeed!,
        version,
        streams: this.#streams,
      })
      held.push(() => endpoint.close())
      return (snapshot) => void this.#endpoints.set(snapshot, endpoint)
    }
  }

  /** null = that configuration has none. */
  side(snapshot: Snapshot | null): SideDoor | null {
    return snapshot === null ? null : (this.#endpoints.get(snapshot) ?? null)
  }

  /** Streams that would stay open for ever are ended: their clients open them elsewhere. */
  drain(): void {
    for (const stream of this.#streams) stream.end()
  }

  close(): void {
    this.#state.close()
  }
}

/** Between the threads of this process. Who does not have the seed has another channel. */
function lineOf(seed: string): GossipLine {
  const name = createHash('sha256').update(`mcp gossip ${seed}`).digest('hex')
  const channel = new BroadcastChannel(`heddle-${name}`)
  channel.unref()
  return {
    send: (message) => channel.postMessage(message),
    onMessage(listener) {
      channel.addEventListener('message', (event) => listener((event as { readonly data: Gossip }).data))
    },
    close: () => channel.close(),
  }
}
