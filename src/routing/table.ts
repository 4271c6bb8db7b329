import type { HeddleConfig, ModelConfig, ProviderConfig, TargetConfig } from '../contracts/config.ts'
import type { Condition, Provider, Route, RouteMatch, Target } from '../contracts/routing.ts'
import type { TargetHealth } from './health.ts'
import { variablesOf } from '../protocol/facts.ts'
import { compileExpression } from '../core/expression.ts'

/** What compiling needs from outside: shared connections and shared health, by name. */
export interface TableParts {
  provider(config: ProviderConfig): Provider
  health(target: string, route: Route | ModelConfig | HeddleConfig['defaults']): TargetHealth
}

interface Pattern {
  readonly prefix: string
  readonly suffix: string
  readonly route: Route
}

const SIM = 'sim'

/** Public model names -> routes. Immutable; a reload builds a new one. */
export class RouteTable {
  readonly #exact = new Map<string, RouteMatch>()
  readonly #patterns: Pattern[] = []
  readonly #byProvider = new Map<string, Route>()
  readonly #simulated: Route | null
  /** All routes of `models`, then one a provider. */
  readonly routes: readonly Route[]
  readonly providers: readonly Provider[]

  constructor(config: HeddleConfig, parts: TableParts) {
    const providers = new Map(config.providers.map((p) => [p.name, parts.provider(p)]))
    this.providers = [...providers.values()]
    const routes: Route[] = []
    for (const model of config.models) {
      const route = compileModel(model, providers, parts)
      routes.push(route)
      for (const name of [model.name, ...model.aliases]) this.#add(name, route)
    }
    for (const provider of this.providers) {
      const route = providerRoute(provider, config, parts)
      routes.push(route)
      this.#byProvider.set(provider.name, route)
      for (const pattern of provider.config.modelPatterns)
        this.#add(pattern, { ...route, name: provider.name, origin: 'pattern' })
    }
    const sim = config.zeroConfig ? this.#byProvider.get(SIM) : undefined
    this.#simulated = sim === undefined ? null : { ...sim, origin: 'simulated' }
    // The longest literal part wins, so that `gpt-4*` beats `gpt-*`; entries before patterns of providers stay first.
    this.#patterns.sort(
      (a, b) =>
        Number(b.route.origin === 'models') - Number(a.route.origin === 'models') ||
        b.prefix.length + b.suffix.length - a.prefix.length - a.suffix.length,
    )
    this.routes = routes
  }

  #add(name: string, route: Route): void {
    const star = name.indexOf('*')
    if (star < 0) {
      if (!this.#exact.has(name)) this.#exact.set(name, { route, asked: name, wildcard: '' })
    } else this.#patterns.push({ prefix: name.slice(0, star), suffix: name.slice(star + 1), route })
  }

  /** Exact names and aliases, then wildcards, then `provider/model`; null = model_not_found. */
  match(model: string): RouteMatch | null {
    const exact = this.#exact.get(model)
    if (exact !== undefined) return exact
    for (const { prefix, suffix, route } of this.#patterns) {
      if (model.length >= prefix.length + suffix.length && model.startsWith(prefix) && model.endsWith(suffix)) {
        return { route, asked: model, wildcard: model.slice(prefix.length, model.length - suffix.length) }
      }
    }
    const slash = model.indexOf('/')
    const named = slash > 0 ? this.#byProvider.get(model.slice(0, slash)) : undefined
    if (named !== undefined && slash < model.length - 1)
      return { route: { ...named, origin: 'provider' }, asked: model, wildcard: model.slice(slash + 1) }
    return this.#simulated === null ? null : { route: this.#simulated, asked: model, wildcard: '' }
  }

  /** The route of requests that name no model: the provider asked for by name, else the first that takes any path. */
  defaultRoute(provider: string | undefined): Route | null {
    if (provider !== undefined) return this.#byProvider.get(provider) ?? null
    const first = this.providers.find((p) => p.config.operations.includes('passthrough'))
    return first === undefined ? null : this.#byProvider.get(first.name)!
  }

  /** Names for `GET /v1/models`: entries and aliases without wildcards. */
  get names(): readonly string[] {
    return [...this.#exact.keys()]
  }
}

function compileModel(model: ModelConfig, providers: ReadonlyMap<string, Provider>, parts: TableParts): Route {
  const all = model.targets.map((t) => compileTarget(t, providers.get(t.provider)!, model, parts))
  return {
    ...pickDefaults(model),
    name: model.name,
    origin: 'models',
    strategy: model.strategy,
    sticky: model.sticky?.by ?? null,
    targets: all.filter((t) => t.shadow === 0),
    shadows: all.filter((t) => t.shadow > 0),
    fallbacks: model.fallbacks,
  }
}

function pickDefaults(from: HeddleConfig['defaults']): HeddleConfig['defaults'] {
  const { timeouts, retries, breaker, commit, hedge, continuation, unsupported, cache } = from
  return { timeouts, retries, breaker, commit, hedge, continuation, unsupported, cache }
}

function compileTarget(t: TargetConfig, provider: Provider, model: ModelConfig, parts: TableParts): Target {
  const name = `${t.provider}/${t.model ?? '*'}`
  return {
    name,
    headerName: headerSafe(name),
    provider,
    model: t.model,
    weight: t.weight,
    priority: t.priority,
    when: t.when === null ? null : compileCondition(t.when),
    capabilities: { ...provider.config.capabilities, ...definedOnly(t.capabilities) },
    price: t.price,
    canary: t.canary ?? 0,
    shadow: t.shadow ?? 0,
    health: parts.health(name, model),
  }
}

const headerSafe = (text: string): string => text.replace(/[^\x21-\x7e]/g, '?')

const definedOnly = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T

function providerRoute(provider: Provider, config: HeddleConfig, parts: TableParts): Route {
  const name = `${provider.name}/*`
  const target: Target = {
    name,
    headerName: headerSafe(name),
    provider,
    model: '*',
    weight: 1,
    priority: 0,
    when: null,
    capabilities: provider.config.capabilities,
    price: null,
    canary: 0,
    shadow: 0,
    health: parts.health(name, config.defaults),
  }
  return {
    ...pickDefaults(config.defaults),
    name,
    origin: 'provider',
    strategy: 'priority',
    sticky: null,
    targets: [target],
    shadows: [],
    fallbacks: { any: [], contextWindow: [], contentPolicy: [] },
  }
}

/** A CEL condition over requests. */
export function compileCondition(source: string): Condition {
  const compiled = compileExpression(source)
  // The loader has compiled it before, with its place in the file: this is only reached by a fault of ours.
  if (!compiled.ok) throw new Error(`condition does not compile: ${compiled.message}`)
  const { expression } = compiled
  return {
    source,
    evaluate: (facts) => expression.evaluate(variablesOf(facts, expression.needsBody)),
  }
}

/** Upstream model name for a request: the target's, its `*` filled, or the public name that was asked for. */
export function upstreamModel(target: Target, match: RouteMatch): string {
  if (target.model === null) return match.asked
  if (!target.model.includes('*')) return target.model
  // A provider pattern such as `gpt-*` names the provider's own models: the whole name goes on, not what `*` stood for.
  if (match.route.origin === 'pattern' || match.route.origin === 'simulated') return match.asked
  return target.model.replace('*', match.wildcard)
}
