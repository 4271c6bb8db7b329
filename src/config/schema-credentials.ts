import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { flag, integer, longText, name, optional, withDefault } from './fields.ts'

const secret = longText.regex(/^[\x21-\x7e]+$/, {
  error: 'holds a blank, a line break or another character that no key has',
})
const url = z.string().refine((text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol), {
  error: 'must be an absolute http or https URL',
})
const file = z.string().min(1).refine(isAbsolute, { error: 'must be an absolute path' })
/** Roles, ids and names that go into URLs and forms of the clouds. */
const word = name.regex(/^[\x21-\x7e]+$/, { error: 'holds a blank or a character that such a name cannot have' })
const label = name.max(64).regex(/^[\w+=,.@-]{2,64}$/, { error: 'must be 2 to 64 of letters, digits and `+=,.@_-`' })

const poolKey = z.strictObject({
  id: optional(
    z.string().regex(/^[\w.-]{1,64}$/, { error: 'must be 1 to 64 of letters, digits and `._-`' }),
    'Name for logs and metrics. Left out: `key-1`, `key-2`, ...',
  ),
  key: secret.describe('The key itself. Write `${env:NAME}` or `${file:PATH}`.'),
  weight: withDefault(integer(1, 1000), 1, 'Share of calls relative to the other keys.'),
})

const webIdentity = z.strictObject({
  role_arn: optional(word, 'Role to take on. Left out: AWS_ROLE_ARN.'),
  token_file: optional(
    file,
    'File with the OIDC token, read anew for each exchange. Left out: AWS_WEB_IDENTITY_TOKEN_FILE.',
  ),
  session_name: withDefault(label, 'heddle', 'Name of the session in AWS’s audit log.'),
})

const container = z.strictObject({
  url: optional(url, 'Where credentials are given out. Left out: AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI.'),
  token: optional(secret, 'Sent as `authorization`. Left out: AWS_CONTAINER_AUTHORIZATION_TOKEN.'),
  token_file: optional(file, 'File with that token. Left out: AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.'),
})

const aws = z.strictObject({
  region: optional(
    z.string().regex(/^[a-z0-9-]{4,32}$/, { error: 'is not a region such as `eu-central-1`' }),
    'Region to sign for. Left out: AWS_REGION or AWS_DEFAULT_REGION.',
  ),
  service: withDefault(
    z.string().regex(/^[a-z0-9-]{2,64}$/, { error: 'is not a service name such as `bedrock`' }),
    'bedrock',
    'Service name to sign for.',
  ),
  access_key_id: optional(secret, 'Id of a fixed access key.'),
  secret_access_key: optional(secret, 'Secret of the fixed access key.'),
  session_token: optional(secret, 'Session token that belongs to a temporary access key.'),
  profile: optional(word, 'Section of the shared credentials file; it is read again every minute.'),
  profile_file: optional(
    file,
    'Shared credentials file. Left out: AWS_SHARED_CREDENTIALS_FILE, or ~/.aws/credentials.',
  ),
  web_identity: optional(webIdentity, 'IRSA and other OIDC federation: a token exchanged at STS.'),
  container: optional(container, 'Credentials of the ECS task or the EKS pod (Pod Identity).'),
  instance: optional(
    z.strictObject({
      endpoint: optional(url, 'Metadata service. Left out: AWS_EC2_METADATA_SERVICE_ENDPOINT, or AWS’s own address.'),
    }),
    'Role of the EC2 instance, by IMDSv2.',
  ),
  assume_role: optional(
    z.strictObject({
      arn: word.describe('Role to take on with the credentials above.'),
      external_id: optional(word, 'External id that the role asks for.'),
      session_name: withDefault(label, 'heddle', 'Name of the session in AWS’s audit log.'),
    }),
    'A role taken on at STS with the credentials above.',
  ),
  sts_endpoint: optional(url, 'STS. Left out: AWS’s own of the region.'),
})

const google = z.strictObject({
  scopes: withDefault(
    z.array(word).min(1).max(20),
    ['https://www.googleapis.com/auth/cloud-platform'],
    'OAuth scopes of the tokens.',
  ),
  service_account: optional(longText, 'Service-account key, JSON text: `${file:/path/key.json}`.'),
  workload_identity: optional(
    longText,
    'External-account file of workload identity federation, JSON text: `${file:/path/config.json}`.',
  ),
  metadata: optional(
    z.strictObject({
      account: withDefault(word, 'default', 'Service account of the machine or pod.'),
      endpoint: optional(url, 'Metadata server. Left out: GCE_METADATA_HOST, or `http://metadata.google.internal`.'),
    }),
    'Tokens of the metadata server (GCE, GKE, Cloud Run).',
  ),
})

const azureApp = {
  tenant_id: optional(word, 'Directory. Left out: AZURE_TENANT_ID.'),
  client_id: optional(word, 'Application. Left out: AZURE_CLIENT_ID.'),
}

const azure = z.strictObject({
  scope: withDefault(word, 'https://cognitiveservices.azure.com/.default', 'Scope of the tokens.'),
  authority: optional(url, 'Token service. Left out: AZURE_AUTHORITY_HOST, or `https://login.microsoftonline.com`.'),
  client_secret: optional(
    z.strictObject({ ...azureApp, secret: optional(secret, 'Left out: AZURE_CLIENT_SECRET.') }),
    'An application with a secret.',
  ),
  workload_identity: optional(
    z.strictObject({
      ...azureApp,
      token_file: optional(file, 'File with the federated token. Left out: AZURE_FEDERATED_TOKEN_FILE.'),
    }),
    'Workload identity federation, as on AKS.',
  ),
  managed_identity: optional(
    z.strictObject({
      client_id: optional(word, 'A user-assigned identity. Left out: the system’s.'),
      endpoint: optional(url, 'Left out: IDENTITY_ENDPOINT (App Service), or the machine’s metadata service.'),
    }),
    'Identity of the machine, container or App Service.',
  ),
})

export const credentialsField = optional(
  z.strictObject({
    keys: optional(
      z
        .array(z.union([secret, poolKey], { error: 'must be a key, or a map with `key`' }))
        .min(1)
        .max(200),
      'Several keys used in turn: a key that is rate limited or refused rests while the others go on.',
    ),
    file: optional(file, 'File that holds the key; it is read again when it changes, without a reload.'),
    aws: optional(aws, 'AWS Signature Version 4. Without a source: as the environment says, as in AWS’s own SDKs.'),
    google: optional(google, 'Google Cloud access tokens. Without a source: the metadata server.'),
    azure: optional(azure, 'Microsoft Entra ID tokens. Without a source: as the environment says.'),
  }),
  'How Heddle proves itself to the provider when one key is not all: exactly one of the following.',
)

export const dataField = optional(
  z.strictObject({
    region: optional(name, 'Where it computes, such as `eu`; rules of keys and tenants name regions.'),
    retention: optional(flag, 'Keeps prompts. Left out: not known, which rules against retention treat as kept.'),
  }),
  'Where the provider computes and what it keeps, for rules on residency and retention.',
)
