import { createPublicKey } from 'node:crypto'

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

type Read = { readonly ok: true; readonly jwk: string } | { readonly ok: false; readonly message: string }

const fault = (message: string): Read => ({ ok: false, message })

/**
 * An Ed25519 public key (RFC 8037), as JWK or PEM, in the form of the contract: JWK text with nothing but `kty`, `crv`
 * and `x`. A private key is refused, for it has no business in a gateway's configuration. Messages quote nothing.
 */
export const readPublicKey = (given: string | Readonly<Record<string, unknown>>): Read => {
  const text = typeof given === 'string' ? given.trim() : ''
  if (text.includes('PRIVATE KEY'))
    return fault('is a private key: give the public one, the other stays with who mints')
  const jwk = isObject(given) ? given : text.startsWith('{') ? parseJson(text) : undefined
  if (text.startsWith('{') && !isObject(jwk)) return fault('is not JSON')
  if (isObject(jwk) && PRIVATE_MEMBERS.some((name) => Object.hasOwn(jwk, name))) {
    return fault('is a private key: give the public one, the other stays with who mints')
  }
  try {
    const key = isObject(jwk) ? createPublicKey({ key: jwk, format: 'jwk' }) : createPublicKey(text)
    if (key.asymmetricKeyType !== 'ed25519') return fault('must be an Ed25519 key')
    const { kty, crv, x } = key.export({ format: 'jwk' })
    return { ok: true, jwk: JSON.stringify({ kty, crv, x }) }
  } catch {
    return fault('is neither a JWK nor a PEM public key')
  }
}

/**
 * A JWK set (RFC 7517 section 5) as JSON text: at least one key, public ones only. Keys of kinds that nobody here knows
 * may be among them. Messages quote nothing.
 */
export const readKeySet = (
  given: string | Readonly<Record<string, unknown>>,
): { readonly ok: true; readonly text: string } | { readonly ok: false; readonly message: string } => {
  const set: unknown = typeof given === 'string' ? parseJson(given) : given
  if (!isObject(set) || !Array.isArray(set['keys']))
    return { ok: false, message: 'must be a JWK set: `{ "keys": [...] }`' }
  const keys = set['keys'] as readonly unknown[]
  if (keys.length === 0 || !keys.every(isObject)) return { ok: false, message: 'must hold at least one key' }
  if (keys.some((key) => PRIVATE_MEMBERS.some((name) => Object.hasOwn(key, name)))) {
    return { ok: false, message: 'holds a secret or private key: tokens are checked with public keys only' }
  }
  return { ok: true, text: JSON.stringify({ keys }) }
}
