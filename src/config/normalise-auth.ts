import type { AuthConfig, SignedKeysConfig, TenantConfig } from '../contracts/config-auth.ts'
import { checkProvider, checkWhose, toGrant } from './auth-check.ts'
import { toJwt } from './auth-jwt.ts'
import { toPeers } from './auth-peers.ts'
import { toKeys } from './auth-keys.ts'
import { readPublicKey } from './auth-public-key.ts'
import type { Build } from './build.ts'
import { toLimitRules } from './limit-rules.ts'
import { kubernetesSchema } from './schema-auth-jwt.ts'
import type { ParsedAuth, ParsedTenant } from './schema-auth.ts'
import { grantSchema } from './schema-grant.ts'

const toSignedKeys = (parsed: NonNullable<ParsedAuth['signed_keys']>, build: Build): SignedKeysConfig => {
  const { map, problems } = build
  const names = new Set<string>()
  const issuers = parsed.issuers.flatMap(({ name, public_key: given }, i) => {
    const path = ['auth', 'signed_keys', 'issuers', i]
    if (names.has(name)) problems.push(map.problem([...path, 'name'], 'is the name of an issuer above'))
    names.add(name)
    const read = readPublicKey(given)
    if (read.ok) return [{ name, publicKey: read.jwk }]
    problems.push(map.problem([...path, 'public_key'], read.message))
    return []
  })
  parsed.revoked.forEach((id, i) => {
    const issuer = id.slice(0, Math.max(0, id.indexOf('/')))
    if (names.has(issuer)) return
    const message = `must be \`ISSUER/ID\` with one of the issuers ${[...names].join(', ')}`
    problems.push(map.problem(['auth', 'signed_keys', 'revoked', i], message))
  })
  return { issuers, revoked: [...new Set(parsed.revoked)] }
}

const toAnonymous = (parsed: ParsedAuth['anonymous'], build: Build): AuthConfig['anonymous'] => {
  if (typeof parsed === 'boolean') return { allowed: parsed, roles: [] }
  checkWhose({ roles: parsed.roles, tenant: '' }, ['auth', 'anonymous'], build)
  return { allowed: true, roles: [...new Set(parsed.roles)] }
}

const kubernetesOf = (given: ParsedAuth['kubernetes']) => {
  if (given === undefined || given === false) return undefined
  return given === true ? kubernetesSchema.parse({}) : given
}

/** `auth`, names and conditions checked, keys hashed. null = callers are not asked who they are. */
export const toAuth = (build: Build): AuthConfig | null => {
  const { auth } = build.parsed
  if (auth === undefined) return null
  const { keys, keys_file: keysFile, signed_keys: signedKeys, jwt, peers, roles } = auth
  const kubernetes = kubernetesOf(auth.kubernetes)
  const config: AuthConfig = {
    anonymous: toAnonymous(auth.anonymous, build),
    keys: toKeys(keys, keysFile, build),
    signedKeys: signedKeys === undefined ? null : toSignedKeys(signedKeys, build),
    jwt: toJwt(jwt, kubernetes, build),
    peers: peers === undefined ? null : toPeers(peers, build),
    roles: Object.fromEntries(
      Object.entries(roles).map(([name, grant]) => [name, toGrant(grant, ['auth', 'roles', name], build)]),
    ),
  }
  const someone = config.anonymous.allowed || keys.length > 0 || keysFile !== undefined
  if (!someone && signedKeys === undefined && config.jwt.length === 0 && peers === undefined) {
    const message = 'nobody may call: add `keys`, `signed_keys`, `jwt`, `kubernetes` or `peers`, or `anonymous: true`'
    build.problems.push(build.map.problem(['auth'], message, 'key'))
  }
  return config
}

const NO_GRANT = grantSchema.parse({})

const toTenant = (name: string, parsed: ParsedTenant | null, build: Build): TenantConfig => {
  const path = ['tenants', name]
  const credentials = parsed?.credentials ?? {}
  for (const provider of Object.keys(credentials)) checkProvider(provider, [...path, 'credentials', provider], build)
  return {
    name,
    grant: toGrant(parsed ?? NO_GRANT, path, build),
    limits: toLimitRules(parsed?.limits ?? [], [...path, 'limits'], build),
    labels: parsed?.labels ?? {},
    weight: parsed?.weight ?? 1,
    priority: parsed?.priority ?? 0,
    credentials: { ...credentials },
  }
}

/** `tenants`, in the order of the file. */
export const toTenants = (build: Build): readonly TenantConfig[] =>
  Object.entries(build.parsed.tenants ?? {}).map(([name, entry]) => toTenant(name, entry, build))
