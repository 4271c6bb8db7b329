import type { AwsCredentialsConfig, AwsSource } from '../../contracts/config-credentials.ts'
import { readIniSection } from './ini.ts'
import type { Obtained } from './renewal.ts'
import type { CredentialParts } from './share.ts'
import { Sigv4Credential, Sigv4Signer, type AwsKeys } from './sigv4.ts'
import { ask, askJson, readTrimmed, textField, type Fields } from './token-service.ts'

interface DatedKeys extends AwsKeys {
  /** Epoch ms; Infinity = they do not end. */
  readonly expiresAt: number
  readonly refreshMs?: number
}

const STS_VERSION = '2011-06-15'
const IMDS_TOKEN_SECONDS = '21600'
const IMDS_TIMEOUT_MS = 2000
const PROFILE_REFRESH_MS = 60_000

/** Keys as configured, as a credential for calls of `host`. Rejects with an Error that holds no secret. */
export async function obtainAws(
  config: AwsCredentialsConfig,
  host: string,
  { clock }: Pick<CredentialParts, 'clock'>,
): Promise<Obtained> {
  const base = await keysOf(config.source, config)
  const keys = config.assumeRole === null ? base : await assumeRole(base, config, clock.now)
  return {
    credential: new Sigv4Credential(keys, config, host, clock.now),
    expiresAt: keys.expiresAt,
    ...(keys.refreshMs === undefined ? {} : { refreshMs: keys.refreshMs }),
  }
}

async function keysOf(source: AwsSource, config: AwsCredentialsConfig): Promise<DatedKeys> {
  switch (source.kind) {
    case 'static':
      return { ...source, expiresAt: Infinity }
    case 'profile':
      return profileKeys(source.file, source.profile)
    case 'web_identity':
      return webIdentity(source, config)
    case 'container':
      return containerKeys(source)
    case 'instance':
      return instanceKeys(source.endpoint)
  }
}

async function profileKeys(file: string, profile: string): Promise<DatedKeys> {
  const section = readIniSection(await readTrimmed(file), profile)
  const accessKeyId = section?.['aws_access_key_id']
  const secretAccessKey = section?.['aws_secret_access_key']
  if (!accessKeyId || !secretAccessKey) throw new Error(`${file}: has no access key for profile ${profile}`)
  const sessionToken = section['aws_session_token'] || null
  return { accessKeyId, secretAccessKey, sessionToken, expiresAt: Infinity, refreshMs: PROFILE_REFRESH_MS }
}

const stsUrl = ({ stsEndpoint, region }: AwsCredentialsConfig): string =>
  stsEndpoint ?? `https://sts.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}/`

async function webIdentity(
  source: Extract<AwsSource, { kind: 'web_identity' }>,
  config: AwsCredentialsConfig,
): Promise<DatedKeys> {
  const body = stsBody({
    Action: 'AssumeRoleWithWebIdentity',
    RoleArn: source.roleArn,
    RoleSessionName: source.sessionName,
    WebIdentityToken: await readTrimmed(source.tokenFile),
  })
  return stsKeys(await ask(stsUrl(config), { method: 'POST', headers: STS_HEADERS, body }))
}

async function assumeRole(keys: AwsKeys, config: AwsCredentialsConfig, now: () => number): Promise<DatedKeys> {
  const role = config.assumeRole!
  const url = new URL(stsUrl(config))
  const body = stsBody({
    Action: 'AssumeRole',
    RoleArn: role.arn,
    RoleSessionName: role.sessionName,
    ...(role.externalId === null ? {} : { ExternalId: role.externalId }),
  })
  const signer = new Sigv4Signer(keys, { region: config.region, service: 'sts' }, now)
  const signed = signer.sign('POST', url.host, url.pathname + url.search, body, Object.entries(STS_HEADERS).flat())
  const headers: Record<string, string> = { ...STS_HEADERS }
  for (let i = 0; i < signed.length; i += 2) headers[signed[i]!] = signed[i + 1]!
  return stsKeys(await ask(url.href, { method: 'POST', headers, body }))
}

const STS_HEADERS = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }

const stsBody = (fields: Readonly<Record<string, string>>): string =>
  new URLSearchParams({ Version: STS_VERSION, ...fields }).toString()

/** `Credentials` of an STS answer. Its fields hold no markup but the entities of XML. */
function stsKeys(xml: string): DatedKeys {
  const part = /<Credentials>([\s\S]*?)<\/Credentials>/.exec(xml)?.[1] ?? ''
  const field = (name: string): string => {
    const value = new RegExp(`<${name}>([^<]+)</${name}>`).exec(part)?.[1]
    if (value === undefined) throw new Error(`the answer of STS has no ${name}`)
    return value
      .trim()
      .replaceAll('&lt;', '<')
      .replaceAll('&gt;', '>')
      .replaceAll('&quot;', '"')
      .replaceAll('&amp;', '&')
  }
  return dated(field('AccessKeyId'), field('SecretAccessKey'), field('SessionToken'), field('Expiration'))
}

function dated(accessKeyId: string, secretAccessKey: string, sessionToken: string, expiration: string): DatedKeys {
  const expiresAt = Date.parse(expiration)
  if (Number.isNaN(expiresAt)) throw new Error('the credentials come without a time of their end')
  return { accessKeyId, secretAccessKey, sessionToken, expiresAt }
}

const jsonKeys = (fields: Fields, from: string): DatedKeys =>
  dated(
    textField(fields, 'AccessKeyId', from),
    textField(fields, 'SecretAccessKey', from),
    textField(fields, 'Token', from),
    textField(fields, 'Expiration', from),
  )

async function containerKeys({ url, token, tokenFile }: Extract<AwsSource, { kind: 'container' }>): Promise<DatedKeys> {
  // EKS replaces the file's token every so often: it is read for each call.
  const authorization = tokenFile === null ? token : await readTrimmed(tokenFile)
  const headers = { accept: 'application/json', ...(authorization === null ? {} : { authorization }) }
  return jsonKeys(await askJson(url, { headers }), 'the container endpoint')
}

/** IMDSv2: a session token first, then the role's name, then its keys. */
async function instanceKeys(endpoint: string): Promise<DatedKeys> {
  const base = endpoint.replace(/\/+$/, '')
  const session = await ask(`${base}/latest/api/token`, {
    method: 'PUT',
    headers: { 'x-aws-ec2-metadata-token-ttl-seconds': IMDS_TOKEN_SECONDS },
    timeoutMs: IMDS_TIMEOUT_MS,
  })
  const options = { headers: { 'x-aws-ec2-metadata-token': session.trim() }, timeoutMs: IMDS_TIMEOUT_MS }
  const path = `${base}/latest/meta-data/iam/security-credentials/`
  const role = (await ask(path, options)).trim().split('\n')[0]!
  if (!/^[\w+=,.@-]{1,64}$/.test(role)) throw new Error('the instance has no role')
  const fields = await askJson(path + role, options)
  if (fields['Code'] !== undefined && fields['Code'] !== 'Success')
    throw new Error('the metadata service gives no credentials for the role')
  return jsonKeys(fields, 'the metadata service')
}
