import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { HeaderGate } from '../contracts/identity.ts'
import type { UpgradeSide } from './data-listener.ts'
import type { UpgradeHandler, UpgradeParts } from './realtime.ts'
import type { OpenList } from '../core/open-list.ts'
import type { HandlerParts } from './request-handler.ts'
import type { OpenExchange } from './side-door.ts'
import { isUpgradePath } from '../pipeline/realtime/endpoint.ts'
import type { RealtimeMeter } from '../pipeline/realtime/meter.ts'

interface UpgradesParts extends Omit<UpgradeParts, 'meter'> {
  /** Made with the first session. */
  readonly meter: () => RealtimeMeter
  /** Of the configuration that serves; undefined = none does. */
  readonly headers: () => HeaderGate | undefined
}

/** Knows requests for WebSockets, and loads what takes them with the first one. */
class Upgrades implements UpgradeSide {
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

/** null = the handler's parts have no place for sessions. */
export function upgradesOf(
  parts: HandlerParts,
  refusal: UpgradeParts['refusal'],
  open: OpenList<OpenExchange>,
): UpgradeSide | null {
  const { services, meter, gate } = parts
  if (meter === undefined) return null
  return new Upgrades({
    services,
    meter,
    refusal,
    refused: (error) => parts.refused(error),
    inflight: (change) => parts.inflight(change),
    headers: () => (gate.starting ? undefined : services.current().policies.headers),
    add: (exchange) => open.add(exchange),
    remove: (exchange) => open.remove(exchange),
  })
}
