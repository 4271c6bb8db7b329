/** What is kept of answers of the Responses API on routes that are translated. */
export interface ResponsesConfig {
  readonly store: 'memory' | 'redis'
  /** Of an answer, from when it was made or used last, ms. */
  readonly ttlMs: number
  /** Of everything in memory, bytes: what was used longest ago makes room. */
  readonly maxBytes: number
  /** Of one answer with its input, or one part of a file, bytes. */
  readonly maxItemBytes: number
  /** Answers that one conversation may consist of. */
  readonly maxChain: number
  /** Answers that may be made in the background at a time, a worker; 0 = none. */
  readonly background: number
  /** AES-256, base64, 32 bytes each: the first encrypts, all decrypt. Empty = nothing is encrypted (memory only). */
  readonly keys: readonly string[]
}

/** Batches that run here, for models whose backends have none. */
export interface BatchesConfig {
  /** Patterns of public model names that run here; `*` = any text. */
  readonly models: readonly string[]
  /** Lines under way at a time, a worker. */
  readonly concurrency: number
  /** Of one uploaded file, bytes. */
  readonly maxFileBytes: number
  /** Of one batch. */
  readonly maxLines: number
  /** Files and results live so long, ms. */
  readonly ttlMs: number
  /** Batches that one caller may have under way. */
  readonly maxOpen: number
  /** Of the fair queue: requests of batches wait behind those with a greater one. */
  readonly priority: number
}
