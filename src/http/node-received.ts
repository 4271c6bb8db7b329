import type { IncomingMessage } from 'node:http'
import type { Authenticator, HeaderGate, PeerIdentity } from '../contracts/identity.ts'
import { RawReceived } from '../pipeline/raw-received.ts'
import { askedUrl } from './ext-authz.ts'
import type { OpenExchange, SideDoor } from './side-door.ts'
import { peerOf } from './tls-listener.ts'

/** One request of node:http, its body read. */
export class NodeReceived extends RawReceived {
  /** Whose answer `identity` is. */
  identifiedBy: Authenticator | null = null
  /** What became of it; null while its body is on its way. */
  exchange: OpenExchange | null = null
  /** Whose path it is; null = the API's. */
  side: SideDoor | null = null
  /** Nobody waits for the answer any more. Of HTTP/2 neither message nor answer would tell. */
  gone = false
  readonly asks: boolean
  readonly #req: IncomingMessage

  /** asks: a proxy asks whether the request may go on that it tells of. */
  constructor(req: IncomingMessage, startedAt: number, gate?: HeaderGate, asks = false) {
    const { rawHeaders: raw, socket } = req
    const url = asks ? askedUrl(req.url!) : originForm(req.url ?? '/')
    super({ method: req.method ?? 'GET', url, raw, peer: socket.remoteAddress ?? '', startedAt }, gate)
    this.#req = req
    this.asks = asks
  }

  get peerIdentity(): PeerIdentity | null {
    return peerOf(this.#req.socket)
  }

  protected override allHeaders(): Readonly<Record<string, string | string[] | undefined>> {
    return this.#req.headers
  }
}

const ABSOLUTE = /^https?:\/\/[^/?#]*/i

/** A request line may name the whole URL (RFC 9112 3.2.2); where Heddle sends it is not up to the client. */
function originForm(url: string): string {
  if (url.startsWith('/')) return url
  const rest = url.replace(ABSOLUTE, '')
  return rest === url || rest.startsWith('/') ? rest : `/${rest}`
}
