import { z } from 'zod'
import { duration, flag, longText, name, optional, section, withDefault } from './fields.ts'

/** Signatures with a public key only: what is checked with a shared secret could be forged with a published one. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const

const url = z.string().superRefine((text, context) => {
  const parsed = URL.canParse(text) ? new URL(text) : undefined
  const bad = (message: string): void => context.addIssue({ code: 'custom', message })
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol)) bad('must be an absolute https URL')
  else if (parsed.username !== '' || parsed.password !== '') bad('must not hold credentials')
})

const claim = (description: string) => optional(name, description)

export const claims = section(
  {
    tenant: claim('Claim with the name of the tenant.'),
    team: claim('Claim with the team.'),
    user: claim('Claim with the user. Left out: `sub`.'),
    roles: claim(
      'Claim with the roles: a list, or text with blanks between them. A token without it has no role, and may do nothing when `roles` are configured.',
    ),
    models: claim(
      'Claim with the models that may be used, as a list or text with blanks. A token without it may use none.',
    ),
    limits: claim('Claim with limits, such as `["requests=60/1m", "usd=50/month"]`.'),
  },
  'Claims that tell what is known of a caller. Dots step into objects.',
)

export const rolesField = withDefault(z.array(name).max(100), [], 'Roles of every caller with such a token.')
export const tenantField = withDefault(z.string().max(256), '', 'Tenant of every caller whose token does not name one.')
export const requireField = optional(
  longText,
  'Condition in CEL over `principal` (with `principal.claims`) that must be true for each token.',
)
export const entryName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: 'must be 1 to 64 letters, digits, `.`, `_` or `-`',
})
const audience = z.union([name, z.array(name).min(1).max(50)], { error: 'must be a name or a list of names' })

export const jwtSchema = z
  .strictObject({
    name: entryName.describe('Public name: keys of callers begin with it in logs and limits.'),
    issuer: name.describe('What `iss` must be, to the letter.'),
    audience: audience.describe('What `aud` must hold: one of these.'),
    jwks_url: optional(url, 'Where the issuer publishes its keys.'),
    jwks: optional(
      z.union([longText, z.record(z.string(), z.unknown())], { error: 'must be a JWK set' }),
      'Instead of `jwks_url`: the key set itself, as a map or JSON text (`${file:jwks.json}`).',
    ),
    ca: optional(longText, 'Certificates to trust for `jwks_url` instead of the system’s, PEM.'),
    allow_http: withDefault(flag, false, 'Allow `http` in `jwks_url`: only where a mesh encrypts it.'),
    algorithms: withDefault(
      z.array(z.enum(ALGORITHMS)).min(1),
      ['RS256', 'ES256', 'PS256', 'EdDSA'],
      'Signature algorithms that are accepted.',
    ),
    cooldown: withDefault(duration, '30s', 'Shortest time between two fetches because of a key that is not known.'),
    refresh: withDefault(duration, '10m', 'Time between regular fetches.'),
    clock_tolerance: withDefault(duration, '30s', 'How far the clocks of issuer and Heddle may be apart.'),
    max_age: withDefault(duration, 0, 'Longest life of a token, from `iat` to `exp`. 0 = any.'),
    claims,
    tenant: tenantField,
    roles: rolesField,
    require: requireField,
  })
  .meta({ id: 'Jwt', title: 'tokens of one issuer' })

export const kubernetesSchema = z
  .strictObject({
    name: withDefault(entryName, 'kubernetes', 'Public name: keys of callers begin with it in logs and limits.'),
    issuer: withDefault(
      name,
      'https://kubernetes.default.svc.cluster.local',
      'The cluster’s issuer: `issuer` of `kubectl get --raw /.well-known/openid-configuration`.',
    ),
    audience: withDefault(audience, 'heddle', 'Audience for which the tokens must be projected.'),
    jwks_url: withDefault(
      url,
      'https://kubernetes.default.svc/openid/v1/jwks',
      'Where the cluster publishes its keys.',
    ),
    ca_file: withDefault(
      name,
      '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
      'Certificates to trust for it; read anew for each fetch.',
    ),
    token_file: withDefault(
      name,
      '/var/run/secrets/kubernetes.io/serviceaccount/token',
      'Token with which Heddle asks for the keys; read anew for each fetch.',
    ),
    tenant: tenantField,
    roles: rolesField,
    require: requireField,
  })
  .meta({ id: 'KubernetesTokens', title: 'tokens of service accounts' })

export type ParsedJwt = z.output<typeof jwtSchema>
export type ParsedKubernetes = z.output<typeof kubernetesSchema>
