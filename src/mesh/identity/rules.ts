import type { PeersConfig } from '../../contracts/config-auth.ts'
import type { HeddleConfig } from '../../contracts/config.ts'
import type { MeshIdentityConfig } from '../../contracts/config-mesh.ts'
import { kindOf } from '../rules.ts'
import { L5D_CLIENT_ID, XFCC } from './peer-header.ts'

/** From whom identity headers are believed. Globs and CIDR ranges are as in the configuration. */
export type Trust =
  | { readonly kind: 'nobody' }
  | { readonly kind: 'addresses'; readonly ranges: readonly string[] }
  /** Peers whose own certificate has been verified and is one of these. */
  | { readonly kind: 'forwarders'; readonly ids: readonly string[] }
  | { readonly kind: 'anyone' }

/** The one form of `mesh.identity` and of `auth.peers` with a header of its own. */
export interface IdentityRules {
  /** Lower case; null = no header names callers. */
  readonly header: string | null
  readonly trust: Trust
  readonly ownPrincipals: readonly string[]
  readonly payloadHeader: string | null
  /** Claim -> header. */
  readonly claimHeaders: Readonly<Record<string, string>>
  readonly claimsFrom: readonly string[]
}

type Source = Pick<HeddleConfig, 'mesh' | 'auth'>

/**
 * A proxy in the own pod is known by its address, and only by it: without a mesh any process of the host would be as
 * near. ztunnel of Istio ambient writes no header, so that nobody beside the process speaks for callers there.
 */
const trustOf = ({ mesh }: Source, own: readonly string[]): Trust => {
  const { trust, cidrs, forwarders } = mesh.identity
  const kind = kindOf({ mesh })
  switch (trust) {
    case 'none':
      return { kind: 'nobody' }
    case 'loopback-sidecar':
      return kind === 'istio' || kind === 'linkerd' ? { kind: 'addresses', ranges: own } : { kind: 'nobody' }
    case 'mtls':
      return { kind: 'forwarders', ids: forwarders }
    case 'cidr':
      return { kind: 'addresses', ranges: cidrs }
    case 'attested':
      return { kind: 'anyone' }
  }
}

/** `auth.peers` with a header of its own; without a mesh, or in one whose own headers are not used. */
export const rulesOfPeers = (
  { header, trust }: Pick<PeersConfig, 'header' | 'trust'>,
  identity?: MeshIdentityConfig,
): IdentityRules => ({
  header,
  trust: header === null ? { kind: 'nobody' } : { kind: 'addresses', ranges: trust },
  ownPrincipals: identity?.ownPrincipals ?? [],
  payloadHeader: identity?.payloadHeader ?? null,
  claimHeaders: identity?.claimHeaders ?? {},
  claimsFrom: identity?.claimsFrom ?? [],
})

/** own: addresses from which the pod's own proxy may come. */
export const identityRules = (config: Source, own: readonly string[]): IdentityRules => {
  const { identity } = config.mesh
  const peers = config.auth?.peers ?? null
  if (peers !== null && peers.header !== null) return rulesOfPeers(peers, identity)
  const { ownPrincipals, payloadHeader, claimHeaders, claimsFrom } = identity
  const trust = trustOf(config, own)
  const ofMesh = kindOf(config) === 'linkerd' ? L5D_CLIENT_ID : XFCC
  const header = trust.kind === 'nobody' ? null : ofMesh
  return { header, trust, ownPrincipals, payloadHeader, claimHeaders, claimsFrom }
}
