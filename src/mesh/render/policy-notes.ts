import type { HeddleConfig } from '../../contracts/config.ts'
import type { PolicyServiceConfig } from '../../contracts/config-policy.ts'
import { isLoopback } from '../../core/loopback.ts'
import type { PolicyMode } from './policy-envoy.ts'

const MODES: Readonly<Record<PolicyMode, string>> = {
  decide:
    'External processing decides all, limits included; for external authorization and the rate limit service in its place set `server.policy.authz.limits: settle`.',
  settle:
    'External authorization decides and takes from limits, the rate limit service learns what was used, and external processing only counts tokens.',
  authz: 'External authorization decides; limits count what a call is expected to use.',
  limits:
    'The rate limit service counts requests of each SPIFFE id; tokens need external authorization with `server.policy.authz.limits: settle`.',
}

/** What the operator must know of the policy service, whatever asks it. */
export function policyNotes(config: HeddleConfig, policy: PolicyServiceConfig, mode: PolicyMode): readonly string[] {
  const notes = [MODES[mode]]
  if (mode === 'settle' && !policy.services.includes('ext_proc'))
    notes.push('Nobody counts tokens: add `ext_proc` to `server.policy.services`, or all calls count as estimated.')
  if (isLoopback(policy.host))
    notes.push(`\`server.policy.host\` is ${policy.host}: proxies of other pods cannot reach it.`)
  if (policy.port === 0) notes.push('`server.policy.port: 0` is another one at each start: name one.')
  if (policy.tls && config.server.tls?.svid !== true)
    notes.push(
      '`server.policy.tls`: the proxies must believe its certificate (`caCertificates` of the DestinationRule).',
    )
  return notes
}
