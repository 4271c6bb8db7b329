/**
 * The normalised configuration: what the loader in src/config produces from YAML and everything else reads.
 * Durations are milliseconds, sizes bytes, shares 0..1, money US dollars. Secrets are already resolved: never print it.
 */

import type { CapacityConfig } from './capacity.ts'
import type { AuthConfig, TenantConfig } from './config-auth.ts'
import type { BalancingConfig, DiscoveryConfig } from './config-cluster.ts'
import type { CacheConfig, RouteCache } from './config-cache.ts'
import type { CredentialsConfig } from './config-credentials.ts'
import type { MappingConfig, PipelineConfig } from './config-mapping.ts'
import type { LedgerConfig, LimitConfig } from './config-limits.ts'
import type { McpConfig } from './config-mcp.ts'
import type { MeshConfig } from './config-mesh.ts'
import type { PolicyServiceConfig } from './config-policy.ts'
import type { BatchesConfig, ResponsesConfig } from './config-responses.ts'
import type { Operation } from './operation.ts'
import type { TracingConfig } from './config-tracing.ts'
import type { UsageConfig } from './config-usage.ts'
import type { Dialect } from './dialect.ts'

export type { Operation }

/** PEM texts. */
export interface TlsConfig {
  readonly port: number
  readonly cert: string
  readonly key: string
  /** Whose client certificates are believed; null = the system's. */
  readonly clientCa: string | null
  /** Certificate, key and whom to believe are those of `mesh.svid`: cert and key are empty here. */
  readonly svid: boolean
  readonly clientCert: 'none' | 'optional' | 'required'
}

/** Restart needed. Everything else in the config reloads without one. */
export interface ServerConfig {
  readonly host: string
  readonly port: number
  readonly adminHost: string
  readonly adminPort: number
  /** `auto` = one per core. */
  readonly workers: number | 'auto'
  readonly insecure: boolean
  /** A second port of the API with TLS; null = none. */
  readonly tls: TlsConfig | null
  /** The policy service for proxies of a mesh; null = none. */
  readonly policy: PolicyServiceConfig | null
  /** Wanted as a bearer token by the admin API; null = it asks for none, and changes nothing from afar. */
  readonly adminToken: string | null
  readonly limits: {
    /** Body as received, and after decompression, bytes. */
    readonly body: number
    readonly decompressedBody: number
    readonly headerBytes: number
    readonly headerCount: number
    readonly headerTimeoutMs: number
    readonly bodyTimeoutMs: number
    /** A client that does not read its answer is dropped after this. */
    readonly clientStallMs: number
    readonly jsonDepth: number
    readonly jsonKeys: number
    /** Answer of a backend that is held in memory whole (JSON), bytes. */
    readonly responseBody: number
    /** One SSE event of a backend, bytes. */
    readonly sseEvent: number
  }
  readonly shed: {
    /** Requests in flight per worker; above it new ones get 503. */
    readonly maxInflight: number
    /** Mean event-loop delay over the last second above which new requests get 503; 0 = off. */
    readonly maxLoopDelayMs: number
  }
  readonly drain: {
    /** Keep accepting for this long after SIGTERM while readiness already says no; `auto` = 5 s in a mesh, else 0. */
    readonly propagationMs: number | 'auto'
    /** Open requests may go on for this long. */
    readonly maxMs: number
  }
  /** Public names of models without which this instance is not ready: each needs a target that can be used. */
  readonly requiredModels: readonly string[]
  /** A comment in an open stream that has been silent for so long, ms; 0 = none. */
  readonly heartbeatMs: number
  /** Idle client connections are closed after this, ms; 0 = never; `auto` = never in a mesh, else 75 s. */
  readonly keepAliveMs: number | 'auto'
  /** Answers tell how long what took (`server-timing`); `auto` = in a mesh. */
  readonly serverTiming: boolean | 'auto'
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error' | 'silent'
    readonly access: boolean
  }
}

/** 0 = off. */
export interface Timeouts {
  readonly connectMs: number
  /** Streams: from sending an attempt to its first semantic token. JSON answers are governed by `attemptMs` and `idleMs`. */
  readonly firstTokenMs: number
  /** Between two chunks: of a stream after its first token, of any other answer after its head. */
  readonly idleMs: number
  /** One attempt, start to end. Streams after commit are governed by idle and total. */
  readonly attemptMs: number
  /** All attempts together, start to commit (stream) or end (JSON). */
  readonly totalMs: number
}

export interface RetryConfig {
  /** Attempts in all, over all targets, the first one included. */
  readonly maxAttempts: number
  /** Attempts on one target before the next is tried. */
  readonly perTarget: number
  /** Statuses that are worth another attempt. */
  readonly statuses: readonly number[]
  readonly backoff: { readonly baseMs: number; readonly maxMs: number }
  /** A longer Retry-After is not waited for: the next target is tried, or the hint is passed on. */
  readonly maxRetryAfterMs: number
  /** Retries as a share of requests, plus a floor a second. */
  readonly budget: { readonly ratio: number; readonly minPerSecond: number }
}

export interface BreakerConfig {
  readonly enabled: boolean
  /** Failures in a row that eject a target. */
  readonly consecutiveFailures: number
  /** Failure share over `windowMs` that ejects, once `minRequests` were seen. */
  readonly failureRatio: number
  readonly minRequests: number
  readonly windowMs: number
  /** First ejection; doubles with each further one up to the maximum. */
  readonly baseEjectionMs: number
  readonly maxEjectionMs: number
  /** At most this share of a model's targets may be ejected by failures (0..1). */
  readonly maxEjectedShare: number
  /** A dead key (401/402/403) rests this long. */
  readonly deadKeyMs: number
}

export interface HedgeConfig {
  /** Start a second attempt when no first token came within this; `auto` = the target's own p95. */
  readonly afterMs: number | 'auto'
  /** At most this share of requests is hedged. */
  readonly maxShare: number
  /** At most this much money a minute goes into hedges, US dollars. */
  readonly maxCostPerMinute: number
}

export interface CommitConfig {
  /** Held back before the first semantic token: no more than this. */
  readonly maxBytes: number
  readonly maxMs: number
}

/** Everything that can be set for all models and overridden per model. */
export interface RouteDefaults {
  readonly timeouts: Timeouts
  readonly retries: RetryConfig
  readonly breaker: BreakerConfig
  readonly commit: CommitConfig
  readonly hedge: HedgeConfig | null
  /** Go on with another target when a chat stream breaks after commit. */
  readonly continuation: boolean
  /** What a request asks for that its target's wire cannot carry: refused, or left behind and told of. */
  readonly unsupported: 'refuse' | 'drop'
  /** null = nothing is kept of its answers. */
  readonly cache: RouteCache | null
}

export interface Capabilities {
  readonly tools?: boolean | undefined
  readonly vision?: boolean | undefined
  readonly audio?: boolean | undefined
  readonly jsonSchema?: boolean | undefined
  readonly streaming?: boolean | undefined
  /** Tokens, prompt and answer together. */
  readonly contextWindow?: number | undefined
  readonly maxOutputTokens?: number | undefined
}

/** US dollars per million tokens of one kind. What is left out costs what the kind it is counted in costs. */
export interface TokenRates {
  readonly input: number
  readonly output: number
  /** Read from the prompt cache; left out = input. */
  readonly cachedInput?: number | undefined
  /** Written to it, kept for 5 minutes; left out = input. */
  readonly cacheWrite5m?: number | undefined
  /** Written to it, kept for an hour; left out = cacheWrite5m. */
  readonly cacheWrite1h?: number | undefined
  /** Left out = input, output. */
  readonly audioInput?: number | undefined
  readonly audioOutput?: number | undefined
  readonly imageInput?: number | undefined
  readonly imageOutput?: number | undefined
  /** Left out = output. */
  readonly reasoning?: number | undefined
}

/** Rates of a whole call; with a long prompt others: the highest threshold that its tokens exceed holds. */
export interface CallRates extends TokenRates {
  readonly longContext?: readonly (TokenRates & { readonly above: number })[] | undefined
}

/** What a target's calls cost, US dollars. Digits below a millionth of a dollar per million tokens are rounded. */
export interface Price extends CallRates {
  /** Each call. */
  readonly perRequest?: number | undefined
  /** Each call of the provider's search tools; rerankers' search units. */
  readonly perSearch?: number | undefined
  readonly perRerankUnit?: number | undefined
  /** Each image made. */
  readonly perImage?: number | undefined
  /** Minute of audio transcribed, by the second. */
  readonly perMinute?: number | undefined
  readonly perMillionCharacters?: number | undefined
  /** By service tier (`flex`, `priority`, `batch`): a factor on the prices of tokens, or prices of its own. */
  readonly tiers?: Readonly<Record<string, number | CallRates>> | undefined
}

export type AuthScheme = 'bearer' | 'api-key' | 'x-api-key' | 'x-goog-api-key' | 'none'

export interface ProviderTls {
  readonly ca: string | null
  readonly serverName: string | null
  readonly rejectUnauthorized: boolean
  /** Shows the certificate of `mesh.svid`, and believes its bundle. */
  readonly svid: boolean
  /** SPIFFE ids (globs) of which the other end must be one; empty = any that the bundle vouches for. Names do not count then. */
  readonly peers: readonly string[]
}

export interface ProviderConfig {
  readonly name: string
  /** Row of the preset table (`openai`, `groq`, …), or `openai_compatible`, or `sim`. */
  readonly type: string
  /** Ends without a slash; operation paths such as `/chat/completions` are appended. */
  readonly baseUrl: string
  readonly auth: AuthScheme
  readonly apiKey: string | null
  /** Added to every request to this provider, lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** Added to the URL of every request, such as `api-version`. */
  readonly query: Readonly<Record<string, string>>
  /** What it speaks itself: such requests go to it as they came. */
  readonly operations: readonly Operation[]
  /** What requests of other dialects are translated to; null = none are. */
  readonly wire: Dialect | null
  /** Where an operation is, when it is not at its usual path below the base URL. */
  readonly paths: Readonly<Partial<Record<Operation, string>>>
  /** Of a model server: what of a request it gets, and what of its answers means what; left out = it speaks of chats itself. */
  readonly mapping?: MappingConfig
  /** Services that are called one after the other, in place of what base_url names; left out = none. */
  readonly pipeline?: PipelineConfig
  /** How base_url is called; left out = HTTP/1.1. */
  readonly transport?: 'grpc'
  /** Glob patterns of upstream model names that route here by name without a `models` entry. */
  readonly modelPatterns: readonly string[]
  /** Understands `stream_options.include_usage`. */
  readonly streamUsage: boolean
  /** What ends a chat stream: the `[DONE]` event, or for backends that never send one, the finish reason. */
  readonly streamEnd: 'done' | 'finish_reason'
  readonly maxConnections: number
  readonly tls: ProviderTls
  readonly capabilities: Capabilities
  /** Null = `apiKey` alone. */
  readonly credentials: CredentialsConfig | null
  /** Null = not bounded, nothing learned. */
  readonly capacity: CapacityConfig | null
  /** Null = what base_url names is called. */
  readonly discovery: DiscoveryConfig | null
  /** Null without discovery. */
  readonly balancing: BalancingConfig | null
  /** mesh: a workload beside us, which gets traces, request id and deadlines. vendor: gets none of them. */
  readonly class: 'mesh' | 'vendor'
  readonly egress: EgressConfig
  /** A vendor that gets `traceparent` all the same. */
  readonly propagateTrace: boolean
  /** Where it computes and what it keeps, as the operator states it; region '' and retention null = not stated. */
  readonly data: { readonly region: string; readonly retention: boolean | null }
}

/**
 * How calls leave the house. direct-tls: to the provider itself (plain where base_url says http). mesh-originate: plain
 * to the proxy beside us, which speaks TLS. egress-gateway: as the mesh routes it. connect-proxy: through an HTTP proxy.
 */
export interface EgressConfig {
  readonly mode: 'direct-tls' | 'mesh-originate' | 'egress-gateway' | 'connect-proxy'
  /** Of connect-proxy: its URL, without credentials, and those; null = none. */
  readonly proxy: { readonly url: string; readonly authorization: string | null } | null
  /** The operator accepts that the key crosses the network in clear. */
  readonly plaintextKey: boolean
}

/** One row of the preset table: what is known about a provider without asking the operator. */
export interface ProviderPreset {
  /** Value of `type`, and the entry's name when it has no `type`. */
  readonly name: string
  /** As people call it. */
  readonly title: string
  /** Environment variables that may hold the key; the first that is set is used. */
  readonly keyEnv: readonly string[]
  /** Without a key it cannot be used. */
  readonly keyRequired: boolean
  /** Environment variable that holds the base URL, or just host and port; null = none. */
  readonly urlEnv: string | null
  /** Path that completes such a URL when it has none, such as `/v1`. */
  readonly basePath: string
  /** null = must be given as `base_url` or by `urlEnv`. */
  readonly baseUrl: string | null
  readonly auth: AuthScheme
  readonly query: Readonly<Record<string, string>>
  readonly operations: readonly Operation[]
  /** Left out: `openai.chat` when it has chat, else `openai.responses` when it has that, else none. */
  readonly wire?: Dialect
  readonly paths?: Readonly<Partial<Record<Operation, string>>>
  readonly modelPatterns: readonly string[]
  readonly streamUsage: boolean
  readonly streamEnd: 'done' | 'finish_reason'
  /** What an operator should know, one sentence; empty when nothing. */
  readonly notes: string
}

/** What config/models.json knows about one model of one provider type. */
export interface ModelFacts {
  readonly capabilities: Capabilities
  readonly price: Price | null
}

export type Strategy = 'priority' | 'weighted' | 'least_busy' | 'lowest_latency' | 'lowest_cost'

export interface TargetConfig {
  readonly provider: string
  /** Upstream model; null = the name the client sent. `*` in it takes what the route's wildcard matched. */
  readonly model: string | null
  /** Share among targets of one priority. 0 = never chosen but by failover. */
  readonly weight: number
  /** Lower is tried first. */
  readonly priority: number
  /** CEL over `request`, `headers`, `metadata`, `model`, `operation`, `stream`; absent = always. */
  readonly when: string | null
  readonly capabilities: Capabilities
  readonly price: Price | null
  /** 0..1: share of requests that start here whatever the strategy says. */
  readonly canary: number | null
  /** 0..1: share of requests copied here; the answer is discarded. */
  readonly shadow: number | null
}

export interface StickyConfig {
  /** `header:NAME`, `user`, `metadata:KEY`, or `prefix` (hash of the conversation's beginning). */
  readonly by: string
}

export interface ModelConfig extends RouteDefaults {
  /** Public name; one `*` makes it a pattern. */
  readonly name: string
  readonly aliases: readonly string[]
  readonly strategy: Strategy
  readonly sticky: StickyConfig | null
  readonly targets: readonly TargetConfig[]
  /** Public model names that take over, in order. */
  readonly fallbacks: {
    readonly any: readonly string[]
    readonly contextWindow: readonly string[]
    readonly contentPolicy: readonly string[]
  }
}

export interface HeddleConfig {
  readonly server: ServerConfig
  readonly defaults: RouteDefaults
  /** In the order of the file. */
  readonly providers: readonly ProviderConfig[]
  readonly models: readonly ModelConfig[]
  /** Null = callers are not asked who they are. */
  readonly auth: AuthConfig | null
  readonly tenants: readonly TenantConfig[]
  readonly limits: readonly LimitConfig[]
  readonly ledger: LedgerConfig
  readonly usage: UsageConfig
  readonly mesh: MeshConfig
  /** Null = no tools are served. */
  readonly mcp: McpConfig | null
  readonly tracing: TracingConfig
  /** Null = nothing is kept of answers. */
  readonly responses: ResponsesConfig | null
  /** Null = batches are the providers'. */
  readonly batches: BatchesConfig | null
  /** Null = no route keeps answers. */
  readonly cache: CacheConfig | null
  /** True when no configuration file was given: unknown model names go to the simulated model. */
  readonly zeroConfig: boolean
  /** SHA-256 (hex, 16 characters) of the normalised config with secrets masked. */
  readonly hash: string
}
