/**
 * What one call used, as the backend counted it, in one form for all backends. Parts are counted in the whole they
 * belong to: cached, cache-write, audio and image input in inputTokens; reasoning, audio and image output in
 * outputTokens. Whole numbers (seconds may have a fraction), 0 = none or not said. NO_USAGE and addUsages() are in
 * src/protocol/usage.ts.
 */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  /** Read from the provider's prompt cache. */
  readonly cachedInputTokens: number
  /** Written to it, by lifetime. */
  readonly cacheWrite5mTokens: number
  readonly cacheWrite1hTokens: number
  readonly reasoningTokens: number
  readonly audioInputTokens: number
  readonly audioOutputTokens: number
  readonly imageInputTokens: number
  readonly imageOutputTokens: number
  /** Calls of the provider's own search tools. */
  readonly searches: number
  /** Units that rerankers bill by (Cohere `search_units`). */
  readonly rerankUnits: number
  /** Images made. */
  readonly images: number
  /** Length of the audio that was transcribed, seconds. */
  readonly audioSeconds: number
  /** Characters spoken or embedded, where those are what is billed. */
  readonly characters: number
  /** Service tier or batch that the provider says it used: `flex`, `priority`, `batch`...; '' = standard or not said. */
  readonly tier: string
  /** What the provider says it cost, US dollars; -1 = it does not say. */
  readonly reportedUsd: number
}

/** What one call cost. */
export interface Charge {
  /** Billionths of a US dollar, a whole number. */
  readonly nanoUsd: number
  /** The tokens were counted by Heddle, or the price was assumed. */
  readonly estimated: boolean
  /** False = no price is known for the target: nanoUsd is 0, or what the policy assumes. */
  readonly priced: boolean
}

/** One call of a target that is charged: the answered one, and those that failed over, were hedged or broke off. */
export interface AttemptCharge {
  /** `provider/model`. */
  readonly target: string
  /** Of several addresses the one that was called, `host:port`; left out or '' = there is one. */
  readonly endpoint?: string
  /** `ok`, `cancelled`, or the failure's reason. */
  readonly result: string
  readonly usage: Usage | null
  readonly charge: Charge
}

/** One request, as the sinks get it. No content, no secret; '' = unknown or none. */
export interface UsageRecord {
  /** Epoch ms, when the request began. */
  readonly time: number
  readonly durationMs: number
  readonly requestId: string
  /** 32 hexadecimal digits. */
  readonly traceId: string
  readonly tenant: string
  readonly team: string
  readonly user: string
  readonly keyId: string
  /** Id of the mesh peer, and what of it is known. */
  readonly peer: string
  readonly namespace: string
  readonly serviceAccount: string
  readonly trustDomain: string
  /** As the client asked. */
  readonly model: string
  readonly route: string
  readonly provider: string
  readonly target: string
  /** As sent upstream, or as the backend named it. */
  readonly modelAnswered: string
  readonly operation: string
  readonly stream: boolean
  /** HTTP status of the answer. */
  readonly status: number
  /** `ok`, or the error's code. */
  readonly outcome: string
  /** Of all attempts together. Null = none counted. */
  readonly usage: Usage | null
  /** The sum of the attempts' charges. */
  readonly charge: Charge
  /** Answered from Heddle's own cache. */
  readonly cached: boolean
  /** Those that cost something or might have. */
  readonly attempts: readonly AttemptCharge[]
  /** Limits in shadow mode that would have refused. */
  readonly wouldRefuse: readonly string[]
  /** Of the tenant or the key. */
  readonly labels: Readonly<Record<string, string>>
}

/** What records are appended to in Redis: XADD with an approximate MAXLEN. */
export interface StreamStore {
  /** Rejects when the store does not take it. */
  xadd(stream: string, maxLength: number, field: string, value: string): Promise<unknown>
}

/** Writes records to the sinks that are configured. Never throws, never waits, never lets memory grow without bound. */
export interface Recorder {
  write(record: UsageRecord): void
  /** Resolves when everything written so far is out, or given up. */
  flush(): Promise<void>
  /** flush(), then frees files and timers. */
  close(): Promise<void>
  /** Records that a sink had to drop, summed over the sinks. */
  readonly dropped: number
}
