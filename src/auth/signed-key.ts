/**
 * Keys minted offline: `hk_` and a compact JWS (RFC 7515) with EdDSA over Ed25519 (RFC 8037). What the key may do is in
 * it, so that a gateway needs nothing but the public key of the issuer to know it.
 */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { GrantConfig } from '../contracts/config-auth.ts'
import type { LimitRule } from '../contracts/config-limits.ts'
import type { Operation } from '../contracts/config.ts'
import { OPERATION_NAMES } from '../protocol/operations.ts'
import { parseLimits } from './limit-text.ts'
import { decodeBase64Url, decodeObject } from './strict-json.ts'
import type { JsonObject } from './strict-json.ts'

export const SIGNED_KEY_PREFIX = 'hk_'
/** Says what the signature is for: no JWT has it, and nothing else is a signed key (RFC 8725 section 3.11). */
export const SIGNED_KEY_TYPE = 'heddle-key'
export const MAX_SIGNED_KEY_LENGTH = 8192

const OPERATIONS: readonly string[] = OPERATION_NAMES
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/
/** The year 9999: beyond it dates have no text. */
const MAX_SECONDS = 253_402_300_799

/** What a signed key says. */
export interface SignedKey {
  readonly issuer: string
  readonly id: string
  /** Epoch seconds. */
  readonly issuedAt: number
  readonly expiresAt: number
  readonly owner: string
  readonly tenant: string
  readonly team: string
  readonly user: string
  readonly roles: readonly string[]
  readonly grant: GrantConfig
  readonly limits: readonly LimitRule[]
}

export type ReadSignedKey =
  | { readonly ok: true; readonly key: SignedKey; readonly signed: Buffer; readonly signature: Buffer }
  | { readonly ok: false; readonly fault: string }

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) &&
  value.length <= 1000 &&
  (value as readonly unknown[]).every((item) => typeof item === 'string' && item !== '' && item.length <= 256)

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= 4096
const isTime = (value: unknown): value is number => Number.isInteger(value) && (value as number) <= MAX_SECONDS

const isOperations = (value: unknown): value is readonly Operation[] =>
  isTexts(value) && value.every((item) => OPERATIONS.includes(item))

/** Every member and its form. One that is not here refuses the key: it could be a restriction that nobody enforces. */
const MEMBERS: Readonly<Record<string, (value: unknown) => boolean>> = {
  id: (value) => typeof value === 'string' && NAME.test(value),
  iat: isTime,
  exp: isTime,
  owner: isText,
  tenant: isText,
  team: isText,
  user: isText,
  roles: isTexts,
  models: isTexts,
  operations: isOperations,
  providers: isTexts,
  tools: isTexts,
  regions: isTexts,
  no_retention: (value) => typeof value === 'boolean',
  when: isText,
  limits: (value) => parseLimits(value) !== null,
}

const faultIn = (body: JsonObject): string | null => {
  for (const [name, value] of Object.entries(body)) {
    const valid = Object.hasOwn(MEMBERS, name) ? MEMBERS[name] : undefined
    if (valid === undefined) return `member \`${name.slice(0, 40)}\` is not known`
    if (!valid(value)) return `member \`${name}\` has a form that is not allowed`
  }
  for (const name of ['id', 'iat', 'exp']) if (!Object.hasOwn(body, name)) return `member \`${name}\` is missing`
  return null
}

/** The form of each member has been checked. */
const toSignedKey = (issuer: string, body: JsonObject): SignedKey => {
  const text = (name: string): string => (body[name] ?? '') as string
  const list = (name: string): readonly string[] | null => (body[name] ?? null) as readonly string[] | null
  return {
    issuer,
    id: text('id'),
    issuedAt: body['iat'] as number,
    expiresAt: body['exp'] as number,
    owner: text('owner'),
    tenant: text('tenant'),
    team: text('team'),
    user: text('user'),
    roles: list('roles') ?? [],
    grant: {
      models: list('models'),
      operations: list('operations') as readonly Operation[] | null,
      providers: list('providers'),
      tools: list('tools'),
      regions: list('regions'),
      noRetention: body['no_retention'] === true,
      when: (body['when'] ?? null) as string | null,
    },
    limits: parseLimits(body['limits'] ?? []) ?? [],
  }
}

const headerFault = (header: JsonObject): string | null => {
  if (header['alg'] !== 'EdDSA') return '`alg` is not EdDSA'
  if (header['typ'] !== SIGNED_KEY_TYPE) return '`typ` is not that of signed keys'
  if (typeof header['kid'] !== 'string' || !NAME.test(header['kid'])) return '`kid` names no issuer'
  return Object.keys(header).length === 3 ? null : 'the header holds more than alg, typ and kid'
}

/** Takes a signed key apart. Its signature is NOT checked: see `isSignedBy`. Faults quote nothing of it. */
export const readSignedKey = (token: string): ReadSignedKey => {
  const fault = (text: string): ReadSignedKey => ({ ok: false, fault: text })
  if (token.length > MAX_SIGNED_KEY_LENGTH) return fault(`longer than ${MAX_SIGNED_KEY_LENGTH} characters`)
  const [head = '', payload = '', tail = '', more] = token.startsWith(SIGNED_KEY_PREFIX)
    ? token.slice(SIGNED_KEY_PREFIX.length).split('.')
    : []
  const header = more === undefined ? decodeObject(head) : null
  const body = decodeObject(payload)
  const signature = decodeBase64Url(tail)
  if (header === null || body === null || signature?.length !== 64) return fault('not the form of a signed key')
  const wrong = headerFault(header) ?? faultIn(body)
  if (wrong !== null) return fault(wrong)
  const signed = Buffer.from(`${head}.${payload}`, 'latin1')
  return { ok: true, key: toSignedKey(header['kid'] as string, body), signed, signature }
}

/** jwk: an Ed25519 public key, JSON text. Throws when it is none. */
export const importIssuerKey = (jwk: string): KeyObject =>
  createPublicKey({ key: JSON.parse(jwk) as Record<string, string>, format: 'jwk' })

export const isSignedBy = (read: ReadSignedKey & { readonly ok: true }, key: KeyObject): boolean =>
  verify(null, read.signed, key, read.signature)

/**
 * Makes a signed key. `body` has the members of the token; `privateKey` is a JWK with `d`, or PEM. Throws an Error that
 * says what is wrong and quotes no key.
 */
export const mintSignedKey = (issuer: string, body: JsonObject, privateKey: string): string => {
  if (!NAME.test(issuer)) throw new Error('the name of the issuer must be 1 to 128 letters, digits, `.`, `_` or `-`')
  const wrong = faultIn(body)
  if (wrong !== null) throw new Error(wrong)
  const key = importPrivateKey(privateKey)
  const part = (value: JsonObject): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'EdDSA', typ: SIGNED_KEY_TYPE, kid: issuer })}.${part(body)}`
  const token = `${SIGNED_KEY_PREFIX}${signed}.${sign(null, Buffer.from(signed), key).toString('base64url')}`
  if (token.length > MAX_SIGNED_KEY_LENGTH)
    throw new Error(`the key would be longer than ${MAX_SIGNED_KEY_LENGTH} characters`)
  return token
}

const importPrivateKey = (text: string): KeyObject => {
  let key: KeyObject
  try {
    key = text.trim().startsWith('{')
      ? createPrivateKey({ key: JSON.parse(text) as Record<string, string>, format: 'jwk' })
      : createPrivateKey(text)
  } catch {
    throw new Error('the issuer’s key is neither a private JWK nor PEM')
  }
  if (key.asymmetricKeyType !== 'ed25519') throw new Error('the issuer’s key must be an Ed25519 key')
  return key
}
