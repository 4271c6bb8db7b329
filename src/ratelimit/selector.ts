import type { AdmissionQuery } from '../contracts/admission.ts'
import type { LimitConfig, LimitScope } from '../contracts/config-limits.ts'
import type { TenantConfig } from '../contracts/config-auth.ts'
import type { PeerIdentity, Principal } from '../contracts/identity.ts'
import type { RequestFacts, Target } from '../contracts/routing.ts'
import { variablesOf } from '../protocol/facts.ts'
import { compileExpression, compileValue } from '../core/expression.ts'
import type { Expression, ValueExpression } from '../core/expression.ts'
import { Counter, CounterSet, toRules } from './counter.ts'
import type { Rule, ScopePart } from './counter.ts'

/** Handles of counters kept for each limit: they cost nothing but the time to make them again. */
const MAX_HANDLES = 20_000
const MAX_JOINED = 256
/** Longest scope value that a caller can choose. */
const MAX_VALUE = 256

/** Names of the limits that keys and tenants carry; no limit of the configuration can have them. */
export const KEY_LIMIT = 'key'
export const TENANT_LIMIT = 'tenant'

interface CompiledScope {
  readonly kind: LimitScope['kind']
  readonly expression: ValueExpression | null
}

const must = <T extends { readonly ok: boolean }>(compiled: T, source: string): Extract<T, { readonly ok: true }> => {
  // The loader has compiled it before, with its place in the file: this is only reached by a fault of ours.
  if (!compiled.ok) throw new Error(`expression does not compile: ${source}`)
  return compiled as Extract<T, { readonly ok: true }>
}

/** One limit of the configuration, and the counters it has so far. */
class CompiledLimit {
  readonly rules: readonly Rule[]
  readonly scopes: readonly CompiledScope[]
  readonly when: Expression | null
  readonly needsBody: boolean
  /** Applies to the target that is about to be called, not to the request. */
  readonly ofTarget: boolean
  readonly byModel: boolean
  /** What applies can differ between two requests of one principal for one model. */
  readonly perRequest: boolean
  readonly byUser: boolean
  readonly #handles = new Map<string, readonly Counter[]>()

  constructor(config: LimitConfig) {
    this.rules = toRules(config.rules, config)
    this.scopes = config.per.map((scope) => ({
      kind: scope.kind,
      expression: scope.kind === 'expression' ? must(compileValue(scope.source), scope.source).expression : null,
    }))
    this.when = config.when === null ? null : must(compileExpression(config.when), config.when).expression
    const has = (kind: LimitScope['kind']): boolean => this.scopes.some((scope) => scope.kind === kind)
    this.ofTarget = has('target') || has('provider')
    this.byModel = has('model')
    this.byUser = has('user')
    this.perRequest = has('expression') || this.when !== null
    const expressions = [this.when, ...this.scopes.map(({ expression }) => expression)]
    this.needsBody = expressions.some((expression) => expression?.needsBody === true)
  }

  /** null = it does not apply: `when` is not true, or the request has no value for one of the scopes. */
  countersOf(query: AdmissionQuery, amountOf: AmountOf): readonly Counter[] | null {
    const { facts } = query
    const variables = this.perRequest ? variablesOf(facts, this.needsBody) : null
    if (this.when !== null && !this.when.evaluate(variables!)) return null
    const parts: ScopePart[] = []
    for (const { kind, expression } of this.scopes) {
      const value = expression === null ? scopeValue(kind, query) : (expression.evaluate(variables!) ?? '')
      if (value === '') return null
      parts.push({ kind, value: value.length > MAX_VALUE ? value.slice(0, MAX_VALUE) : value })
    }
    return this.#handle(parts, facts.principal.tenant, amountOf)
  }

  forget(): void {
    this.#handles.clear()
  }

  #handle(parts: readonly ScopePart[], tenant: string, amountOf: AmountOf): readonly Counter[] {
    const key = JSON.stringify([tenant, ...parts.map(({ value }) => value)])
    const present = this.#handles.get(key)
    if (present !== undefined) return present
    if (this.#handles.size >= MAX_HANDLES) this.#handles.clear()
    const made = countersFor(this.rules, parts, tenant, amountOf)
    this.#handles.set(key, made)
    return made
  }
}

/** Amount that holds for a counter: the rule's, or what somebody has set at run time. */
export type AmountOf = (counter: Counter) => number

const countersFor = (
  rules: readonly Rule[],
  scope: readonly ScopePart[],
  tenant: string,
  amountOf: AmountOf,
): readonly Counter[] =>
  rules.map((rule) => {
    const counter = new Counter(rule, scope, tenant)
    counter.amount = amountOf(counter)
    return counter
  })

const scopeValue = (kind: LimitScope['kind'], { facts, model, target }: AdmissionQuery): string => {
  const { principal } = facts
  switch (kind) {
    case 'key':
      return principal.keyId
    case 'user':
      return principal.user === '' ? bodyUser(facts) : principal.user
    case 'team':
      return principal.team
    case 'tenant':
      return principal.tenant
    case 'peer':
      return principal.peer?.id ?? ''
    case 'namespace':
      return namespaceOf(principal.peer)
    case 'service_account':
      return accountOf(principal.peer)
    case 'model':
      return model
    case 'target':
      return target?.name ?? ''
    case 'provider':
      return target?.provider.name ?? ''
    case 'expression':
      return ''
  }
}

/** Namespaces of two trust domains are two, although they may have one name. */
const namespaceOf = (peer: PeerIdentity | null): string =>
  peer === null || peer.namespace === '' ? '' : `${peer.trustDomain}/${peer.namespace}`

/** Of the accounts `default` each namespace has one. */
const accountOf = (peer: PeerIdentity | null): string =>
  peer === null || peer.serviceAccount === '' ? '' : `${namespaceOf(peer)}/${peer.serviceAccount}`

/** The `user` field of the OpenAI API: what the application says of its own users. */
const bodyUser = (facts: RequestFacts): string => {
  const { user } = facts.json()
  return typeof user === 'string' ? user : ''
}

/** What has been worked out for one principal. */
interface Plan {
  /** By model, '' when no limit looks at it. null = no limit applies. */
  readonly requests: Map<string, CounterSet | null>
  readonly targets: WeakMap<Target, Map<string, CounterSet | null>>
}

const EMPTY = new CounterSet([])

/**
 * Which counters a request must pass. Everything that is the same for all requests of a principal is worked out once, so
 * that a request without `when` and expressions costs a look-up.
 */
export class Selector {
  readonly #limits: readonly CompiledLimit[]
  readonly #tenantRules = new Map<string, readonly Rule[]>()
  readonly #amountOf: AmountOf
  #plans = new WeakMap<Principal, Plan>()
  #joined = new Map<CounterSet, Map<readonly Counter[], CounterSet>>()
  readonly #byModel: { readonly request: boolean; readonly target: boolean }

  constructor(limits: readonly LimitConfig[], tenants: readonly TenantConfig[], amountOf: AmountOf) {
    this.#limits = limits.map((limit) => new CompiledLimit(limit))
    this.#amountOf = amountOf
    for (const { name, limits: rules } of tenants) {
      if (rules.length > 0) this.#tenantRules.set(name, toRules(rules, traits(TENANT_LIMIT)))
    }
    const byModel = (ofTarget: boolean): boolean =>
      this.#limits.some((limit) => limit.ofTarget === ofTarget && limit.byModel)
    this.#byModel = { request: byModel(false), target: byModel(true) }
  }

  /** Some limit looks at targets: `select` must be asked again for each of them. */
  get byTarget(): boolean {
    return this.#limits.some(({ ofTarget }) => ofTarget)
  }

  /** null = no limit applies. */
  select(query: AdmissionQuery): CounterSet | null {
    const { principal } = query.facts
    let plan = this.#plans.get(principal)
    if (plan === undefined) this.#plans.set(principal, (plan = { requests: new Map(), targets: new WeakMap() }))
    let set = query.target === null ? this.#ofRequest(plan, query) : this.#ofTarget(plan, query, query.target)
    for (const limit of this.#limits) {
      if (limit.ofTarget !== (query.target !== null) || !this.#isDynamic(limit, principal)) continue
      const counters = limit.countersOf(query, this.#amountOf)
      if (counters !== null) set = this.#join(set ?? EMPTY, counters)
    }
    return set
  }

  /** Amounts have changed: all counters are made anew. */
  forget(): void {
    this.#plans = new WeakMap()
    this.#joined = new Map()
    for (const limit of this.#limits) limit.forget()
  }

  #isDynamic(limit: CompiledLimit, principal: Principal): boolean {
    return limit.perRequest || (limit.byUser && principal.user === '')
  }

  #ofRequest(plan: Plan, query: AdmissionQuery): CounterSet | null {
    const key = this.#byModel.request ? query.model : ''
    let set = plan.requests.get(key)
    if (set === undefined) remember(plan.requests, key, (set = this.#static(query)))
    return set
  }

  #ofTarget(plan: Plan, query: AdmissionQuery, target: Target): CounterSet | null {
    let sets = plan.targets.get(target)
    if (sets === undefined) plan.targets.set(target, (sets = new Map()))
    const key = this.#byModel.target ? query.model : ''
    let set = sets.get(key)
    if (set === undefined) remember(sets, key, (set = this.#static(query)))
    return set
  }

  #static(query: AdmissionQuery): CounterSet | null {
    const { principal } = query.facts
    const found: Counter[] = []
    if (query.target === null) found.push(...this.#carried(principal))
    for (const limit of this.#limits) {
      if (limit.ofTarget !== (query.target !== null) || this.#isDynamic(limit, principal)) continue
      found.push(...(limit.countersOf(query, this.#amountOf) ?? []))
    }
    return found.length === 0 ? null : new CounterSet(found)
  }

  /** Limits that the key or token has of its own, and those of its tenant. */
  #carried({ keyId, tenant, limits }: Principal): readonly Counter[] {
    const own = countersFor(toRules(limits, traits(KEY_LIMIT)), [{ kind: 'key', value: keyId }], tenant, this.#amountOf)
    const rules = this.#tenantRules.get(tenant) ?? []
    return [...own, ...countersFor(rules, [{ kind: 'tenant', value: tenant }], tenant, this.#amountOf)]
  }

  #join(set: CounterSet, counters: readonly Counter[]): CounterSet {
    let joins = this.#joined.get(set)
    if (joins === undefined) {
      if (this.#joined.size >= MAX_HANDLES) this.#joined.clear()
      this.#joined.set(set, (joins = new Map()))
    }
    let joined = joins.get(counters)
    if (joined === undefined) {
      if (joins.size >= MAX_JOINED) joins.clear()
      joins.set(counters, (joined = new CounterSet([...set.counters, ...counters])))
    }
    return joined
  }
}

const remember = (sets: Map<string, CounterSet | null>, key: string, set: CounterSet | null): void => {
  if (sets.size >= MAX_JOINED) sets.clear()
  sets.set(key, set)
}

const traits = (name: string) => ({ name, shadow: false, stopStreams: false, onStoreFailure: 'local' }) as const
