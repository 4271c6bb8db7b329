import type { Operation, Price, ProviderConfig } from '../contracts/config.ts'
import type { Plan, RequestFacts, Route, Target } from '../contracts/routing.ts'
import type { Dialect } from '../contracts/dialect.ts'
import { GatewayError } from '../core/errors.ts'
import { EMBEDDERS, mayPass, OPERATIONS } from '../protocol/operations.ts'

export interface PlanInput {
  readonly route: Route
  readonly facts: RequestFacts
  /** Ms, Clock.monotonic. */
  readonly now: number
  /** The public name that led to the route; left out: as sent. */
  readonly asked?: string | undefined
  /** [0, 1) */
  random(): number
  /** Why the caller may not use a target, beyond what its principal says; null = it may. */
  readonly refuse?: ((target: Target) => string | null) | undefined
  /** The parameter that the wire of a target cannot carry; null = it can carry all. Left out: nothing is translated. */
  readonly uncarried?: ((target: Target) => string | null) | undefined
}

type Skip = { target: Target; reason: string }

const NO_SKIPS: readonly Skip[] = []

/**
 * Orders a route's targets for one request: those that cannot serve it are left out, those that rest go last or are
 * left out, the strategy orders the others. Throws GatewayError when nothing is left.
 */
export function planTargets(input: PlanInput): Plan {
  const { route, now } = input
  const only = route.targets[0]
  if (route.targets.length === 1 && only!.when === null && isPlain(only!, input) && isReady(only!, now))
    return { order: route.targets, skipped: NO_SKIPS, note: 'only target' }
  const skipped: Skip[] = []
  const fit = route.targets.filter((target) => {
    const reason = misfit(target, input)
    if (reason !== null) skipped.push({ target, reason })
    return reason === null
  })
  if (fit.length === 0) throw nothingFits(input, skipped)
  const ready: Target[] = []
  const ejected: Target[] = []
  for (const target of fit) {
    const { health } = target
    if (health.deadUntil > now)
      skipped.push({ target, reason: `credentials refused, rests ${seconds(health.deadUntil - now)}` })
    else if (health.busyUntil > now)
      skipped.push({ target, reason: `rate limited, rests ${seconds(health.busyUntil - now)}` })
    else if (health.ejectedUntil > now) ejected.push(target)
    else ready.push(target)
  }
  // No more than the allowed share may be out at once: beyond it the longest-rested stay, at the end of the order.
  const mayGo = route.targets.length === 1 ? 0 : Math.floor(fit.length * route.breaker.maxEjectedShare)
  const keep = Math.max(0, ejected.length - mayGo)
  ejected.sort((a, b) => a.health.ejectedUntil - b.health.ejectedUntil)
  for (const target of ejected.slice(keep))
    skipped.push({ target, reason: `ejected, rests ${seconds(target.health.ejectedUntil - now)}` })
  const { order, note } = arrange(ready, input)
  for (const target of ejected.slice(0, keep)) order.push(target)
  if (order.length === 0) throw allRest(fit, now)
  return { order, skipped, note }
}

/** Begins the reason of a target that the caller may not use. */
const DENIED = 'not allowed: '
/** Begins the reason of a target whose wire has no word for something in the request. */
const UNCARRIED = 'cannot carry '

/** In the place of a parameter: the request may not be changed at all, and the target speaks another dialect. */
export const AS_IT_IS = 'another dialect'

const isTranslated = (operation: Operation, wire: Dialect): boolean =>
  operation === 'embeddings' ? EMBEDDERS.has(wire) : OPERATIONS[operation].dialect !== null

/** It speaks the operation itself, or Heddle translates. */
export const serves = ({ operations, wire }: ProviderConfig, operation: Operation): boolean =>
  operations.includes(operation) ||
  (mayPass(operation) && operations.includes('passthrough')) ||
  (wire !== null && isTranslated(operation, wire))

const seconds = (ms: number): string => `${Math.ceil(ms / 1000)} s`

function isReady(target: Target, now: number): boolean {
  const { health } = target
  return health.deadUntil <= now && health.busyUntil <= now
}

function isPlain(target: Target, input: PlanInput): boolean {
  return misfit(target, input) === null
}

/** Why the caller may not use the target; null = it may. */
function denial(target: Target, { facts, refuse, asked }: PlanInput): string | null {
  const { access } = facts.principal
  if (!access.anyTarget) {
    const denied = access.target(target, facts, asked)
    if (denied !== null) return `${DENIED}${denied.rule}: ${denied.reason}`
  }
  const refusal = refuse?.(target) ?? null
  return refusal === null ? null : `${DENIED}${refusal}`
}

/** Why the target cannot serve this request; null = it can. */
function misfit(target: Target, input: PlanInput): string | null {
  const { facts } = input
  if (!serves(target.provider.config, facts.operation)) return `provider does not serve ${facts.operation}`
  const lack = incapable(target, facts)
  if (lack !== null) return lack
  const denied = denial(target, input)
  if (denied !== null) return denied
  const uncarried = input.uncarried?.(target) ?? null
  if (uncarried !== null) return `${UNCARRIED}${uncarried}`
  if (target.when !== null && !target.when.evaluate(facts)) return `condition is false: ${target.when.source}`
  return null
}

/** What the target is known not to be able to do; null = it may do all. */
function incapable({ capabilities: can }: Target, { needs, stream }: RequestFacts): string | null {
  if (needs.tools && can.tools === false) return 'no tools'
  if (needs.vision && can.vision === false) return 'no vision'
  if (needs.audio && can.audio === false) return 'no audio'
  if (needs.jsonSchema && can.jsonSchema === false) return 'no json_schema'
  if (stream && can.streaming === false) return 'no streaming'
  if (can.maxOutputTokens !== undefined && needs.maxTokens > can.maxOutputTokens)
    return `answers at most ${can.maxOutputTokens} tokens`
  if (can.contextWindow !== undefined && needs.promptTokens > can.contextWindow)
    return `context window of ${can.contextWindow} tokens`
  return null
}

function nothingFits(input: PlanInput, skipped: readonly Skip[]): GatewayError {
  const { route, facts } = input
  const detail = skipped.map((s) => `${s.target.name}: ${s.reason}`).join('; ')
  if (skipped.every((s) => s.reason.startsWith('context window'))) {
    return new GatewayError(
      'context_length_exceeded',
      `The prompt (about ${facts.needs.promptTokens} tokens) is longer than any target of '${route.name}' takes.`,
      { param: 'messages', detail },
    )
  }
  if (skipped.some((s) => s.reason.startsWith(DENIED))) {
    return new GatewayError(
      'permission_denied',
      `None of the targets of '${route.name}' may be used for this caller.`,
      {
        detail,
      },
    )
  }
  const param = skipped.find((s) => s.reason.startsWith(UNCARRIED))?.reason.slice(UNCARRIED.length)
  if (param === AS_IT_IS)
    return new GatewayError(
      'unsupported_parameter',
      `No target of the model '${route.name}' speaks this dialect, and the proxy in front sends the request as it is: it must ask by external processing (ext_proc), which translates.`,
      { detail },
    )
  if (param !== undefined)
    return new GatewayError('unsupported_parameter', `No target of the model '${route.name}' can do '${param}'.`, {
      param,
      detail,
    })
  const missing = [
    ...new Set(skipped.map((s) => s.reason).filter((r) => r.startsWith('no ') || r.startsWith('provider does'))),
  ]
  const what = missing.length > 0 ? ` (${missing.join(', ')})` : ''
  return new GatewayError(
    'unsupported_parameter',
    `No target of the model '${route.name}' can serve this request${what}.`,
    { detail },
  )
}

function allRest(fit: readonly Target[], now: number): GatewayError {
  const busy = fit.filter((t) => t.health.deadUntil <= now && t.health.busyUntil > now)
  if (busy.length > 0) {
    const wait = Math.min(...busy.map((t) => t.health.busyUntil)) - now
    return new GatewayError('upstream_rate_limited', 'All targets of this model are rate limited.', {
      retryAfterMs: wait,
      publicCode: 'rate_limit_exceeded',
    })
  }
  if (fit.every((t) => t.health.deadUntil > now))
    return new GatewayError('upstream_auth', 'The providers of this model refused the gateway.')
  const wait = Math.min(...fit.map((t) => Math.max(t.health.ejectedUntil, t.health.deadUntil))) - now
  return new GatewayError('upstream_unavailable', 'All targets of this model are resting after failures.', {
    retryAfterMs: Math.max(wait, 0),
  })
}

function arrange(ready: readonly Target[], input: PlanInput): { order: Target[]; note: string } {
  const { route } = input
  if (ready.length <= 1) return { order: [...ready], note: ready.length === 1 ? 'only one ready' : 'none ready' }
  const groups = Map.groupBy(
    ready.filter((t) => t.canary === 0),
    (t) => t.priority,
  )
  const order: Target[] = []
  const key = route.sticky === null ? undefined : stickyKey(route.sticky, input.facts)
  let note: string = route.strategy
  const priorities = [...groups.keys()].sort((a, b) => a - b)
  for (const priority of priorities) {
    const group = groups.get(priority)!
    const sorted = group.length === 1 ? group : byStrategy(group, input)
    if (key !== undefined && group.length > 1) {
      const home = stickyHome(group, key)
      order.push(home, ...sorted.filter((t) => t !== home))
      if (priority === priorities[0]) note = `sticky by ${route.sticky}`
    } else order.push(...sorted)
  }
  for (const canary of ready) {
    if (canary.canary === 0) continue
    if (input.random() < canary.canary) {
      order.unshift(canary)
      note = `canary ${canary.canary * 100} %`
    } else order.push(canary)
  }
  return { order, note }
}

function byStrategy(group: readonly Target[], input: PlanInput): Target[] {
  switch (input.route.strategy) {
    case 'priority':
      return [...group]
    case 'weighted':
      return weighted(group, () => input.random())
    case 'least_busy':
      return leastBusy(group, () => input.random())
    case 'lowest_latency':
      // Those not yet measured come first, or they never would be.
      return group.toSorted((a, b) => a.health.latencyMs - b.health.latencyMs)
    case 'lowest_cost':
      return group.toSorted((a, b) => cost(a, input.facts) - cost(b, input.facts))
  }
}

/** Efraimidis and Spirakis (2006): each target draws u^(1/w); sorting by it is weighted sampling without replacement. */
function weighted(group: readonly Target[], random: () => number): Target[] {
  const drawn = group.map((target) => ({
    target,
    key: target.weight > 0 ? Math.log(random() || Number.MIN_VALUE) / target.weight : -Infinity,
  }))
  return drawn.sort((a, b) => (b.key === a.key ? 0 : b.key - a.key)).map((d) => d.target)
}

/** Load a target is under: what waiting behind its requests would cost, by peak EWMA. */
export const load = (target: Target): number =>
  ((target.health.latencyMs || 1) * (target.health.inflight + 1)) / Math.max(target.weight, 1e-6)

/** Power of two choices (Mitzenmacher 2001): the better of two drawn goes first, the others by load. */
function leastBusy(group: readonly Target[], random: () => number): Target[] {
  const i = Math.floor(random() * group.length)
  let j = Math.floor(random() * (group.length - 1))
  if (j >= i) j++
  const winner = load(group[i]!) <= load(group[j]!) ? group[i]! : group[j]!
  return [winner, ...group.filter((t) => t !== winner).sort((a, b) => load(a) - load(b))]
}

const DEFAULT_ANSWER_TOKENS = 500

/** Estimated US dollars of the request on the target. unknown: price where none is known; without it such a target is the dearest. */
export function cost(target: Target, facts: RequestFacts, unknown?: Price): number {
  const price = target.price ?? unknown
  if (price === undefined) return Infinity
  return (
    (facts.needs.promptTokens * price.input + (facts.needs.maxTokens || DEFAULT_ANSWER_TOKENS) * price.output) / 1e6
  )
}

/** FNV-1a, 32 bits, with a final mix so that near keys land far apart. */
function hash(text: string): number {
  let h = 2166136261
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Rendezvous hashing with weights: a key moves only when its own target goes (Thaler and Ravishankar 1998). */
function stickyHome(group: readonly Target[], key: string): Target {
  let best = group[0]!
  let bestScore = -Infinity
  for (const target of group) {
    const unit = (hash(`${target.name}\n${key}`) + 1) / 4294967297
    const score = target.weight > 0 ? -target.weight / Math.log(unit) : -1
    if (score > bestScore) {
      bestScore = score
      best = target
    }
  }
  return best
}

/** The key that ties a conversation to a target, or undefined when the request has none. */
export function stickyKey(rule: string, facts: RequestFacts): string | undefined {
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined)
  if (rule.startsWith('header:')) return text(facts.header(rule.slice(7)))
  const body = facts.json()
  if (rule === 'user') return text(body['user']) ?? text(body['safety_identifier'])
  if (rule.startsWith('metadata:'))
    return text((body['metadata'] as Record<string, unknown> | undefined)?.[rule.slice(9)])
  return prefixKey(body)
}

/** What stays the same over the turns of a conversation: everything up to its first user message. */
function prefixKey(body: Readonly<Record<string, unknown>>): string | undefined {
  const explicit = body['prompt_cache_key']
  if (typeof explicit === 'string' && explicit !== '') return explicit
  const messages = body['messages'] ?? body['input'] ?? body['prompt']
  if (typeof messages === 'string') return messages.slice(0, 1024)
  if (!Array.isArray(messages)) return undefined
  const firstUser = messages.findIndex((m) => (m as { role?: unknown } | null)?.role === 'user')
  return JSON.stringify([body['instructions'], messages.slice(0, firstUser < 0 ? 1 : firstUser + 1)])
}
