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
