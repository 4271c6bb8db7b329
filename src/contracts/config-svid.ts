import type { X509Certificate } from 'node:crypto'
import type { PeerIdentity } from './identity.ts'

/** Where this workload's own certificate comes from. It is renewed while the process runs. */
export type SvidConfig =
  /** PEM files, each read again when it changes. trustDomains: besides its own, those that the bundle vouches for. */
  | {
      readonly source: 'files'
      readonly cert: string
      readonly key: string
      readonly bundle: string
      readonly trustDomains: readonly string[]
    }
  /** Istio's agent (`SecretDiscoveryService/StreamSecrets`), `unix:PATH`. */
  | { readonly source: 'istio-sds'; readonly socket: string; readonly trustDomains: readonly string[] }
  /** SPIFFE Workload API, `unix:PATH` or `IP:PORT`. Of several ids the one to use; both null = the first. */
  | {
      readonly source: 'spiffe'
      readonly socket: string
      readonly spiffeId: string | null
      readonly hint: string | null
    }

/** One X.509 SVID with what its peers are verified by. PEM texts. Secret: never logged, never dumped. */
export interface Svid {
  /** `spiffe://…`; '' = the certificate names none. */
  readonly id: string
  /** Chain, leaf first. */
  readonly cert: string
  readonly key: string
  /** Certificates that peers must lead to, by trust domain (`cluster.local`); '' = any. */
  readonly bundles: Readonly<Record<string, string>>
  /** Hex, of the leaf. */
  readonly serial: string
  /** Epoch ms. */
  readonly notAfter: number
}

/** Whom a certificate names, verified or not; null = nobody for certain. */
export type CertificateReader = (certificate: X509Certificate) => PeerIdentity | null

/** The SVID of this process as those see it who make and take connections. */
export interface SvidSource {
  /** null = none has come yet. */
  readonly svid: Svid | null
  /** Calls with each new one until the returned function is called. */
  watchSvid(onSvid: (svid: Svid) => void): () => void
  readonly read: CertificateReader
}
