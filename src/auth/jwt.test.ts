// What a verified token makes of its caller, and what is refused although the signature is right.
import { generateKeyPairSync, sign } from 'node:crypto'
import { expect, test } from 'vitest'
import type { JwtConfig } from '../contracts/config-auth.ts'
import { grantOf, requestOf } from './access-fixture.ts'
import { bearer, jwtOf, NOW_S, refusalOf, setup, tenantOf, who } from './auth-fixture.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const jwks = {
  kind: 'inline',
  text: JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a' }] }),
} as const

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')

const tokenOf = (claims: object, header: object = { kid: 'a' }): string => {
  const base = { iss: 'https://idp.example', aud: 'heddle', sub: 'ann', exp: NOW_S + 300 }
  const text = `${part({ alg: 'EdDSA', ...header })}.${part({ ...base, ...claims })}`
  return `${text}.${sign(null, Buffer.from(text), privateKey).toString('base64url')}`
}

const NONE = { tenant: null, team: null, user: null, roles: null, models: null, limits: null }
const claims = (some: Partial<JwtConfig['claims']>) => ({ claims: { ...NONE, ...some } })
const make = (some: Partial<JwtConfig>, tenants: readonly string[] = []) =>
  setup(
    { jwt: [jwtOf({ jwks, ...some })], roles: { dev: grantOf({ models: ['fast'] }) } },
    tenants.map((name) => tenantOf(name)),
  ).auth

test('each property comes from the claim that is named for it', async () => {
  const names = { tenant: 'org', team: 'dept.name', user: 'email', roles: 'realm.roles', models: 'llm', limits: 'lim' }
  const auth = make(claims(names), ['acme'])
  const token = tokenOf({
    org: 'acme',
    dept: { name: 'search' },
    email: 'ann@example.com',
    realm: { roles: ['dev', 'offline_access'] },
    llm: 'fast smart',
    lim: ['requests=5/1m'],
  })
  const principal = await who(auth, bearer(token))
  expect(principal).toMatchObject({
    keyId: 'idp:ann',
    tenant: 'acme',
    team: 'search',
    user: 'ann@example.com',
    roles: ['dev', 'offline_access'],
    limits: [{ unit: 'requests', amount: 5, period: { kind: 'sliding', windowMs: 60_000 } }],
  })
  expect(principal.variables).toMatchObject({ team: 'search', claims: { email: 'ann@example.com' } })
  expect(principal.access.request(requestOf({ model: 'fast' }))).toBeNull()
  expect(principal.access.request(requestOf({ model: 'smart' }))?.rule).toBe('role dev: models')
  expect(principal.access.request(requestOf({ model: 'other' }))?.rule).toBe('token of idp: models')
})

test('what is to come from the token and is not in it denies', async () => {
  const noRole = await who(make(claims({ roles: 'roles' })), bearer(tokenOf({})))
  expect(noRole.access.request(requestOf())?.rule).toBe('roles')
  const strange = await who(make(claims({ roles: 'roles' })), bearer(tokenOf({ roles: 'admin root' })))
  expect(strange.access.request(requestOf())?.rule).toBe('roles')
  const noModels = await who(make(claims({ models: 'models' })), bearer(tokenOf({})))
  expect(noModels.access.model('fast')?.rule).toBe('token of idp: models')
  const auth = make(claims({ tenant: 'org' }), ['acme'])
  expect(await refusalOf(() => auth.identify(bearer(tokenOf({}))))).toBe('the token of idp names no tenant')
  expect(await refusalOf(() => auth.identify(bearer(tokenOf({ org: 'other' }))))).toContain('its tenant is none')
  // What is not mapped is not asked for.
  expect((await who(make({}), bearer(tokenOf({})))).access.request(requestOf())).toBeNull()
})

test('what the entry says holds for every token of it', async () => {
  const auth = make({ tenant: 'acme', roles: ['dev'], ...claims({ tenant: 'org' }) }, ['acme', 'own'])
  expect(await who(auth, bearer(tokenOf({})))).toMatchObject({ tenant: 'acme', roles: ['dev'] })
  expect(await who(auth, bearer(tokenOf({ org: 'own' })))).toMatchObject({ tenant: 'own' })
})

test.each([
  ['roles', { roles: 'x' }, { x: { a: 1 } }, 'the claim for roles is no list'],
  ['roles, one a number', { roles: 'x' }, { x: ['dev', 1] }, 'the claim for roles is no list'],
  ['too many roles', { roles: 'x' }, { x: Array.from({ length: 201 }, (_, i) => `r${i}`) }, 'no list of at most 200'],
  ['a limit', { limits: 'x' }, { x: ['requests=many'] }, 'the claim for limits holds one'],
  ['limits as number', { limits: 'x' }, { x: 5 }, 'the claim for limits holds one'],
  ['a tenant', { tenant: 'x' }, { x: ['acme'] }, 'the claim for the tenant is no text'],
  ['a long subject', {}, { sub: 'a'.repeat(257) }, 'the claim for the subject is no text'],
])('%s that cannot be read is not passed over', async (_name, paths, given, reason) => {
  expect(await refusalOf(() => make(claims(paths)).identify(bearer(tokenOf(given))))).toContain(reason)
})

test('a token may live only so long', async () => {
  const auth = make({ maxAgeMs: 600_000 })
  await who(auth, bearer(tokenOf({ iat: NOW_S - 300 })))
  const long = 'the token lives longer than `max_age` allows'
  expect(await refusalOf(() => auth.identify(bearer(tokenOf({ iat: NOW_S - 301 }))))).toContain(long)
  expect(await refusalOf(() => auth.identify(bearer(tokenOf({}))))).toContain(long)
})

test('a condition over the principal', async () => {
  const auth = make({ require: 'principal.claims.verified == true && principal.user.endsWith("n")' })
  await who(auth, bearer(tokenOf({ verified: true })))
  for (const given of [{}, { verified: 'true' }, { verified: true, sub: 'bob' }]) {
    expect(await refusalOf(() => auth.identify(bearer(tokenOf(given))))).toBe('`require` of idp is not true')
  }
})

test('of two entries of one issuer the audience decides', async () => {
  const dev = jwtOf({ jwks, name: 'dev', audiences: ['heddle-dev'], roles: ['dev'] })
  const { auth } = setup({ jwt: [jwtOf({ jwks }), dev], roles: { dev: grantOf({ models: [] }) } })
  expect(await who(auth, bearer(tokenOf({ aud: 'heddle' })))).toMatchObject({ keyId: 'idp:ann', roles: [] })
  expect(await who(auth, bearer(tokenOf({ aud: 'heddle-dev' })))).toMatchObject({ keyId: 'dev:ann', roles: ['dev'] })
})

test('a token without key id is verified when the set leaves no choice', async () => {
  expect(await who(make({}), bearer(tokenOf({}, {})))).toMatchObject({ keyId: 'idp:ann' })
})

test('a subject can be revoked', async () => {
  const { auth, revocations } = setup({ jwt: [jwtOf({ jwks })] })
  await who(auth, bearer(tokenOf({})))
  revocations.revoke('idp:ann')
  expect(await refusalOf(() => auth.identify(bearer(tokenOf({}))))).toBe('key idp:ann: revoked')
  expect(await refusalOf(() => auth.identify(bearer(tokenOf({ exp: NOW_S + 301 }))))).toBe('key idp:ann: revoked')
})
