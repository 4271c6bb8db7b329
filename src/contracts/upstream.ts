import type { GatewayError } from '../core/errors.ts'
import type { Picker } from './cluster.ts'
import type { SocketRequest } from './socket.ts'

/**
 * What the pipeline sees of a backend. src/upstream implements it; nothing else knows the HTTP client.
 */

export type UpstreamHeaders = Readonly<Record<string, string | string[] | undefined>>

export interface UpstreamRequest {
  readonly method: string
  /** Path with query, as sent. */
  readonly path: string
  /** Flat list: name, value. Includes everything but host and content-length. The same list is looked at once. */
  readonly headers: string[]
  /** Those of this request alone; they follow the others. */
  readonly more?: readonly string[]
  readonly body: Buffer | null
  /** In place of the body: what comes piece by piece. */
  readonly upload?: Upload | undefined
  /** A WebSocket is opened in place of a call. */
  readonly socket?: SocketRequest
  /** The answer may stay open for long: the body should not be held until it ends. */
  readonly longAnswer?: boolean
  /** Of several addresses, which; looked at only where there are several. */
  readonly pick?: PickFacts
}

/** A body that nobody holds whole: it is read once, so that no second attempt can have it. */
export interface Upload extends AsyncIterable<Buffer> {
  /** Bytes, as declared; -1 = not known. */
  readonly length: number
  /** Bytes that have been read. */
  readonly bytes: number
  /** Somebody reads it, or has. */
  readonly begun: boolean
}

/** What tells one address of a cluster from another for a call; with its body. */
export interface PickFacts {
  readonly model: string
  readonly promptTokens: number
  /** Ties calls together; '' = nothing does. */
  readonly session: string
  /** < 0: may be refused when all are saturated. */
  readonly priority: number
  /** Why an address was chosen is wanted: see onEndpoint. */
  readonly explain?: boolean
  /** `host:port` of those that have failed the request before: others come first. Left out: none has. */
  readonly failed?: readonly string[]
}

/**
 * connect: no connection (refused, DNS, timeout), nothing was sent. tls: handshake or certificate.
 * reset: broken after the request was sent. protocol: not HTTP, or over a bound. aborted: by our own abort().
 */
export type FaultKind = 'connect' | 'tls' | 'reset' | 'protocol' | 'aborted'

export interface UpstreamFault {
  readonly kind: FaultKind
  /** For logs: no secrets, no content. */
  readonly detail: string
  /** Nothing was called: why the choice of an address refused the call. It says nothing of the backend's health. */
  readonly refusal?: GatewayError
}

/** Callbacks come in this order: onHead once, onData any number, then one of onEnd and onFault. */
export interface UpstreamSink {
  onHead(status: number, headers: UpstreamHeaders): void
  onData(chunk: Buffer): void
  onEnd(): void
  onFault(fault: UpstreamFault): void
  /** Of several addresses this one has the call now; before onHead, again when another takes it over. note: why it was chosen, '' unless asked for. Left out: not told. */
  onEndpoint?(address: string, note: string): void
}

export interface Call {
  /** Closes the backend's socket at once; onFault is not called for it. blame: because the backend failed, such as in time. */
  abort(blame?: boolean): void
  pause(): void
  resume(): void
}

/** One origin with its TLS settings; owns the connections. */
export interface Upstream {
  call(request: UpstreamRequest, sink: UpstreamSink): Call
  /**
   * Addresses that can take a call now besides this one, where there are several; left out = there is one. While there are
   * any, a failure is that of the address and not of the whole.
   */
  others?(address: string): number
  /** Who chooses among several addresses; left out = there is one. */
  readonly picker?: Picker
  /** Waits for calls under way, then closes the connections. */
  close(): Promise<void>
}
