import { expect, test } from 'vitest'
import type { CredentialsConfig } from '../contracts/config-credentials.ts'
import { maskedConfig } from './dump.ts'
import { loadConfigText } from './load.ts'
import { ConfigError } from './problem.ts'

const yaml = (credentials: string, more = ''): string =>
  `providers:\n  p: { type: openai_compatible, base_url: "http://h/v1", credentials: ${credentials}${more} }\n`
const load = (text: string, env: Record<string, string> = {}) => loadConfigText(text, { presets: [], env }).config
const credentialsOf = (text: string, env: Record<string, string> = {}): CredentialsConfig =>
  load(yaml(text), env).providers[0]!.credentials!
const problems = (text: string, env: Record<string, string> = {}): string[] => {
  try {
    load(text, env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map((p) => `${p.path}: ${p.message}`)
    throw error
  }
  return []
}
const SECRET = 'S3CRET-value'

test('keys: short and long form', () => {
  expect(credentialsOf('{ keys: [one, { id: b, key: two, weight: 3 }] }')).toEqual({
    kind: 'pool',
    keys: [
      { id: 'key-1', key: 'one', weight: 1 },
      { id: 'b', key: 'two', weight: 3 },
    ],
  })
})

test('AWS without a source follows the environment in the order of the SDKs', () => {
  const kind = (env: Record<string, string>): unknown => {
    const found = credentialsOf('{ aws: {} }', { AWS_REGION: 'eu-west-1', ...env })
    return found.kind === 'aws' ? found.source : null
  }
  const web = { AWS_WEB_IDENTITY_TOKEN_FILE: '/t', AWS_ROLE_ARN: 'arn:r' }
  const fixed = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 's' }
  expect(kind({ ...web, ...fixed })).toMatchObject({ kind: 'static', sessionToken: null })
  expect(kind(web)).toEqual({ kind: 'web_identity', roleArn: 'arn:r', tokenFile: '/t', sessionName: 'heddle' })
  expect(kind({ AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/x' })).toMatchObject({ url: 'http://169.254.170.2/v2/x' })
  expect(kind({})).toEqual({ kind: 'instance', endpoint: 'http://169.254.169.254' })
})

test('Azure and Google without a source follow the environment', () => {
  const app = { AZURE_TENANT_ID: 't', AZURE_CLIENT_ID: 'c' }
  expect(credentialsOf('{ azure: {} }', { ...app, AZURE_FEDERATED_TOKEN_FILE: '/f' })).toMatchObject({
    source: { kind: 'workload_identity', tenantId: 't', clientId: 'c', tokenFile: '/f' },
  })
  expect(credentialsOf('{ azure: {} }', { ...app, AZURE_CLIENT_SECRET: 's' })).toMatchObject({
    authority: 'https://login.microsoftonline.com',
    source: { kind: 'client_secret', clientSecret: 's' },
  })
  expect(credentialsOf('{ azure: {} }', { IDENTITY_ENDPOINT: 'http://i', IDENTITY_HEADER: 'h' })).toMatchObject({
    source: { kind: 'managed_identity', endpoint: 'http://i', header: 'h' },
  })
  expect(credentialsOf('{ google: {} }', { GCE_METADATA_HOST: 'h:1' })).toMatchObject({
    source: { kind: 'metadata', account: 'default', endpoint: 'http://h:1' },
  })
})

test.each([
  ['{}', 'needs exactly one of'],
  ['{ keys: [a], file: /f }', 'needs exactly one of'],
  ['{ keys: [{ id: x, key: a }, { id: x, key: b }] }', 'stands here twice'],
  ['{ file: relative }', 'absolute path'],
  ['{ aws: {} }', 'needs `region`'],
  ['{ aws: { region: eu-west-1, access_key_id: x } }', 'together'],
  ['{ aws: { region: eu-west-1, profile: x, instance: {} } }', 'more than one source'],
  ['{ aws: { region: eu-west-1, container: { url: "http://evil.example/" } } }', 'come by https'],
  ['{ google: { service_account: "{}" } }', 'is not the JSON text'],
  ['{ google: { workload_identity: "{}" } }', 'external-account file'],
  ['{ azure: { client_secret: { client_id: c, secret: s } } }', 'needs `tenant_id`'],
])('%s is refused: %s', (text, message) => {
  expect(problems(yaml(text)).join('\n')).toContain(message)
})

test('credentials beside api_key are refused; a key in the environment is not taken beside them', () => {
  expect(problems(yaml('{ keys: [a] }', ', api_key: k')).join()).toContain('stands beside `api_key`')
  expect(load(yaml('{ keys: [a] }')).providers[0]!.apiKey).toBeNull()
})

test.each([
  `{ keys: ["${SECRET}", { key: "${SECRET}" }] }`,
  `{ aws: { region: eu-west-1, access_key_id: a, secret_access_key: "${SECRET}", session_token: "${SECRET}", assume_role: { arn: r, external_id: "${SECRET}" } } }`,
  `{ aws: { region: eu-west-1, container: { url: "http://127.0.0.1/", token: "${SECRET}" } } }`,
  `{ google: { service_account: '{"client_email":"a","private_key":"${SECRET}"}' } }`,
  `{ google: { workload_identity: '{"credential_source":{"file":"/x","y":"${SECRET}"}}' } }`,
  `{ azure: { client_secret: { tenant_id: t, client_id: c, secret: "${SECRET}" } } }`,
])('no dump shows a secret of %s', (text) => {
  const config = load(yaml(text))
  expect(JSON.stringify(config)).toContain(SECRET)
  expect(JSON.stringify(maskedConfig(config))).not.toContain(SECRET)
})

test('the secret header of a managed identity is masked as well', () => {
  const config = load(yaml('{ azure: {} }'), { IDENTITY_ENDPOINT: 'http://i', IDENTITY_HEADER: SECRET })
  expect(JSON.stringify(config)).toContain(SECRET)
  expect(JSON.stringify(maskedConfig(config))).not.toContain(SECRET)
})

test('capacity and data', () => {
  const { capacity, data } = load(
    yaml(
      '{ keys: [a] }',
      ', capacity: { concurrency: 8, queue: { wait: 5s } }, data: { region: eu, retention: false }',
    ),
  ).providers[0]!
  expect(capacity).toEqual({ concurrency: 8, queueLength: 200, queueWaitMs: 5000, learn: false })
  expect(data).toEqual({ region: 'eu', retention: false })
  // A pool has no quota of its own to learn; anything else has.
  expect(load(yaml('{ file: /f }', ', capacity: {}')).providers[0]!.capacity?.learn).toBe(true)
})
