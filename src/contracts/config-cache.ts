import type { ErrorBound } from './semantic.ts'

/** Who may get an answer that was made for another: only callers of whom this is the same. org = all of this gateway. */
export type CacheScope = 'key' | 'user' | 'team' | 'tenant' | 'identity' | 'org'

/** What one route keeps of its answers, and for whom. */
export interface RouteCache {
  /** exact: the same question again. semantic: also one that asks the same. shadow: semantic, but only counted, never served. */
  readonly mode: 'exact' | 'semantic' | 'shadow'
  readonly scope: CacheScope
  readonly ttlMs: number
  /** Requests with a greater temperature want something new each time. */
  readonly maxTemperature: number
  /** How fast hits are streamed, tokens a second; 0 = at once. */
  readonly tokensPerSecond: number
  readonly bound: ErrorBound
  /** Questions about what is now are not found by meaning unless answers live at most so long, ms. */
  readonly timeWordsTtlMs: number
}

export type EmbedderConfig =
  | { readonly kind: 'table' }
  /** path: folder with model.onnx and vocab.txt, absolute. */
  | { readonly kind: 'minilm'; readonly path: string }
  | { readonly kind: 'remote'; readonly provider: string; readonly model: string; readonly dimensions: number }

export interface CacheConfig {
  /** Of answers in memory, bytes, for the process; what was used longest ago makes room. */
  readonly maxBytes: number
  /** A larger answer is not kept, bytes. */
  readonly maxEntryBytes: number
  /** Requests that ask the same at the same time wait for one answer. */
  readonly singleFlight: boolean
  /** Callers may ask for a fresh answer, or that theirs is not kept. */
  readonly clientControl: boolean
  /** null = no route finds answers by meaning. */
  readonly semantic: {
    readonly embedder: EmbedderConfig
    /** A longer question is not compared, bytes. */
    readonly maxQuestionBytes: number
    /** Of vectors in memory, bytes. */
    readonly maxBytes: number
    /** Of one partition. */
    readonly maxEntries: number
    /** Questions that one caller may add in a minute. */
    readonly insertsPerMinute: number
  } | null
  /** The second tier, of all replicas, in the Redis of the ledger; null = none. */
  readonly redis: { readonly budgetMs: number; readonly keys: readonly string[] } | null
  /** What is in memory is written there when the process ends, and read when it starts; null = nowhere. */
  readonly snapshot: string | null
}
