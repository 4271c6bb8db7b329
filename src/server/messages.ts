import type { LimitChange } from '../admin/accounts.ts'
import type { PurgeWish } from '../cache/store/exact.ts'
import type { EndpointSet } from '../contracts/cluster.ts'
import type { Svid } from '../contracts/config-svid.ts'
import type { ConfigUpdate } from './worker.ts'

/** Of the API; tls 0 = any free one when there is a TLS listener, else unused. */
export interface Ports {
  readonly plain: number
  readonly tls: number
  /** Of the policy service; 0 = there is none. */
  readonly policy: number
  readonly pickers: readonly number[]
}

export const NO_PORTS: Ports = { plain: 0, tls: 0, policy: 0, pickers: [] }

/** What operators change about limits and keys while the process runs. */
export type Change =
  | { readonly kind: 'change'; readonly change: LimitChange }
  | { readonly kind: 'revoke'; readonly id: string; readonly revoked: boolean }

/** Of kept answers: any worker can be asked, and tells the others. */
export type CacheAsk =
  | { readonly kind: 'cache_stats' }
  | { readonly kind: 'cache_purge'; readonly wish: PurgeWish }
  | { readonly kind: 'cache_feedback'; readonly key: string; readonly wrong: boolean }

/** What they change, and what they ask. */
export type Control =
  | Change
  | { readonly kind: 'limits' }
  | { readonly kind: 'revoked' }
  | CacheAsk
  /** What the process knows already, for a worker that begins later. */
  | { readonly kind: 'resume'; readonly changes: readonly Change[] }

/**
 * What the main thread watches for all workers. Each takes the place of the one before it of its kind (and key); workers
 * that begin later begin with the last of each.
 */
export type Feed =
  | { readonly kind: 'endpoints'; readonly set: EndpointSet }
  | { readonly kind: 'svid'; readonly svid: Svid }

export const feedKey = (feed: Feed): string => (feed.kind === 'endpoints' ? `endpoints ${feed.set.key}` : feed.kind)

/** What the main thread asks a worker thread to do; the answer is a Report with the same id. */
export type Command =
  /** hold: nothing outbound begins; requests are turned away until a configuration is committed. */
  | { readonly name: 'listen'; readonly ports: Ports; readonly hold: boolean }
  | { readonly name: 'prepare'; readonly update: ConfigUpdate }
  | { readonly name: 'commit' | 'discard' | 'metrics' | 'beginDrain' }
  | { readonly name: 'drain'; readonly maxMs: number }
  | { readonly name: 'control'; readonly control: Control }
  | { readonly name: 'feed'; readonly feed: Feed }

export interface Report {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
  /** The error is the asker's own; it may read the message. */
  readonly refused?: boolean
}
