import { isIP } from 'node:net'

// RFC 1123 with the underscore that registries allow. What else stands in a host could end up in a header or a URL.
const HOST_NAME = /^[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}[a-z0-9_])?)*\.?$/i

/** An IP address (no zone index: it means nothing on another machine) or a host name of at most 253 characters. */
export const isHost = (text: string): boolean =>
  text.length <= 253 && (isIP(text) !== 0 ? !text.includes('%') : HOST_NAME.test(text) && !/^[\d.]+$/.test(text))

export const isPort = (port: unknown): port is number =>
  typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535

/** `host:port`, IPv6 in brackets; null = it is not that. */
export function parseAddress(text: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([^\]]{2,64})\]|([^:[\]]{1,253})):(\d{1,5})$/.exec(text)
  if (match === null) return null
  const host = (match[1] ?? match[2] ?? '').toLowerCase()
  const port = Number(match[3])
  const fits = match[1] === undefined ? isHost(host) : isIP(host) === 6 && !host.includes('%')
  return fits && isPort(port) ? { host, port } : null
}

export const formatAddress = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
