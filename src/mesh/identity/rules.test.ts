import { expect, test } from 'vitest'
import type { AuthConfig } from '../../contracts/config-auth.ts'
import type { MeshConfig, MeshIdentityConfig } from '../../contracts/config-mesh.ts'
import { identityRules } from './rules.ts'

const identity: MeshIdentityConfig = {
  trust: 'none',
  cidrs: [],
  forwarders: [],
  ownPrincipals: [],
  payloadHeader: null,
  claimHeaders: {},
  claimsFrom: [],
}
const mesh = (kind: MeshConfig['kind'], some: Partial<MeshIdentityConfig>) => ({
  mesh: { kind, identity: { ...identity, ...some } } as MeshConfig,
  auth: null,
})
const OWN = ['127.0.0.1']

test.each([
  ['istio', 'x-forwarded-client-cert', { kind: 'addresses', ranges: OWN }],
  ['linkerd', 'l5d-client-id', { kind: 'addresses', ranges: OWN }],
  // A process of the same host is as near as a sidecar would be.
  ['none', null, { kind: 'nobody' }],
  ['auto', null, { kind: 'nobody' }],
  ['istio-ambient', null, { kind: 'nobody' }],
] as const)('a sidecar in %s', (kind, header, trust) => {
  expect(identityRules(mesh(kind, { trust: 'loopback-sidecar' }), OWN)).toMatchObject({ header, trust })
})

test.each([
  [{ trust: 'none' }, { kind: 'nobody' }],
  [{ trust: 'attested' }, { kind: 'anyone' }],
  [
    { trust: 'cidr', cidrs: ['10.0.0.0/8'] },
    { kind: 'addresses', ranges: ['10.0.0.0/8'] },
  ],
  [
    { trust: 'mtls', forwarders: ['spiffe://a'] },
    { kind: 'forwarders', ids: ['spiffe://a'] },
  ],
] as const)('%j', (some, trust) => {
  expect(identityRules(mesh('istio', some), OWN).trust).toEqual(trust)
  const header = trust.kind === 'nobody' ? null : 'x-forwarded-client-cert'
  expect(identityRules(mesh('istio-ambient', some), OWN).header).toBe(header)
})

test('a header of `auth.peers` is believed from where that says, in a mesh or out of it', () => {
  const peers = { header: 'x-caller', trust: ['10.0.0.0/8'], map: [], claims: null }
  const auth = { peers } as unknown as AuthConfig
  for (const kind of ['none', 'istio', 'linkerd'] as const)
    expect(identityRules({ ...mesh(kind, {}), auth }, OWN)).toMatchObject({
      header: 'x-caller',
      trust: { kind: 'addresses', ranges: ['10.0.0.0/8'] },
    })
})
