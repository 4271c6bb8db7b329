import type { Principal } from '../contracts/identity.ts'
import type { McpFacts, RequestFacts } from '../contracts/routing.ts'
import type { Received } from '../contracts/http.ts'
import type { JsonObject } from './json-rpc.ts'
import { NO_NEEDS } from '../protocol/facts.ts'

/** What rules may know of one request to the MCP endpoint. */
export class CallFacts implements RequestFacts {
  readonly principal: Principal
  readonly operation = 'mcp' as const
  readonly model = ''
  readonly stream = false
  readonly needs = NO_NEEDS
  readonly mcp: McpFacts
  readonly #received: Received
  readonly #params: JsonObject

  constructor(received: Received, principal: Principal, mcp: McpFacts, params: JsonObject) {
    this.#received = received
    this.principal = principal
    this.mcp = mcp
    this.#params = params
  }

  header(name: string): string | undefined {
    return this.#received.header(name)
  }

  headers(): Readonly<Record<string, string>> {
    const single: Record<string, string> = {}
    for (const [name, value] of Object.entries(this.#received.headers()))
      if (value !== undefined) single[name] = Array.isArray(value) ? value.join(', ') : value
    return single
  }

  /** What expressions see as `request`: the method and its parameters. */
  json(): JsonObject {
    return { method: this.mcp.method, params: this.#params }
  }
}
