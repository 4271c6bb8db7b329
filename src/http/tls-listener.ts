import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { PeerIdentity } from '../contracts/identity.ts'
import type { TlsConfig } from '../contracts/config.ts'
import { ASK_PEER } from './data-listener.ts'

/** Whom a verified client certificate names; null = nobody. */
export type PeerReader = (
  certificate: NonNullable<ReturnType<TLSSocket['getPeerX509Certificate']>>,
) => PeerIdentity | null

/** On the socket itself: HTTP/2 hands out a stand-in for it, which has its properties but is another object. */
const PEER = Symbol('heddle.peer')
type WithPeer = Socket & { [PEER]?: PeerIdentity | null }

/** Who the other end of a connection is by its certificate; null = no TLS here, or no certificate. */
export const peerOf = (socket: WithPeer): PeerIdentity | null => socket[PEER] ?? null

export interface TlsListenerParts {
  readonly config: TlsConfig
  readonly handshakeMs: number
  readonly peer: PeerReader
  /** Takes a connection whose handshake is done. */
  readonly accept: (socket: Socket) => void
}

const optionsOf = ({
  cert,
  key,
  clientCa,
  clientCert,
}: TlsConfig): Parameters<Server['setSecureContext']>[0] & object => ({
  cert,
  key,
  minVersion: 'TLSv1.2',
  ...(clientCert === 'none' ? {} : { requestCert: true, rejectUnauthorized: clientCert === 'required' }),
  ...(clientCa === null ? {} : { ca: clientCa }),
})

/** TLS with client certificates in front of the data listener. What it accepts is handled like any connection. */
export class TlsListener {
  readonly #server: Server

  /** Throws when certificate and key cannot be used. */
  constructor(parts: TlsListenerParts) {
    this.#server = createServer({
      ...optionsOf(parts.config),
      ...ASK_PEER,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: parts.handshakeMs,
    })
    this.#server.on('secureConnection', (socket: TLSSocket & WithPeer) => {
      // With `optional` a certificate that does not verify is none at all.
      const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined
      // Once a connection: a certificate does not change while it lasts.
      socket[PEER] = certificate === undefined ? null : parts.peer(certificate)
      parts.accept(socket)
    })
    // Scanners and clients without a certificate: nothing of ours has failed.
    this.#server.on('tlsClientError', () => {})
  }

  /** Resolves with the port. */
  listen(port: number, host: string, reusePort: boolean): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port, host, reusePort }, () => {
        this.#server.off('error', reject)
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  }

  /** New certificates for handshakes from now on; connections that are open keep theirs. Throws when unusable. */
  update(config: TlsConfig): void {
    this.#server.setSecureContext(optionsOf(config))
  }

  close(): void {
    this.#server.close()
  }
}
