/** Requests against limits, without a gateway around them: what the pipeline calls, and nothing else. */
import { NO_NEEDS } from '../../src/protocol/facts.ts'
import type { AdmissionQuery, Lease } from '../../src/contracts/admission.ts'
import type { LimitConfig, LimitRule } from '../../src/contracts/config-limits.ts'
import type { Principal } from '../../src/contracts/identity.ts'
import { LedgerMemory } from '../../src/ratelimit/ledger-memory.ts'
import { createLimiter } from '../../src/ratelimit/limiter.ts'
import type { LedgerLimiter } from '../../src/ratelimit/limiter.ts'
import { RedisLedger } from '../../src/ratelimit/redis-ledger.ts'
import type { RedisConfig } from '../../src/store/redis.ts'

export const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms))

export const until = async (condition: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> => {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('waited too long')
    await pause(10)
  }
}

export const principalOf = (keyId: string, more: Partial<Principal> = {}): Principal => ({
  kind: 'api_key',
  keyId,
  tenant: 'acme',
  team: '',
  user: '',
  roles: [],
  peer: null,
  access: { request: () => null, model: () => null, target: () => null, anyTarget: true },
  limits: [],
  labels: {},
  expiresAt: Infinity,
  variables: {},
  ...more,
})

const principal = principalOf('k1')

export const queryOf = (tokens: number, nanoUsd = 0, who: Principal = principal): AdmissionQuery => ({
  facts: {
    principal: who,
    operation: 'chat',
    model: 'm',
    stream: false,
    needs: NO_NEEDS,
    header: () => undefined,
    headers: () => ({}),
    json: () => ({}),
  },
  model: 'm',
  target: null,
  estimate: { inputTokens: tokens, outputTokens: 0, nanoUsd },
})

export const sliding = (unit: LimitRule['unit'], amount: number, windowMs: number): LimitRule => ({
  unit,
  amount,
  period: { kind: 'sliding', windowMs },
})

export const yearly = (unit: LimitRule['unit'], amount: number): LimitRule => ({
  unit,
  amount,
  period: { kind: 'calendar', unit: 'year', zone: 'UTC' },
})

export const atOnce = (amount: number): LimitRule => ({ unit: 'concurrency', amount, period: { kind: 'open' } })

export const limitOf = (rules: readonly LimitRule[], more: Partial<LimitConfig> = {}): LimitConfig => ({
  name: 'per_key',
  per: [{ kind: 'key' }],
  when: null,
  rules,
  shadow: false,
  onStoreFailure: 'local',
  stopStreams: false,
  ...more,
})

export const redisConfig = (url: string | readonly string[], more: Partial<RedisConfig> = {}): RedisConfig => ({
  urls: typeof url === 'string' ? [url] : url,
  cluster: false,
  username: null,
  password: null,
  tls: null,
  prefix: 'heddle',
  deadlineMs: 50,
  replicas: 1,
  leaseMs: 3000,
  ...more,
})

export interface Instance {
  readonly ledger: RedisLedger
  readonly limiter: LedgerLimiter
  readonly log: string[]
}

/** One worker of one replica. */
export const instanceOf = (config: RedisConfig, limits: readonly LimitConfig[]): Instance => {
  const log: string[] = []
  const ledger = new RedisLedger({ config, maxScopes: 1000, log: (level, message) => log.push(`${level} ${message}`) })
  const parts = { limits, tenants: [], memory: new LedgerMemory(1024), shared: ledger, replicas: config.replicas }
  return { ledger, limiter: createLimiter(parts), log }
}

/** A lease, or the code of the refusal. */
export const attempt = async (limiter: LedgerLimiter, query: AdmissionQuery): Promise<Lease | string> => {
  try {
    return (await limiter.admit(query)) ?? 'no limit'
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}

export const admitted = (results: readonly (Lease | string)[]): Lease[] =>
  results.filter((result): result is Lease => typeof result !== 'string')

export const used = (tokens: number, nanoUsd = 0) => ({ inputTokens: tokens, outputTokens: 0, nanoUsd })
