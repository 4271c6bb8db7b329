/**
 * What the pipeline sees of its client. A listener implements these; the pipeline never knows which one.
 */
import type { PeerSource, Principal } from './identity.ts'
import type { Signals } from './trace.ts'
import type { Upload } from './upstream.ts'

/** Flat list: name, value, name, value. Names in lower case. */
export type HeaderList = string[]

export interface Received extends PeerSource {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** With its `?`, or empty. */
  readonly query: string
  /** Value of a header by its lower-case name; of several with one name, the first. */
  header(name: string): string | undefined
  /** What its headers say of traces, deadlines and attempts; read on first use. */
  readonly signals: Signals
  /** All headers, lower-case; built on first use, so for rare needs only. */
  headers(): Readonly<Record<string, string | string[] | undefined>>
  /** Decoded body (no content-encoding), whole. Empty when there was none. */
  readonly body: Buffer
  /** In place of `body`: it has not been read, and is handed on as it comes. */
  readonly upload?: Upload | undefined
  /** The body is not needed any more: it reads as empty from now on. */
  releaseBody(): void
  /** Peer address of the connection, for logs. */
  readonly peer: string
  /** Who sends it, when that was asked before the body was read; null = not yet. */
  readonly identity: Principal | Promise<Principal> | null
  /** Ms, Clock.monotonic: when the head was read. */
  readonly startedAt: number
  /** In queues for backends: lower goes first. Left out = as its caller's tenant says. */
  readonly priority?: number
}

export interface ReplyWriter {
  /** False once the client is gone or the answer is complete. */
  readonly open: boolean
  /** Head and body in one go; ends the answer. */
  send(status: number, headers: HeaderList, body: Buffer | string): void
  /** Head of a body that follows in pieces. Once. Leaves with the first piece, so that both need one packet. */
  head(status: number, headers: HeaderList): void
  /** Sends the head now: the first piece may be long in coming. */
  flush(): void
  /** False = the client is slow: stop until the listener calls ClientSide.onDrain. */
  write(chunk: Buffer | string): boolean
  end(chunk?: Buffer | string): void
  /** Breaks the connection so that the client cannot take what it has for complete. */
  destroy(): void
}

/** What a listener tells the pipeline about one request after handing it over. */
export interface ClientSide {
  /** The client went away before the answer was complete. */
  onClientGone(): void
  /** The client reads again after a write that returned false. */
  onDrain(): void
}
