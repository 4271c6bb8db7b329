/** How a provider is authenticated when one key in `apiKey` is not all. Secrets are resolved; files are re-read. */
export type CredentialsConfig =
  /** Several keys: used in turn, a busy one rests, a dead one is left out. */
  | {
      readonly kind: 'pool'
      readonly keys: readonly { readonly id: string; readonly key: string; readonly weight: number }[]
    }
  | {
      /** AWS Signature Version 4. */
      readonly kind: 'aws'
      readonly region: string
      readonly service: string
      readonly source:
        | {
            readonly kind: 'static'
            readonly accessKeyId: string
            readonly secretAccessKey: string
            readonly sessionToken: string | null
          }
        | { readonly kind: 'profile'; readonly profile: string; readonly file: string | null }
        /** IRSA and other OIDC federation: a token file exchanged at STS. */
        | {
            readonly kind: 'web_identity'
            readonly roleArn: string
            readonly tokenFile: string
            readonly sessionName: string
          }
        /** Container credentials (ECS, EKS Pod Identity) or the instance's (IMDSv2). */
        | { readonly kind: 'container' }
        | { readonly kind: 'instance' }
      /** A role to take on with what `source` gives. */
      readonly assumeRole: {
        readonly arn: string
        readonly externalId: string | null
        readonly sessionName: string
      } | null
      /** null = AWS's own for the region. */
      readonly stsEndpoint: string | null
    }
  | {
      readonly kind: 'google'
      readonly scopes: readonly string[]
      readonly source:
        /** Service-account key, JSON text. */
        | { readonly kind: 'service_account'; readonly key: string }
        /** Workload identity federation: the external-account file, JSON text. */
        | { readonly kind: 'workload_identity'; readonly config: string }
        /** The metadata server of GCE, GKE and Cloud Run. */
        | { readonly kind: 'metadata'; readonly account: string }
    }
  | {
      readonly kind: 'azure'
      readonly scope: string
      readonly authority: string
      readonly source:
        | {
            readonly kind: 'client_secret'
            readonly tenantId: string
            readonly clientId: string
            readonly clientSecret: string
          }
        /** Workload identity: a federated token file. */
        | {
            readonly kind: 'workload_identity'
            readonly tenantId: string
            readonly clientId: string
            readonly tokenFile: string
          }
        | { readonly kind: 'managed_identity'; readonly clientId: string | null }
    }
  /** A key in a file that is read again when it changes. */
  | { readonly kind: 'file'; readonly path: string }
