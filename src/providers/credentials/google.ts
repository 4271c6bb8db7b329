import { createPrivateKey, sign, type KeyObject } from 'node:crypto'
import type { GoogleCredentialsConfig } from '../../contracts/config-credentials.ts'
import type { Obtained } from './renewal.ts'
import type { CredentialParts } from './share.ts'
import {
  ask,
  askJson,
  bearer,
  bearerOf,
  fieldsOf,
  formPost,
  readTrimmed,
  textField,
  type Fields,
} from './token-service.ts'

const TOKEN_URL = 'https://oauth2.googleapis.com/token'
const STS_URL = 'https://sts.googleapis.com/v1/token'
const CLOUD_SCOPE = 'https://www.googleapis.com/auth/cloud-platform'
/** The longest Google grants to an assertion, s. */
const ASSERTION_SECONDS = 3600
const METADATA_TIMEOUT_MS = 3000

type Parts = Pick<CredentialParts, 'clock'>

/** An access token as configured. Rejects with an Error that holds no secret. */
export function obtainGoogle(config: GoogleCredentialsConfig, parts: Parts): Promise<Obtained> {
  const { source, scopes } = config
  switch (source.kind) {
    case 'service_account':
      return serviceAccount(parse(source.key, 'the service-account key'), scopes, parts)
    case 'workload_identity':
      return workloadIdentity(parse(source.config, 'the external-account file'), scopes, parts)
    case 'metadata':
      return metadata(source.endpoint, source.account, scopes, parts)
  }
}

function parse(text: string, what: string): Fields {
  try {
    return fieldsOf(JSON.parse(text))
  } catch {
    throw new Error(`${what} is not JSON`)
  }
}

const base64url = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

function privateKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    throw new Error('the private key of the service account cannot be read')
  }
}

/** JWT bearer grant (RFC 7523) with RS256, as Google describes it for service accounts. */
async function serviceAccount(key: Fields, scopes: readonly string[], { clock }: Parts): Promise<Obtained> {
  const url = typeof key['token_uri'] === 'string' ? key['token_uri'] : TOKEN_URL
  const now = clock.now()
  const issuedAt = Math.floor(now / 1000)
  const header = {
    alg: 'RS256',
    typ: 'JWT',
    ...(typeof key['private_key_id'] === 'string' ? { kid: key['private_key_id'] } : {}),
  }
  const claims = {
    iss: textField(key, 'client_email', 'the service-account key'),
    scope: scopes.join(' '),
    aud: url,
    iat: issuedAt,
    exp: issuedAt + ASSERTION_SECONDS,
  }
  const text = `${base64url(header)}.${base64url(claims)}`
  const pem = textField(key, 'private_key', 'the service-account key')
  const signature = sign('RSA-SHA256', Buffer.from(text), privateKey(pem)).toString('base64url')
  const grant = { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: `${text}.${signature}` }
  return bearerOf(await askJson(url, formPost(grant)), now, 'the token service')
}

/** Token exchange (RFC 8693) at Google's STS, then, where the file says so, a token of a service account (AIP-4117). */
async function workloadIdentity(config: Fields, scopes: readonly string[], { clock }: Parts): Promise<Obtained> {
  const from = 'the external-account file'
  const impersonate = config['service_account_impersonation_url']
  const url = typeof config['token_url'] === 'string' ? config['token_url'] : STS_URL
  const now = clock.now()
  const exchange = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    audience: textField(config, 'audience', from),
    scope: typeof impersonate === 'string' ? CLOUD_SCOPE : scopes.join(' '),
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token_type: textField(config, 'subject_token_type', from),
    subject_token: await subjectToken(fieldsOf(config['credential_source'])),
  }
  const exchanged = await askJson(url, formPost(exchange))
  if (typeof impersonate !== 'string') return bearerOf(exchanged, now, 'the token service')
  const lifetime = Number(fieldsOf(config['service_account_impersonation'])['token_lifetime_seconds'] ?? 3600)
  const answer = await askJson(impersonate, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${textField(exchanged, 'access_token', 'the token service')}`,
    },
    body: JSON.stringify({ scope: scopes, lifetime: `${lifetime}s` }),
  })
  const expires = Date.parse(textField(answer, 'expireTime', 'the impersonation service'))
  return bearer(textField(answer, 'accessToken', 'the impersonation service'), expires)
}

/** Of a file or a URL, as text or as a field of JSON. */
async function subjectToken(source: Fields): Promise<string> {
  const format = fieldsOf(source['format'])
  const text =
    typeof source['file'] === 'string'
      ? await readTrimmed(source['file'])
      : await ask(textField(source, 'url', 'the credential source'), {
          headers: fieldsOf(source['headers']) as Readonly<Record<string, string>>,
        })
  if (format['type'] !== 'json') return text.trim()
  const name = textField(format, 'subject_token_field_name', 'the credential source')
  return textField(parse(text, 'the subject token'), name, 'the credential source')
}

async function metadata(
  endpoint: string,
  account: string,
  scopes: readonly string[],
  { clock }: Parts,
): Promise<Obtained> {
  const now = clock.now()
  const path = `/computeMetadata/v1/instance/service-accounts/${encodeURIComponent(account)}/token`
  const url = `${endpoint.replace(/\/+$/, '')}${path}?scopes=${encodeURIComponent(scopes.join(','))}`
  const fields = await askJson(url, { headers: { 'metadata-flavor': 'Google' }, timeoutMs: METADATA_TIMEOUT_MS })
  return bearerOf(fields, now, 'the metadata server')
}
