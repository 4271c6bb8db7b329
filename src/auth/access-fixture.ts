/** Grants, requests and targets for unit tests of access. */
import { NO_NEEDS } from '../protocol/facts.ts'
import type { GrantConfig } from '../contracts/config-auth.ts'
import type { RequestFacts, Target } from '../contracts/routing.ts'
import { ANONYMOUS } from './anonymous.ts'

export const NOTHING_RESTRICTED: GrantConfig = {
  models: null,
  operations: null,
  providers: null,
  tools: null,
  regions: null,
  noRetention: false,
  when: null,
}

export const grantOf = (some: Partial<GrantConfig>): GrantConfig => ({ ...NOTHING_RESTRICTED, ...some })

export const requestOf = (some: Partial<RequestFacts> = {}, body: Readonly<Record<string, unknown>> = {}) =>
  ({
    principal: ANONYMOUS,
    operation: 'chat',
    model: 'fast',
    stream: false,
    needs: { ...NO_NEEDS, tools: 'tools' in body },
    header: () => undefined,
    headers: () => ({}),
    json: () => body,
    ...some,
  }) satisfies RequestFacts

export const targetOf = (provider: string, region = '', retention: boolean | null = null): Target =>
  ({
    name: `${provider}/m`,
    provider: { name: provider, config: { data: { region, retention } } },
  }) as unknown as Target
