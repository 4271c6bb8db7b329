import type { Received } from '../contracts/http.ts'
import type { McpEndpoint } from './endpoint.ts'
import { METADATA_PATH } from './metadata-path.ts'

/** A host as a URL has it: nothing that could leave the place that it stands in. */
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

/** Where clients know this gateway; null = the request names no host that could be repeated. */
export function originOf({ config }: McpEndpoint, received: Received): string | null {
  if (config.publicUrl !== null) return config.publicUrl.replace(/\/$/, '')
  const host = received.header('host') ?? received.header(':authority') ?? ''
  if (!HOST.test(host)) return null
  const tls = received.peerIdentity?.source === 'mtls' || received.header('x-forwarded-proto') === 'https'
  return `${tls ? 'https' : 'http'}://${host}`
}

/** Issuers of tokens that are accepted; none = clients are given keys otherwise. */
const issuersOf = ({ services }: McpEndpoint): readonly string[] => [
  ...new Set((services.current().config.auth?.jwt ?? []).map(({ issuer }) => issuer)),
]

/** The metadata of a path of the endpoint (RFC 9728 section 2); null = there is none. */
export function metadataOf(endpoint: McpEndpoint, received: Received): string | null {
  const issuers = issuersOf(endpoint)
  const rest = received.path.slice(METADATA_PATH.length)
  const path = rest === '' || rest === '/' ? endpoint.config.path : rest
  if (issuers.length === 0 || !endpoint.takes(path) || endpoint.viewOf(path) === null) return null
  const origin = originOf(endpoint, received)
  if (origin === null) return null
  return JSON.stringify({
    resource: origin + path,
    authorization_servers: issuers,
    bearer_methods_supported: ['header'],
    resource_name: 'Heddle',
  })
}

/**
 * What a refused caller is told (RFC 6750 section 3, RFC 9728 section 5.1): the challenge that the authenticator has made,
 * and where to ask for a token.
 */
export function challengeOf(endpoint: McpEndpoint, received: Received, headers: readonly string[]): string[] {
  const found = [...headers]
  const origin = issuersOf(endpoint).length === 0 ? null : originOf(endpoint, received)
  if (origin === null) return found
  const at = found.indexOf('www-authenticate')
  const metadata = `resource_metadata="${origin}${METADATA_PATH}${endpoint.config.path}"`
  if (at < 0) return [...found, 'www-authenticate', `Bearer ${metadata}`]
  const challenge = found[at + 1]!
  found[at + 1] = challenge.includes(' ') ? `${challenge}, ${metadata}` : `${challenge} ${metadata}`
  return found
}
