import type { LimitChange } from '../admin/accounts.ts'
import type { HeddleConfig } from '../contracts/config.ts'
import type { LimitRule } from '../contracts/config-limits.ts'
import { didYouMean } from '../config/nearest.ts'
import { GatewayError } from '../core/errors.ts'
import { KEY_LIMIT, TENANT_LIMIT } from '../ratelimit/selector.ts'
import { toRules } from '../ratelimit/counter.ts'

/** As the configuration bounds them. */
const MAX_USD = 9_000_000
const MAX_COUNT = 1_000_000_000_000

/** Limits that a change can be about. */
interface Known {
  /** null = tokens bring rules of their own, which nobody knows before they come. */
  readonly rules: readonly LimitRule[] | null
  readonly scope: number
}

function knownLimits({ limits, auth, tenants }: HeddleConfig): ReadonlyMap<string, Known> {
  const known = new Map<string, Known>(limits.map(({ name, rules, per }) => [name, { rules, scope: per.length }]))
  const ofTenants = tenants.flatMap((tenant) => tenant.limits)
  if (ofTenants.length > 0) known.set(TENANT_LIMIT, { rules: ofTenants, scope: 1 })
  if (auth === null) return known
  const open = auth.signedKeys !== null || auth.jwt.some(({ claims }) => claims.limits !== null)
  const ofKeys = [...auth.keys, ...(auth.peers?.map ?? [])].flatMap((owner) => owner.limits)
  if (open || ofKeys.length > 0) known.set(KEY_LIMIT, { rules: open ? null : ofKeys, scope: 1 })
  return known
}

const invalid = (message: string, param: string): GatewayError =>
  new GatewayError('invalid_request', message, { param })

const listed = (names: Iterable<string>): string => [...names].map((name) => `\`${name}\``).join(', ')

function expectRule({ limit, unit, period, scope }: LimitChange, known: Known): void {
  if (scope !== null && scope.length !== known.scope)
    throw invalid(`\`scope\` of \`${limit}\` has ${known.scope} values, one for each entry of its \`per\`.`, 'scope')
  if (known.rules === null) return
  const traits = { name: limit, shadow: false, stopStreams: false, onStoreFailure: 'local' as const }
  const rules = toRules(known.rules, traits)
  const ofUnit = rules.filter((rule) => rule.unit === unit)
  if (ofUnit.length === 0) {
    const units = new Set(rules.map((rule) => rule.unit))
    throw invalid(`\`${limit}\` counts no \`${unit}\`, only ${listed(units)}.`, 'unit')
  }
  const periods = new Set(ofUnit.map((rule) => rule.period))
  if (period !== null && !periods.has(period))
    throw invalid(`\`${unit}\` of \`${limit}\` has no such \`period\`, only ${listed(periods)}.`, 'period')
}

/**
 * Throws GatewayError `invalid_request` when a change would do nothing, or something else than it says: a slip of the
 * fingers must not look like a limit that was lowered. now: epoch ms.
 */
export function expectPossible(change: LimitChange, config: HeddleConfig, now: number): void {
  const { limit, unit, amount, until } = change
  const limits = knownLimits(config)
  const known = limits.get(limit)
  if (known === undefined)
    throw invalid(`There is no limit \`${limit}\`${didYouMean(limit, limits.keys()) || '.'}`, 'limit')
  expectRule(change, known)
  if (amount === null) return
  const max = unit === 'usd' ? MAX_USD : MAX_COUNT
  if (amount > max) throw invalid(`\`amount\` of \`${unit}\` is at most ${max}.`, 'amount')
  if (unit !== 'usd' && !Number.isInteger(amount))
    throw invalid(`\`amount\` of \`${unit}\` is a whole number.`, 'amount')
  if (until !== null && !(until > now)) throw invalid('`until` is not in the future.', 'until')
}

/**
 * Throws GatewayError `invalid_request` for the id of a key that there is not: who revokes a leaked key must not be told
 * that it is done when the id was mistyped. Ids with `/` or `:` are of keys that no configuration lists.
 */
export function expectKey(id: string, { auth }: HeddleConfig): void {
  if (/[/:]/.test(id)) return
  const ids = auth?.keys.map((key) => key.id) ?? []
  if (!ids.includes(id)) throw invalid(`There is no key \`${id}\`${didYouMean(id, ids) || '.'}`, 'id')
}
