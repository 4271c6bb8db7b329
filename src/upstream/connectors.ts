import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { atMost } from '../core/sleep.ts'
// The connector alone, as the pool alone: see undici-upstream.ts.
import buildConnector from 'undici/lib/core/connect.js'
import { proveOrigination, type Origination } from './origination.ts'

export interface TlsOptions {
  readonly ca: string | null
  readonly serverName: string | null
  readonly rejectUnauthorized: boolean
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
}

/** What undici hands its connectors, and wants back (undici `buildConnector`). */
interface Wanted {
  readonly hostname: string
  readonly host: string
  readonly protocol: string
  readonly port: string
  readonly servername?: string | null
  readonly localAddress?: string | null
  readonly httpSocket?: Socket
}
type Hand = (error: Error | null, socket: Socket | null) => void
export type Connector = (wanted: Wanted, hand: Hand) => void

/** A connection that must not be used: not a fault of the network, whose codes the system has. */
export const EGRESS_REFUSED = 'HEDDLE_EGRESS_REFUSED'

export const refusedEgress = (message: string): Error => Object.assign(new Error(message), { code: EGRESS_REFUSED })

/** Longer answers to CONNECT than this are none, bytes. */
const MAX_HEAD = 16 * 1024
/** Where the configuration says that the system's own time limit rules. */
const PATIENCE_MS = 30_000

/** How connections to one origin are made. Addresses of both families are tried (RFC 8305), and looked up each time. */
export function connectorFor(options: ConnectOptions): Connector {
  const { proxy, origination, tls, timeoutMs } = options
  const direct = buildConnector({
    timeout: timeoutMs,
    noDelay: true,
    allowH2: false,
    autoSelectFamily: true,
    rejectUnauthorized: tls.rejectUnauthorized,
    ...(tls.ca === null ? {} : { ca: tls.ca }),
    ...(tls.serverName === null ? {} : { servername: tls.serverName }),
  }) as unknown as Connector
  const plain: Connector = proxy === null ? direct : tunnelConnector(proxy, options)
  if (origination === null) return plain
  return (wanted, hand) =>
    plain(wanted, (failure, socket) => {
      if (failure !== null || socket === null) hand(failure, null)
      else
        proveOrigination(socket, origination, timeoutMs === 0 ? PATIENCE_MS : timeoutMs).then(
          () => hand(null, socket),
          (refused: Error) => {
            socket.destroy()
            hand(refusedEgress(refused.message), null)
          },
        )
    })
}

/** RFC 9110 9.3.6. TLS with the provider is spoken inside of the tunnel: the proxy sees its name and bytes. */
function tunnelConnector(proxy: ProxyOptions, options: ConnectOptions): Connector {
  return (wanted, hand) => {
    const dialed: Socket[] = []
    const patience = options.timeoutMs === 0 ? PATIENCE_MS : options.timeoutMs
    atMost(patience, dialThrough(proxy, wanted, options.tls, dialed)).then(
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

/** dialed: gets every socket that was opened on the way. */
async function dialThrough(proxy: ProxyOptions, wanted: Wanted, tls: TlsOptions, dialed: Socket[]): Promise<Socket> {
  const secure = wanted.protocol === 'https:'
  const authority = `${bracketed(wanted.hostname)}:${wanted.port === '' ? (secure ? 443 : 80) : wanted.port}`
  const tunnel = await openTunnel(proxy, authority, dialed)
  if (!secure) return tunnel
  const serverName = tls.serverName ?? wanted.servername ?? wanted.hostname
  return new Promise((resolve, reject) => {
    const inner = connectTls({
      socket: tunnel,
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: tls.rejectUnauthorized,
      ...(isAddress(serverName) ? {} : { servername: serverName }),
      host: serverName,
      ...(tls.ca === null ? {} : { ca: tls.ca }),
    })
    dialed.push(inner)
    inner.once('secureConnect', () => resolve(inner))
    inner.on('error', reject)
  })
}

const isAddress = (host: string): boolean => /^[\d.]+$/.test(host) || host.includes(':')
const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)

/** Asks the proxy for a connection to `authority`. */
function openTunnel({ url, authorization }: ProxyOptions, authority: string, dialed: Socket[]): Promise<Socket> {
  const { protocol, hostname, port } = new URL(url)
  const secure = protocol === 'https:'
  const host = hostname.replace(/^\[|\]$/g, '')
  const at = { host, port: Number(port === '' ? (secure ? 443 : 80) : port), autoSelectFamily: true }
  const socket = secure
    ? connectTls({ ...at, ...(isAddress(host) ? {} : { servername: host }), ALPNProtocols: ['http/1.1'] })
    : connectTcp(at)
  dialed.push(socket)
  return new Promise((resolve, reject) => {
    let head = Buffer.alloc(0)
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) {
        if (head.length > MAX_HEAD) reject(refusedEgress('the proxy’s answer to CONNECT is no HTTP'))
        return
      }
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(head.toString('latin1', 0, end))?.[1]
      if (status?.startsWith('2') !== true) {
        reject(refusedEgress(`the proxy answered CONNECT with ${status ?? 'what is no HTTP'}`))
        return
      }
      socket.off('data', onData)
      socket.pause()
      const rest = head.subarray(end + 4)
      if (rest.length > 0) socket.unshift(rest)
      resolve(socket)
    }
    socket.setNoDelay(true)
    socket.once(secure ? 'secureConnect' : 'connect', () => {
      const credentials = authorization === null ? '' : `proxy-authorization: ${authorization}\r\n`
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n${credentials}\r\n`)
    })
    socket.on('data', onData)
    socket.on('error', reject)
    socket.on('close', () => reject(refusedEgress('the proxy closed the connection')))
  })
}
