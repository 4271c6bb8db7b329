import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import type { LoadOptions } from './index.ts'
import { ConfigError, loadConfigText, maskedConfig } from './index.ts'
import { hashKey } from './auth-keys.ts'

const SECRET = 'hs_Vb7kQ2mZx9TfLr4W'
const OTHER = 'hs_Pn3cY8sJd6GhKw1E'

const files: Record<string, string> = {}
const options: LoadOptions = {
  presets: [],
  env: { CI_KEY: SECRET },
  readFile: (path) => {
    const text = files[path.slice(path.lastIndexOf('/') + 1)]
    if (text === undefined) throw Object.assign(new Error('gone'), { code: 'ENOENT' })
    return text
  },
}

const PROVIDER = 'providers: { eu: { type: sim }, us: { type: sim } }\n'
const load = (text: string) => loadConfigText(PROVIDER + text, options).config

const problemsIn = (text: string): readonly string[] => {
  try {
    load(text)
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ file, line, path, message }) => `${file}:${line} ${path}: ${message}`)
  }
}

const ed25519 = () => generateKeyPairSync('ed25519')
const jwkOf = () => ed25519().publicKey.export({ format: 'jwk' })

test('nothing written: callers are not asked', () => {
  expect(load('')).toMatchObject({ auth: null, tenants: [] })
})

test('a key in clear is a hash when loaded, and none of it is in a dump', () => {
  const config = load(`
tenants: { acme: { regions: [eu-*], no_retention: true, weight: 2, credentials: { eu: acme-own-provider-key } } }
auth:
  keys:
    - id: ci
      key: \${env:CI_KEY}
      previous: { key: ${OTHER}, until: 2026-12-01T00:00:00Z }
      owner: ann
      tenant: acme
      team: build
      roles: [dev]
      models: [fast]
      limits: [{ requests: 60, per: 1m }, { usd: 50, per: month, zone: Europe/Berlin }, { concurrency: 8 }]
      expires: 2027-01-31
  roles: { dev: { operations: [chat], when: '!stream' } }
`)
  const key = config.auth?.keys[0]
  expect(key?.hashes).toEqual([
    { sha256: hashKey(SECRET), until: Infinity },
    { sha256: hashKey(OTHER), until: Date.UTC(2026, 11, 1) },
  ])
  expect(key).toMatchObject({ id: 'ci', tenant: 'acme', expiresAt: Date.UTC(2027, 0, 31), roles: ['dev'] })
  expect(key?.limits).toEqual([
    { unit: 'requests', amount: 60, period: { kind: 'sliding', windowMs: 60_000 } },
    { unit: 'usd', amount: 50, period: { kind: 'calendar', unit: 'month', zone: 'Europe/Berlin' } },
    { unit: 'concurrency', amount: 8, period: { kind: 'open' } },
  ])
  expect(config.auth?.roles['dev']).toMatchObject({ operations: ['chat'], when: '!stream', models: null })
  expect(config.tenants[0]).toMatchObject({ name: 'acme', weight: 2, priority: 0, grant: { noRetention: true } })
  expect(structuredClone(config)).toEqual(config)
  const dump = JSON.stringify(maskedConfig(config))
  for (const secret of [SECRET, OTHER, hashKey(SECRET), hashKey(OTHER), 'acme-own-provider-key']) {
    expect(dump).not.toContain(secret)
  }
  expect(JSON.stringify({ ...config, tenants: [] })).not.toContain(SECRET)
})

test.each([
  ['auth: {}', ': nobody may call'],
  ['auth: { keys: [{ id: a }] }', 'auth.keys[0]: needs `key` or `hash`'],
  ['auth: { keys: [{ id: a, key: short }] }', 'auth.keys[0].key: is shorter than 16'],
  ['auth: { keys: [{ id: a, key: aaaaaaaaaaaaaaaaaaaaaaaa }] }', 'auth.keys[0].key: is easy to guess'],
  ['auth: { keys: [{ id: a, key: sk-change-me-6f2a91 }] }', 'auth.keys[0].key: is easy to guess'],
  ['auth: { keys: [{ id: a, hash: "sha256:12" }] }', 'auth.keys[0].hash: must be `sha256:`'],
  ['auth: { keys: [{ id: a/b, key: "${env:CI_KEY}" }] }', 'auth.keys[0].id: must be 1 to 128 letters'],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", expires: 2026-02-30 }] }', 'expires: must be a date'],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", model: [x] }] }', 'unknown key; did you mean `models`?'],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", when: "model =" }] }', 'auth.keys[0].when: '],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", providers: [eux] }] }', 'did you mean `eu`?'],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", providers: ["x-*"] }] }', '`x-*` fits no provider; known: eu, us'],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", roles: [devs] }], roles: { dev: {} } }', 'did you mean `dev`?'],
  ['auth: { keys: [{ id: a, key: "${env:CI_KEY}", tenant: acne }] }\ntenants: { acme: }', 'did you mean `acme`?'],
  ['auth: { anonymous: { roles: [x] } }', 'auth.anonymous.roles[0]: no role is named `x`; there are none'],
  ['auth: { keys_file: gone.yaml }', 'auth.keys_file: no such file'],
  ['auth: { peers: { header: x-id } }', 'auth.peers.header: is believed from nobody'],
  ['auth: { peers: { header: x-id, trust: [10.0.0.0/33] } }', 'auth.peers.trust[0]: must be an address'],
  ['tenants: { a: { credentials: { uss: key } } }', 'tenants.a.credentials.uss: no provider is named'],
  ['tenants: { a: { limits: [{ requests: 1 }] } }', 'tenants.a.limits[0]: `per` is missing'],
  ['auth: { jwt: [{ name: a, issuer: i, audience: x }] }', 'auth.jwt[0]: needs `jwks_url` or `jwks`'],
  ['auth: { jwt: [{ name: a, issuer: i, audience: x, jwks_url: "http://idp.example/k" }] }', 'must be https'],
  ['auth: { jwt: [{ name: a, issuer: i, jwks_url: "https://idp.example/k" }] }', 'auth.jwt[0].audience: is missing'],
  [
    'auth: { jwt: [{ name: a, issuer: i, audience: x, jwks_url: "https://i.example/k", algorithms: [HS256] }] }',
    'RS256',
  ],
  ['auth: { jwt: [{ name: a, issuer: i, audience: x, jwks: { keys: [{ kty: oct, k: AAAA }] } }] }', 'holds a secret'],
  ['auth: { jwt: [{ name: a, issuer: i, audience: x, jwks: "nonsense" }] }', 'must be a JWK set'],
  [
    'auth: { jwt: [{ name: a, issuer: i, audience: x, jwks_url: "https://i/k", require: "1 +" }] }',
    'auth.jwt[0].require',
  ],
  ['auth: { signed_keys: { issuers: [{ name: a, public_key: nonsense }] } }', 'neither a JWK nor a PEM'],
])('%s', (text, message) => {
  const problems = problemsIn(text)
  expect(problems.join('\n')).toContain(message)
  expect(problems.join('\n')).not.toContain(SECRET)
})

test('two keys share neither id nor secret, in whatever form it is written', () => {
  const hash = `sha256:${hashKey(SECRET).toUpperCase()}`
  expect(problemsIn(`auth: { keys: [{ id: a, key: "\${env:CI_KEY}" }, { id: a, hash: "${hash}" }] }`)).toEqual([
    expect.stringContaining('auth.keys[1]: the same secret stands at heddle.yaml:2'),
    expect.stringContaining('auth.keys[1].id: is already the id of the key at heddle.yaml:2'),
  ])
})

test('two entries of one issuer need different audiences', () => {
  const entry = (name: string, audience: string) =>
    `{ name: ${name}, issuer: i, audience: [${audience}], jwks_url: "https://i.example/k" }`
  expect(problemsIn(`auth: { jwt: [${entry('a', 'x')}, ${entry('b', 'y')}] }`)).toEqual([])
  expect(problemsIn(`auth: { jwt: [${entry('a', 'x, z')}, ${entry('a', 'y, x')}] }`)).toHaveLength(2)
})

test('a keys file holds a list or a map, is watched, and its faults are told with its own lines', () => {
  files['keys.yaml'] =
    `- { id: one, key: "\${env:CI_KEY}", roles: [dev] }\n- id: two\n  hash: sha256:${hashKey(OTHER)}\n`
  const text = `${PROVIDER}auth: { keys_file: secrets/keys.yaml, roles: { dev: {} } }`
  const loaded = loadConfigText(text, options)
  expect(loaded.config.auth?.keys.map(({ id }) => id)).toEqual(['one', 'two'])
  expect(loaded.files).toEqual([expect.stringMatching(/secrets\/keys\.yaml$/)])
  files['keys.yaml'] = JSON.stringify({ keys: [{ id: 'j', hash: `sha256:${hashKey(OTHER)}` }] })
  expect(loadConfigText(text, options).config.auth?.keys[0]?.id).toBe('j')
  files['keys.yaml'] = `- id: ok\n  key: ${OTHER}\n- id: bad\n  keyy: x\n  roles: [dev]\n`
  expect(problemsIn(text.slice(PROVIDER.length)).join('\n')).toContain(
    'secrets/keys.yaml:4 auth.keys[1].keyy: unknown key; did you mean `key`?',
  )
  files['keys.yaml'] = `- id: ok\n  key: ${OTHER}\n  roles: [devv]\n`
  expect(problemsIn(text.slice(PROVIDER.length)).join('\n')).toContain('keys.yaml:3 auth.keys[0].roles[0]: no role')
  files['keys.yaml'] = 'just text'
  expect(problemsIn(text.slice(PROVIDER.length)).join('\n')).toContain('must hold a list of keys')
})

test('the public key of an issuer: JWK, its text or PEM; a private one is refused and not shown', () => {
  const pair = ed25519()
  const jwk = pair.publicKey.export({ format: 'jwk' })
  const forms = [jwk, JSON.stringify(jwk), pair.publicKey.export({ format: 'pem', type: 'spki' })]
  const issuers = forms.map((form, i) => ({ name: `n${i}`, public_key: form }))
  const text = (list: readonly unknown[]) => `auth: { signed_keys: { issuers: ${JSON.stringify(list)} } }`
  const keys = load(text(issuers)).auth?.signedKeys?.issuers.map(({ publicKey }) => publicKey)
  expect(new Set(keys)).toEqual(new Set([JSON.stringify({ kty: 'OKP', crv: 'Ed25519', x: jwk.x })]))
  const secrets = [pair.privateKey.export({ format: 'jwk' }), pair.privateKey.export({ format: 'pem', type: 'pkcs8' })]
  for (const secret of secrets) {
    const [problem] = problemsIn(text([{ name: 'a', public_key: secret }]))
    expect(problem).toContain('is a private key')
    expect(problem).not.toContain(pair.privateKey.export({ format: 'jwk' }).d)
  }
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })
  expect(problemsIn(text([{ name: 'a', public_key: rsa }]))[0]).toContain('must be an Ed25519 key')
})

test('revoked ids name their issuer', () => {
  const issuers = JSON.stringify([{ name: 'hq', public_key: jwkOf() }])
  expect(load(`auth: { signed_keys: { issuers: ${issuers}, revoked: [hq/a] } }`).auth?.signedKeys?.revoked).toEqual([
    'hq/a',
  ])
  expect(problemsIn(`auth: { signed_keys: { issuers: ${issuers}, revoked: [a] } }`)[0]).toContain('must be `ISSUER/ID`')
})

test('service accounts of the cluster by one word', () => {
  expect(load('auth: { kubernetes: true }').auth?.jwt[0]).toMatchObject({
    name: 'kubernetes',
    audiences: ['heddle'],
    jwks: { kind: 'url', caFile: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt' },
    claims: { team: 'kubernetes.io.namespace' },
  })
  expect(load('auth: { anonymous: true, kubernetes: false }').auth?.jwt).toEqual([])
})
