import type { JWTVerifyGetKey } from 'jose'
import type { JwtConfig } from '../contracts/config-auth.ts'
import type { Principal } from '../contracts/identity.ts'
import type { Clock } from '../core/clock.ts'
import { ClaimReader } from './claims.ts'
import type { KeySet, KeySets } from './key-set.ts'
import type { Principals } from './principal.ts'
import { refused } from './refusal.ts'
import { SIGNED_KEY_TYPE } from './signed-key.ts'
import { decodeBase64Url, decodeObject } from './strict-json.ts'
import type { JsonObject } from './strict-json.ts'

/** Longer ones cost more to look at than any real one is worth. */
export const MAX_JWT_LENGTH = 8192

/** The year 9999. */
const MAX_SECONDS = 253_402_300_799

/** Say where to find or how to read the key, or that the token is something else: none has a use here, all have served attacks. */
const FORBIDDEN = ['jku', 'jwk', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'enc', 'p2c', 'p2s', 'epk'] as const

/** A verified token, and the key that it stands on. */
export interface Verified {
  readonly principal: Principal
  readonly keys: KeySet
  readonly kid: string
  readonly keyText: string
}

interface Issuer {
  readonly config: JwtConfig
  readonly keys: KeySet
  readonly claims: ClaimReader
}

interface Parts {
  readonly header: JsonObject
  readonly claims: JsonObject
}

/** The three parts of a compact JWS, decoded; nothing of it is verified. Throws for anything else. */
const takeApart = (token: string): Parts => {
  if (token.length > MAX_JWT_LENGTH) throw refused(`the token is longer than ${MAX_JWT_LENGTH} characters`)
  const [head = '', payload = '', tail = '', more] = token.split('.')
  const header = more === undefined ? decodeObject(head) : null
  const claims = decodeObject(payload)
  if (header === null || claims === null || decodeBase64Url(tail) === null) {
    throw refused('neither a known key nor the form of a token')
  }
  for (const name of FORBIDDEN) {
    if (Object.hasOwn(header, name)) throw refused(`the token’s header holds \`${name}\``)
  }
  return { header, claims }
}

const audiencesOf = (claims: JsonObject): readonly unknown[] => {
  const { aud } = claims
  return Array.isArray(aud) ? aud : [aud]
}

/** Verifies JWTs (RFC 7519, with the advice of RFC 8725) of the configured issuers. */
export class JwtVerifier {
  readonly #issuers: readonly Issuer[]
  readonly #keySets: KeySets
  readonly #principals: Principals
  readonly #clock: Clock

  constructor(configs: readonly JwtConfig[], keySets: KeySets, principals: Principals, clock: Clock) {
    this.#keySets = keySets
    this.#issuers = configs.map((config) => ({
      config,
      keys: keySets.get(config.jwks),
      claims: new ClaimReader(config),
    }))
    this.#principals = principals
    this.#clock = clock
  }

  /** Rejects with GatewayError `unauthenticated`, whose detail says which check failed. */
  async verify(token: string): Promise<Verified> {
    const { header, claims } = takeApart(token)
    const issuer = this.#issuerOf(claims)
    const { config, keys } = issuer
    const { alg, kid = '', typ } = header
    // Before any key is looked for: which algorithm is used is our decision, not the token's.
    if (typeof alg !== 'string' || !config.algorithms.includes(alg)) throw refused('the token’s `alg` is not accepted')
    if (typeof kid !== 'string' || kid.length > 1024) throw refused('the token’s `kid` is no text')
    if (typ === SIGNED_KEY_TYPE) throw refused('a signed key without its prefix is no token')
    const found = await keys.keysFor(kid)
    if (found === null) throw refused(`no keys of ${config.name} so far: ${keys.fault}`)
    const { resolve, text: keyText } = found
    if (keyText === undefined) throw refused(`${config.name} has no key with the token’s \`kid\``)
    const expiresAt = await this.#check(token, issuer, resolve)
    const caller = issuer.claims.callerOf(claims, expiresAt)
    if (issuer.claims.namesTenant && caller.tenant === '' && this.#principals.hasTenants) {
      throw refused(`the token of ${config.name} names no tenant`)
    }
    const principal = this.#principals.make(caller)
    if (!issuer.claims.accepts(principal.variables)) throw refused(`\`require\` of ${config.name} is not true`)
    return { principal, keys, kid, keyText }
  }

  /** Lets go of the key sets. */
  close(): void {
    for (const { config } of this.#issuers) this.#keySets.release(config.jwks)
  }

  #issuerOf(claims: JsonObject): Issuer {
    const ofIssuer = this.#issuers.filter(({ config }) => config.issuer === claims['iss'])
    if (ofIssuer.length === 0) throw refused('the token’s `iss` is none of the configured issuers')
    const audiences = audiencesOf(claims)
    const found = ofIssuer.find(({ config }) => config.audiences.some((audience) => audiences.includes(audience)))
    if (found === undefined) throw refused('the token’s `aud` is none that is accepted of its issuer')
    return found
  }

  /** Signature and times. Epoch ms of the end, tolerance included. */
  async #check(token: string, { config }: Issuer, resolve: JWTVerifyGetKey) {
    const { jwtVerify } = await import('jose')
    const now = this.#clock.now()
    const { payload } = await jwtVerify(token, resolve, {
      algorithms: [...config.algorithms],
      issuer: config.issuer,
      audience: [...config.audiences],
      clockTolerance: config.clockToleranceMs / 1000,
      currentDate: new Date(now),
      requiredClaims: ['exp', 'iss', 'aud'],
    }).catch((error: unknown) => {
      throw refused(`${config.name}: ${reasonOf(error)}`)
    })
    const { exp, iat } = payload
    // JSON has numbers that become Infinity: a token that never ends.
    if (typeof exp !== 'number' || exp <= 0 || exp > MAX_SECONDS) throw refused(`${config.name}: "exp" is no time`)
    if (iat !== undefined && iat * 1000 > now + config.clockToleranceMs) {
      throw refused(`${config.name}: "iat" is in the future`)
    }
    if (config.maxAgeMs > 0 && (iat === undefined || (exp - iat) * 1000 > config.maxAgeMs)) {
      throw refused(`${config.name}: the token lives longer than \`max_age\` allows`)
    }
    return exp * 1000 + config.clockToleranceMs
  }
}

/** The library's messages name claims and rules, and quote nothing. Others are not known to. */
const reasonOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return code.startsWith('ERR_J') && error instanceof Error ? error.message : 'the token cannot be verified'
}
