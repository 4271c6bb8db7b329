// Each source of credentials against a server that plays its cloud, over real sockets.
import { createHmac, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AwsCredentialsConfig, AwsSource } from '../../src/contracts/config-credentials.ts'
import { systemClock } from '../../src/core/clock.ts'
import { obtainAws } from '../../src/providers/credentials/aws.ts'
import { obtainAzure } from '../../src/providers/credentials/azure.ts'
import { obtainGoogle } from '../../src/providers/credentials/google.ts'
import type { Obtained } from '../../src/providers/credentials/renewal.ts'

interface Seen {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly form: URLSearchParams
}
type Answer = readonly [status: number, body: string | object]

const EXPIRES = '2099-01-02T03:04:05Z'
const parts = { clock: systemClock }
const folder = mkdtempSync(join(tmpdir(), 'heddle-sources-'))
const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

let server: Server
let base = ''
let seen: Seen[] = []
let answer: (request: Seen) => Answer = () => [404, '']

beforeAll(async () => {
  server = createServer((req, res) => {
    let body = ''
    req.on('data', (chunk: Buffer) => (body += chunk.toString()))
    req.on('end', () => {
      const url = new URL(req.url ?? '/', base)
      const request = { method: req.method ?? '', url, headers: req.headers, body, form: new URLSearchParams(body) }
      seen.push(request)
      const [status, text] = answer(request)
      res.writeHead(status).end(typeof text === 'string' ? text : JSON.stringify(text))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  seen = []
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})

const bearerOf = (obtained: Obtained): string => obtained.credential.sign([], 'POST', '/', null)[1]!

// ── AWS ─────────────────────────────────────────────────────────────────────
const aws = (source: AwsSource, assumeRole: AwsCredentialsConfig['assumeRole'] = null): AwsCredentialsConfig => ({
  kind: 'aws',
  region: 'eu-central-1',
  service: 'bedrock',
  source,
  assumeRole,
  stsEndpoint: `${base}/sts`,
})
const STATIC: AwsSource = { kind: 'static', accessKeyId: 'AKID', secretAccessKey: 'the-secret', sessionToken: null }
const stsXml = (action: string, id: string): string =>
  `<${action}Response><${action}Result><Credentials><AccessKeyId>${id}</AccessKeyId>` +
  `<SecretAccessKey>sec/ret+&amp;1</SecretAccessKey><SessionToken>tok==</SessionToken>` +
  `<Expiration>${EXPIRES}</Expiration></Credentials></${action}Result></${action}Response>`
const awsJson = (id: string) => ({
  AccessKeyId: id,
  SecretAccessKey: 's',
  Token: 'tok',
  Expiration: EXPIRES,
  Code: 'Success',
})
const headersOf = (obtained: Obtained): Record<string, string> => {
  const list = obtained.credential.sign([], 'POST', '/openai/v1/chat/completions', Buffer.from('{}'))
  return Object.fromEntries(list.flatMap((name, i) => (i % 2 === 0 ? [[name, list[i + 1]!]] : [])))
}

test('AWS web identity: the token of the file is exchanged at STS, read anew each time', async () => {
  const tokenFile = file('web-token', 'jwt-1\n')
  answer = () => [200, stsXml('AssumeRoleWithWebIdentity', 'ASIA1')]
  const config = aws({ kind: 'web_identity', roleArn: 'arn:aws:iam::1:role/x', tokenFile, sessionName: 'heddle' })
  const obtained = await obtainAws(config, 'h', parts)
  expect(Object.fromEntries(seen[0]!.form)).toEqual({
    Version: '2011-06-15',
    Action: 'AssumeRoleWithWebIdentity',
    RoleArn: 'arn:aws:iam::1:role/x',
    RoleSessionName: 'heddle',
    WebIdentityToken: 'jwt-1',
  })
  expect(seen[0]!.headers['authorization']).toBeUndefined()
  expect(obtained.expiresAt).toBe(Date.parse(EXPIRES))
  expect(obtained.credential.secrets).toEqual(['ASIA1', 'sec/ret+&1', 'tok=='])
  expect(headersOf(obtained)['x-amz-security-token']).toBe('tok==')
  expect(headersOf(obtained)['authorization']).toMatch(/Credential=ASIA1\/\d{8}\/eu-central-1\/bedrock\/aws4_request/)
  writeFileSync(tokenFile, 'jwt-2')
  await obtainAws(config, 'h', parts)
  expect(seen[1]!.form.get('WebIdentityToken')).toBe('jwt-2')
})

test('AWS assume role: STS is asked with a signature over what it receives', async () => {
  answer = () => [200, stsXml('AssumeRole', 'ASIA2')]
  const role = { arn: 'arn:role', externalId: 'ext', sessionName: 'heddle' }
  const obtained = await obtainAws(aws(STATIC, role), 'h', parts)
  const { headers, form } = seen[0]!
  expect([form.get('Action'), form.get('ExternalId')]).toEqual(['AssumeRole', 'ext'])
  const date = String(headers['x-amz-date'])
  const scope = `${date.slice(0, 8)}/eu-central-1/sts/aws4_request`
  expect(headers['authorization']).toContain(
    `Credential=AKID/${scope}, SignedHeaders=content-type;host;x-amz-date, Signature=`,
  )
  // Reckoned by hand, from what arrived.
  const sha = async (text: string): Promise<string> =>
    Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('hex')
  const canonical = `POST\n/sts\n\ncontent-type:${headers['content-type']}\nhost:${headers['host']}\nx-amz-date:${date}\n\ncontent-type;host;x-amz-date\n${await sha(seen[0]!.body)}`
  const key = ['eu-central-1', 'sts', 'aws4_request'].reduce(
    (k, part) => createHmac('sha256', k).update(part).digest(),
    createHmac('sha256', 'AWS4the-secret').update(date.slice(0, 8)).digest(),
  )
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${await sha(canonical)}`
  expect(headers['authorization']).toContain(`Signature=${createHmac('sha256', key).update(text).digest('hex')}`)
  expect(obtained.credential.secrets[0]).toBe('ASIA2')
})

test('AWS instance: the session token first (IMDSv2), then the role, then its keys', async () => {
  answer = ({ method, url, headers }) => {
    if (method === 'PUT' && url.pathname === '/latest/api/token')
      return headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined ? [400, ''] : [200, 'imds-session']
    if (headers['x-aws-ec2-metadata-token'] !== 'imds-session') return [401, '']
    if (url.pathname.endsWith('/security-credentials/')) return [200, 'my-role']
    return url.pathname.endsWith('/my-role') ? [200, awsJson('ASIA3')] : [404, '']
  }
  const obtained = await obtainAws(aws({ kind: 'instance', endpoint: base }), 'h', parts)
  expect(obtained.credential.secrets[0]).toBe('ASIA3')
  expect(seen.map((s) => s.method)).toEqual(['PUT', 'GET', 'GET'])
})

test('AWS container: with the token of the file', async () => {
  answer = ({ headers }) => (headers['authorization'] === 'pod-token' ? [200, awsJson('ASIA4')] : [401, ''])
  const source = {
    kind: 'container',
    url: `${base}/v1/credentials`,
    token: null,
    tokenFile: file('pod', 'pod-token\n'),
  } as const
  expect((await obtainAws(aws(source), 'h', parts)).credential.secrets[0]).toBe('ASIA4')
})

test('AWS profile: its section of the file, looked at again later', async () => {
  const path = file(
    'credentials',
    '[default]\naws_access_key_id = A\naws_secret_access_key=B\n\n# other\n[work]\nAWS_ACCESS_KEY_ID=C\naws_secret_access_key = D=\naws_session_token = E\n',
  )
  const obtained = await obtainAws(aws({ kind: 'profile', profile: 'work', file: path }), 'h', parts)
  expect(obtained.credential.secrets).toEqual(['C', 'D=', 'E'])
  expect([obtained.expiresAt, obtained.refreshMs]).toEqual([Infinity, 60_000])
  await expect(obtainAws(aws({ kind: 'profile', profile: 'none', file: path }), 'h', parts)).rejects.toThrow(
    'no access key',
  )
})

// ── Google ──────────────────────────────────────────────────────────────────
const SCOPES = ['https://www.googleapis.com/auth/cloud-platform']

test('Google service account: the assertion is signed with its key and names audience and scope', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  answer = ({ form }) => {
    const [head, claims, signature] = form.get('assertion')!.split('.')
    const pem = createPublicKey(publicKey.export({ type: 'spki', format: 'pem' }))
    const good = verify('RSA-SHA256', Buffer.from(`${head}.${claims}`), pem, Buffer.from(signature!, 'base64url'))
    return good
      ? [200, { access_token: 'ya29.one', expires_in: 3600, token_type: 'Bearer' }]
      : [401, { error: 'invalid_grant' }]
  }
  const key = JSON.stringify({
    client_email: 'x@p.iam.gserviceaccount.com',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    private_key_id: 'kid-1',
    token_uri: `${base}/token`,
  })
  const before = Date.now()
  const obtained = await obtainGoogle(
    { kind: 'google', scopes: SCOPES, source: { kind: 'service_account', key } },
    parts,
  )
  expect(bearerOf(obtained)).toBe('Bearer ya29.one')
  expect(obtained.expiresAt).toBeGreaterThanOrEqual(before + 3_599_000)
  const [head, claims] = seen[0]!.form
    .get('assertion')!
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>)
  expect(head).toEqual({ alg: 'RS256', typ: 'JWT', kid: 'kid-1' })
  expect(claims).toMatchObject({ iss: 'x@p.iam.gserviceaccount.com', aud: `${base}/token`, scope: SCOPES[0] })
  expect(Number(claims!['exp']) - Number(claims!['iat'])).toBe(3600)
})

test('Google workload identity: token exchange, then the service account', async () => {
  answer = ({ url, form, headers, body }) => {
    if (url.pathname === '/exchange')
      return form.get('subject_token') === 'k8s-jwt'
        ? [200, { access_token: 'federated', expires_in: 3600 }]
        : [400, {}]
    const good = headers['authorization'] === 'Bearer federated' && body.includes(SCOPES[0]!)
    return good ? [200, { accessToken: 'ya29.sa', expireTime: EXPIRES }] : [403, {}]
  }
  const config = {
    type: 'external_account',
    audience: '//iam.googleapis.com/projects/1/x',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${base}/exchange`,
    credential_source: {
      file: file('k8s', '{"jwt":"k8s-jwt"}'),
      format: { type: 'json', subject_token_field_name: 'jwt' },
    },
    service_account_impersonation_url: `${base}/impersonate:generateAccessToken`,
  }
  const obtain = (more: object) =>
    obtainGoogle(
      {
        kind: 'google',
        scopes: SCOPES,
        source: { kind: 'workload_identity', config: JSON.stringify({ ...config, ...more }) },
      },
      parts,
    )
  const obtained = await obtain({})
  expect([bearerOf(obtained), obtained.expiresAt]).toEqual(['Bearer ya29.sa', Date.parse(EXPIRES)])
  expect(seen[0]!.form.get('grant_type')).toBe('urn:ietf:params:oauth:grant-type:token-exchange')
  expect(bearerOf(await obtain({ service_account_impersonation_url: undefined }))).toBe('Bearer federated')
})

test('Google metadata server', async () => {
  answer = ({ url, headers }) =>
    headers['metadata-flavor'] === 'Google' &&
    url.pathname === '/computeMetadata/v1/instance/service-accounts/default/token' &&
    url.searchParams.get('scopes') === SCOPES[0]
      ? [200, { access_token: 'ya29.meta', expires_in: 300 }]
      : [403, '']
  const source = { kind: 'metadata', account: 'default', endpoint: base } as const
  expect(bearerOf(await obtainGoogle({ kind: 'google', scopes: SCOPES, source }, parts))).toBe('Bearer ya29.meta')
})

// ── Azure ───────────────────────────────────────────────────────────────────
const SCOPE = 'https://cognitiveservices.azure.com/.default'

test('Azure client secret, and the federated token of a file', async () => {
  answer = ({ url, form }) => {
    if (url.pathname !== '/dir/oauth2/v2.0/token' || form.get('scope') !== SCOPE) return [404, '']
    if (form.get('client_secret') === 'shh') return [200, { access_token: 'eyJ.secret', expires_in: '3599' }]
    return form.get('client_assertion') === 'federated'
      ? [200, { access_token: 'eyJ.wi', expires_in: 86_399 }]
      : [401, {}]
  }
  const app = { tenantId: 'dir', clientId: 'app' }
  const azure = { kind: 'azure', scope: SCOPE, authority: base } as const
  const secret = { ...azure, source: { kind: 'client_secret', ...app, clientSecret: 'shh' } } as const
  expect(bearerOf(await obtainAzure(secret, parts))).toBe('Bearer eyJ.secret')
  const workload = {
    ...azure,
    source: { kind: 'workload_identity', ...app, tokenFile: file('aks', 'federated') },
  } as const
  const obtained = await obtainAzure(workload, parts)
  expect(bearerOf(obtained)).toBe('Bearer eyJ.wi')
  expect(seen.at(-1)!.form.get('client_assertion_type')).toBe('urn:ietf:params:oauth:client-assertion-type:jwt-bearer')
})

test('Azure managed identity: the form of machines and that of App Service', async () => {
  answer = ({ url, headers }) => {
    if (url.searchParams.get('resource') !== 'https://cognitiveservices.azure.com') return [400, '']
    if (headers['metadata'] === 'true' && url.searchParams.get('api-version') === '2018-02-01')
      return [200, { access_token: 'imds', expires_in: '600', expires_on: '4070995445' }]
    return headers['x-identity-header'] === 'hush'
      ? [200, { access_token: 'app', expires_on: '4070995445' }]
      : [400, '']
  }
  const of = (header: string | null) => ({ kind: 'managed_identity', clientId: null, endpoint: base, header }) as const
  const azure = { kind: 'azure', scope: SCOPE, authority: base } as const
  const obtained = await obtainAzure({ ...azure, source: of(null) }, parts)
  expect([bearerOf(obtained), obtained.expiresAt]).toEqual(['Bearer imds', 4_070_995_445_000])
  expect(bearerOf(await obtainAzure({ ...azure, source: of('hush') }, parts))).toBe('Bearer app')
})

// ── faults ──────────────────────────────────────────────────────────────────
test.each([
  [
    'a refusal with a code',
    [401, { error: 'invalid_client', error_description: 'secret shh is wrong' }],
    'answered 401 (invalid_client)',
  ],
  ['a refusal that quotes the secret as its code', [400, { error: 'secret shh is wrong' }], 'answered 400'],
  ['a page', [502, '<html>shh</html>'], 'answered 502'],
  ['no JSON', [200, 'shh'], 'not JSON'],
  ['no token', [200, { expires_in: 1 }], 'no access_token'],
  ['no end', [200, { access_token: 'x' }], 'without a time of its end'],
  ['a token that no header can carry', [200, { access_token: 'a\nb', expires_in: 1 }], 'cannot carry'],
] as const)('%s: an error that says so and nothing else', async (_name, what, words) => {
  answer = () => what
  const source = { kind: 'client_secret', tenantId: 'd', clientId: 'a', clientSecret: 'shh' } as const
  const failing = obtainAzure({ kind: 'azure', scope: SCOPE, authority: base, source }, parts)
  await expect(failing).rejects.toThrow(words)
  await expect(failing).rejects.not.toThrow('shh')
})
