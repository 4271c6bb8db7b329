import type { Socket } from 'node:net'
import { atMost } from '../core/sleep.ts'
// The connector alone, as the pool alone: see undici-upstream.ts.
import buildConnector from 'undici/lib/core/connect.js'
import type { Origination, proveOrigination } from './origination.ts'
import type { SvidSource } from '../contracts/config-svid.ts'
import { refusedEgress, refusedPeer } from './refused.ts'
import type { dialThrough } from './tunnel.ts'

export interface TlsOptions {
  readonly ca: string | null
  readonly serverName: string | null
  readonly rejectUnauthorized: boolean
  /** Mutual TLS with the SVID of this process; left out = none. */
  readonly svid?: boolean
  /** SPIFFE ids (globs) of which the other end must be one; empty = any that the bundles vouch for. */
  readonly peers?: readonly string[]
}

export interface ProxyOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string
  /** Value of `proxy-authorization`; null = none. */
  readonly authorization: string | null
}

export interface ConnectOptions {
  readonly tls: TlsOptions
  /** Ms; 0 = the system's own. */
  readonly timeoutMs: number
  /** HTTP proxy that is asked for a tunnel; null = none. */
  readonly proxy: ProxyOptions | null
  /** What each connection must prove before anything is sent on it; null = nothing. */
  readonly origination: Origination | null
  /** Where the SVID comes from; left out = there is none. */
  readonly identity?: SvidSource | null
}

/** What undici hands its connectors, and wants back (undici `buildConnector`). */
export interface Wanted {
  readonly hostname: string
  readonly host: string
  readonly protocol: string
  readonly port: string
  readonly servername?: string | null
  readonly localAddress?: string | null
  readonly httpSocket?: Socket
}
export type Hand = (error: Error | null, socket: Socket | null) => void
export type Connector = (wanted: Wanted, hand: Hand) => void

/** Where the configuration says that the system's own time limit rules. */
const PATIENCE_MS = 30_000

/** How connections to one origin are made. Addresses of both families are tried (RFC 8305), and looked up each time. */
export function connectorFor(options: ConnectOptions): Connector {
  const { proxy, origination, tls, timeoutMs } = options
  if (tls.svid === true) return meshConnector(options)
  const connect = buildConnector({
    timeout: timeoutMs,
    noDelay: true,
    allowH2: false,
    autoSelectFamily: true,
    rejectUnauthorized: tls.rejectUnauthorized,
    ...(tls.ca === null ? {} : { ca: tls.ca }),
  }) as unknown as Connector
  const { serverName: servername } = tls
  // undici itself prefers the name of a `host` header: that of the service, which its certificate need not have.
  const direct: Connector = servername === null ? connect : (wanted, hand) => connect({ ...wanted, servername }, hand)
  const plain: Connector = proxy === null ? direct : tunnelConnector(proxy, options)
  if (origination === null) return plain
  return (wanted, hand) =>
    plain(wanted, (failure, socket) => {
      if (failure !== null || socket === null) hand(failure, null)
      else
        prove(socket, origination, timeoutMs === 0 ? PATIENCE_MS : timeoutMs).then(
          () => hand(null, socket),
          (refused: Error) => {
            socket.destroy()
            hand(refusedEgress(refused.message), null)
          },
        )
    })
}

/** Loaded when a configuration needs them. */
const prove = async (...given: Parameters<typeof proveOrigination>): Promise<void> =>
  (await import('./origination.ts')).proveOrigination(...given)
/** Who asks for a connection while this is loaded gets it a moment later. */
function meshConnector({ tls, timeoutMs, identity }: ConnectOptions): Connector {
  let connect: Connector | null = null
  const load = async (): Promise<Connector> => {
    if (identity === undefined || identity === null) throw refusedPeer('no SVID is configured')
    const { mutualConnector } = await import('./mutual-tls.ts')
    connect ??= mutualConnector({
      identity,
      peers: tls.peers ?? [],
      timeoutMs: timeoutMs === 0 ? PATIENCE_MS : timeoutMs,
    })
    return connect
  }
  return (wanted, hand) => {
    if (connect !== null) connect(wanted, hand)
    else
      load().then(
        (loaded) => loaded(wanted, hand),
        (error: Error) => hand(error, null),
      )
  }
}

const dial = async (...given: Parameters<typeof dialThrough>): Promise<Socket> =>
  (await import('./tunnel.ts')).dialThrough(...given)

/** RFC 9110 9.3.6. TLS with the provider is spoken inside of the tunnel: the proxy sees its name and bytes. */
function tunnelConnector(proxy: ProxyOptions, options: ConnectOptions): Connector {
  return (wanted, hand) => {
    const dialed: Socket[] = []
    const patience = options.timeoutMs === 0 ? PATIENCE_MS : options.timeoutMs
    atMost(patience, dial(proxy, wanted, options.tls, dialed)).then(
      (socket) => {
        if (socket !== null) hand(null, socket)
        else {
          for (const open of dialed) open.destroy()
          hand(Object.assign(new Error('the proxy took too long'), { code: 'UND_ERR_CONNECT_TIMEOUT' }), null)
        }
      },
      (error: Error) => {
        for (const open of dialed) open.destroy()
        hand(error, null)
      },
    )
  }
}
