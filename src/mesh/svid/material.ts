import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import type { CertificateReader, Svid } from '../../contracts/config-svid.ts'

/**
 * Why there is no (new) SVID: the source cannot be asked; what it gave is nothing of the kind; the key is another
 * certificate's; the certificate is not valid now; it is nobody's, or somebody else's; nothing vouches for peers.
 */
export type SvidReason = 'source' | 'unreadable' | 'mismatch' | 'expired' | 'identity' | 'bundle'

/** The message is for logs: never any of what was given. */
export class SvidFault extends Error {
  readonly reason: SvidReason

  constructor(reason: SvidReason, message: string) {
    super(message)
    this.name = 'SvidFault'
    this.reason = reason
  }
}

/** What a source has given, unchecked. PEM texts; other blocks and words between them do not count. */
export interface Material {
  readonly cert: string
  readonly key: string
  /** Vouches for peers of the SVID's own trust domain. */
  readonly bundle: string
  /** Trust domains besides that the same bundle vouches for. */
  readonly trustDomains?: readonly string[]
  /** Bundles of other trust domains, by their names. */
  readonly federated?: Readonly<Record<string, string>>
  /** The id that the source says the certificate has. */
  readonly id?: string
}

/** More is no SVID: a bundle of a hundred authorities has a quarter of it, bytes. */
export const MAX_BYTES = 1_048_576

/** Clocks of agents and ours may differ, ms. */
const SKEW_MS = 60_000

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g
const blocks = (pem: string): string[] => pem.slice(0, MAX_BYTES).match(CERTIFICATE) ?? []

function parsed(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch {
    throw new SvidFault('unreadable', `${what} cannot be read`)
  }
}

/** Certificates of a PEM text. Throws SvidFault when there is none, or one is broken. */
export function certificatesOf(pem: string, what: string): readonly X509Certificate[] {
  const found = blocks(pem)
  if (found.length === 0) throw new SvidFault(what === 'the bundle' ? 'bundle' : 'unreadable', `${what} is empty`)
  return found.map((block) => parsed(block, what))
}

function keyOf(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    throw new SvidFault('unreadable', 'the private key cannot be read')
  }
}

/** '' = the certificate names no SPIFFE id. */
function idOf(leaf: X509Certificate, read: CertificateReader): string {
  const peer = read(leaf)
  if (peer !== null && peer.trustDomain !== '') return peer.id
  if (/URI:"?spiffe:/i.test(leaf.subjectAltName ?? ''))
    throw new SvidFault('identity', 'the certificate has several SPIFFE ids, or a broken one')
  return ''
}

function bundlesOf(material: Material, own: string): Record<string, string> {
  const bundle = certificatesOf(material.bundle, 'the bundle').map(String).join('')
  const bundles: Record<string, string> = Object.fromEntries(
    Object.entries(material.federated ?? {}).map(([domain, pem]) => [
      domain,
      certificatesOf(pem, 'the bundle').map(String).join(''),
    ]),
  )
  for (const domain of material.trustDomains ?? []) bundles[domain] = bundle
  bundles[own] = bundle
  return bundles
}

/**
 * A set that can be used now, X509-SVID section 5 included: the key fits the leaf, which is no authority, valid, and has
 * one SPIFFE id (or as a file none). Throws SvidFault. now: epoch ms.
 */
export function checkSvid(material: Material, read: CertificateReader, now: number): Svid {
  const chain = certificatesOf(material.cert, 'the certificate')
  const leaf = chain[0]!
  if (!leaf.checkPrivateKey(keyOf(material.key)))
    throw new SvidFault('mismatch', 'the private key is not the certificate’s')
  if (leaf.ca) throw new SvidFault('identity', 'the certificate is an authority’s')
  const notAfter = leaf.validToDate.getTime()
  if (notAfter <= now) throw new SvidFault('expired', `the certificate expired at ${leaf.validToDate.toISOString()}`)
  if (leaf.validFromDate.getTime() > now + SKEW_MS)
    throw new SvidFault('expired', `the certificate is not valid before ${leaf.validFromDate.toISOString()}`)
  const id = idOf(leaf, read)
  if (material.id !== undefined && material.id !== id)
    throw new SvidFault('identity', 'the certificate has another SPIFFE id than its source says')
  const bundles = bundlesOf(material, id === '' ? '' : (read(leaf)?.trustDomain ?? ''))
  const cert = chain.map(String).join('')
  const { key } = material
  try {
    createSecureContext({ cert, key, ca: Object.values(bundles) })
  } catch {
    // The library's words may quote what it was given.
    throw new SvidFault('unreadable', 'TLS cannot use the certificate with its key and bundle')
  }
  return { id, cert, key, bundles, serial: leaf.serialNumber.toLowerCase(), notAfter }
}

/** Null = done. */
export function whyNot(task: () => void): SvidFault | null {
  try {
    task()
    return null
  } catch (error) {
    return error instanceof SvidFault ? error : new SvidFault('unreadable', 'what was given cannot be used')
  }
}
