/** One end of a WebSocket (RFC 6455), whoever opened it. */
export interface SocketLink {
  /** Subprotocol that was agreed on; '' = none. */
  readonly protocol: string
  /** One whole message. False = the other end is slow: stop until onDrain. */
  send(data: Buffer, binary: boolean): boolean
  ping(): void
  /** Begins the closing handshake; once. Codes that may not be sent (1005, 1006, 1015...) go without one. */
  close(code: number, reason: string): void
  /** Cuts the connection. */
  destroy(): void
  /** Nothing more is read until resume(): the other end feels it. */
  pause(): void
  resume(): void
  /** Who is told; null = nobody yet: messages that come meanwhile are lost. */
  listener: SocketListener | null
}

export interface SocketListener {
  /** Data is the listener's own. */
  onMessage(data: Buffer, binary: boolean): void
  onDrain(): void
  /** A pong or a ping: the other end lives. */
  onAlive(): void
  /** Once; 1005 = without a code, 1006 = the connection broke. */
  onClose(code: number, reason: string): void
}

/** What makes a call one that opens a WebSocket. */
export interface SocketRequest {
  readonly protocols: readonly string[]
  /** Longest message of the backend, bytes. */
  readonly maxMessage: number
  /** The connection is open; then onHead comes with status 101, and onEnd when it is closed. */
  opened(link: SocketLink): void
}
