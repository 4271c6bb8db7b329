import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { HeaderGate } from '../contracts/identity.ts'
import type { UpgradeSide } from './data-listener.ts'
import type { UpgradeHandler, UpgradeParts } from './realtime.ts'
import { isUpgradePath } from '../pipeline/realtime/endpoint.ts'
import type { RealtimeMeter } from '../pipeline/realtime/meter.ts'

export interface UpgradesParts extends Omit<UpgradeParts, 'meter'> {
  /** Made with the first session. */
  readonly meter: () => RealtimeMeter
  /** Of the configuration that serves; undefined = none does. */
  readonly headers: () => HeaderGate | undefined
}

/** Knows requests for WebSockets, and loads what takes them with the first one. */
export class Upgrades implements UpgradeSide {
  readonly #parts: UpgradesParts
  #handler: Promise<UpgradeHandler> | null = null

  constructor(parts: UpgradesParts) {
    this.#parts = parts
  }

  wants({ url = '', headers }: IncomingMessage): boolean {
    return headers.upgrade?.toLowerCase() === 'websocket' && isUpgradePath(url.split('?', 1)[0]!)
  }

  take(req: IncomingMessage, socket: Socket, head: Buffer): void {
    // Without a listener an error would end the process.
    socket.on('error', () => socket.destroy())
    this.#handler ??= this.#load()
    this.#handler.then(
      (handler) => handler.take(req, socket, head, this.#parts.headers()),
      () => socket.destroy(),
    )
  }

  async #load(): Promise<UpgradeHandler> {
    const { UpgradeHandler: Handler } = await import('./realtime.ts')
    return new Handler({ ...this.#parts, meter: this.#parts.meter() })
  }
}
