import type { PeerIdentity } from '../contracts/identity.ts'

/** What of an X.509 certificate is read here: `X509Certificate` of node:crypto has it. */
export interface CertificateNames {
  /** Node's text of the extension, such as `DNS:a.example, URI:spiffe://td/x`. */
  readonly subjectAltName: string | undefined
  /** One attribute a line: `CN=name`. */
  readonly subject: string
}

export interface AltName {
  readonly type: string
  readonly value: string
}

const MAX_ID = 2048

/**
 * Node's text of subjectAltName as its entries; null when it is not of that form. A value that holds anything that could
 * be taken for a separator comes as a JSON string (CVE-2021-44532), so that quotes must be read as such: cutting at commas
 * would let a DNS name that holds `, URI:spiffe://...` speak for another.
 */
export const parseAltNames = (text: string): readonly AltName[] | null => {
  const names: AltName[] = []
  let at = 0
  while (at < text.length) {
    const colon = text.indexOf(':', at)
    if (colon < 0) return null
    const type = text.slice(at, colon)
    let end: number
    let value: string
    if (text[colon + 1] === '"') {
      end = colon + 2
      while (end < text.length && text[end] !== '"') end += text[end] === '\\' ? 2 : 1
      if (end >= text.length) return null
      end += 1
      try {
        value = JSON.parse(text.slice(colon + 1, end)) as string
      } catch {
        return null
      }
    } else {
      end = text.indexOf(', ', colon)
      if (end < 0) end = text.length
      value = text.slice(colon + 1, end)
    }
    names.push({ type, value })
    if (end < text.length && !text.startsWith(', ', end)) return null
    at = end + 2
  }
  return names
}

/** The characters of a SPIFFE id (SPIFFE-ID section 2.1 to 2.3): no escapes, no empty or dot segments, no query. */
const SPIFFE = /^spiffe:\/\/([a-z0-9._-]{1,255})((?:\/[A-Za-z0-9._-]+)*)$/
const ACCOUNT = /^\/ns\/([^/]+)\/sa\/([^/]+)$/

const identity = (source: PeerIdentity['source'], id: string): PeerIdentity => ({
  source,
  id,
  trustDomain: '',
  namespace: '',
  serviceAccount: '',
})

/** Null when the text is no valid SPIFFE id. */
export const spiffeIdentity = (source: PeerIdentity['source'], id: string): PeerIdentity | null => {
  const match = id.length > MAX_ID ? null : SPIFFE.exec(id)
  if (match === null) return null
  const path = match[2] ?? ''
  if (path.split('/').some((part) => part === '.' || part === '..')) return null
  const account = ACCOUNT.exec(path)
  return {
    source,
    id,
    trustDomain: match[1] ?? '',
    namespace: account?.[1] ?? '',
    serviceAccount: account?.[2] ?? '',
  }
}

const isPlain = (text: string): boolean => /^[\x21-\x7e]{1,2048}$/.test(text)

/** Anything else than one common name without escapes names nobody for certain. */
const commonName = (subject: string): string | null => {
  const names = subject.split('\n').filter((line) => line.startsWith('CN='))
  const name = names.length === 1 ? (names[0] ?? '').slice(3) : ''
  return isPlain(name) && !/[\\"+,]/.test(name) ? name : null
}

/**
 * Whom a verified client certificate names: its SPIFFE id, else its first DNS name, else its common name; null = nobody
 * for certain, such as one with two SPIFFE ids (X509-SVID section 2 allows exactly one URI) or with a broken one.
 */
export const peerFromCertificate = (certificate: CertificateNames): PeerIdentity | null => {
  const names = parseAltNames(certificate.subjectAltName ?? '')
  if (names === null) return null
  const ids = names.filter(({ type, value }) => type === 'URI' && /^spiffe:/i.test(value))
  const [id, second] = ids
  if (id !== undefined) return second === undefined ? spiffeIdentity('mtls', id.value) : null
  const dns = names.find(({ type }) => type === 'DNS')
  if (dns !== undefined) return isPlain(dns.value) ? identity('mtls', dns.value) : null
  // With alternative names the common name counts for nothing (RFC 6125 section 6.4.4).
  const name = names.length === 0 ? commonName(certificate.subject) : null
  return name === null ? null : identity('mtls', name)
}

/** Cuts at `separator` outside of double quotes, in which a backslash takes the next character as it is. */
const splitQuoted = (text: string, separator: string): readonly string[] | null => {
  const parts: string[] = []
  let quoted = false
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]
    if (quoted && c === '\\') i += 1
    else if (c === '"') quoted = !quoted
    else if (c === separator && !quoted) {
      parts.push(text.slice(from, i))
      from = i + 1
    }
  }
  parts.push(text.slice(from))
  return quoted ? null : parts
}

const unquoted = (text: string): string =>
  text.length > 1 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1).replaceAll(/\\(.)/gs, '$1') : text

/**
 * `x-forwarded-client-cert` of Envoy: elements divided by commas, of `Key=value` divided by semicolons. Only the last
 * element counts: it is the one that the proxy in front of us added, those before it are claims of the caller.
 */
const fromXfcc = (text: string): PeerIdentity | null => {
  const last = splitQuoted(text, ',')?.at(-1)
  const pairs = last === undefined ? null : splitQuoted(last, ';')
  if (pairs === null) return null
  const values = (wanted: string): readonly string[] =>
    pairs.flatMap((pair) => {
      const equals = pair.indexOf('=')
      const key = pair.slice(0, Math.max(0, equals)).trim().toLowerCase()
      return key === wanted ? [unquoted(pair.slice(equals + 1).trim())] : []
    })
  const ids = values('uri').filter((uri) => /^spiffe:/i.test(uri))
  if (ids.length > 0) return ids.length === 1 ? spiffeIdentity('header', ids[0] ?? '') : null
  const dns = values('dns')[0]
  return dns !== undefined && isPlain(dns) ? identity('header', dns) : null
}

const LINKERD = /^([a-z0-9.-]+)\.([a-z0-9-]+)\.serviceaccount\.identity\.(.+)$/

/** `l5d-client-id` of Linkerd: `ACCOUNT.NAMESPACE.serviceaccount.identity.TRUST-DOMAIN`, or a SPIFFE id. */
const fromLinkerd = (text: string): PeerIdentity | null => {
  if (/^spiffe:/i.test(text)) return spiffeIdentity('header', text)
  const match = LINKERD.exec(text)
  if (match === null || !isPlain(text)) return null
  const [, serviceAccount = '', namespace = '', trustDomain = ''] = match
  return { source: 'header', id: text, trustDomain, namespace, serviceAccount }
}

const fromPlain = (text: string): PeerIdentity | null => {
  if (/^spiffe:/i.test(text)) return spiffeIdentity('header', text)
  return isPlain(text) ? identity('header', text) : null
}

/** How headers with a form of their own are read; every other one holds just the id. */
const FORMS: ReadonlyMap<string, (text: string) => PeerIdentity | null> = new Map([
  ['x-forwarded-client-cert', fromXfcc],
  ['l5d-client-id', fromLinkerd],
])

/** Whom the value of a trusted header names; null = nobody. `header` in lower case. */
export const peerFromHeader = (header: string, value: string): PeerIdentity | null => {
  const text = value.trim()
  return text === '' ? null : (FORMS.get(header) ?? fromPlain)(text)
}
