/** Targets and requests for unit tests of planning. */
import { NO_NEEDS } from '../protocol/facts.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import type { RequestFacts, RequestNeeds, Route, Target } from '../contracts/routing.ts'
import type { BreakerConfig } from '../contracts/config.ts'
import { HealthTable } from './health.ts'

export const BREAKER: BreakerConfig = {
  enabled: true,
  consecutiveFailures: 5,
  failureRatio: 0.5,
  minRequests: 20,
  windowMs: 10_000,
  baseEjectionMs: 5000,
  maxEjectionMs: 60_000,
  maxEjectedShare: 0.5,
  deadKeyMs: 300_000,
}

/** now: ms by hand. */
export const targetsOf = (
  specs: readonly Partial<Target>[],
  now: () => number,
  breaker: BreakerConfig = BREAKER,
): Target[] => {
  const table = new HealthTable(Math.max(1, specs.length), now)
  return specs.map((spec, i) => ({
    name: `p/${i}`,
    headerName: `p/${i}`,
    provider: { config: { operations: ['chat'] } } as unknown as Target['provider'],
    model: String(i),
    weight: 1,
    priority: 0,
    when: null,
    capabilities: {},
    price: null,
    canary: 0,
    shadow: 0,
    health: table.slot(i, breaker),
    ...spec,
  }))
}

export const routeOf = (targets: readonly Target[], more: Partial<Route> = {}): Route =>
  ({
    name: 'm',
    origin: 'models',
    strategy: 'priority',
    sticky: null,
    targets,
    shadows: [],
    breaker: BREAKER,
    fallbacks: { any: [], contextWindow: [], contentPolicy: [] },
    ...more,
  }) as Route

export const factsOf = (needs: Partial<RequestNeeds> = {}, more: Partial<RequestFacts> = {}): RequestFacts => ({
  principal: ANONYMOUS,
  operation: 'chat',
  model: 'm',
  stream: false,
  needs: { ...NO_NEEDS, ...needs },
  header: () => undefined,
  headers: () => ({}),
  json: () => ({}),
  ...more,
})
