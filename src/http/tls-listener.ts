import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import type { PeerIdentity } from '../contracts/identity.ts'
import type { TlsConfig } from '../contracts/config.ts'
import type { Svid, SvidSource } from '../contracts/config-svid.ts'
import { systemClock } from '../core/clock.ts'
import type { PeerCheck } from '../mesh/svid/peers.ts'
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
  /** With `config.svid`: where certificate, key and bundles come from. */
  readonly identity: SvidSource | null
  /** Takes a connection whose handshake is done. */
  readonly accept: (socket: Socket) => void
}

type Options = Parameters<Server['setSecureContext']>[0] & object

const askOf = ({ clientCert }: TlsConfig): Pick<TlsOptions, 'requestCert' | 'rejectUnauthorized'> =>
  clientCert === 'none' ? {} : { requestCert: true, rejectUnauthorized: clientCert === 'required' }

const optionsOf = (config: TlsConfig): Options => ({
  cert: config.cert,
  key: config.key,
  minVersion: 'TLSv1.2',
  ...askOf(config),
  ...(config.clientCa === null ? {} : { ca: config.clientCa }),
})

const ALPN = ['h2', 'http/1.1']
/** Those besides that proxies of Istio offer in mutual TLS (istio `pilot/pkg/xds/filters`). */
const MESH_ALPN = [...ALPN, 'istio-h2', 'istio-http/1.1', 'istio']

/** TLS with client certificates in front of the data listener. What it accepts is handled like any connection. */
export class TlsListener {
  readonly #server: Server
  readonly #parts: TlsListenerParts
  #config: TlsConfig
  /** Who peers are by our SVID; null = there is none, or it is not used. */
  #check: PeerCheck | null = null
  #stopWatching: () => void = () => {}

  /** Throws when certificate and key cannot be used. */
  constructor(parts: TlsListenerParts) {
    const { config } = parts
    this.#parts = parts
    this.#config = config
    this.#server = createServer({
      // Without a certificate no handshake succeeds: listen() looks for the first one.
      ...(config.svid ? askOf(config) : optionsOf(config)),
      ...ASK_PEER,
      ALPNProtocols: config.svid ? MESH_ALPN : ALPN,
      handshakeTimeout: parts.handshakeMs,
    })
    this.#server.on('secureConnection', (socket: TLSSocket & WithPeer) => this.#take(socket))
    // Scanners and clients without a certificate: nothing of ours has failed.
    this.#server.on('tlsClientError', () => {})
  }

  /** What it needs is loaded when it is used. */
  async #follow(identity: SvidSource): Promise<void> {
    const [{ PeerCheck: Check }, { secureOptions }] = await Promise.all([
      import('../mesh/svid/peers.ts'),
      import('../mesh/svid/secure.ts'),
    ])
    const use = (svid: Svid): void => {
      this.#check = new Check(svid, identity.read)
      this.#server.setSecureContext({ ...secureOptions(svid), ...askOf(this.#config) })
    }
    if (identity.svid !== null) use(identity.svid)
    this.#stopWatching = identity.watchSvid(use)
  }

  #take(socket: TLSSocket & WithPeer): void {
    // With `optional` a certificate that does not verify is none at all.
    const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined
    // Once a connection: a certificate does not change while it lasts.
    if (certificate === undefined) socket[PEER] = null
    else if (!this.#config.svid) socket[PEER] = this.#parts.peer(certificate)
    else socket[PEER] = this.#check?.identify(certificate, systemClock.now()) ?? null
    // Verified, and yet nobody for certain: with two SPIFFE ids, or of a trust domain whose bundle does not vouch for it.
    if (this.#config.svid && this.#config.clientCert === 'required' && socket[PEER] === null) {
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    this.#parts.accept(socket)
  }

  /** Resolves with the port. */
  async listen(port: number, host: string, reusePort: boolean): Promise<number> {
    const { identity } = this.#parts
    if (this.#config.svid && identity !== null) await this.#follow(identity)
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
    // That one comes from elsewhere, and what else of it changes needs a restart.
    if (this.#config.svid || config.svid) return
    this.#server.setSecureContext(optionsOf(config))
    this.#config = config
  }

  close(): void {
    this.#stopWatching()
    this.#server.close()
  }
}
