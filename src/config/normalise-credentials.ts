import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ProviderConfig } from '../contracts/config.ts'
import type {
  AwsCredentialsConfig,
  AwsSource,
  AzureCredentialsConfig,
  CredentialsConfig,
  GoogleCredentialsConfig,
} from '../contracts/config-credentials.ts'
import type { Path } from './problem.ts'
import type { ProviderContext, ProviderEntry } from './providers.ts'

type Entry = NonNullable<ProviderEntry['credentials']>
/** Notes a fault at a place below `credentials`. */
type Fault = (path: Path, message: string) => void
type Env = ProviderContext['env']

const KINDS = ['keys', 'file', 'aws', 'google', 'azure'] as const
const ECS_HOST = 'http://169.254.170.2'
const METADATA_HOST = 'http://169.254.169.254'

const givenOf = <T extends object>(entry: T, names: readonly (keyof T & string)[]): (keyof T & string)[] =>
  names.filter((name) => entry[name] !== undefined)

/**
 * `credentials` of one provider, with what the environment says where the file says nothing. path: of the provider's
 * entry. null = not given, or faulty (a problem has been noted then).
 */
export const toCredentials = (entry: ProviderEntry, context: ProviderContext, path: Path): CredentialsConfig | null => {
  const { credentials } = entry
  if (credentials === undefined) return null
  const fault: Fault = (below, message) => {
    context.problems.push(context.map.problem([...path, 'credentials', ...below], message, 'key'))
  }
  const given = givenOf(credentials, KINDS)
  if (given.length !== 1) fault([], `needs exactly one of ${KINDS.map((kind) => `\`${kind}\``).join(', ')}`)
  else if (entry.api_key !== undefined) fault([], 'stands beside `api_key`; keep one of them')
  else return oneOf(credentials, context.env, fault)
  return null
}

const oneOf = ({ keys, file, aws, google, azure }: Entry, env: Env, fault: Fault): CredentialsConfig | null => {
  if (keys !== undefined) return toPool(keys, fault)
  if (file !== undefined) return { kind: 'file', path: file }
  if (aws !== undefined) return toAws(aws, env, fault)
  if (google !== undefined) return toGoogle(google, env, fault)
  return azure === undefined ? null : toAzure(azure, env, fault)
}

const toPool = (entries: NonNullable<Entry['keys']>, fault: Fault): CredentialsConfig => {
  const keys = entries.map((entry, i) =>
    typeof entry === 'string'
      ? { id: `key-${i + 1}`, key: entry, weight: 1 }
      : { id: entry.id ?? `key-${i + 1}`, key: entry.key, weight: entry.weight },
  )
  const seen = new Set<string>()
  keys.forEach(({ id }, i) => {
    if (seen.has(id)) fault(['keys', i], `the id \`${id}\` stands here twice`)
    seen.add(id)
  })
  return { kind: 'pool', keys }
}

const AWS_SOURCES = ['access_key_id', 'profile', 'web_identity', 'container', 'instance'] as const

const toAws = (entry: NonNullable<Entry['aws']>, env: Env, fault: Fault): AwsCredentialsConfig | null => {
  const region = entry.region ?? env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION']
  if (region === undefined || region === '') fault(['aws'], 'needs `region`, or environment variable AWS_REGION')
  const given = givenOf(entry, AWS_SOURCES)
  if (given.length > 1) fault(['aws'], `names more than one source: ${given.map((g) => `\`${g}\``).join(', ')}`)
  if ((entry.access_key_id === undefined) !== (entry.secret_access_key === undefined))
    fault(['aws'], 'needs `access_key_id` and `secret_access_key` together')
  const source = awsSource(entry, env, fault)
  if (region === undefined || region === '' || given.length > 1 || source === null) return null
  const role = entry.assume_role
  return {
    kind: 'aws',
    region,
    service: entry.service,
    source,
    assumeRole:
      role === undefined
        ? null
        : { arn: role.arn, externalId: role.external_id ?? null, sessionName: role.session_name },
    stsEndpoint: entry.sts_endpoint ?? null,
  }
}

/** As configured; else what the environment has, in the order of AWS's SDKs. */
const awsSource = (entry: NonNullable<Entry['aws']>, env: Env, fault: Fault): AwsSource | null => {
  if (entry.access_key_id !== undefined || entry.secret_access_key !== undefined)
    return {
      kind: 'static',
      accessKeyId: entry.access_key_id ?? '',
      secretAccessKey: entry.secret_access_key ?? '',
      sessionToken: entry.session_token ?? null,
    }
  if (entry.profile !== undefined) return profile(entry.profile, entry.profile_file, env)
  if (entry.web_identity !== undefined) return webIdentity(entry.web_identity, env, fault)
  if (entry.container !== undefined) return container(entry.container, env, fault)
  if (entry.instance !== undefined) return instance(entry.instance.endpoint, env)
  const { AWS_ACCESS_KEY_ID: id, AWS_SECRET_ACCESS_KEY: secret, AWS_SESSION_TOKEN: token } = env
  if (id && secret) return { kind: 'static', accessKeyId: id, secretAccessKey: secret, sessionToken: token || null }
  if (env['AWS_PROFILE']) return profile(env['AWS_PROFILE'], entry.profile_file, env)
  if (env['AWS_WEB_IDENTITY_TOKEN_FILE']) {
    const session = env['AWS_ROLE_SESSION_NAME'] || 'heddle'
    return webIdentity({ role_arn: undefined, token_file: undefined, session_name: session }, env, fault)
  }
  if (env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] || env['AWS_CONTAINER_CREDENTIALS_FULL_URI'])
    return container({}, env, fault)
  return instance(undefined, env)
}

const profile = (name: string, file: string | undefined, env: Env): AwsSource => ({
  kind: 'profile',
  profile: name,
  file: file ?? (env['AWS_SHARED_CREDENTIALS_FILE'] || join(homedir(), '.aws', 'credentials')),
})

const webIdentity = (
  entry: NonNullable<NonNullable<Entry['aws']>['web_identity']>,
  env: Env,
  fault: Fault,
): AwsSource | null => {
  const roleArn = entry.role_arn ?? env['AWS_ROLE_ARN']
  const tokenFile = entry.token_file ?? env['AWS_WEB_IDENTITY_TOKEN_FILE']
  if (!roleArn) fault(['aws'], 'needs `role_arn`, or environment variable AWS_ROLE_ARN')
  if (!tokenFile) fault(['aws'], 'needs `token_file`, or environment variable AWS_WEB_IDENTITY_TOKEN_FILE')
  if (!roleArn || !tokenFile) return null
  return { kind: 'web_identity', roleArn, tokenFile, sessionName: entry.session_name }
}

const container = (
  entry: NonNullable<NonNullable<Entry['aws']>['container']>,
  env: Env,
  fault: Fault,
): AwsSource | null => {
  const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']
  const url = entry.url ?? (relative ? ECS_HOST + relative : env['AWS_CONTAINER_CREDENTIALS_FULL_URI'])
  if (!url || !URL.canParse(url)) {
    fault(['aws'], 'needs `url`, or environment variable AWS_CONTAINER_CREDENTIALS_FULL_URI')
    return null
  }
  if (!isLocal(new URL(url))) {
    fault(['aws'], 'credentials of a container come by https, or from this machine')
    return null
  }
  return {
    kind: 'container',
    url,
    token: entry.token ?? (env['AWS_CONTAINER_AUTHORIZATION_TOKEN'] || null),
    tokenFile: entry.token_file ?? (env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'] || null),
  }
}

/** The rule of AWS's SDKs: credentials in the clear only from the machine itself and from AWS's link-local addresses. */
const isLocal = ({ protocol, hostname }: URL): boolean =>
  protocol === 'https:' ||
  /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\]|169\.254\.170\.2|169\.254\.170\.23|\[fd00:ec2::23\])$/.test(hostname)

const instance = (endpoint: string | undefined, env: Env): AwsSource => ({
  kind: 'instance',
  endpoint: endpoint ?? (env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] || METADATA_HOST),
})

const jsonOf = (text: string): Readonly<Record<string, unknown>> | null => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

const toGoogle = (entry: NonNullable<Entry['google']>, env: Env, fault: Fault): GoogleCredentialsConfig | null => {
  const { scopes, service_account: key, workload_identity: external, metadata } = entry
  const given = givenOf(entry, ['service_account', 'workload_identity', 'metadata'])
  if (given.length > 1) {
    fault(['google'], `names more than one source: ${given.map((g) => `\`${g}\``).join(', ')}`)
    return null
  }
  if (key !== undefined) {
    const json = jsonOf(key)
    const whole = ['client_email', 'private_key'].every((name) => typeof json?.[name] === 'string')
    if (!whole) fault(['google', 'service_account'], 'is not the JSON text of a service-account key')
    return { kind: 'google', scopes, source: { kind: 'service_account', key } }
  }
  if (external !== undefined) {
    const source = jsonOf(external)?.['credential_source'] as Record<string, unknown> | undefined
    if (typeof source?.['file'] !== 'string' && typeof source?.['url'] !== 'string')
      fault(['google', 'workload_identity'], 'is not an external-account file with a `file` or `url` as its source')
    return { kind: 'google', scopes, source: { kind: 'workload_identity', config: external } }
  }
  const host = env['GCE_METADATA_HOST']
  const endpoint = metadata?.endpoint ?? (host ? `http://${host}` : 'http://metadata.google.internal')
  return { kind: 'google', scopes, source: { kind: 'metadata', account: metadata?.account ?? 'default', endpoint } }
}

const toAzure = (entry: NonNullable<Entry['azure']>, env: Env, fault: Fault): AzureCredentialsConfig | null => {
  const { scope, client_secret: secret, workload_identity: workload, managed_identity: managed } = entry
  const given = givenOf(entry, ['client_secret', 'workload_identity', 'managed_identity'])
  if (given.length > 1) {
    fault(['azure'], `names more than one source: ${given.map((g) => `\`${g}\``).join(', ')}`)
    return null
  }
  const authority = (entry.authority ?? (env['AZURE_AUTHORITY_HOST'] || 'https://login.microsoftonline.com')).replace(
    /\/+$/,
    '',
  )
  const need = (value: string | undefined, what: string, variable: string): string => {
    const found = value ?? env[variable] ?? ''
    if (found === '') fault(['azure'], `needs \`${what}\`, or environment variable ${variable}`)
    return found
  }
  const app = (from: { tenant_id?: string | undefined; client_id?: string | undefined }) => ({
    tenantId: need(from.tenant_id, 'tenant_id', 'AZURE_TENANT_ID'),
    clientId: need(from.client_id, 'client_id', 'AZURE_CLIENT_ID'),
  })
  const none = given.length === 0
  if (secret !== undefined || (none && env['AZURE_CLIENT_SECRET'])) {
    const clientSecret = need(secret?.secret, 'secret', 'AZURE_CLIENT_SECRET')
    return { kind: 'azure', scope, authority, source: { kind: 'client_secret', ...app(secret ?? {}), clientSecret } }
  }
  if (workload !== undefined || (none && env['AZURE_FEDERATED_TOKEN_FILE'])) {
    const tokenFile = need(workload?.token_file, 'token_file', 'AZURE_FEDERATED_TOKEN_FILE')
    return { kind: 'azure', scope, authority, source: { kind: 'workload_identity', ...app(workload ?? {}), tokenFile } }
  }
  return { kind: 'azure', scope, authority, source: managedIdentity(managed, env) }
}

const managedIdentity = (
  entry: NonNullable<Entry['azure']>['managed_identity'],
  env: Env,
): AzureCredentialsConfig['source'] => {
  const header = env['IDENTITY_HEADER'] || null
  const appService = entry?.endpoint ?? (header === null ? undefined : env['IDENTITY_ENDPOINT'])
  return {
    kind: 'managed_identity',
    clientId: entry?.client_id ?? null,
    endpoint: appService ?? `${METADATA_HOST}/metadata/identity/oauth2/token`,
    header: appService === undefined ? null : header,
  }
}

export const toData = ({ data }: ProviderEntry): ProviderConfig['data'] => ({
  region: data?.region ?? '',
  retention: data?.retention ?? null,
})
