// Callers who claim to be others, as a table: each must be refused for the reason it is wrong, not by chance.
import { describe, expect, test } from 'vitest'
import type { PeerIdentity, PeerSource, Principal } from '../contracts/identity.ts'
import { IdentityGate } from '../mesh/identity/gate.ts'
import type { IdentityRules } from '../mesh/identity/rules.ts'
import { spiffeIdentity } from '../mesh/identity/spiffe.ts'
import { from, keyOf, NOW_S, peerEntry, peersOf, refusalOf, setup } from './auth-fixture.ts'

const XFCC = 'x-forwarded-client-cert'
const HEDDLE = 'spiffe://td/ns/llm/sa/heddle'
const ADMIN = 'spiffe://td/ns/ops/sa/admin'
const WEB = 'spiffe://td/ns/apps/sa/web'
const INGRESS = 'spiffe://td/ns/edge/sa/ingress'
const BATCH = 'spiffe://td/ns/batch/sa/job'
const SECRET = 'sk-Vb7kQ2mZx9TfLr4WPn3c'

const RULES: IdentityRules = {
  header: XFCC,
  trust: { kind: 'addresses', ranges: ['127.0.0.1', '127.0.0.6'] },
  ownPrincipals: [HEDDLE],
  payloadHeader: 'x-verified',
  claimHeaders: { team: 'x-team' },
  claimsFrom: [INGRESS],
}

const PEERS = peersOf({
  map: [
    peerEntry({ id: ADMIN, roles: [] }),
    peerEntry({ namespace: 'batch', serviceAccount: 'job', trustDomain: 'td', alsoKey: true, tenant: 'batch' }),
  ],
  claims: {
    name: 'sso',
    issuers: ['https://idp.example'],
    claims: { tenant: null, team: 'team', user: 'email', roles: null, models: null, limits: null },
    tenant: '',
    roles: [],
    require: 'principal.claims.email_verified == true',
  },
})

const KEYS = [keyOf('ci', SECRET)]

const authOf = (rules: Partial<IdentityRules> = {}) =>
  setup({ peers: PEERS, keys: KEYS }, [], new IdentityGate({ ...RULES, ...rules })).auth

const element = (id: string, by = HEDDLE): string => `By=${by};Hash=ab;Subject="";URI=${id}`
const certified = (id: string): PeerIdentity => spiffeIdentity('mtls', id)!
const local = (headers: Readonly<Record<string, string>>, some: Partial<PeerSource> = {}): PeerSource =>
  from(headers, { peer: '127.0.0.1', ...some })
const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const CLAIMS = { iss: 'https://idp.example', sub: 'ann', email: 'ann@x', email_verified: true, exp: NOW_S + 300 }
/** Claims that come through the ingress. */
const token = (payload: string): PeerSource => local({ [XFCC]: element(INGRESS), 'x-verified': payload })

const ATTACKS: readonly (readonly [
  name: string,
  request: PeerSource,
  reason: string,
  rules?: Partial<IdentityRules>,
])[] = [
  ['the header from another machine', from({ [XFCC]: element(ADMIN) }), 'from 203.0.113.9 is not believed'],
  [
    'the header without a mesh',
    local({ [XFCC]: element(ADMIN) }),
    'is not believed',
    { trust: { kind: 'nobody' }, header: null },
  ],
  [
    'the header of the other mesh',
    local({ 'l5d-client-id': 'admin.ops.serviceaccount.identity.td' }),
    'no credentials',
  ],
  [
    'the other mesh’s header in Linkerd',
    local({ [XFCC]: element(ADMIN) }),
    'no credentials',
    { header: 'l5d-client-id' },
  ],
  ['an element in front', local({ [XFCC]: `${element(ADMIN)},${element(WEB)}` }), 'not one of `peers.map`'],
  ['a line in front', local({ [XFCC]: `${element(ADMIN)}\n${element(WEB)}` }), 'not one of `peers.map`'],
  [
    'a quote that swallows the proxy’s element',
    local({ [XFCC]: `URI=${ADMIN};Subject="${element(WEB)}` }),
    'form that Envoy',
  ],
  ['an element for another workload', local({ [XFCC]: element(ADMIN, WEB) }), '`By`'],
  ['an element of nobody', local({ [XFCC]: `URI=${ADMIN}` }), '`By`'],
  ['two identities', local({ [XFCC]: `${element(WEB)};URI=${ADMIN}` }), 'two SPIFFE ids'],
  ['an id with dots', local({ [XFCC]: element('spiffe://td/ns/apps/../ns/ops/sa/admin') }), 'not valid'],
  ['an id in capitals', local({ [XFCC]: element('SPIFFE://td/ns/ops/sa/admin') }), 'not valid'],
  ['the proxy’s own certificate', local({}, { peerIdentity: certified(ADMIN) }), 'no credentials'],
  [
    'a verified peer that speaks for another',
    from({ [XFCC]: element(ADMIN) }, { peerIdentity: certified(WEB) }),
    'not one of `peers.map`',
    { trust: { kind: 'forwarders', ids: [INGRESS] }, ownPrincipals: [] },
  ],
  [
    'a forwarder that carries what another wrote',
    from({ [XFCC]: element(ADMIN, WEB) }, { peerIdentity: certified(INGRESS) }),
    '`By`',
    { trust: { kind: 'forwarders', ids: [INGRESS] }, ownPrincipals: [] },
  ],
  ['the namespace of another trust domain', local({ [XFCC]: element('spiffe://evil/ns/batch/sa/job') }), 'not one of'],
  ['a peer that is to bring a key', local({ [XFCC]: element(BATCH) }), 'asks for a key besides'],
  [
    'a key of another tenant through that peer',
    local({ [XFCC]: element(BATCH), authorization: `Bearer ${SECRET}` }),
    'its tenant is not',
  ],
  [
    'a bad key with a good identity',
    local({ [XFCC]: element(ADMIN), 'x-api-key': 'guess-guess-guess' }),
    'no such key',
  ],
  ['claims from another machine', from({ [XFCC]: element(INGRESS), 'x-verified': encode(CLAIMS) }), 'not believed'],
  ['claims of another caller', local({ [XFCC]: element(WEB), 'x-verified': encode(CLAIMS) }), 'not one of `peers.map`'],
  ['claims without an identity', local({ 'x-verified': encode(CLAIMS) }), 'no credentials'],
  ['claims under another name', local({ [XFCC]: element(INGRESS), 'x-jwt-payload': encode(CLAIMS) }), 'not one of'],
  ['claims that are no base64url', token('{"sub":"ann"}'), 'not an object of JSON'],
  ['claims with loose bits', token(`${encode('{}').slice(0, -1)}1`), 'not an object of JSON'],
  ['claims that are a list', token(encode([CLAIMS])), 'not an object of JSON'],
  [
    'claims with a name twice',
    token(encode(`{"sub":"ann","sub":"root","iss":"https://idp.example"}`)),
    'not an object',
  ],
  ['claims on two lines', token(`${encode(CLAIMS)}\n${encode({ ...CLAIMS, sub: 'root' })}`), 'not an object'],
  ['claims without end', token(encode({ ...CLAIMS, pad: 'x'.repeat(9000) })), 'longer than 8192'],
  ['claims of a stranger', token(encode({ ...CLAIMS, iss: 'https://evil.example' })), '`iss` is none'],
  ['claims without issuer', token(encode({ ...CLAIMS, iss: undefined })), '`iss` is none'],
  ['claims that have expired', token(encode({ ...CLAIMS, exp: NOW_S - 1 })), 'expired'],
  ['claims whose end is no time', token(encode({ ...CLAIMS, exp: 'never' })), '`exp` is no time'],
  ['claims without subject', token(encode({ ...CLAIMS, sub: undefined })), 'no `sub`'],
  ['claims that the operator’s condition refuses', token(encode({ ...CLAIMS, email_verified: false })), '`require`'],
  [
    'a claim twice',
    local({ [XFCC]: element(INGRESS), 'x-verified': encode(CLAIMS), 'x-team': 'a\nb' }),
    'a claim stands twice',
  ],
  ['a claim of great length', local({ [XFCC]: element(INGRESS), 'x-team': 'a'.repeat(2000) }), 'longer than 1024'],
]

describe('refused', () => {
  test.each(ATTACKS.map(([name, request, reason, rules = {}]) => [name, request, reason, rules] as const))(
    '%s',
    async (_name, request, reason, rules) => {
      const auth = authOf(rules)
      // Twice: what is remembered must not be better than what is read.
      for (let i = 0; i < 2; i++) {
        const detail = await refusalOf(() => auth.identify(request))
        expect(detail).toContain(reason)
        expect(detail).not.toMatch(/spiffe:|ann@x|\n/)
      }
    },
  )
})

describe('the control', () => {
  const ok = (request: PeerSource, rules?: Partial<IdentityRules>): Principal =>
    authOf(rules).identify(request) as Principal

  test.each([
    ['the sidecar', local({ [XFCC]: element(ADMIN) })],
    ['the sidecar of Istio', from({ [XFCC]: element(ADMIN) }, { peer: '::ffff:127.0.0.6' })],
    ['a claim in front', local({ [XFCC]: `${element(WEB)},${element(ADMIN)}` })],
    ['20 kB of certificate', local({ [XFCC]: `Cert="${'%2B'.repeat(7000)}";${element(ADMIN)}` })],
    ['a certificate of its own', from({}, { peerIdentity: certified(ADMIN) })],
  ])('%s', (_name, request) => {
    expect(ok(request)).toMatchObject({ kind: 'peer', keyId: `peer:${ADMIN}`, peer: { namespace: 'ops' } })
  })

  test('a forwarder speaks for others', () => {
    const request = from({ [XFCC]: element(ADMIN, INGRESS) }, { peerIdentity: certified(INGRESS) })
    const rules: Partial<IdentityRules> = { trust: { kind: 'forwarders', ids: [INGRESS] }, ownPrincipals: [] }
    expect(ok(request, rules)).toMatchObject({ keyId: `peer:${ADMIN}` })
  })

  test('Linkerd', () => {
    const request = local({
      'l5d-client-id': 'job.batch.serviceaccount.identity.td',
      authorization: `Bearer ${SECRET}`,
    })
    const { auth } = setup(
      { peers: peersOf({ map: [peerEntry({ namespace: 'batch' })] }), keys: KEYS },
      [],
      new IdentityGate({ ...RULES, header: 'l5d-client-id' }),
    )
    expect(auth.identify(request)).toMatchObject({
      kind: 'api_key',
      peer: { namespace: 'batch', serviceAccount: 'job' },
    })
    const keyless = local({ 'l5d-client-id': 'job.batch.serviceaccount.identity.td' })
    expect(auth.identify(keyless)).toMatchObject({ kind: 'peer', peer: { trustDomain: 'td' } })
  })

  test('claims make the user, and the peer that brought them is known', () => {
    const request = local({ [XFCC]: element(INGRESS), 'x-verified': encode(CLAIMS), 'x-team': 'search' })
    const auth = authOf()
    const principal = auth.identify(request) as Principal
    expect(principal).toMatchObject({
      kind: 'jwt',
      keyId: 'sso:ann',
      user: 'ann@x',
      team: 'search',
      peer: { id: INGRESS },
    })
    expect(principal.variables).toMatchObject({ peer: { namespace: 'edge' }, claims: { sub: 'ann' } })
    expect(auth.identify({ ...request })).toBe(principal)
  })

  test('claims end when the token ends', async () => {
    const { auth, advance } = setup({ peers: PEERS }, [], new IdentityGate(RULES))
    const request = token(encode(CLAIMS))
    expect(auth.identify(request)).toMatchObject({ keyId: 'sso:ann' })
    advance(300_000)
    expect(await refusalOf(() => auth.identify(request))).toContain('expired')
  })

  test('a claim called like a property of objects changes nothing', () => {
    const payload = encode('{"iss":"https://idp.example","sub":"ann","email_verified":true,"__proto__":{"sub":"root"}}')
    const request = local({ [XFCC]: element(INGRESS), 'x-verified': payload, 'x-team': 'a' })
    expect(ok(request)).toMatchObject({ keyId: 'sso:ann' })
  })
})

describe('a key and a peer together', () => {
  const grant = { operations: null, providers: null, tools: null, regions: null, noRetention: false, when: null }
  const make = (tenant: string) =>
    setup(
      {
        keys: [keyOf('ci', SECRET, { tenant, grant: { ...grant, models: ['a', 'b'] } })],
        peers: peersOf({
          map: [peerEntry({ id: BATCH, alsoKey: true, tenant: 'batch', grant: { ...grant, models: ['b', 'c'] } })],
        }),
      },
      [],
      new IdentityGate(RULES),
    ).auth

  test('both must allow, and the same object comes each time', () => {
    const auth = make('batch')
    const request = local({ [XFCC]: element(BATCH), authorization: `Bearer ${SECRET}` })
    const { access, ...principal } = auth.identify(request) as Principal
    expect(principal).toMatchObject({ kind: 'api_key', keyId: 'ci', peer: { id: BATCH } })
    expect(['a', 'b', 'c'].map((model) => access.model(model) === null)).toEqual([false, true, false])
    expect(auth.identify({ ...request })).toBe(auth.identify(request))
    // The key alone is not bound by what a peer may do.
    const alone = auth.identify(from({ authorization: `Bearer ${SECRET}` })) as Principal
    expect(['a', 'b', 'c'].map((model) => alone.access.model(model) === null)).toEqual([true, true, false])
  })

  test('a key of no tenant is not one of the peer’s tenant', async () => {
    const request = local({ [XFCC]: element(BATCH), authorization: `Bearer ${SECRET}` })
    expect(await refusalOf(() => make('').identify(request))).toContain('its tenant')
  })

  test('anonymous requests of such a peer are refused, although others are let in', async () => {
    const { auth } = setup({ anonymous: { allowed: true, roles: [] }, peers: PEERS }, [], new IdentityGate(RULES))
    expect(auth.identify(local({ [XFCC]: element(WEB) }))).toMatchObject({ kind: 'anonymous', peer: { id: WEB } })
    expect(await refusalOf(() => auth.identify(local({ [XFCC]: element(BATCH) })))).toContain('asks for a key')
  })
})

test.each([
  [{ id: 'spiffe://td/ns/a/*' }, true],
  [{ namespace: 'a' }, true],
  [{ namespace: '*' }, true],
  [{ namespace: 'a', serviceAccount: 'b' }, true],
  [{ namespace: 'a', serviceAccount: 'c' }, false],
  [{ id: 'spiffe://td/*', namespace: 'b' }, false],
  [{ namespace: 'a', trustDomain: 'td' }, true],
  [{ namespace: 'a', trustDomain: 'other' }, false],
])('an entry %j: %s', async (some, expected) => {
  const { auth } = setup({ peers: peersOf({ map: [peerEntry(some)] }) })
  const request = from({}, { peerIdentity: certified('spiffe://td/ns/a/sa/b') })
  if (expected) expect(auth.identify(request)).toMatchObject({ kind: 'peer' })
  else expect(await refusalOf(() => auth.identify(request))).toContain('not one of')
  // A name that is no SPIFFE id has no namespace, not even `*`.
  const dns = from(
    {},
    { peerIdentity: { source: 'mtls', id: 'a.example', trustDomain: '', namespace: '', serviceAccount: '' } },
  )
  expect(await refusalOf(() => auth.identify(dns))).toContain('not one of')
})
