import type { Capabilities, Operation, Price, ProviderConfig, RouteDefaults, Strategy } from './config.ts'
import type { Credentials } from './credentials.ts'
import type { Principal } from './identity.ts'
import type { Upstream } from './upstream.ts'

/** A provider as compiled: config plus its connections and everything that is the same for each of its requests. */
export interface Provider {
  readonly name: string
  readonly config: ProviderConfig
  readonly upstream: Upstream
  /** Path part of the base URL, without a slash at its end. */
  readonly basePath: string
  /** `?a=b` or empty. */
  readonly query: string
  /** Null = it wants none. */
  readonly credentials: Credentials | null
  /** Flat header lists, without credentials: for JSON answers, streams, and other bodies (no content-type). */
  readonly jsonHeaders: string[]
  readonly streamHeaders: string[]
  readonly rawHeaders: string[]
}

/** How a target fares. Shared by all workers of the process. Times are ms, Clock.monotonic. */
export interface Health {
  /** Requests under way. */
  readonly inflight: number
  /** Peak-sensitive moving average of time to first token, ms; 0 = nothing known. */
  readonly latencyMs: number
  readonly consecutiveFailures: number
  /** Ejected (circuit open) until then; 0 = closed. */
  readonly ejectedUntil: number
  /** Rate limited until then. */
  readonly busyUntil: number
  /** Credentials refused: not used until then. */
  readonly deadUntil: number
  begin(): void
  /** Once for each begin(). firstTokenMs < 0 = there was none. stream: it says how soon a stream begins. */
  end(outcome: AttemptOutcome, firstTokenMs: number, now: number, stream?: boolean): void
  busy(until: number): void
  dead(until: number): void
  readonly p95Ms: number
  /** Half of the streams have had their first token by then, ms; fades while none begins; 0 = nothing known. */
  readonly p50StreamMs: number
  readonly ejections: number
  /** New credentials: the target gets its chance at once. */
  revive(): void
  /** A request arrived: it earns its share of a retry token. ratio 0..1; perSecond tokens come by themselves. */
  earnRetry(ratio: number, perSecond: number, now: number): void
  /** Takes one retry token; false = the budget is spent. */
  spendRetry(): boolean
  /** Ejection over: takes the one probe that may go through; false = another worker or request has it. */
  tryProbe(now: number): boolean
}

/**
 * ok; failure = the target's fault, counts against it; neutral = says nothing about it (client mistake, client gone,
 * lost a hedge, rate limit).
 */
export type AttemptOutcome = 'ok' | 'failure' | 'neutral'

export interface Target {
  /** `provider/model`, for logs, metrics and explain. `*` stays where the model is the client's. */
  readonly name: string
  /** The name as a header value: what a header cannot carry is a question mark. */
  readonly headerName: string
  readonly provider: Provider
  /** Upstream model; null = the name the client sent; may hold one `*`. */
  readonly model: string | null
  readonly weight: number
  readonly priority: number
  /** Compiled `when`; absent = always. */
  readonly when: Condition | null
  readonly capabilities: Capabilities
  readonly price: Price | null
  readonly canary: number
  readonly shadow: number
  readonly health: Health
}

export interface Condition {
  readonly source: string
  evaluate(facts: RequestFacts): boolean
}

/** What a call of the MCP endpoint is about; as expressions see it. */
export interface McpFacts {
  readonly server: string
  readonly method: string
  /** As grants name it: with the server's prefix. Of a tool, a prompt, or a resource (its URI); '' = of none. */
  readonly name: string
  /** As the server names it; '' = it is no call of a tool. */
  readonly tool: string
}

/** What conditions, planning and explain may know of a request. */
export interface RequestFacts {
  /** Left out = it is none of the MCP endpoint. */
  readonly mcp?: McpFacts
  readonly principal: Principal
  readonly operation: Operation
  /** As the client sent it. */
  readonly model: string
  readonly stream: boolean
  readonly needs: RequestNeeds
  header(name: string): string | undefined
  /** All of them, lower-case names, several of one name joined with `, `. */
  headers(): Readonly<Record<string, string>>
  /** The body, parsed on first use; {} when it is no JSON object. */
  json(): Readonly<Record<string, unknown>>
}

export interface RequestNeeds {
  readonly tools: boolean
  readonly vision: boolean
  readonly audio: boolean
  readonly jsonSchema: boolean
  /** Bytes of the prompt's text, and what files, images and recordings in it take of the body and count for. */
  readonly textBytes: number
  readonly attachedBytes: number
  readonly attachedTokens: number
  /** Estimated prompt tokens, attachments included, and what the client allows for the answer (0 = not said). */
  readonly promptTokens: number
  readonly maxTokens: number
  /** Answers wanted (`n`), each of up to maxTokens; at least 1. */
  readonly choices: number
}

export interface Route extends RouteDefaults {
  readonly name: string
  /** What made it: a models entry, a provider's model pattern, `provider/model`, or the zero-config fallback. */
  readonly origin: 'models' | 'pattern' | 'provider' | 'simulated'
  readonly strategy: Strategy
  readonly sticky: string | null
  /** Without shadows. */
  readonly targets: readonly Target[]
  readonly shadows: readonly Target[]
  readonly fallbacks: {
    readonly any: readonly string[]
    readonly contextWindow: readonly string[]
    readonly contentPolicy: readonly string[]
  }
}

/** A route for one request: the route, and what its `*` stands for ('' when it has none). */
export interface RouteMatch {
  readonly route: Route
  /** The public name that led here: the client's, or a fallback's. */
  readonly asked: string
  readonly wildcard: string
}

/** The order in which a request tries targets. */
export interface Plan {
  readonly order: readonly Target[]
  /** Left out, and why; filled only when asked for, or when the order is empty. */
  readonly skipped: readonly { readonly target: Target; readonly reason: string }[]
  /** Why the first of the order is first. */
  readonly note: string
}
