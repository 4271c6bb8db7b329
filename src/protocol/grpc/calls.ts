/** How the bytes of a call's messages are read and written. */
export interface Codec<I, O> {
  /** bytes: a view; what keeps it keeps what it is a view of. Throws on bytes that are no such message. */
  read(bytes: Buffer): I
  /**
   * A message with the five bytes before it (PROTOCOL-HTTP2.md, "Length-Prefixed-Message"). Of a unary call it may be overwritten by the
   * next; of a stream it must stay as it is.
   */
  frame(value: O): Buffer
}

/** A call with one request and one answer. */
export interface UnaryCall<O> {
  /** Nobody waits for an answer: the peer has left, or its time is over. */
  readonly cancelled: boolean
  /** Told once when that happens before the answer. */
  listener: { onCancelled(): void } | null
  /** Once; what follows does nothing. */
  answer(value: O): void
  /** code: of GRPC. message: for the peer's log. */
  fail(code: number, message: string): void
}

export type UnaryHandler<I, O> = (call: UnaryCall<O>, request: I) => void

/** A call with several answers, or several requests, or both. */
export interface StreamCall<O> {
  /** The peer has left, or its time is over. */
  readonly cancelled: boolean
  /** False = wait for `onDrain` with the next. */
  write(value: O): boolean
  end(): void
  fail(code: number, message: string): void
  /** No message is told until `resume`; the peer must wait when its window is used up. */
  pause(): void
  resume(): void
}

export interface StreamListener<I> {
  onMessage(message: I): void
  /** The peer has nothing more to say. */
  onEnd(): void
  onDrain(): void
  /** Once, when it is over, however it ended; never from inside of a method of the call. */
  onGone(): void
}

/** Null: the call has been failed. */
export type StreamHandler<I, O> = (call: StreamCall<O>) => StreamListener<I> | null

export interface Method {
  readonly unary: boolean
  /** One request alone. */
  readonly single: boolean
  readonly codec: Codec<unknown, unknown>
  readonly handle: UnaryHandler<unknown, unknown> | StreamHandler<unknown, unknown>
}
