import { expect, test } from 'vitest'
import { loadConfigText } from './load.ts'
import { ConfigError } from './problem.ts'

const PROVIDERS = 'providers: { eu: { type: openai_compatible, base_url: https://eu.example/v1, api_key: sk-1 } }\n'

const load = (text: string) => loadConfigText(PROVIDERS + text, { presets: [] }).config

const problemsIn = (text: string): string => {
  try {
    load(text)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`).join('\n')
    throw error
  }
  return ''
}

const ANY = 'auth: { anonymous: true }'
const CLAIMS = 'auth: { peers: { claims: {} } }'
const TRUSTING = 'trust: loopback-sidecar'

test.each([
  ['kind: none, identity: { trust: loopback-sidecar }', ANY, 'mesh.identity.trust: without a mesh there is no sidecar'],
  ['kind: istio-ambient, identity: { trust: loopback-sidecar }', ANY, 'ztunnel names nobody'],
  ['identity: { trust: cidr }', ANY, 'mesh.identity.trust: `cidr` needs `cidrs`'],
  ['identity: { trust: cidr, cidrs: [10.0.0.0/33] }', ANY, 'mesh.identity.cidrs[0]: must be an address'],
  ['identity: { trust: mtls }', ANY, 'mesh.identity.trust: `mtls` needs `server.tls`'],
  ['identity: { cidrs: [10.0.0.0/8] }', ANY, 'mesh.identity.cidrs: means nothing without `trust: cidr`'],
  ['identity: { forwarders: [x] }', ANY, 'mesh.identity.forwarders: means nothing without `trust: mtls`'],
  [`identity: { ${TRUSTING} }`, '', 'mesh.identity.trust: has no use without `auth`'],
  [
    `identity: { ${TRUSTING}, payload_header: x-jwt }`,
    CLAIMS,
    'payload_header: is believed of nobody: say in `claims_from`',
  ],
  [`identity: { ${TRUSTING}, payload_header: x-jwt, claims_from: [x] }`, ANY, 'has no use without `auth.peers.claims`'],
  ['identity: { payload_header: x-jwt, claims_from: [x] }', CLAIMS, 'is believed from nobody'],
  ['identity: { claims_from: [x] }', ANY, 'mesh.identity.claims_from: means nothing without'],
  [`identity: { ${TRUSTING}, payload_header: Authorization, claims_from: [x] }`, CLAIMS, 'has another use'],
  [
    `identity: { ${TRUSTING}, claim_headers: { sub: Content-Type }, claims_from: [x] }`,
    CLAIMS,
    'claim_headers.sub: has another',
  ],
  [`identity: { ${TRUSTING} }`, 'auth: { peers: { header: x-id, trust: [10.0.0.1] } }', 'both say who is believed'],
  ['kind: istio', 'auth: { peers: { header: host, trust: [10.0.0.1] } }', 'auth.peers.header: has another use'],
  ['kind: istio', CLAIMS, 'auth.peers.claims: come from nowhere'],
  ['kind: istio', 'auth: { peers: { map: [{ trust_domain: x }] } }', 'auth.peers.map[0]: says of nobody who may call'],
  ['kind: istio', 'auth: { peers: { map: [{ namespace: a, also_keys: true }] } }', 'did you mean `also_key`?'],
  [
    `identity: { ${TRUSTING}, payload_header: x-jwt, claims_from: [x] }`,
    'auth: { kubernetes: true, peers: { claims: { name: kubernetes } } }',
    'auth.peers.claims.name: is the name of other callers',
  ],
  [
    `identity: { ${TRUSTING}, payload_header: x-jwt, claims_from: [x] }`,
    'auth: { peers: { claims: { require: "1 +", roles: [r], tenant: t } } }\ntenants: { u: }',
    'auth.peers.claims.require: ',
  ],
])('mesh: { %s } with %s', (mesh, rest, message) => {
  expect(problemsIn(`mesh: { ${mesh} }\n${rest}`)).toContain(message)
})

test('peers that are verified need a port that verifies them', () => {
  const pem = '-----BEGIN X-----'
  const tls = (clientCert: string): string => `
server: { tls: { cert: ${pem}, key: ${pem}, client_ca: ${pem}, client_cert: ${clientCert} } }
mesh: { identity: { trust: mtls, forwarders: [x] } }
${ANY}
`
  expect(problemsIn(tls('required'))).not.toContain('mesh.')
  expect(problemsIn(tls('none'))).toContain('mesh.identity.trust: `mtls` needs')
})

test('everything there is', () => {
  const { mesh, auth } = load(`
mesh:
  kind: istio
  identity:
    trust: cidr
    cidrs: [10.0.0.0/8, "::1"]
    own_principals: [spiffe://td/ns/llm/sa/heddle]
    payload_header: X-JWT
    claim_headers: { team: X-Team }
    claims_from: ["spiffe://td/ns/edge/sa/*"]
auth:
  peers:
    map:
      - { namespace: a, service_account: b, trust_domain: td, also_key: true }
    claims: { issuers: [i], claims: { team: team } }
`)
  expect(mesh.identity).toEqual({
    trust: 'cidr',
    cidrs: ['10.0.0.0/8', '::1'],
    forwarders: [],
    ownPrincipals: ['spiffe://td/ns/llm/sa/heddle'],
    payloadHeader: 'x-jwt',
    claimHeaders: { team: 'x-team' },
    claimsFrom: ['spiffe://td/ns/edge/sa/*'],
  })
  expect(auth?.peers).toMatchObject({
    header: null,
    map: [{ id: null, namespace: 'a', serviceAccount: 'b', trustDomain: 'td', alsoKey: true }],
    claims: { name: 'mesh-jwt', issuers: ['i'], claims: { team: 'team', user: null }, require: null },
  })
  // It crosses from the process that reads it.
  expect(structuredClone({ mesh, auth })).toEqual({ mesh, auth })
})
