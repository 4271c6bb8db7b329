import type { Socket } from 'node:net'
import type { TimerWheel } from '../core/wheel.ts'
import { CallbackTimer } from '../core/wheel.ts'

const LINGER_MS = 1500

/**
 * Ends our side of a connection and keeps reading for a moment. A close while the client still sends resets the
 * connection, and the reset can overtake the answer: the client would see a broken pipe instead of the reason
 * (RFC 9112 9.6). Whatever the client does, the socket is gone after 1.5 s.
 */
export function linger(socket: Socket, wheel: TimerWheel): void {
  boundEnd(socket, wheel)
  socket.end()
}

/** The connection is being ended: whether its peer ends it too or not, it is gone after 1.5 s. */
export function boundEnd(socket: Socket, wheel: TimerWheel): void {
  const timer = new CallbackTimer(() => socket.destroy())
  wheel.arm(timer, LINGER_MS)
  socket.once('close', () => wheel.disarm(timer))
}
