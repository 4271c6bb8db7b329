/** Where this workload's own certificate comes from. It is renewed while the process runs. */
export type SvidConfig =
  /** PEM files, each read again when it changes. */
  | {
      readonly source: 'files'
      readonly cert: string
      readonly key: string
      readonly bundle: string
    }
  /** Istio's agent (`SecretDiscoveryService/StreamSecrets`), `unix:PATH`. */
  | { readonly source: 'istio-sds'; readonly socket: string }
  /** SPIFFE Workload API, `unix:PATH` or `tcp://IP:PORT`. spiffeId: of several ids the one to use; null = the first. */
  | { readonly source: 'spiffe'; readonly socket: string; readonly spiffeId: string | null }

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
