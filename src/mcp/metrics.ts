import type { Counter, Histogram, MetricRegistry } from '../telemetry/metrics.ts'
import { DURATION_BOUNDS } from '../telemetry/metrics.ts'

/** Methods that have a label of their own: a client may make up others. */
const METHODS: ReadonlySet<string> = new Set([
  'initialize',
  'ping',
  'server/discover',
  'tools/list',
  'tools/call',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'resources/subscribe',
  'resources/unsubscribe',
  'prompts/list',
  'prompts/get',
  'completion/complete',
  'logging/setLevel',
  'subscriptions/listen',
])

/** Names of tools are the servers' own: beyond this many of one server they are counted together. */
const MAX_TOOLS = 1000

/** What is counted of the MCP endpoint. */
export class McpMetrics {
  readonly #registry: MetricRegistry
  readonly #tools = new Map<string, Set<string>>()
  #streams = 0

  constructor(registry: MetricRegistry) {
    this.#registry = registry
    const open = registry.gauge('heddle_mcp_streams', 'Streams to clients for messages of MCP servers that are open.')
    registry.onCollect(() => open.set(this.#streams))
  }

  get streams(): number {
    return this.#streams
  }

  stream(change: number): void {
    this.#streams += change
  }

  /** server '' = answered by several, or by Heddle itself. */
  request(server: string, method: string, outcome: string, seconds: number): void {
    const known = METHODS.has(method) ? method : 'other'
    this.#registry.counter('heddle_mcp_requests_total', 'Requests of MCP clients by how they ended.', {
      server,
      method: known,
      outcome,
    }).value++
    this.#duration(server, known).observe(seconds)
  }

  #duration(server: string, method: string): Histogram {
    return this.#registry.histogram(
      'heddle_mcp_request_duration_seconds',
      'From the receipt of a request of an MCP client to its answer.',
      DURATION_BOUNDS,
      { server, method },
    )
  }

  tool(server: string, tool: string, outcome: string): void {
    let tools = this.#tools.get(server)
    if (tools === undefined) this.#tools.set(server, (tools = new Set()))
    // One that does not exist may have any name.
    if (outcome === 'ok' && tools.size < MAX_TOOLS) tools.add(tool)
    const label = tools.has(tool) ? tool : 'other'
    this.#registry.counter('heddle_mcp_tool_calls_total', 'Calls of tools by how they ended.', {
      server,
      tool: label,
      outcome,
    }).value++
  }

  up(server: string, up: boolean): void {
    this.#registry
      .gauge('heddle_mcp_server_up', 'Workers for which an MCP server answered last.', { server })
      .set(up ? 1 : 0)
  }

  /** event: `begun` at a server, `forgotten` by one; server '' = of a client: `begun`, `ended`, `unknown`. */
  session(server: string, event: string): void {
    this.#registry.counter('heddle_mcp_sessions_total', 'Sessions of MCP clients, and at MCP servers.', {
      server,
      event,
    }).value++
  }

  changedTool(server: string, refused: boolean): void {
    this.#counter('heddle_mcp_tool_changes_total', 'Tools that look different than when they were first seen.', {
      server,
      refused: String(refused),
    }).value++
  }

  /** A list of a server is missing from what a client was shown. */
  missing(server: string, list: string): void {
    this.#counter(
      'heddle_mcp_lists_missing_total',
      'Lists of MCP servers that could not be had when they were asked for.',
      {
        server,
        list,
      },
    ).value++
  }

  clash(server: string): void {
    this.#counter(
      'heddle_mcp_name_clashes_total',
      'Names of which another server has the same, shown with their prefix.',
      {
        server,
      },
    ).value++
  }

  #counter(name: string, help: string, labels: Readonly<Record<string, string>>): Counter {
    return this.#registry.counter(name, help, labels)
  }
}
