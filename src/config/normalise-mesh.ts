import type { MeshConfig, MeshIdentityConfig } from '../contracts/config-mesh.ts'
import type { Build } from './build.ts'
import { checkMesh } from './mesh-check.ts'
import { toSvid } from './normalise-svid.ts'
import { checkHeader, checkRanges } from './peer-checks.ts'

type ParsedIdentity = Build['parsed']['mesh']['identity']

/** With which `trust` a field has a use. */
const NEEDS = [
  ['cidrs', 'cidr'],
  ['forwarders', 'mtls'],
] as const

const checkIdentity = (build: Build): void => {
  const { parsed, map, problems } = build
  const { kind, identity } = parsed.mesh
  const { trust } = identity
  const report = (field: string, message: string): void =>
    void problems.push(map.problem(['mesh', 'identity', field], message, 'key'))
  if (trust === 'cidr' && identity.cidrs === undefined)
    report('trust', '`cidr` needs `cidrs`: the addresses that are believed')
  for (const [field, needed] of NEEDS)
    if (identity[field] !== undefined && trust !== needed) report(field, `means nothing without \`trust: ${needed}\``)
  checkRanges(identity.cidrs ?? [], ['mesh', 'identity', 'cidrs'], build)
  if (trust === 'loopback-sidecar' && (kind === 'none' || kind === 'istio-ambient')) {
    const why =
      kind === 'none' ? 'without a mesh there is no sidecar' : 'ambient has no sidecar, and ztunnel names nobody'
    report('trust', `${why}: with \`kind: ${kind}\` nobody would be believed`)
  }
  const { tls } = parsed.server
  if (trust === 'mtls' && (tls === undefined || tls.client_cert === 'none'))
    report('trust', '`mtls` needs `server.tls` that asks for certificates: `client_cert: required` or `optional`')
  if (trust !== 'none' && parsed.auth === undefined)
    report('trust', 'has no use without `auth`: `auth: { anonymous: true }` asks nobody for a key')
  checkClaims(identity, build, report)
}

const checkClaims = (
  { trust, payload_header: payload, claim_headers: single, claims_from: from }: ParsedIdentity,
  build: Build,
  report: (field: string, message: string) => void,
): void => {
  const { auth } = build.parsed
  checkHeader(payload, ['mesh', 'identity', 'payload_header'], build)
  for (const [claim, header] of Object.entries(single ?? {}))
    checkHeader(header, ['mesh', 'identity', 'claim_headers', claim], build)
  if (payload === undefined && single === undefined) {
    if (from !== undefined) report('claims_from', 'means nothing without `payload_header` or `claim_headers`')
    return
  }
  const field = payload === undefined ? 'claim_headers' : 'payload_header'
  if (trust === 'none' && auth?.peers?.header === undefined)
    report(field, 'is believed from nobody: say whom to `trust`')
  if (from === undefined)
    report(field, 'is believed of nobody: say in `claims_from` of which callers the proxy has verified a token')
  if (auth?.peers?.claims === undefined) report(field, 'has no use without `auth.peers.claims`: what is taken from it')
}

const toIdentity = (parsed: ParsedIdentity): MeshIdentityConfig => {
  const lower = Object.entries(parsed.claim_headers ?? {}).map(([claim, header]) => [claim, header.toLowerCase()])
  return {
    trust: parsed.trust,
    cidrs: parsed.cidrs ?? [],
    forwarders: parsed.forwarders ?? [],
    ownPrincipals: parsed.own_principals ?? [],
    payloadHeader: parsed.payload_header?.toLowerCase() ?? null,
    claimHeaders: Object.fromEntries(lower) as Record<string, string>,
    claimsFrom: parsed.claims_from ?? [],
  }
}

export const toMesh = (build: Build): MeshConfig => {
  const { mesh } = build.parsed
  const { retries } = mesh
  checkIdentity(build)
  checkMesh(build)
  return {
    kind: mesh.kind,
    waitForProxyMs: mesh.wait_for_proxy,
    identity: toIdentity(mesh.identity),
    svid: toSvid(build),
    retries: { owner: retries.owner, veto: retries.veto },
    providerFailure: mesh.provider_failure,
    linkerdHeaders: mesh.linkerd_headers,
    orca: mesh.orca,
    proxyShutdown: mesh.proxy_shutdown,
  }
}
