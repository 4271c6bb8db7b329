/**
 * What one call used, as the backend counted it, in one form for all backends. Parts are counted in the whole they
 * belong to: cached, cache-write, audio and image input in inputTokens; reasoning and audio output in outputTokens.
 * Whole numbers, 0 = none or not said.
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
