import type { X509Certificate } from 'node:crypto'
import { createSecureContext, connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import type { Svid, SvidSource } from '../contracts/config-svid.ts'
import { systemClock } from '../core/clock.ts'
import { compileGlobs, type Matcher } from '../core/glob.ts'
import { atMost } from '../core/sleep.ts'
import { PeerCheck } from '../mesh/svid/peers.ts'
import { secureOptions } from '../mesh/svid/secure.ts'
import type { Connector, Hand, Wanted } from './connectors.ts'
import { refusedPeer } from './refused.ts'

/** As Istio's sidecars call: theirs tell mutual TLS of the mesh by it. */
const CLIENT_ALPN = ['istio-http/1.1', 'istio', 'http/1.1']

export interface MutualOptions {
  readonly identity: SvidSource
  /** Globs; empty = any that the bundles vouch for. */
  readonly peers: readonly string[]
  readonly timeoutMs: number
}

/** What handshakes with one SVID share. */
interface Ready {
  readonly svid: Svid
  readonly context: SecureContext
  readonly check: PeerCheck
}

/** One that came while a handshake was under way takes its place; more than these are somebody's fault. */
const TRIES = 3

/**
 * Connections with the SVID of the moment, to ends whose SPIFFE id is one that may be called. Names of hosts are not
 * looked at: workloads of a mesh have none in their certificates.
 */
export function mutualConnector(options: MutualOptions): Connector {
  const { identity, timeoutMs } = options
  const allowed: Matcher = options.peers.length === 0 ? () => true : compileGlobs(options.peers)
  let ready: Ready | null = null
  const current = (): Ready => {
    const { svid } = identity
    if (svid === null) throw refusedPeer('there is no certificate of this workload yet')
    if (ready?.svid !== svid)
      ready = { svid, context: createSecureContext(secureOptions(svid)), check: new PeerCheck(svid, identity.read) }
    return ready
  }

  const open = async (wanted: Wanted, opened: TLSSocket[]): Promise<TLSSocket> => {
    for (let left = TRIES; ; left--) {
      const { context, check, svid } = current()
      // The socket's own settings are not in the type, and are taken (tls.connect passes them to net.connect).
      const settings = {
        host: wanted.hostname.replace(/^\[|\]$/g, ''),
        port: Number(wanted.port === '' ? 443 : wanted.port),
        autoSelectFamily: true,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: 60_000,
        secureContext: context,
        ...serverName(wanted),
        ALPNProtocols: CLIENT_ALPN,
        checkServerIdentity: () => undefined,
      }
      const socket = connectTls(settings)
      opened.push(socket)
      await handshake(socket)
      // Nothing has been sent: the next connection shows the new one.
      if (identity.svid !== svid && left > 1) socket.destroy()
      else {
        expectAllowed(socket.getPeerX509Certificate(), check, allowed)
        return socket
      }
    }
  }

  return (wanted: Wanted, hand: Hand) => {
    const opened: TLSSocket[] = []
    const close = (): void => {
      for (const socket of opened) socket.destroy()
    }
    atMost(timeoutMs, open(wanted, opened)).then(
      (socket) => {
        if (socket !== null) {
          hand(null, socket)
          return
        }
        close()
        hand(Object.assign(new Error('the handshake took too long'), { code: 'UND_ERR_CONNECT_TIMEOUT' }), null)
      },
      (error: Error) => {
        close()
        hand(error, null)
      },
    )
  }
}

/** Addresses are no names (RFC 6066 section 3). */
function serverName({ servername, hostname }: Wanted): { readonly servername?: string } {
  const name = typeof servername === 'string' && servername !== '' ? servername : hostname
  return /^[\d.]+$/.test(name) || name.includes(':') ? {} : { servername: name }
}

const handshake = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve, reject) => {
    // Stays: what breaks later must not end the process before undici listens.
    socket.on('error', reject)
    socket.once('close', () => reject(Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' })))
    socket.once('secureConnect', () => resolve())
  })

function expectAllowed(certificate: X509Certificate | undefined, check: PeerCheck, allowed: Matcher): void {
  const peer = certificate === undefined ? null : check.identify(certificate, systemClock.now())
  if (peer === null) throw refusedPeer('the other end has no SPIFFE id that the bundle of its trust domain vouches for')
  if (!allowed(peer.id)) throw refusedPeer(`the other end is ${peer.id}, which \`tls.spiffe_ids\` does not allow`)
}
