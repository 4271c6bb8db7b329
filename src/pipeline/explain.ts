import type { HeddleConfig, Operation, ProviderConfig } from '../contracts/config.ts'
import type { Plan, Provider, RequestFacts, RouteMatch, Target } from '../contracts/routing.ts'
import type { Upstream } from '../contracts/upstream.ts'
import type { RequestFields } from '../protocol/openai/request.ts'
import type { LimitConfig, LimitRule } from '../contracts/config-limits.ts'
import type { Principal } from '../contracts/identity.ts'
import { Principals } from '../auth/principal.ts'
import { StaticKeys } from '../auth/static-keys.ts'
import { usdText } from '../core/usd.ts'
import { OPERATIONS } from '../protocol/operations.ts'
import { NO_USAGE } from '../protocol/usage.ts'
import { chargeOf, PriceBook, TokenEstimator } from '../usage/index.ts'
import { ANONYMOUS } from '../auth/anonymous.ts'
import { GatewayError } from '../core/errors.ts'
import { readRequest } from '../protocol/openai/request.ts'
import { HealthTable } from '../routing/health.ts'
import { planTargets } from '../routing/plan.ts'
import { compileCondition, RouteTable, upstreamModel } from '../routing/table.ts'
import { clientOf, Translation, wireFor } from './translation.ts'
import { spliceBody, wantsUsage } from './upstream-request.ts'

export interface ExplainRequest {
  readonly operation: Operation
  readonly body: Readonly<Record<string, unknown>>
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** Id of the key that sends it; left out: nobody known. */
  readonly key?: string
}

export interface ExplainedTarget {
  readonly target: string
  readonly model: string
  readonly url: string
  /** Body fields that differ from what the client sent. */
  readonly changed: readonly string[]
  readonly priority: number
  readonly weight: number
  /** US dollars that the call is expected to cost at most; null = no price is known. */
  readonly usd: string | null
}

export interface Explanation {
  readonly text: string
  /** Who asks: the key's id and tenant; null = nobody known. */
  readonly caller: { readonly key: string; readonly tenant: string } | null
  /** What counts the request, such as `per_key (key): 60 requests`. */
  readonly limits: readonly string[]
  readonly route: string | null
  readonly origin: string | null
  readonly strategy: string | null
  readonly note: string
  readonly order: readonly ExplainedTarget[]
  readonly skipped: readonly { readonly target: string; readonly reason: string }[]
  readonly fallbacks: RouteMatch['route']['fallbacks'] | null
  readonly shadows: readonly string[]
  readonly timeouts: RouteMatch['route']['timeouts'] | null
  readonly maxAttempts: number
  readonly error: { readonly code: string; readonly status: number; readonly message: string } | null
  readonly config: string
}

/** The same table and planner as at run time, on fresh health and with nothing to call. */
function offlineTable(config: HeddleConfig): RouteTable {
  const health = new HealthTable(1)
  const nowhere: Upstream = {
    call() {
      throw new Error('explain calls nobody')
    },
    async close() {},
  }
  const provider = (p: ProviderConfig): Provider => ({
    name: p.name,
    config: p,
    upstream: nowhere,
    credentials: null,
    basePath: '',
    query: '',
    jsonHeaders: [],
    streamHeaders: [],
    rawHeaders: [],
  })
  return new RouteTable(config, { provider, health: (_name, rules) => health.slot(0, rules.breaker) })
}

/** What would become of a request, without sending anything. Draws (weights, canaries) take the middle: 0.5. */
export function explainRequest(config: HeddleConfig, request: ExplainRequest): Explanation {
  const table = offlineTable(config)
  let match: RouteMatch | null = null
  const who: Who = { caller: null, limits: [] }
  try {
    const principal = principalOf(config, request.key)
    if (principal !== ANONYMOUS) who.caller = { key: principal.keyId, tenant: principal.tenant }
    const fields = readRequest(request.operation, Buffer.from(JSON.stringify(request.body)), {
      depth: config.server.limits.jsonDepth,
      keys: config.server.limits.jsonKeys,
    })
    const facts = factsOf(request, fields, principal)
    const denial = principal.access.request(facts)
    if (denial !== null)
      throw new GatewayError(
        'permission_denied',
        `This caller may not send this request: ${denial.rule}: ${denial.reason}.`,
      )
    match = table.match(fields.model)
    if (match === null) throw new GatewayError('model_not_found', `The model '${fields.model}' does not exist.`)
    who.limits = limitsOf(config, facts)
    const plan = planTargets({
      route: match.route,
      facts,
      asked: match.asked,
      now: 0,
      random: () => 0.5,
      uncarried: uncarriedBy(request.operation, fields, match.route.unsupported),
    })
    return withText({
      ...describe(match, config),
      ...who,
      note: plan.note,
      order: explainOrder(plan, match, { config, request, fields }),
      skipped: plan.skipped.map((s) => ({ target: s.target.name, reason: s.reason })),
      error: null,
    })
  } catch (error) {
    const e = GatewayError.from(error)
    if (e.code === 'internal') throw error
    return withText({
      ...describe(match, config),
      ...who,
      note: '',
      order: [],
      skipped: skippedOf(e),
      error: { code: e.publicCode, status: e.status, message: e.message },
    })
  }
}

interface Who {
  caller: Explanation['caller']
  limits: readonly string[]
}

/** Throws GatewayError when no key has the id. */
function principalOf({ auth, tenants }: HeddleConfig, key: string | undefined): Principal {
  if (key === undefined) return ANONYMOUS
  const found = auth?.keys.find(({ id }) => id === key)
  if (auth === null || found === undefined) throw new GatewayError('invalid_request', `No key has the id '${key}'.`)
  const keys = new StaticKeys([found], new Principals(auth.roles, tenants))
  return keys.find(Buffer.from(found.hashes[0]!.sha256, 'hex').toString('latin1'))!.principal
}

/** What is configured to count such a request; what a key or tenant carries itself included. */
function limitsOf(config: HeddleConfig, facts: RequestFacts): string[] {
  const { principal } = facts
  const shown = (name: string, per: string, rules: readonly LimitRule[]): string[] =>
    rules.map((rule) => `${name} (${per}): ${rule.amount} ${rule.unit}${periodText(rule)}`)
  const tenant = config.tenants.find(({ name }) => name === principal.tenant)
  const applies = ({ when }: LimitConfig): boolean => when === null || compileCondition(when).evaluate(facts)
  return [
    ...config.limits
      .filter(applies)
      .flatMap(({ name, per, rules, shadow }) =>
        shown(shadow ? `${name}, not enforced` : name, per.map((scope) => scope.kind).join(', ') || 'all', rules),
      ),
    ...shown('carried by the key', 'key', principal.limits),
    ...shown('carried by the tenant', 'tenant', tenant?.limits ?? []),
  ]
}

function periodText({ period }: LimitRule): string {
  if (period.kind === 'open') return ' at a time'
  return period.kind === 'sliding' ? ` in ${period.windowMs / 1000} s` : ` a ${period.unit} (${period.zone})`
}

function factsOf(request: ExplainRequest, fields: RequestFields, principal: Principal): RequestFacts {
  return {
    principal,
    operation: request.operation,
    model: fields.model,
    stream: fields.stream,
    needs: fields,
    header: (name) => request.headers[name],
    headers: () => request.headers,
    json: () => fields.json,
  }
}

function describe(
  match: RouteMatch | null,
  config: HeddleConfig,
): Omit<Explanation, 'text' | 'caller' | 'limits' | 'note' | 'order' | 'skipped' | 'error'> {
  const route = match?.route ?? null
  return {
    route: route?.name ?? null,
    origin: route?.origin ?? null,
    strategy: route?.strategy ?? null,
    fallbacks: route?.fallbacks ?? null,
    shadows: route?.shadows.map((t) => t.name) ?? [],
    timeouts: route?.timeouts ?? null,
    maxAttempts: route?.retries.maxAttempts ?? 0,
    config: config.hash,
  }
}

function explainOrder(
  plan: Plan,
  match: RouteMatch,
  { config, request, fields }: { config: HeddleConfig; request: ExplainRequest; fields: RequestFields },
): ExplainedTarget[] {
  const book = new PriceBook(config.usage)
  const tokens = new TokenEstimator().estimate('', fields.textBytes, fields.maxTokens)
  return plan.order.map((target: Target) => {
    const model = upstreamModel(target, match)
    const { path, changed } = explainCall(request, fields, target, model, match.route.unsupported)
    const { nanoUsd, priced } = chargeOf(book.priceOf(target, model), { ...NO_USAGE, ...tokens })
    return {
      target: target.name,
      model,
      url: `${target.provider.config.baseUrl}${path}`,
      changed,
      priority: target.priority,
      weight: target.weight,
      usd: priced ? usdText(nanoUsd) : null,
    }
  })
}

/** The request in no vendor's words, where it has a dialect that can be read. */
function translationOf(operation: Operation, fields: RequestFields): Translation | null {
  const client = clientOf(operation)
  return client === null ? null : new Translation(client, fields, 'explain', 0)
}

const uncarriedBy = (operation: Operation, fields: RequestFields, unsupported: 'refuse' | 'drop') => {
  let translation: Translation | null | undefined
  return (target: Target): string | null => {
    const wire = wireFor(target.provider, operation)
    if (wire === null) return null
    translation ??= translationOf(operation, fields)
    return translation?.uncarried(wire, unsupported) ?? null
  }
}

/** Where a call would go, and what of the request is not as the client sent it. */
function explainCall(
  request: ExplainRequest,
  fields: RequestFields,
  target: Target,
  model: string,
  unsupported: 'refuse' | 'drop',
): { readonly path: string; readonly changed: readonly string[] } {
  const { operation, body } = request
  const wire = wireFor(target.provider, operation)
  if (wire !== null) {
    const dropped = translationOf(operation, fields)?.to(wire, target, model, unsupported).dropped ?? []
    const path = operation === 'embeddings' ? wire.embed!.path(model) : wire.path(model, fields.stream)
    return { path, changed: [`the request as ${wire.dialect}`, ...dropped.map((name) => `no ${name}`)] }
  }
  const includeUsage = wantsUsage(operation, fields.stream, target, fields)
  const sent = JSON.parse(spliceBody(fields, model, includeUsage).toString()) as Record<string, unknown>
  const changed = Object.keys(sent).filter((key) => JSON.stringify(sent[key]) !== JSON.stringify(body[key]))
  return {
    path: target.provider.config.paths[operation] ?? OPERATIONS[operation].path,
    changed: changed.map((key) => `${key}: ${JSON.stringify(sent[key])}`),
  }
}

/** The planner lists the reasons in the error's detail when nothing is left. */
const skippedOf = (error: GatewayError): Explanation['skipped'] =>
  (error.detail ?? '')
    .split('; ')
    .filter((part) => part.includes(': '))
    .map((part) => ({ target: part.slice(0, part.indexOf(': ')), reason: part.slice(part.indexOf(': ') + 2) }))

function withText(e: Omit<Explanation, 'text'>): Explanation {
  const lines: string[] = []
  if (e.caller !== null)
    lines.push(`caller     key ${e.caller.key}${e.caller.tenant === '' ? '' : ` of tenant ${e.caller.tenant}`}`)
  if (e.route === null) lines.push('route      none')
  else
    lines.push(
      `route      ${e.route} (${e.origin === 'models' ? 'models entry' : e.origin === 'pattern' ? 'model pattern of the provider' : e.origin === 'provider' ? 'provider/model' : 'no configuration: simulated'})`,
      `strategy   ${e.strategy}${e.note === '' || e.note === e.strategy ? '' : `, ${e.note}`}`,
    )
  if (e.error !== null) lines.push(`refused    ${e.error.status} ${e.error.code}: ${e.error.message}`)
  e.order.forEach((t, i) => {
    lines.push(
      `${`target ${i + 1}`.padEnd(11)}${t.target} as ${t.model}  ${t.url}  (priority ${t.priority}, weight ${t.weight}, ${t.usd === null ? 'price unknown' : `about $${t.usd} at most`})`,
    )
    for (const change of t.changed) lines.push(`           sends ${change}`)
  })
  for (const limit of e.limits) lines.push(`limit      ${limit}`)
  for (const s of e.skipped) lines.push(`skipped    ${s.target}: ${s.reason}`)
  for (const shadow of e.shadows) lines.push(`shadow     ${shadow}`)
  const fallbacks = e.fallbacks === null ? [] : Object.entries(e.fallbacks).filter(([, names]) => names.length > 0)
  for (const [kind, names] of fallbacks) lines.push(`fallback   ${kind}: ${names.join(', ')}`)
  if (e.timeouts !== null)
    lines.push(
      `timers     connect ${e.timeouts.connectMs} ms, first token ${e.timeouts.firstTokenMs} ms, idle ${e.timeouts.idleMs} ms, attempt ${e.timeouts.attemptMs} ms, total ${e.timeouts.totalMs} ms; at most ${e.maxAttempts} attempts`,
    )
  return { ...e, text: lines.join('\n') }
}
