import type { CacheScope } from '../../contracts/config-cache.ts'
import type { Principal } from '../../contracts/identity.ts'
import type { Exchange } from '../exchange.ts'
import { upstreamModel } from '../../routing/table.ts'

/** Headers by which clients choose what of an API they want. */
const VERSIONS = [
  'anthropic-version',
  'anthropic-beta',
  'openai-beta',
  'openai-organization',
  'openai-project',
] as const

/** With whom a caller shares answers; null = with nobody, because what they would have in common is not known of it. */
export function scopeOf(scope: CacheScope, principal: Principal, hasAuth: boolean): string | null {
  // Where nobody is asked who they are, all are one.
  if (scope === 'org' || !hasAuth) return scope
  const { tenant, team, user, keyId, peer } = principal
  const owner = { key: keyId, user, team, tenant, identity: peer?.id ?? '' }[scope]
  // A name means something within its tenant only.
  return owner === '' ? null : JSON.stringify([scope, scope === 'tenant' ? '' : tenant, owner])
}

/** Of a query, what says in which form the answer is wanted, and by whose key, changes nothing of it. */
function queryOf(query: string): string {
  if (query === '') return ''
  const params = new URLSearchParams(query)
  params.delete('alt')
  params.delete('key')
  return params.toString()
}

/**
 * What must be the same for two requests to share an answer, and does not stand in their bodies: whose they are, and all
 * that decides who answers. Targets
 * that the request, or its caller, may not have are none of it: answers of theirs it does not get either.
 */
export function whereOf(x: Exchange, scope: string): readonly string[] {
  const { route } = x.match!
  const where = [scope, route.name, queryOf(x.received.query), x.embedding?.form ?? '', x.model]
  const { access } = x.principal
  for (const target of route.targets)
    if ((target.when === null || target.when.evaluate(x)) && (access.anyTarget || access.target(target, x) === null))
      where.push(`${target.name} ${upstreamModel(target, x.match!)} ${target.provider.config.baseUrl}`)
  for (const name of VERSIONS) where.push(x.received.header(name) ?? '')
  return where
}
