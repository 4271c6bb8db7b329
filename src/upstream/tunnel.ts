import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { ProxyOptions, TlsOptions, Wanted } from './connectors.ts'
import { refusedEgress } from './refused.ts'

/** Longer answers to CONNECT than this are none, bytes. */
const MAX_HEAD = 16 * 1024

/** dialed: gets every socket that was opened on the way. */
export async function dialThrough(
  proxy: ProxyOptions,
  wanted: Wanted,
  tls: TlsOptions,
  dialed: Socket[],
): Promise<Socket> {
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
