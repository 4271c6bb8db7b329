import type { PeerClaimsConfig } from '../contracts/config-auth.ts'
import { compileExpression } from '../core/expression.ts'
import type { Expression } from '../core/expression.ts'
import { compileRule } from './access.ts'
import type { Rule } from './access.ts'
import { parseLimits } from './limit-text.ts'
import { BARE_CALLER } from './principal.ts'
import type { Caller } from './principal.ts'
import { refused } from './refusal.ts'
import type { JsonObject } from './strict-json.ts'

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * A claim by its path. Names may themselves hold dots (`kubernetes.io`, `https://example.com/roles`), so that at each step
 * the longest name that is there is taken. undefined = there is none.
 */
export const claimAt = (claims: unknown, path: string): unknown => {
  if (!isObject(claims)) return undefined
  if (Object.hasOwn(claims, path)) return claims[path]
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot)
    if (!Object.hasOwn(claims, name)) continue
    const found = claimAt(claims[name], path.slice(dot + 1))
    if (found !== undefined) return found
  }
  return undefined
}

const MAX_NAMES = 200
const MAX_NAME = 256

/** undefined becomes ''. Throws when it is no text, or too long to be a name. */
const textClaim = (claims: JsonObject, path: string, what: string): string => {
  const value = claimAt(claims, path)
  if (value === undefined || value === null) return ''
  if (typeof value === 'string' && value.length <= MAX_NAME) return value
  throw refused(`the claim for ${what} is no text of at most ${MAX_NAME} characters`)
}

/** A list of texts, or one text with blanks between names (as `scope`, RFC 8693 section 4.2). Missing: none. */
const namesClaim = (claims: JsonObject, path: string, what: string): readonly string[] => {
  const value = claimAt(claims, path)
  if (value === undefined || value === null) return []
  const names: readonly unknown[] | null =
    typeof value === 'string' ? value.split(' ').filter((name) => name !== '') : Array.isArray(value) ? value : null
  const fits = (name: unknown): name is string => typeof name === 'string' && name.length <= MAX_NAME
  if (names !== null && names.length <= MAX_NAMES && names.every(fits)) return [...new Set(names)]
  throw refused(`the claim for ${what} is no list of at most ${MAX_NAMES} names`)
}

const limitsClaim = (claims: JsonObject, path: string) => {
  const value = claimAt(claims, path)
  if (value === undefined || value === null) return []
  const rules = parseLimits(typeof value === 'string' ? value.split(' ') : value)
  // A limit that cannot be read must not be one that is not enforced.
  if (rules === null) throw refused('the claim for limits holds one that cannot be read')
  return rules
}

/** What a caller is made of, whoever has verified the token. */
export type ClaimRules = Omit<PeerClaimsConfig, 'issuers'>

const modelRules = (config: ClaimRules, claims: JsonObject): readonly Rule[] => {
  const path = config.claims.models
  if (path === null) return []
  const grant = { operations: null, providers: null, tools: null, regions: null, noRetention: false, when: null }
  return [compileRule(`token of ${config.name}`, { ...grant, models: namesClaim(claims, path, 'models') })]
}

/** Turns the claims of verified tokens of one issuer into callers. */
export class ClaimReader {
  readonly #config: ClaimRules
  readonly #require: Expression | null

  constructor(config: ClaimRules) {
    this.#config = config
    const compiled = config.require === null ? null : compileExpression(config.require)
    // The loader has compiled it before, with its place in the file: this is only reached by a fault of ours.
    if (compiled?.ok === false) throw new Error(`condition does not compile: ${compiled.message}`)
    this.#require = compiled?.expression ?? null
  }

  /** Throws GatewayError `unauthenticated` when a claim that is needed is missing or has no fitting form. */
  callerOf(claims: JsonObject, expiresAt: number): Caller {
    const { name, claims: paths, tenant, roles } = this.#config
    const subject = textClaim(claims, 'sub', 'the subject')
    if (subject === '') throw refused('the token has no `sub`')
    const text = (path: string | null, what: string): string => (path === null ? '' : textClaim(claims, path, what))
    const named = paths.roles === null ? [] : namesClaim(claims, paths.roles, 'roles')
    return {
      ...BARE_CALLER,
      kind: 'jwt',
      keyId: `${name}:${subject}`,
      tenant: text(paths.tenant, 'the tenant') || tenant,
      team: text(paths.team, 'the team'),
      user: paths.user === null ? subject : text(paths.user, 'the user'),
      roles: [...new Set([...roles, ...named])],
      rules: modelRules(this.#config, claims),
      needsRole: paths.roles !== null,
      limits: paths.limits === null ? [] : limitsClaim(claims, paths.limits),
      expiresAt,
      claims,
    }
  }

  /** Whether the operator's condition over `principal` holds. */
  accepts(principal: Readonly<Record<string, unknown>>): boolean {
    const facts = { headers: {}, model: '', operation: '', stream: false, principal }
    return this.#require === null || this.#require.evaluate(facts)
  }

  /** A token must name a tenant when tenants are configured and it is the token's part to do so. */
  get namesTenant(): boolean {
    return this.#config.claims.tenant !== null
  }
}
