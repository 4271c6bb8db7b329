import type { ProviderConfig } from './config.ts'

/** One MCP server behind the endpoint. */
export interface McpServerConfig {
  /** Lower-case letters, digits and `-`: stands in names and URIs that callers see. */
  readonly name: string
  /** How it is called: address, credentials, TLS and egress, as of a backend of models. Its name is `mcp:NAME`. */
  readonly provider: ProviderConfig
  /** Path of its endpoint, exactly as written: some servers have it with a slash at the end. */
  readonly path: string
  /** Of one request, from sending it to its answer, ms; 0 = none. Each message on the way begins it anew. */
  readonly timeoutMs: number
  /** Globs of names as the server has them; null = all. */
  readonly tools: readonly string[] | null
  readonly deny: readonly string[]
  /** Before its names at the common endpoint, and in what keys are granted. */
  readonly prefix: string
  /** Tools whose description has changed since it was first seen are refused. */
  readonly pin: boolean
  /** SHA-256 (hex) of what a tool must look like, by its name. */
  readonly pins: Readonly<Record<string, string>>
}

/** The MCP endpoint. null in the configuration = there is none. */
export interface McpConfig {
  /** Below it stand those of single servers. No slash at the end. */
  readonly path: string
  /** Of tools and prompts at the common endpoint: with the server's prefix, or as they are unless two would clash. */
  readonly names: 'prefixed' | 'unique'
  /** Globs of `Origin` values that browsers may call from. */
  readonly origins: readonly string[]
  /** Origin that clients know this gateway by, without a path; null = as the request says. */
  readonly publicUrl: string | null
  readonly session: {
    /** From its beginning, ms. */
    readonly ttlMs: number
    /** What its ids are sealed with; the first seals, all open. Empty = random for each process. */
    readonly secrets: readonly string[]
  }
  /** How long lists of servers are kept, ms. */
  readonly listTtlMs: number
  readonly limits: {
    /** One message of a client, bytes, and how deep it may be nested. */
    readonly message: number
    readonly depth: number
    /** Messages in a batch. */
    readonly batch: number
    /** One message of a server, bytes. */
    readonly answer: number
    /** Entries of one list of one server. */
    readonly listed: number
    /** Streams for messages of servers that are open at once, per worker. */
    readonly streams: number
  }
  readonly servers: readonly McpServerConfig[]
}
