import type { JsonObject } from './json-rpc.ts'
import type { ServerTicket } from './session-token.ts'

/** For whom servers are asked. */
export interface Client {
  /** Names its sessions: that of the client, or of all calls of a caller that have none. */
  readonly key: string
  /** Each of its requests says by itself what it needs (2026-07-28); else it has a session. */
  readonly modern: boolean
  readonly revision: string
  readonly clientInfo: JsonObject
  readonly capabilities: JsonObject
  /** That it carries, by server. */
  readonly tickets: Readonly<Record<string, ServerTicket>>
  readonly tenant: string
}

/** What of one request goes along with what servers are asked for it. */
export interface Origin {
  readonly requestId: string
  /** Adds what a server needs to go on with the trace. spanId: of its parent; '' = that of the request. */
  trace(to: string[], mesh: boolean, spanId: string): void
}

export const NO_ORIGIN: Origin = { requestId: '', trace: () => {} }
