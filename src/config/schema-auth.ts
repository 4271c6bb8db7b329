import { z } from 'zod'
import { flag, longText, name, optional, withDefault } from './fields.ts'
import { limitRuleSchema } from './limit-rules.ts'
import {
  claims,
  entryName,
  jwtSchema,
  kubernetesSchema,
  requireField,
  rolesField,
  tenantField,
} from './schema-auth-jwt.ts'
import { grantFields, grantSchema } from './schema-grant.ts'
import { API_KEY_PATTERN } from './schema-provider.ts'

// Neither slash nor colon: ids of signed keys and tokens have them, and no two kinds of caller may share an id.
const keyId = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, {
  error: 'must be 1 to 128 letters, digits, `.`, `_` or `-`',
})

const limits = z.array(limitRuleSchema).max(50)

const hash = z.string().regex(/^sha256:[0-9a-fA-F]{64}$/, {
  error: 'must be `sha256:` and 64 hex digits; `heddle key hash` makes it of a key',
})

/** In clear: hashed when loaded. Whether it is long enough is checked there, where its place is known. */
const clearKey = longText

const DATE_HELP = 'must be a date such as `2026-12-01`, or a time with its zone such as `2026-12-01T08:00:00Z`'
const date = z
  .string({ error: DATE_HELP })
  .regex(/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d))?$/, { error: DATE_HELP })
  .refine((text) => isDate(text), { error: DATE_HELP })
  .meta({ id: 'Date', title: 'date' })

/** Date.parse takes February 30 for March 2. */
const isDate = (text: string): boolean => {
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`)
  return (
    !Number.isNaN(Date.parse(text)) &&
    !Number.isNaN(day.getTime()) &&
    day.toISOString().slice(0, 10) === text.slice(0, 10)
  )
}

const labels = z.record(
  z
    .string()
    .regex(/^[A-Za-z][\w.-]{0,63}$/, { error: 'must begin with a letter; then letters, digits, `_`, `.`, `-`' }),
  z.string().max(256),
)

const roles = z.array(name).max(100)

const whose = {
  tenant: withDefault(z.string().max(256), '', 'Tenant that it belongs to.'),
  team: withDefault(z.string().max(256), '', 'Team, for limits and records.'),
  user: withDefault(z.string().max(256), '', 'User, for limits and records.'),
  roles: withDefault(roles, [], 'Roles; one of them must allow a request. None: roles restrict nothing.'),
}

const keySchema = z
  .strictObject({
    id: keyId.describe('Public name: what logs, limits and records show.'),
    key: optional(clearKey, 'The key itself, best as `${env:NAME}` or `${file:PATH}`; at least 16 characters.'),
    hash: optional(hash, 'Instead of `key`: its SHA-256, as `heddle key hash` prints it. Then no file holds the key.'),
    previous: optional(
      z.strictObject({
        key: optional(clearKey, 'The former key.'),
        hash: optional(hash, 'Instead of `key`: its SHA-256.'),
        until: date.describe('When it ends to be valid.'),
      }),
      'The key before the last rotation, valid for a while yet.',
    ),
    owner: withDefault(z.string().max(256), '', 'Whom to ask about it.'),
    labels: withDefault(labels, {}, 'For usage records, such as `cost_center: "4711"`; they go before the tenant’s.'),
    ...whose,
    ...grantFields,
    limits: withDefault(limits, [], 'Limits of this key alone.'),
    expires: optional(date, 'When it ends to be valid. Left out: never.'),
  })
  .meta({ id: 'Key', title: 'key' })

export const keysSchema = z.array(keySchema).max(20_000)

const publicKey = z
  .union([longText, z.record(z.string(), z.unknown())], { error: 'must be a JWK or PEM text' })
  .describe('Public key of the issuer: JWK or PEM, Ed25519. `heddle key keygen` makes a pair.')

const signedKeys = z.strictObject({
  issuers: z
    .array(z.strictObject({ name: keyId.describe('As in `heddle key keygen --name`.'), public_key: publicKey }))
    .min(1)
    .max(100)
    .describe('Whose signed keys are valid.'),
  revoked: withDefault(
    z.array(name).max(100_000),
    [],
    'Signed keys that are no longer valid: `ISSUER/ID`, as `heddle key inspect` shows it.',
  ),
})

const peerEntry = z.strictObject({
  id: optional(name, 'Identity, with `*`: `spiffe://cluster.local/ns/search/sa/*`.'),
  namespace: optional(name, 'Namespace of its SPIFFE id, with `*`, in whatever trust domain.'),
  service_account: optional(name, 'Service account of its SPIFFE id, with `*`; best together with `namespace`.'),
  trust_domain: optional(name, 'Trust domain, with `*`: needed beside `namespace` when the mesh trusts several.'),
  also_key: withDefault(
    flag,
    false,
    'A key or token is needed besides, and this entry restricts what it may do; one of another `tenant` is refused.',
  ),
  ...whose,
  ...grantFields,
  limits: withDefault(limits, [], 'Limits of each such caller.'),
})

const peerClaims = z
  .strictObject({
    name: withDefault(entryName, 'mesh-jwt', 'Public name: ids of callers begin with it in logs and limits.'),
    issuers: optional(z.array(name).min(1).max(50), 'What `iss` must be: one of these. Left out: not looked at.'),
    claims,
    tenant: tenantField,
    roles: rolesField,
    require: requireField,
  })
  .meta({ id: 'PeerClaims' })

const peers = z.strictObject({
  header: optional(
    z.string().regex(/^[A-Za-z0-9-]{1,64}$/, { error: 'must be the name of a header' }),
    'Outside of a mesh, where `mesh.identity` does not say it: header that names the caller: `x-forwarded-client-cert` (Envoy, Istio; its last element counts), `l5d-client-id` (Linkerd), or one that holds just the id.',
  ),
  trust: withDefault(
    z.array(name).max(1000),
    [],
    'Addresses whose header is believed, as CIDR ranges such as `127.0.0.1/32`. From elsewhere the header is ignored.',
  ),
  map: withDefault(
    z.array(peerEntry).max(5000),
    [],
    'Who may call without a key; the first entry all of whose selectors fit decides.',
  ),
  claims: optional(
    peerClaims,
    'What is made of the claims of tokens that a proxy has verified: those of `payload_header` and `claim_headers` of `mesh.identity`.',
  ),
})

const anonymous = z.union([flag, z.strictObject({ roles: withDefault(roles, [], 'Roles of such requests.') })], {
  error: 'must be `true`, `false` or `{ roles: [...] }`',
})

export const authSchema = z
  .optional(
    z.strictObject({
      anonymous: withDefault(anonymous, false, 'Requests without credentials: refused, or let in with these roles.'),
      keys: withDefault(keysSchema, [], 'Keys that callers send as `authorization: Bearer`, `x-api-key` or `api-key`.'),
      keys_file: optional(
        name,
        'A file with more keys: a list, or a map with `keys`. Taken up anew whenever it changes, such as a mounted secret.',
      ),
      signed_keys: optional(signedKeys, 'Keys minted with `heddle key mint`: checked with the public key alone.'),
      jwt: withDefault(z.array(jwtSchema).max(50), [], 'Tokens of identity providers.'),
      kubernetes: optional(
        z.union([flag, kubernetesSchema], { error: 'must be `true`, `false` or a map of settings' }),
        'Tokens of Kubernetes service accounts of the cluster that Heddle runs in.',
      ),
      peers: optional(peers, 'Callers known by their certificate, or by a header of a mesh.'),
      roles: withDefault(z.record(name, grantSchema), {}, 'What a role may do, by its name.'),
    }),
  )
  .describe('Who may call, and what each may do. Left out: callers are not asked who they are.')

const tenantSchema = z
  .strictObject({
    ...grantFields,
    limits: withDefault(limits, [], 'Limits of all its keys together.'),
    labels: withDefault(labels, {}, 'For usage records, such as `cost_center: "4711"`.'),
    weight: withDefault(z.number().min(0.01).max(1000), 1, 'Share of a contended backend relative to other tenants.'),
    priority: withDefault(
      z.number().int().min(0).max(100),
      0,
      'Tenants of lower numbers go first when a backend is contended.',
    ),
    credentials: withDefault(
      z.record(name, longText.regex(API_KEY_PATTERN, { error: 'holds a character that no key has' })),
      {},
      'The tenant’s own keys by provider, used for its requests instead of the provider’s.',
    ),
  })
  .meta({ id: 'Tenant', title: 'tenant' })

export const tenantsSchema = z
  .optional(z.record(name, z.union([z.null(), tenantSchema], { error: 'must be a map of settings, or empty' })))
  .describe('Tenants by name. When there are any, callers of other tenants are refused.')

export type ParsedAuth = NonNullable<z.output<typeof authSchema>>
export type ParsedKey = z.output<typeof keySchema>
export type ParsedTenant = z.output<typeof tenantSchema>
