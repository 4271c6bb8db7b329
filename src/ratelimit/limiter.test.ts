import { NO_NEEDS } from '../protocol/facts.ts'
import { expect, test } from 'vitest'
import type { AdmissionQuery, Lease } from '../contracts/admission.ts'
import type { TenantConfig } from '../contracts/config-auth.ts'
import type { LimitConfig, LimitRule } from '../contracts/config-limits.ts'
import type { Principal } from '../contracts/identity.ts'
import type { RequestFacts, Target } from '../contracts/routing.ts'
import { GatewayError } from '../core/errors.ts'
import { LedgerMemory } from './ledger-memory.ts'
import { createLimiter } from './limiter.ts'
import type { LedgerLimiter, LimiterParts } from './limiter.ts'
import { Overrides } from './overrides.ts'
import { goDuration } from './room.ts'

const START = Date.parse('2026-06-15T12:00:00Z')

const principalOf = (more: Partial<Principal> = {}): Principal => ({
  kind: 'api_key',
  keyId: 'k1',
  tenant: 'acme',
  team: '',
  user: 'ann',
  roles: [],
  peer: null,
  access: { request: () => null, model: () => null, target: () => null, anyTarget: true },
  limits: [],
  labels: {},
  expiresAt: Infinity,
  variables: {},
  ...more,
})

interface Asked {
  readonly model?: string
  readonly target?: string
  readonly body?: Record<string, unknown>
  readonly headers?: Record<string, string>
  readonly tokens?: number
  readonly nanoUsd?: number
}

const queryOf = (principal: Principal, asked: Asked = {}): AdmissionQuery => {
  const { model = 'm', target, body = {}, headers = {}, tokens = 1, nanoUsd = 0 } = asked
  const facts: RequestFacts = {
    principal,
    operation: 'chat',
    model,
    stream: false,
    needs: NO_NEEDS,
    header: (name) => headers[name],
    headers: () => headers,
    json: () => body,
  }
  const named = target === undefined ? null : targetOf(target)
  return { facts, model, target: named, estimate: { inputTokens: tokens, outputTokens: 0, nanoUsd } }
}

const targets = new Map<string, Target>()
const targetOf = (name: string): Target => {
  let target = targets.get(name)
  if (target === undefined) targets.set(name, (target = { name, provider: { name: name.split('/')[0] } } as Target))
  return target
}

const limit = (per: LimitConfig['per'], rules: readonly LimitRule[], more: Partial<LimitConfig> = {}): LimitConfig => ({
  name: 'limit',
  per,
  when: null,
  rules,
  shadow: false,
  onStoreFailure: 'local',
  stopStreams: false,
  ...more,
})

const requests = (amount: number): LimitRule => ({
  unit: 'requests',
  amount,
  period: { kind: 'sliding', windowMs: 60_000 },
})

const limiterOf = (limits: readonly LimitConfig[], more: Partial<LimiterParts> = {}) => {
  const clock = { time: START, now: () => clock.time, monotonic: () => clock.time }
  const memory = new LedgerMemory(1024, { worker: 0, workers: 1 }, clock)
  const limiter = createLimiter({ limits, tenants: [], memory, shared: null, replicas: 1, clock, ...more })
  return { limiter, clock }
}

const admit = (limiter: LedgerLimiter, query: AdmissionQuery): Lease | null => limiter.admit(query) as Lease | null

const refused = (limiter: LedgerLimiter, query: AdmissionQuery): GatewayError => {
  try {
    void limiter.admit(query)
  } catch (error) {
    if (error instanceof GatewayError) return error
  }
  throw new Error('was admitted')
}

const countOf = (limiter: LedgerLimiter, query: AdmissionQuery): number => {
  for (let count = 0; count < 100; count++) {
    try {
      if (admit(limiter, query) === null) return -1
    } catch {
      return count
    }
  }
  return 100
}

test('each value of a scope has a counter of its own; without a value the limit does not apply', () => {
  const { limiter } = limiterOf([limit([{ kind: 'team' }], [requests(2)])])
  expect(countOf(limiter, queryOf(principalOf({ team: 'red' })))).toBe(2)
  expect(countOf(limiter, queryOf(principalOf({ team: 'blue' })))).toBe(2)
  expect(countOf(limiter, queryOf(principalOf({ team: '' })))).toBe(-1)
})

test('teams of one name in two tenants are two teams', () => {
  const { limiter } = limiterOf([limit([{ kind: 'team' }], [requests(2)])])
  expect(countOf(limiter, queryOf(principalOf({ team: 'red', tenant: 'a' })))).toBe(2)
  expect(countOf(limiter, queryOf(principalOf({ team: 'red', tenant: 'b' })))).toBe(2)
})

test('no scope: one counter for all', () => {
  const { limiter } = limiterOf([limit([], [requests(3)])])
  expect(countOf(limiter, queryOf(principalOf({ keyId: 'a', tenant: 'a' })))).toBe(3)
  expect(countOf(limiter, queryOf(principalOf({ keyId: 'b', tenant: 'b' })))).toBe(0)
})

test('by key and model', () => {
  const { limiter } = limiterOf([limit([{ kind: 'key' }, { kind: 'model' }], [requests(2)])])
  const principal = principalOf()
  expect(countOf(limiter, queryOf(principal, { model: 'a' }))).toBe(2)
  expect(countOf(limiter, queryOf(principal, { model: 'b' }))).toBe(2)
  expect(countOf(limiter, queryOf(principal, { model: 'a' }))).toBe(0)
})

test('limits of targets are asked for targets, and only then', () => {
  const { limiter } = limiterOf([limit([{ kind: 'provider' }], [requests(2)])])
  expect(limiter.byTarget).toBe(true)
  const principal = principalOf()
  expect(countOf(limiter, queryOf(principal))).toBe(-1)
  expect(countOf(limiter, queryOf(principal, { target: 'a/x' }))).toBe(2)
  expect(countOf(limiter, queryOf(principal, { target: 'a/y' }))).toBe(0)
  expect(countOf(limiter, queryOf(principal, { target: 'b/x' }))).toBe(2)
  expect(limiterOf([limit([{ kind: 'key' }], [requests(2)])]).limiter.byTarget).toBe(false)
})

test('users: the key’s own, else the one that the body names', () => {
  const { limiter } = limiterOf([limit([{ kind: 'user' }], [requests(1)])])
  const shared = principalOf({ user: '' })
  expect(countOf(limiter, queryOf(shared, { body: { user: 'x' } }))).toBe(1)
  expect(countOf(limiter, queryOf(shared, { body: { user: 'y' } }))).toBe(1)
  expect(countOf(limiter, queryOf(shared, { body: { user: 7 } }))).toBe(-1)
  const own = principalOf({ user: 'z' })
  expect(countOf(limiter, queryOf(own, { body: { user: 'y2' } }))).toBe(1)
  expect(countOf(limiter, queryOf(own, { body: { user: 'y3' } }))).toBe(0)
})

test('conditions and expressions are asked for each request', () => {
  const { limiter } = limiterOf([
    limit([{ kind: 'expression', source: 'headers["x-app"]' }], [requests(1)], { when: 'model == "big"' }),
  ])
  const principal = principalOf()
  expect(countOf(limiter, queryOf(principal, { model: 'small', headers: { 'x-app': 'a' } }))).toBe(-1)
  expect(countOf(limiter, queryOf(principal, { model: 'big', headers: { 'x-app': 'a' } }))).toBe(1)
  expect(countOf(limiter, queryOf(principal, { model: 'big', headers: { 'x-app': 'b' } }))).toBe(1)
  expect(countOf(limiter, queryOf(principal, { model: 'big' }))).toBe(-1)
})

test('limits that keys and tenants carry', () => {
  const tenant = { name: 'acme', limits: [requests(5)] } as unknown as TenantConfig
  const { limiter } = limiterOf([], { tenants: [tenant] })
  const one = principalOf({ keyId: 'one', limits: [requests(3)] })
  const two = principalOf({ keyId: 'two', limits: [requests(3)] })
  expect(countOf(limiter, queryOf(one))).toBe(3)
  expect(refused(limiter, queryOf(one)).detail).toContain('limit key key=one')
  expect(countOf(limiter, queryOf(two))).toBe(2)
  expect(refused(limiter, queryOf(two)).detail).toContain('limit tenant tenant=acme')
  expect(admit(limiter, queryOf(principalOf({ keyId: 'three', tenant: 'other' })))).toBeNull()
})

test('a key’s counter outlives its principal, as after a reload', () => {
  const { limiter } = limiterOf([limit([{ kind: 'key' }], [requests(2)])])
  expect(countOf(limiter, queryOf(principalOf()))).toBe(2)
  expect(countOf(limiter, queryOf(principalOf()))).toBe(0)
})

test('a refusal says what, and how long to wait; nothing of other tenants', () => {
  const { limiter, clock } = limiterOf([limit([{ kind: 'key' }], [requests(2)], { name: 'per_key' })])
  const query = queryOf(principalOf({ keyId: 'secretary' }))
  countOf(limiter, query)
  const error = refused(limiter, query)
  expect(error).toMatchObject({
    code: 'rate_limited',
    status: 429,
    message: 'Rate limit reached: 2 requests per 1m.',
    detail: 'refused by limit per_key key=secretary requests per sliding:60000',
    retryAfterMs: 63_000,
    headers: [
      'x-ratelimit-limit-requests',
      '2',
      'x-ratelimit-remaining-requests',
      '0',
      'x-ratelimit-reset-requests',
      '1m3s',
    ],
  })
  clock.time += 63_000 - 1
  refused(limiter, query)
  clock.time += 1
  admit(limiter, query)
})

test('a budget has a code of its own; a request larger than a limit is told so', () => {
  const budget: LimitRule = { unit: 'usd', amount: 0.5, period: { kind: 'calendar', unit: 'day', zone: 'UTC' } }
  const { limiter } = limiterOf([limit([], [budget])])
  admit(limiter, queryOf(principalOf(), { nanoUsd: 4e8 }))
  const error = refused(limiter, queryOf(principalOf(), { nanoUsd: 2e8 }))
  expect(error).toMatchObject({ code: 'budget_exceeded', retryAfterMs: 12 * 3_600_000 })
  expect(error.message).toBe('Budget used up: 0.5 US dollars per day.')
  const large = refused(limiter, queryOf(principalOf(), { nanoUsd: 6e8 }))
  expect(large.message).toBe('The request may need 0.6 US dollars, and the limit is 0.5 US dollars per day.')
  expect(large.retryAfterMs).toBe(12 * 3_600_000)
})

test('headers tell of the tightest limit', () => {
  const tokens = (amount: number): LimitRule => ({
    unit: 'tokens',
    amount,
    period: { kind: 'sliding', windowMs: 2000 },
  })
  const { limiter } = limiterOf([
    limit([{ kind: 'key' }], [requests(9), tokens(1000)]),
    limit([], [requests(100), tokens(50)], { name: 'all' }),
  ])
  const headers: string[] = []
  admit(limiter, queryOf(principalOf(), { tokens: 10 }))!.addHeaders(headers)
  expect(headers).toEqual([
    'x-ratelimit-limit-requests',
    '9',
    'x-ratelimit-remaining-requests',
    '8',
    'x-ratelimit-reset-requests',
    '1m3s',
    'x-ratelimit-limit-tokens',
    '50',
    'x-ratelimit-remaining-tokens',
    '40',
    'x-ratelimit-reset-tokens',
    '2.1s',
  ])
})

test('settled once; a stream that needs more than is left is told to stop', () => {
  const tokens: LimitRule = { unit: 'tokens', amount: 100, period: { kind: 'sliding', windowMs: 60_000 } }
  const { limiter } = limiterOf([limit([], [tokens], { stopStreams: true })])
  const lease = admit(limiter, queryOf(principalOf(), { tokens: 40 }))!
  const other = admit(limiter, queryOf(principalOf(), { tokens: 50 }))!
  const total = (outputTokens: number) => ({ inputTokens: 40, outputTokens, nanoUsd: 0 })
  expect(lease.extend(total(10))).toBe(true)
  expect(lease.extend(total(11))).toBe(false)
  lease.settle(total(11))
  lease.settle(total(0))
  other.settle({ inputTokens: 0, outputTokens: 0, nanoUsd: 0 })
  expect(countOf(limiter, queryOf(principalOf(), { tokens: 49 }))).toBe(1)
})

test('amounts set at run time: for all, for one, until a time', () => {
  const overrides = new Overrides()
  const { limiter, clock } = limiterOf([limit([{ kind: 'key' }], [requests(2)])], { overrides })
  const target = { limit: 'limit', unit: 'requests', period: null } as const
  overrides.set({ ...target, scope: null, amount: 3, until: null })
  overrides.set({ ...target, scope: ['k1'], amount: 6, until: START + 5000 })
  limiter.changed()
  const [one, two] = [principalOf(), principalOf({ keyId: 'k2' })]
  expect(countOf(limiter, queryOf(one))).toBe(6)
  expect(countOf(limiter, queryOf(two))).toBe(3)
  clock.time += 5000
  limiter.refresh()
  expect(refused(limiter, queryOf(one)).message).toContain('3 requests')
  expect(overrides.clear({ ...target, scope: null })).toBe(true)
  expect(overrides.clear({ ...target, scope: null })).toBe(false)
  limiter.changed()
  expect(refused(limiter, queryOf(two)).message).toContain('2 requests')
})

test('refusals are counted, those of shadow mode apart', () => {
  const seen: string[] = []
  const { limiter } = limiterOf(
    [limit([], [requests(1)], { name: 'dark', shadow: true }), limit([], [requests(2)], { name: 'light' })],
    { onRefused: (name, unit, shadow) => seen.push(`${name} ${unit} ${shadow}`) },
  )
  for (let i = 0; i < 3; i++) countOf(limiter, queryOf(principalOf()))
  expect(seen[0]).toBe('dark  true')
  expect(seen).toContain('light requests false')
})

test('no room for another counter: refused only where the limit says `closed`', () => {
  const clock = { now: () => START, monotonic: () => START }
  const count = (onStoreFailure: LimitConfig['onStoreFailure']): readonly [number, number] => {
    const memory = new LedgerMemory(64, { worker: 0, workers: 1 }, clock)
    let unchecked = 0
    const { limiter } = limiterOf([limit([{ kind: 'key' }], [requests(1)], { onStoreFailure })], {
      memory,
      onUnchecked: () => unchecked++,
    })
    let closed = 0
    for (let i = 0; i < 200; i++) {
      try {
        admit(limiter, queryOf(principalOf({ keyId: `k${i}` })))
      } catch (error) {
        if (GatewayError.is(error) && error.code === 'overloaded') closed++
      }
    }
    return [closed, unchecked]
  }
  expect(count('closed')[0]).toBeGreaterThan(0)
  expect(count('local')).toEqual([0, expect.any(Number)])
  expect(count('local')[1]).toBe(count('closed')[0])
})

test.each([
  [0, '0s'],
  [120, '120ms'],
  [1000, '1s'],
  [59_500, '59.5s'],
  [360_000, '6m0s'],
  [3_723_500, '1h2m3.5s'],
  [90_000_000, '25h0m0s'],
])('%i ms is %s', (ms, text) => expect(goDuration(ms)).toBe(text))
