import { systemClock } from '../../core/clock.ts'

/** How connections are served. Times in ms, sizes in bytes. */
export interface Http2Options {
  /** Monotonic ms. */
  readonly now: () => number
  readonly maxStreams: number
  /** What a peer may send on one stream before it is taken. */
  readonly streamWindow: number
  /** The same for a connection; taken from it is at once. */
  readonly connectionWindow: number
  /** Of a request's head, as RFC 7541 4.1 counts. */
  readonly maxHeaderList: number
  /** Answers that wait for the peer, of one connection; beyond it no new stream is taken. */
  readonly maxQueued: number
  /** After such a silence the peer is asked whether it is there, */
  readonly keepAliveMs: number
  /** and has so long to answer. */
  readonly keepAliveTimeoutMs: number
  /** For the preface and the first frame. */
  readonly prefaceMs: number
  /** Something of ours has failed in a handler; its stream is reset. */
  readonly onFault: (error: unknown) => void
}

export const HTTP2_DEFAULTS: Http2Options = {
  now: systemClock.monotonic,
  maxStreams: 1000,
  streamWindow: 256 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxHeaderList: 16 * 1024,
  maxQueued: 64 * 1024 * 1024,
  keepAliveMs: 60_000,
  keepAliveTimeoutMs: 20_000,
  prefaceMs: 10_000,
  onFault: () => {},
}
