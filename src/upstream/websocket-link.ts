import type { WebSocket } from 'ws'
import type { SocketLink, SocketListener } from '../contracts/socket.ts'

/** So much may wait to be sent before the sender is held up, bytes; it goes on at a quarter. */
const HIGH_BYTES = 1024 * 1024
const LOW_BYTES = HIGH_BYTES / 4
/** A close frame may have a reason of so many bytes (RFC 6455 5.5). */
const MAX_REASON = 120

const PROTOCOL_ERRORS: ReadonlySet<number> = new Set([1004, 1005, 1006, 1015])
/** RFC 6455 7.4. */
export const maySend = (code: number): boolean =>
  (code >= 1000 && code <= 1014 && !PROTOCOL_ERRORS.has(code)) || (code >= 3000 && code <= 4999)

/** Cut between characters. */
function shortReason(reason: string): string {
  let text = reason
  while (Buffer.byteLength(text) > MAX_REASON) text = text.slice(0, -1)
  return text
}

/** A connection of the package `ws`, as the pipeline sees it. */
export class WsLink implements SocketLink {
  listener: SocketListener | null = null
  readonly #socket: WebSocket
  #slow = false

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.binaryType = 'nodebuffer'
    socket.on('message', (data, binary) => this.listener?.onMessage(data as Buffer, binary))
    socket.on('ping', () => this.listener?.onAlive())
    socket.on('pong', () => this.listener?.onAlive())
    socket.on('close', (code, reason) => this.listener?.onClose(code, reason.toString()))
    // Always followed by `close`, which says the same.
    socket.on('error', ignore)
  }

  get protocol(): string {
    return this.#socket.protocol
  }

  readonly #sent = (): void => {
    if (!this.#slow || this.#socket.bufferedAmount > LOW_BYTES) return
    this.#slow = false
    this.listener?.onDrain()
  }

  send(data: Buffer, binary: boolean): boolean {
    if (this.#socket.readyState !== this.#socket.OPEN) return true
    this.#socket.send(data, { binary, compress: false }, this.#sent)
    this.#slow = this.#slow || this.#socket.bufferedAmount > HIGH_BYTES
    return !this.#slow
  }

  ping(): void {
    if (this.#socket.readyState === this.#socket.OPEN) this.#socket.ping()
  }

  close(code: number, reason: string): void {
    // What is not read cannot be answered: the other end's own close would never be seen.
    this.#socket.resume()
    if (maySend(code)) this.#socket.close(code, shortReason(reason))
    else this.#socket.close()
  }

  destroy(): void {
    this.#socket.terminate()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }
}

const ignore = (): void => {}
