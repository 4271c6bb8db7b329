import type { MeshConfig } from '../contracts/config-mesh.ts'
import type { Build } from './build.ts'

export const toMesh = ({ parsed: { mesh }, map, problems }: Build): MeshConfig => {
  const { identity, retries } = mesh
  if (identity.trust === 'cidr' && identity.cidrs === undefined)
    problems.push(map.problem(['mesh', 'identity', 'trust'], '`cidr` needs `cidrs`: the addresses that are believed'))
  if (identity.trust !== 'cidr' && identity.cidrs !== undefined)
    problems.push(map.problem(['mesh', 'identity', 'cidrs'], 'means nothing without `trust: cidr`', 'key'))
  const lower = Object.entries(identity.claim_headers ?? {}).map(([claim, header]) => [claim, header.toLowerCase()])
  return {
    kind: mesh.kind,
    waitForProxyMs: mesh.wait_for_proxy,
    identity: {
      trust: identity.trust,
      cidrs: identity.cidrs ?? [],
      ownPrincipals: identity.own_principals ?? [],
      payloadHeader: identity.payload_header?.toLowerCase() ?? null,
      claimHeaders: Object.fromEntries(lower) as Record<string, string>,
    },
    retries: { owner: retries.owner, veto: retries.veto },
    providerFailure: mesh.provider_failure,
    linkerdHeaders: mesh.linkerd_headers,
    proxyShutdown: mesh.proxy_shutdown,
  }
}
