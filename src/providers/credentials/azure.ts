import type { AzureCredentialsConfig } from '../../contracts/config-credentials.ts'
import type { Obtained } from './renewal.ts'
import type { CredentialParts } from './share.ts'
import { askJson, bearer, bearerOf, formPost, readTrimmed, textField } from './token-service.ts'

const IMDS_VERSION = '2018-02-01'
const APP_SERVICE_VERSION = '2019-08-01'
const METADATA_TIMEOUT_MS = 3000

type Source = AzureCredentialsConfig['source']

/** A Microsoft Entra ID token as configured. Rejects with an Error that holds no secret. */
export async function obtainAzure(
  { source, scope, authority }: AzureCredentialsConfig,
  { clock }: Pick<CredentialParts, 'clock'>,
): Promise<Obtained> {
  const now = clock.now()
  if (source.kind === 'managed_identity') return managedIdentity(source, scope, now)
  const proof =
    source.kind === 'client_secret'
      ? { client_secret: source.clientSecret }
      : {
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          // Kubernetes replaces the token in the file: it is read for each call.
          client_assertion: await readTrimmed(source.tokenFile),
        }
  const form = { grant_type: 'client_credentials', client_id: source.clientId, scope, ...proof }
  const url = `${authority}/${encodeURIComponent(source.tenantId)}/oauth2/v2.0/token`
  return bearerOf(await askJson(url, formPost(form)), now, 'the token service')
}

/** The machine's metadata service, or with a secret header that of App Service, Functions and Container Apps. */
async function managedIdentity(
  { endpoint, header, clientId }: Extract<Source, { kind: 'managed_identity' }>,
  scope: string,
  now: number,
): Promise<Obtained> {
  const url = new URL(endpoint)
  url.searchParams.set('api-version', header === null ? IMDS_VERSION : APP_SERVICE_VERSION)
  // These services speak the older protocol, which names the resource instead of a scope of it.
  url.searchParams.set('resource', scope.replace(/\/\.default$/, ''))
  if (clientId !== null) url.searchParams.set('client_id', clientId)
  const fields = await askJson(url.href, {
    headers: header === null ? { metadata: 'true' } : { 'x-identity-header': header },
    timeoutMs: METADATA_TIMEOUT_MS,
  })
  const from = 'the managed identity service'
  const expiresOn = Number(fields['expires_on'] ?? Number.NaN)
  return Number.isFinite(expiresOn)
    ? bearer(textField(fields, 'access_token', from), expiresOn * 1000)
    : bearerOf(fields, now, from)
}
