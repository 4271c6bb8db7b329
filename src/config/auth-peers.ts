import type { PeerClaimsConfig, PeerEntryConfig, PeersConfig } from '../contracts/config-auth.ts'
import { checkCondition, checkWhose, toGrant } from './auth-check.ts'
import { toClaimNames } from './auth-jwt.ts'
import type { Build } from './build.ts'
import { toLimitRules } from './limit-rules.ts'
import type { Path } from './problem.ts'
import { checkHeader, checkRanges } from './peer-checks.ts'
import type { ParsedAuth } from './schema-auth.ts'

type ParsedPeers = NonNullable<ParsedAuth['peers']>

const PATH: Path = ['auth', 'peers']

const toEntry = (parsed: ParsedPeers['map'][number], path: Path, build: Build): PeerEntryConfig => {
  const { map, problems } = build
  const { id, namespace, service_account: serviceAccount, trust_domain: trustDomain } = parsed
  if (id === undefined && namespace === undefined && serviceAccount === undefined)
    problems.push(map.problem(path, 'says of nobody who may call: add `id`, `namespace` or `service_account`', 'key'))
  checkWhose(parsed, path, build)
  return {
    id: id ?? null,
    trustDomain: trustDomain ?? null,
    namespace: namespace ?? null,
    serviceAccount: serviceAccount ?? null,
    alsoKey: parsed.also_key,
    tenant: parsed.tenant,
    team: parsed.team,
    user: parsed.user,
    roles: [...new Set(parsed.roles)],
    grant: toGrant(parsed, path, build),
    limits: toLimitRules(parsed.limits, [...path, 'limits'], build),
  }
}

const toClaims = (parsed: NonNullable<ParsedPeers['claims']>, build: Build): PeerClaimsConfig => {
  const { map, problems, parsed: config } = build
  const path = [...PATH, 'claims']
  const { payload_header: payload, claim_headers: single } = config.mesh.identity
  if (payload === undefined && single === undefined) {
    const message = 'come from nowhere: name `payload_header` or `claim_headers` in `mesh.identity`'
    problems.push(map.problem(path, message, 'key'))
  }
  const taken = new Set(['peer', ...(config.auth?.jwt ?? []).map(({ name }) => name)])
  if (config.auth?.kubernetes !== undefined && config.auth.kubernetes !== false)
    taken.add(config.auth.kubernetes === true ? 'kubernetes' : config.auth.kubernetes.name)
  if (taken.has(parsed.name)) {
    const message = 'is the name of other callers: who has been verified by a proxy must not pass for one of those'
    problems.push(map.problem([...path, 'name'], message))
  }
  checkWhose(parsed, path, build)
  checkCondition(parsed.require, [...path, 'require'], build)
  return {
    name: parsed.name,
    issuers: parsed.issuers ?? null,
    claims: toClaimNames(parsed.claims),
    tenant: parsed.tenant,
    roles: [...new Set(parsed.roles)],
    require: parsed.require ?? null,
  }
}

/** `auth.peers`. */
export const toPeers = (parsed: ParsedPeers, build: Build): PeersConfig => {
  const { map, problems } = build
  const report = (field: string, message: string): void =>
    void problems.push(map.problem([...PATH, field], message, 'key'))
  checkHeader(parsed.header, [...PATH, 'header'], build)
  checkRanges(parsed.trust, [...PATH, 'trust'], build)
  if (parsed.header !== undefined && parsed.trust.length === 0)
    report('header', 'is believed from nobody: say from where in `trust`')
  if (parsed.header === undefined && parsed.trust.length > 0) report('trust', 'has no use without `header`')
  if (parsed.header !== undefined && build.parsed.mesh.identity.trust !== 'none')
    report('header', 'and `mesh.identity.trust` both say who is believed: keep one of them')
  return {
    header: parsed.header?.toLowerCase() ?? null,
    trust: parsed.trust,
    map: parsed.map.map((entry, i) => toEntry(entry, [...PATH, 'map', i], build)),
    claims: parsed.claims === undefined ? null : toClaims(parsed.claims, build),
  }
}
