import type { X509Certificate } from 'node:crypto'
import type { CertificateReader, Svid } from '../../contracts/config-svid.ts'
import type { PeerIdentity } from '../../contracts/identity.ts'
import { certificatesOf } from './material.ts'

/** Longer chains are none of a mesh's. */
const MAX_CHAIN = 10

const valid = (certificate: X509Certificate, now: number): boolean =>
  certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime()

const issued = (by: X509Certificate, certificate: X509Certificate): boolean =>
  certificate.checkIssued(by) && certificate.verify(by.publicKey)

/**
 * Who the other end of a connection is, by one SVID's bundles. TLS verifies a chain against all bundles together, so that
 * the authority of one trust domain could name members of another: here the chain is followed once more, to the bundle of
 * the trust domain that the leaf claims (SPIFFE-ID section 2.1, X509-SVID section 5.2).
 */
export class PeerCheck {
  readonly #anchors: ReadonlyMap<string, readonly X509Certificate[]>
  readonly #read: CertificateReader

  constructor({ bundles }: Svid, read: CertificateReader) {
    this.#read = read
    this.#anchors = new Map(
      Object.entries(bundles).map(([domain, pem]) => [domain, certificatesOf(pem, 'the bundle')] as const),
    )
  }

  /** Of a certificate that TLS has verified against all bundles. Null = nobody who is believed. now: epoch ms. */
  identify(certificate: X509Certificate, now: number): PeerIdentity | null {
    // Authorities sign, they do not speak (X509-SVID section 4.1).
    if (certificate.ca) return null
    const peer = this.#read(certificate)
    if (peer === null) return null
    if (this.#anchors.has('')) return peer
    const anchors = this.#anchors.get(peer.trustDomain)
    if (anchors === undefined) return null
    return this.#anchors.size === 1 || leadsTo(anchors, certificate, now) ? peer : null
  }
}

function leadsTo(anchors: readonly X509Certificate[], leaf: X509Certificate, now: number): boolean {
  let at = leaf
  for (let i = 0; i < MAX_CHAIN; i++) {
    if (anchors.some((anchor) => valid(anchor, now) && issued(anchor, at))) return true
    // Of the chain that the other end has sent.
    const next = at.issuerCertificate
    if (next === undefined || !next.ca || !valid(next, now) || !issued(next, at)) return false
    if (next.fingerprint256 === at.fingerprint256) return false
    at = next
  }
  return false
}
