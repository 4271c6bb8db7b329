import type { PeerIdentity } from '../contracts/identity.ts'
import { claimsSpiffe, isPlain, namedIdentity, spiffeIdentity } from '../mesh/identity/spiffe.ts'

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
  const ids = names.filter(({ type, value }) => type === 'URI' && claimsSpiffe(value))
  const [id, second] = ids
  if (id !== undefined) return second === undefined ? spiffeIdentity('mtls', id.value) : null
  const dns = names.find(({ type }) => type === 'DNS')
  if (dns !== undefined) return isPlain(dns.value) ? namedIdentity('mtls', dns.value) : null
  // With alternative names the common name counts for nothing (RFC 6125 section 6.4.4).
  const name = names.length === 0 ? commonName(certificate.subject) : null
  return name === null ? null : namedIdentity('mtls', name)
}
