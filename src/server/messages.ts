import type { ConfigUpdate } from './worker.ts'

/** What the main thread asks a worker thread to do; the answer is a Report with the same id. */
export type Command =
  | { readonly name: 'listen'; readonly port: number }
  | { readonly name: 'prepare'; readonly update: ConfigUpdate }
  | { readonly name: 'commit' | 'discard' | 'metrics' | 'beginDrain' }
  | { readonly name: 'drain'; readonly maxMs: number }

export interface Report {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}
