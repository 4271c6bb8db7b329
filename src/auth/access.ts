import type { GrantConfig } from '../contracts/config-auth.ts'
import type { Access, Denial } from '../contracts/identity.ts'
import type { RequestFacts, Target } from '../contracts/routing.ts'
import { variablesOf } from '../protocol/facts.ts'
import { mayPass } from '../protocol/operations.ts'
import { compileExpression } from '../core/expression.ts'
import { OPEN_ACCESS } from './anonymous.ts'
import { compileGlobs } from '../core/glob.ts'
import { toolNames } from './tool-names.ts'

/** One grant, compiled. Compiled once a key, role and tenant, shared by all who have it. */
export interface Rule {
  /** `key ci`, `role dev`, `tenant acme`: begins the reason of a denial. */
  readonly name: string
  /** null = allowed. `model` is the public name in question, by default the one that the client sent. */
  readonly request: ((facts: RequestFacts, model: string) => Denial | null) | null
  readonly model: ((name: string) => Denial | null) | null
  readonly target: ((target: Target) => Denial | null) | null
}

type Check<T> = (value: T) => Denial | null

/** One check out of several, asked in order; null when there is none. */
const all = <T>(checks: readonly (Check<T> | null)[]): Check<T> | null => {
  const given = checks.filter((check) => check !== null)
  const [first, second] = given
  if (first === undefined || second === undefined) return first ?? null
  return (value) => {
    for (const check of given) {
      const denial = check(value)
      if (denial !== null) return denial
    }
    return null
  }
}

const quoted = (name: string): string => JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}...` : name)

const listed = (rule: string, noun: string, patterns: readonly string[] | null): Check<string> | null => {
  if (patterns === null) return null
  const matches = compileGlobs(patterns)
  return (name) => (matches(name) ? null : { rule, reason: `${noun} ${quoted(name)} is not granted` })
}

const toolCheck = (rule: string, patterns: readonly string[] | null): Check<RequestFacts> | null => {
  if (patterns === null) return null
  const matches = compileGlobs(patterns)
  return (facts) => {
    const { operation, mcp } = facts
    if (mcp !== undefined)
      return mcp.name === '' || matches(mcp.name) ? null : { rule, reason: `${quoted(mcp.name)} is not granted` }
    if (operation === 'embeddings' || (mayPass(operation) && operation !== 'passthrough')) return null
    if (operation === 'passthrough') return { rule, reason: 'what a passthrough request offers is not known' }
    // Not `needs.tools`: that tells what a target must be able to do, and a lone `web_search_options` is no such need.
    const names = toolNames(facts.json())
    // A tool of a shape that nobody knows cannot be said to be a granted one.
    if (names === null) return { rule, reason: 'a tool without a name is not granted' }
    const bad = names.find((name) => !matches(name))
    return bad === undefined ? null : { rule, reason: `tool ${quoted(bad)} is not granted` }
  }
}

const conditionCheck = (rule: string, source: string | null): Check<RequestFacts> | null => {
  if (source === null) return null
  const compiled = compileExpression(source)
  const denied: Denial = { rule, reason: 'the condition is not true' }
  // A key minted elsewhere can carry one that this version does not know: it denies, as one that fails would.
  if (!compiled.ok) return () => denied
  const { expression } = compiled
  return (facts) => (expression.evaluate(variablesOf(facts, expression.needsBody)) ? null : denied)
}

const targetCheck = (name: string, grant: GrantConfig): Check<Target> | null => {
  const provider = listed(`${name}: providers`, 'provider', grant.providers)
  const { regions, noRetention } = grant
  const inRegion = regions === null ? null : compileGlobs(regions)
  return all<Target>([
    provider === null ? null : (target) => provider(target.provider.name),
    inRegion === null
      ? null
      : (target) => {
          const { region } = target.provider.config.data
          if (region !== '' && inRegion(region)) return null
          const reason = region === '' ? 'its region is not stated' : `region ${quoted(region)} is not granted`
          return { rule: `${name}: regions`, reason }
        },
    noRetention
      ? (target) => {
          const { retention } = target.provider.config.data
          if (retention === false) return null
          const reason = retention === null ? 'whether it keeps prompts is not stated' : 'it keeps prompts'
          return { rule: `${name}: no_retention`, reason }
        }
      : null,
  ])
}

/** Compiles one grant. `name` is what denials call it. */
export const compileRule = (name: string, grant: GrantConfig): Rule => {
  const model = listed(`${name}: models`, 'model', grant.models)
  const operations = listed(`${name}: operations`, 'operation', grant.operations)
  const rest = all<RequestFacts>([
    operations === null ? null : (facts) => operations(facts.operation),
    toolCheck(`${name}: tools`, grant.tools),
    conditionCheck(`${name}: when`, grant.when),
  ])
  const request: Rule['request'] =
    model === null && rest === null
      ? null
      : // Tools are no models: which of them are granted `tools` says.
        (facts, asked) => (facts.mcp === undefined ? model?.(asked) : null) ?? rest?.(facts) ?? null
  return { name, request, model, target: targetCheck(name, grant) }
}

/** Denies everything: of a caller whose roles are none that the configuration has. */
export const denyAll = (rule: string, reason: string): Rule => {
  const denial: Denial = { rule, reason }
  return { name: rule, request: () => denial, model: () => denial, target: () => denial }
}

const firstDenial = (rules: readonly Rule[], ask: (rule: Rule) => Denial | null): Denial | null => {
  for (const rule of rules) {
    const denial = ask(rule)
    if (denial !== null) return denial
  }
  return null
}

/** Null when one of them allows; else the first one's denial, which names the role. */
const unlessOneAllows = (roles: readonly Rule[], ask: (rule: Rule) => Denial | null): Denial | null => {
  let first: Denial | null = null
  for (const role of roles) {
    const denial = ask(role)
    if (denial === null) return null
    first ??= denial
  }
  return first
}

/** What two grants both allow, such as a key's and that of the peer which it comes through. */
export const bothAccess = (one: Access, other: Access): Access => {
  if (other === OPEN_ACCESS) return one
  return {
    request: (facts) => one.request(facts) ?? other.request(facts),
    model: (name, facts) => one.model(name, facts) ?? other.model(name, facts),
    target: (target, facts, model) => one.target(target, facts, model) ?? other.target(target, facts, model),
    anyTarget: one.anyTarget && other.anyTarget,
  }
}

/**
 * What a caller may do: every one of `rules` (its own grant, its tenant's) must allow, and of `roles` at least one must
 * allow the request with its model and its target. No roles = they restrict nothing.
 */
export const compileAccess = (rules: readonly Rule[], roles: readonly Rule[]): Access => {
  const needed = rules.filter((rule) => rule.request !== null || rule.target !== null)
  const [only, second] = roles
  // One role is one more rule.
  if (only !== undefined && second === undefined) return compileAccess([...rules, only], [])
  const open = roles.some((role) => role.request === null && role.target === null)
  const either = open ? [] : roles
  if (needed.length === 0 && either.length === 0) return OPEN_ACCESS
  const request = (facts: RequestFacts, model: string): Denial | null =>
    firstDenial(needed, (rule) => rule.request?.(facts, model) ?? null) ??
    unlessOneAllows(either, (role) => role.request?.(facts, model) ?? null)
  const targetDenial = (target: Target, facts: RequestFacts | undefined, model: string): Denial | null =>
    facts === undefined
      ? firstDenial(either, (role) => role.target?.(target) ?? null)
      : unlessOneAllows(either, (role) => role.target?.(target) ?? role.request?.(facts, model) ?? null)
  return {
    request: (facts) => request(facts, facts.model),
    model: (name, facts) =>
      facts !== undefined
        ? request(facts, name)
        : (firstDenial(needed, (rule) => rule.model?.(name) ?? null) ??
          unlessOneAllows(either, (role) => role.model?.(name) ?? null)),
    target: (target, facts, model = facts?.model ?? '') =>
      firstDenial(needed, (rule) => rule.target?.(target) ?? null) ?? targetDenial(target, facts, model),
    anyTarget: needed.every((rule) => rule.target === null) && either.every((role) => role.target === null),
  }
}
