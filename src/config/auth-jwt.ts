import type { JwtConfig } from '../contracts/config-auth.ts'
import { checkCondition, checkWhose } from './auth-check.ts'
import { readKeySet } from './auth-public-key.ts'
import type { Build } from './build.ts'
import { isLoopback } from '../core/loopback.ts'
import type { Path } from './problem.ts'
import type { ParsedJwt, ParsedKubernetes } from './schema-auth-jwt.ts'

type Jwks = JwtConfig['jwks']

const isPem = (text: string): boolean => text.includes('-----BEGIN CERTIFICATE-----')

const toUrlSet = (parsed: ParsedJwt, url: string, path: Path, { map, problems }: Build): Jwks => {
  const { protocol, hostname } = new URL(url)
  if (protocol === 'http:' && !parsed.allow_http && !isLoopback(hostname)) {
    const message =
      'must be https: whoever is on the way could put in keys of his own (`allow_http: true` where a mesh encrypts)'
    problems.push(map.problem([...path, 'jwks_url'], message))
  }
  if (parsed.ca !== undefined && !isPem(parsed.ca)) {
    problems.push(map.problem([...path, 'ca'], 'must be PEM text; `${file:/path/ca.pem}` reads it from a file'))
  }
  return {
    kind: 'url',
    url,
    ca: parsed.ca ?? null,
    caFile: null,
    bearerFile: null,
    cooldownMs: Math.max(1000, parsed.cooldown),
    refreshMs: Math.max(1000, parsed.refresh),
  }
}

const toJwks = (parsed: ParsedJwt, path: Path, build: Build): Jwks => {
  const { map, problems } = build
  const { jwks_url: url, jwks } = parsed
  if ((url === undefined) === (jwks === undefined)) {
    const message = url === undefined ? 'needs `jwks_url` or `jwks`' : 'takes `jwks_url` or `jwks`, not both'
    problems.push(map.problem(path, message, 'key'))
  }
  if (url !== undefined) return toUrlSet(parsed, url, path, build)
  if (jwks === undefined) return { kind: 'inline', text: '{"keys":[]}' }
  const set = readKeySet(jwks)
  if (!set.ok) problems.push(map.problem([...path, 'jwks'], set.message))
  return { kind: 'inline', text: set.ok ? set.text : '{"keys":[]}' }
}

const audiences = (given: string | readonly string[]): readonly string[] =>
  typeof given === 'string' ? [given] : [...new Set(given)]

/** Which claims tell what. */
export const toClaimNames = (claims: ParsedJwt['claims']): JwtConfig['claims'] => ({
  tenant: claims.tenant ?? null,
  team: claims.team ?? null,
  user: claims.user ?? null,
  roles: claims.roles ?? null,
  models: claims.models ?? null,
  limits: claims.limits ?? null,
})

const toIssuer = (parsed: ParsedJwt, path: Path, build: Build): JwtConfig => {
  checkWhose(parsed, path, build)
  checkCondition(parsed.require, [...path, 'require'], build)
  return {
    name: parsed.name,
    issuer: parsed.issuer,
    audiences: audiences(parsed.audience),
    algorithms: [...new Set(parsed.algorithms)],
    jwks: toJwks(parsed, path, build),
    clockToleranceMs: parsed.clock_tolerance,
    maxAgeMs: parsed.max_age,
    claims: toClaimNames(parsed.claims),
    tenant: parsed.tenant,
    roles: [...new Set(parsed.roles)],
    require: parsed.require ?? null,
  }
}

/**
 * Service-account tokens (projected volumes): signed by the cluster, whose keys are behind its API server's certificate
 * and, unless the operator has opened them, behind a token of its own.
 */
const toCluster = (parsed: ParsedKubernetes, path: Path, build: Build): JwtConfig => {
  checkWhose(parsed, path, build)
  checkCondition(parsed.require, [...path, 'require'], build)
  const { protocol, hostname } = new URL(parsed.jwks_url)
  if (protocol === 'http:' && !isLoopback(hostname)) {
    // Heddle's own service-account token goes with the request.
    build.problems.push(build.map.problem([...path, 'jwks_url'], 'must be https'))
  }
  return {
    name: parsed.name,
    issuer: parsed.issuer,
    audiences: audiences(parsed.audience),
    algorithms: ['RS256', 'ES256'],
    jwks: {
      kind: 'url',
      url: parsed.jwks_url,
      ca: null,
      caFile: parsed.ca_file,
      bearerFile: parsed.token_file,
      cooldownMs: 30_000,
      refreshMs: 600_000,
    },
    clockToleranceMs: 30_000,
    maxAgeMs: 0,
    claims: { tenant: null, team: 'kubernetes.io.namespace', user: null, roles: null, models: null, limits: null },
    tenant: parsed.tenant,
    roles: [...new Set(parsed.roles)],
    require: parsed.require ?? null,
  }
}

/** Every issuer whose tokens are accepted. Two entries may have one issuer, but not also an audience in common. */
export const toJwt = (
  parsed: readonly ParsedJwt[],
  kubernetes: ParsedKubernetes | undefined,
  build: Build,
): readonly JwtConfig[] => {
  const { map, problems } = build
  const placed = parsed.map((entry, i) => ({
    path: ['auth', 'jwt', i] as Path,
    entry: toIssuer(entry, ['auth', 'jwt', i], build),
  }))
  if (kubernetes !== undefined) {
    placed.push({ path: ['auth', 'kubernetes'], entry: toCluster(kubernetes, ['auth', 'kubernetes'], build) })
  }
  placed.forEach(({ entry, path }, i) => {
    for (const { entry: other } of placed.slice(0, i)) {
      if (other.name === entry.name)
        problems.push(map.problem(path, `a second entry is named \`${entry.name}\``, 'key'))
      const common = other.audiences.some((audience) => entry.audiences.includes(audience))
      if (other.issuer === entry.issuer && common) {
        problems.push(
          map.problem(path, 'has issuer and audience in common with another entry: which one would count?', 'key'),
        )
      }
    }
  })
  return placed.map(({ entry }) => entry)
}
