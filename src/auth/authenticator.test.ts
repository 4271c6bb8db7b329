import { generateKeyPairSync } from 'node:crypto'
import { expect, test } from 'vitest'
import type { PeerIdentity, Principal } from '../contracts/identity.ts'
import { GatewayError } from '../core/errors.ts'
import { grantOf, NOTHING_RESTRICTED, requestOf, targetOf } from './access-fixture.ts'
import {
  bearer,
  from,
  keyOf,
  NOBODY,
  NOW,
  NOW_S,
  peerEntry,
  peersOf,
  refusalOf,
  setup,
  sha256,
  tenantOf,
  who,
} from './auth-fixture.ts'
import { createAuthenticator } from './authenticator.ts'
import { mintSignedKey } from './signed-key.ts'

const SECRET = 'hs_Vb7kQ2mZx9TfLr4W'
const FORMER = 'hs_Pn3cY8sJd6GhKw1E'

const errorOf = (identify: () => unknown): GatewayError => {
  try {
    identify()
  } catch (error) {
    if (GatewayError.is(error)) return error
  }
  throw new Error('let in')
}

test('a signature for AWS is no key: its sender is told what is, and nobody what it was', () => {
  const { auth } = setup({ keys: [keyOf('ci', SECRET)], anonymous: { allowed: true, roles: [] } })
  const signature = 'fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024'
  for (const scheme of ['AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256']) {
    const authorization = `${scheme} Credential=AKID/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=${signature}`
    const error = errorOf(() => auth.identify(from({ authorization })))
    expect(error).toMatchObject({ code: 'permission_denied', status: 403 })
    expect(error.message).toContain('AWS_BEARER_TOKEN_BEDROCK')
    expect(JSON.stringify([error, error.message, error.detail, error.headers])).not.toMatch(/AKID|fe5f80/)
  }
})

test('a key is known in each header that SDKs send it in, at once and without a promise', () => {
  const { auth } = setup({ keys: [keyOf('ci', SECRET, { team: 'build', user: 'ann' })] })
  const principal = auth.identify(bearer(SECRET)) as Principal
  expect(principal).toMatchObject({ kind: 'api_key', keyId: 'ci', team: 'build', user: 'ann', expiresAt: Infinity })
  expect(principal.variables).toMatchObject({
    key: 'ci',
    team: 'build',
    peer: { id: '', namespace: '', service_account: '', trust_domain: '' },
    claims: {},
  })
  const others = [{ authorization: `bearer ${SECRET}` }, { 'x-api-key': SECRET }, { 'api-key': SECRET }]
  for (const headers of [...others, { authorization: `Bearer ${SECRET}`, 'x-api-key': SECRET }]) {
    expect(auth.identify(from(headers))).toBe(principal)
  }
  expect(JSON.stringify(principal)).not.toContain(sha256(SECRET))
})

test.each([
  [{ authorization: 'Bearer wrong' }, 'no such key'],
  [{ authorization: `Bearer ${SECRET}x` }, 'no such key'],
  [{ authorization: `Bearer ${SECRET.slice(0, -1)}` }, 'no such key'],
  [{ authorization: `Bearer ${SECRET.toLowerCase()}` }, 'no such key'],
  [{ authorization: `Bearer ${sha256(SECRET)}` }, 'no such key'],
  [{ authorization: `Basic ${SECRET}` }, 'not `Bearer`'],
  [{ authorization: 'Bearer' }, 'not `Bearer`'],
  [{ authorization: 'Bearer  ' }, 'an empty key'],
  [{ 'x-api-key': '' }, 'an empty key'],
  [{ 'x-api-key': "' OR '1'='1" }, 'no such key'],
  [{ authorization: `Bearer ${SECRET}`, 'x-api-key': 'other' }, 'two credentials that differ'],
  [{ 'x-api-key': 'other', 'api-key': SECRET }, 'two credentials that differ'],
])('%j is refused, even though anonymous requests are let in', async (headers, detail) => {
  const { auth } = setup({ keys: [keyOf('ci', SECRET)], anonymous: { allowed: true, roles: [] } })
  expect(await refusalOf(() => auth.identify(from(headers)))).toContain(detail)
})

test('a refusal tells the caller how to prove itself, and neither what was wrong nor the key', () => {
  const { auth } = setup({ keys: [keyOf('ci', SECRET)] })
  const none = errorOf(() => auth.identify(from({})))
  expect(none).toMatchObject({ status: 401, headers: ['www-authenticate', 'Bearer'] })
  const bad = errorOf(() => auth.identify(bearer('hs_not-a-known-key')))
  expect(bad.headers).toEqual(['www-authenticate', 'Bearer error="invalid_token"'])
  expect(`${bad.message} ${bad.detail}`).not.toContain('hs_not')
})

test('of a rotated key the former secret ends before the key does', async () => {
  const hashes = [
    { sha256: sha256(SECRET), until: Infinity },
    { sha256: sha256(FORMER), until: NOW + 1000 },
  ]
  const { auth, advance } = setup({ keys: [keyOf('ci', '', { hashes, expiresAt: NOW + 5000 })] })
  expect(auth.identify(bearer(FORMER))).toBe(auth.identify(bearer(SECRET)))
  advance(1000)
  expect(await refusalOf(() => auth.identify(bearer(FORMER)))).toBe('key ci: this secret has been replaced')
  await who(auth, bearer(SECRET))
  advance(4000)
  expect(await refusalOf(() => auth.identify(bearer(SECRET)))).toBe('key ci: expired')
})

test('a revoked key is refused from the next request on', async () => {
  const { auth, revocations } = setup({ keys: [keyOf('ci', SECRET)] })
  await who(auth, bearer(SECRET))
  revocations.revoke('ci')
  expect(await refusalOf(() => auth.identify(bearer(SECRET)))).toBe('key ci: revoked')
})

test('key, tenant and roles must all allow, and the denial names the one that does not', () => {
  const grant = grantOf({ models: ['fast', 'smart'] })
  const { auth } = setup(
    {
      keys: [keyOf('ci', SECRET, { tenant: 'acme', roles: ['dev', 'ops'], grant })],
      roles: { dev: grantOf({ models: ['fast'] }), ops: grantOf({ operations: ['embeddings'] }) },
    },
    [tenantOf('acme', { grant: grantOf({ regions: ['eu'] }) })],
  )
  const { access } = auth.identify(bearer(SECRET)) as Principal
  expect(access.request(requestOf({ model: 'fast' }))).toBeNull()
  expect(access.request(requestOf({ model: 'smart' }))?.rule).toBe('role dev: models')
  expect(access.request(requestOf({ model: 'other' }))?.rule).toBe('key ci: models')
  expect(access.target(targetOf('p', 'us'), requestOf())?.rule).toBe('tenant acme: regions')
})

const ALICE: PeerIdentity = {
  source: 'mtls',
  id: 'spiffe://td/ns/a/sa/alice',
  trustDomain: 'td',
  namespace: 'a',
  serviceAccount: 'alice',
}

const MAPPED = peerEntry({ id: 'spiffe://td/ns/a/sa/*', team: 'a' })

test('a peer that is mapped needs no key; a bad key is not made good by it', async () => {
  const peers = peersOf({ map: [MAPPED] })
  const { auth } = setup({ keys: [keyOf('ci', SECRET)], peers })
  const alice = auth.identify(from({}, { peerIdentity: ALICE }))
  expect(alice).toMatchObject({ kind: 'peer', keyId: `peer:${ALICE.id}`, team: 'a', peer: ALICE })
  expect(auth.identify(from({}, { peerIdentity: ALICE }))).toBe(alice)
  const headers = { authorization: 'Bearer wrong-key-wrong-key' }
  expect(await refusalOf(() => auth.identify(from(headers, { peerIdentity: ALICE })))).toBe('no such key')
  const mallory = { ...ALICE, id: 'spiffe://td/ns/b/sa/mallory' }
  expect(await refusalOf(() => auth.identify(from({}, { peerIdentity: mallory })))).toContain('not one of `peers.map`')
})

test('a key that comes through a peer knows it, as the same object each time', () => {
  const { auth } = setup({ keys: [keyOf('ci', SECRET)] })
  const request = { ...bearer(SECRET), peerIdentity: ALICE }
  const principal = auth.identify(request) as Principal
  expect(principal).toMatchObject({
    keyId: 'ci',
    peer: ALICE,
    variables: { peer: { id: ALICE.id, namespace: 'a', service_account: 'alice', trust_domain: 'td' } },
  })
  expect(auth.identify(request)).toBe(principal)
  expect((auth.identify(bearer(SECRET)) as Principal).peer).toBeNull()
})

test.each([
  ['127.0.0.6', 'spiffe://td/ns/a/sa/bob', 'peer:spiffe://td/ns/a/sa/bob'],
  ['::ffff:127.0.0.6', 'spiffe://td/ns/a/sa/bob', 'peer:spiffe://td/ns/a/sa/bob'],
  ['fe80::1%eth0', 'spiffe://td/ns/a/sa/bob', 'peer:spiffe://td/ns/a/sa/bob'],
  ['10.9.9.9', 'spiffe://td/ns/a/sa/bob', null],
  ['', 'spiffe://td/ns/a/sa/bob', null],
  ['127.0.0.6', 'spiffe://td/ns/a/sa/../bob', null],
])('the header of %s with %s makes %s', async (peer, value, expected) => {
  const peers = peersOf({ header: 'x-caller', trust: ['127.0.0.6/32', 'fe80::/10'], map: [MAPPED] })
  const { auth } = setup({ peers })
  const identify = () => auth.identify(from({ 'x-caller': value }, { peer }))
  if (expected === null) expect(await refusalOf(identify)).toContain('no credentials')
  else expect(identify()).toMatchObject({ keyId: expected })
})

test('who comes through a trusted proxy without an identity does not get the proxy’s own', async () => {
  const { auth } = setup({ peers: peersOf({ header: 'x-caller', trust: ['10.0.0.0/8'], map: [MAPPED] }) })
  for (const headers of [{}, { 'x-caller': 'not valid' }]) {
    const request = from(headers, { peer: '10.1.1.1', peerIdentity: ALICE })
    expect(await refusalOf(() => auth.identify(request))).toContain('no credentials')
  }
  // From elsewhere the header says nothing, and the certificate counts.
  const direct = from({ 'x-caller': 'spiffe://td/ns/a/sa/bob' }, { peerIdentity: ALICE })
  expect(auth.identify(direct)).toMatchObject({ keyId: `peer:${ALICE.id}` })
})

test('anonymous requests have the roles that are given to them', () => {
  const { auth } = setup({
    anonymous: { allowed: true, roles: ['guest'] },
    roles: { guest: grantOf({ models: ['free'] }) },
  })
  const principal = auth.identify(from({})) as Principal
  expect(principal).toMatchObject({ kind: 'anonymous', keyId: '' })
  expect(principal.access.model('dear')?.rule).toBe('role guest: models')
})

// ── Signed keys ──

const pair = generateKeyPairSync('ed25519')
const PUBLIC = JSON.stringify(pair.publicKey.export({ format: 'jwk' }))
const PRIVATE = JSON.stringify(pair.privateKey.export({ format: 'jwk' }))
const body = { id: 'k1', iat: NOW_S, exp: NOW_S + 3600 }
const signed = (some: Readonly<Record<string, unknown>> = {}) => mintSignedKey('hq', { ...body, ...some }, PRIVATE)
const SIGNED = { signedKeys: { issuers: [{ name: 'hq', publicKey: PUBLIC }], revoked: ['hq/old'] } }

test('a configuration that is tried and refused gives no revoked key back, and takes none', async () => {
  const { auth, ...parts } = setup(SIGNED)
  const tried = createAuthenticator({ ...NOBODY, signedKeys: { ...SIGNED.signedKeys, revoked: ['hq/k1'] } }, [], {
    gate: parts.gate,
    clock: parts.clock,
    revocations: parts.revocations,
    keySets: parts.keySets,
  })
  const [old, current] = [bearer(signed({ id: 'old' })), bearer(signed({ id: 'k1' }))]
  expect(await refusalOf(() => auth.identify(old))).toBe('key hq/old: revoked')
  expect((await who(auth, current)).keyId).toBe('hq/k1')
  expect(await refusalOf(() => tried.identify(current))).toBe('key hq/k1: revoked')
  tried.close()
  expect(parts.revocations.snapshot().configured).toEqual(['hq/old'])
})

test('a signed key brings what it may do and its limits with it', () => {
  const { auth } = setup({ ...SIGNED, roles: { dev: grantOf({ operations: ['chat'] }) } }, [tenantOf('acme')])
  const limits = ['requests=60/1m', 'usd=50/month@Europe/Berlin', 'concurrency=8']
  const token = signed({
    tenant: 'acme',
    team: 't',
    user: 'u',
    roles: ['dev'],
    models: ['fast'],
    limits,
    no_retention: true,
  })
  const principal = auth.identify(bearer(token)) as Principal
  expect(principal).toMatchObject({ kind: 'signed_key', keyId: 'hq/k1', tenant: 'acme', team: 't', user: 'u' })
  expect(principal.limits.map(({ unit, amount }) => `${unit} ${amount}`)).toEqual([
    'requests 60',
    'usd 50',
    'concurrency 8',
  ])
  expect(principal.access.model('smart')?.rule).toBe('key hq/k1: models')
  expect(principal.access.anyTarget).toBe(false)
  expect(auth.identify(bearer(token))).toBe(principal)
})

test('a signed key ends by time, by the file and at run time, although it is remembered', async () => {
  const { auth, advance, revocations } = setup(SIGNED)
  expect(await refusalOf(() => auth.identify(bearer(signed({ id: 'old' }))))).toBe('key hq/old: revoked')
  const [a, b] = [signed(), signed({ id: 'k2' })]
  await who(auth, bearer(a))
  await who(auth, bearer(b))
  revocations.revoke('hq/k2')
  expect(await refusalOf(() => auth.identify(bearer(b)))).toBe('key hq/k2: revoked')
  advance(3600_000)
  expect(await refusalOf(() => auth.identify(bearer(a)))).toBe('key hq/k1: expired')
})

test('a signed key of an unknown tenant or role may not do what nobody has bounded', async () => {
  const { auth } = setup({ ...SIGNED, roles: { dev: NOTHING_RESTRICTED } }, [tenantOf('acme')])
  expect(await refusalOf(() => auth.identify(bearer(signed({ tenant: 'other' }))))).toContain('tenant is none')
  const principal = auth.identify(bearer(signed({ roles: ['admin'] }))) as Principal
  expect(principal.access.request(requestOf())?.rule).toBe('roles')
})
