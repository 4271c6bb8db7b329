export type AwsSource =
  | {
      readonly kind: 'static'
      readonly accessKeyId: string
      readonly secretAccessKey: string
      readonly sessionToken: string | null
    }
  /** A section of a shared credentials file (`~/.aws/credentials`). */
  | { readonly kind: 'profile'; readonly profile: string; readonly file: string }
  /** IRSA and other OIDC federation: a token file exchanged at STS. */
  | {
      readonly kind: 'web_identity'
      readonly roleArn: string
      readonly tokenFile: string
      readonly sessionName: string
    }
  /** Container credentials (ECS, EKS Pod Identity): an address to ask, with a token or a file that holds one. */
  | {
      readonly kind: 'container'
      readonly url: string
      readonly token: string | null
      readonly tokenFile: string | null
    }
  /** The instance's role, by IMDSv2 at this address. */
  | { readonly kind: 'instance'; readonly endpoint: string }

export interface AwsCredentialsConfig {
  /** AWS Signature Version 4. */
  readonly kind: 'aws'
  readonly region: string
  readonly service: string
  readonly source: AwsSource
  /** A role to take on with what `source` gives. */
  readonly assumeRole: {
    readonly arn: string
    readonly externalId: string | null
    readonly sessionName: string
  } | null
  /** null = AWS's own for the region. */
  readonly stsEndpoint: string | null
}

export interface GoogleCredentialsConfig {
  readonly kind: 'google'
  readonly scopes: readonly string[]
  readonly source:
    /** Service-account key, JSON text. */
    | { readonly kind: 'service_account'; readonly key: string }
    /** Workload identity federation: the external-account file, JSON text. */
    | { readonly kind: 'workload_identity'; readonly config: string }
    /** The metadata server of GCE, GKE and Cloud Run. */
    | { readonly kind: 'metadata'; readonly account: string; readonly endpoint: string }
}

export interface AzureCredentialsConfig {
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
    /** header: the secret of the App Service form; null = the form of virtual machines (IMDS). */
    | {
        readonly kind: 'managed_identity'
        readonly clientId: string | null
        readonly endpoint: string
        readonly header: string | null
      }
}

/** How a provider is authenticated when one key in `apiKey` is not all. Secrets are resolved; files are re-read. */
export type CredentialsConfig =
  /** Several keys: used in turn, a busy one rests, a dead one is left out. */
  | {
      readonly kind: 'pool'
      readonly keys: readonly { readonly id: string; readonly key: string; readonly weight: number }[]
    }
  | AwsCredentialsConfig
  | GoogleCredentialsConfig
  | AzureCredentialsConfig
  /** A key in a file that is read again when it changes. */
  | { readonly kind: 'file'; readonly path: string }
