import type {
  Capabilities,
  HedgeConfig,
  ModelConfig,
  ModelFacts,
  Price,
  ProviderConfig,
  RouteDefaults,
  ServerConfig,
  TargetConfig,
} from '../contracts/config.ts'
import { toPolicyService } from './normalise-policy.ts'
import { toPrice } from './price.ts'
import type { PriceInput } from './price.ts'
import type { Path } from './problem.ts'
import type { ParsedConfig } from './schema.ts'
import type { FallbacksInput, ModelEntry, ModelObject, TargetInput } from './schema-model.ts'
import type { defaultsSchema } from './schema-route.ts'
import type { z } from 'zod'

type Defaults = z.output<typeof defaultsSchema>
type RawCapabilities = NonNullable<NonNullable<ParsedConfig['providers']>[string]>['capabilities']

/** Facts about a model by provider type and upstream name; undefined = unknown. */
export type FactsLookup = (providerType: string, model: string) => ModelFacts | undefined

/** The operator's price for a model of a provider, by the provider's name; null = none. */
export type PriceLookup = (provider: string, model: string) => Price | null

/** A model and where each of its targets stands, for messages. */
export interface PlacedModel {
  readonly config: ModelConfig
  readonly path: Path
  readonly targetPaths: readonly Path[]
  readonly fallbackPaths: readonly { readonly name: string; readonly path: Path }[]
}

export const toServer = (server: ParsedConfig['server']): ServerConfig => ({
  host: server.host,
  port: server.port,
  adminHost: server.admin_host,
  adminPort: server.admin_port,
  workers: server.workers,
  insecure: server.insecure,
  tls:
    server.tls === undefined
      ? null
      : {
          port: server.tls.port,
          cert: server.tls.cert ?? '',
          key: server.tls.key ?? '',
          clientCa: server.tls.client_ca ?? null,
          svid: server.tls.svid,
          clientCert: server.tls.client_cert,
        },
  policy: toPolicyService(server),
  adminToken: server.admin_token ?? null,
  limits: {
    body: server.limits.body,
    decompressedBody: server.limits.decompressed_body,
    headerBytes: server.limits.header_bytes,
    headerCount: server.limits.header_count,
    headerTimeoutMs: server.limits.header_timeout,
    bodyTimeoutMs: server.limits.body_timeout,
    clientStallMs: server.limits.client_stall,
    jsonDepth: server.limits.json_depth,
    jsonKeys: server.limits.json_keys,
    responseBody: server.limits.response_body,
    sseEvent: server.limits.sse_event,
  },
  shed: { maxInflight: server.shed.max_inflight, maxLoopDelayMs: server.shed.max_loop_delay },
  drain: { propagationMs: server.drain.propagation, maxMs: server.drain.max },
  requiredModels: server.readiness.require ?? [],
  heartbeatMs: server.heartbeat,
  keepAliveMs: server.keep_alive,
  serverTiming: server.server_timing,
  log: server.log,
})

const toHedge = (hedge: Defaults['hedge']): HedgeConfig | null =>
  hedge === null
    ? null
    : { afterMs: hedge.after, maxShare: hedge.max_share, maxCostPerMinute: hedge.max_cost_per_minute }

export const toDefaults = (d: Defaults, cache: RouteDefaults['cache']): RouteDefaults => ({
  timeouts: {
    connectMs: d.timeouts.connect,
    firstTokenMs: d.timeouts.first_token,
    idleMs: d.timeouts.idle,
    attemptMs: d.timeouts.attempt,
    totalMs: d.timeouts.total,
  },
  retries: {
    maxAttempts: d.retries.max_attempts,
    perTarget: d.retries.per_target,
    statuses: [...new Set(d.retries.statuses)].sort((a, b) => a - b),
    backoff: { baseMs: d.retries.backoff.base, maxMs: d.retries.backoff.max },
    maxRetryAfterMs: d.retries.max_retry_after,
    budget: { ratio: d.retries.budget.ratio, minPerSecond: d.retries.budget.min_per_second },
  },
  breaker: {
    enabled: d.breaker.enabled,
    consecutiveFailures: d.breaker.consecutive_failures,
    failureRatio: d.breaker.failure_ratio,
    minRequests: d.breaker.min_requests,
    windowMs: d.breaker.window,
    baseEjectionMs: d.breaker.base_ejection,
    maxEjectionMs: d.breaker.max_ejection,
    maxEjectedShare: d.breaker.max_ejected_share,
    deadKeyMs: d.breaker.dead_key,
  },
  commit: { maxBytes: d.commit.max_bytes, maxMs: d.commit.max_wait },
  hedge: toHedge(d.hedge),
  continuation: d.continuation,
  unsupported: d.unsupported,
  cache,
})

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `over` wins field by field; lists are replaced whole. */
const merge = (base: unknown, over: unknown): unknown => {
  if (over === undefined) return base
  if (!isPlainObject(base) || !isPlainObject(over)) return over
  const result: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(over)) result[key] = merge(base[key], value)
  return result
}

const effectiveDefaults = (defaults: Defaults, model: ModelObject, hedgeDefaults: NonNullable<Defaults['hedge']>) => {
  const { timeouts, retries, breaker, commit, continuation, unsupported } = model
  const merged = merge(defaults, { timeouts, retries, breaker, commit, continuation, unsupported }) as Defaults
  const hedge =
    model.hedge === undefined || model.hedge === null
      ? model.hedge
      : (merge(defaults.hedge ?? hedgeDefaults, model.hedge) as Defaults['hedge'])
  return { ...merged, hedge: hedge === undefined ? defaults.hedge : hedge }
}

export const toCapabilities = (raw: RawCapabilities): Capabilities => {
  if (raw === undefined) return {}
  const all: Capabilities = {
    tools: raw.tools,
    vision: raw.vision,
    audio: raw.audio,
    jsonSchema: raw.json_schema,
    streaming: raw.streaming,
    contextWindow: raw.context_window,
    maxOutputTokens: raw.max_output_tokens,
  }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}

interface TargetContext {
  readonly modelName: string
  readonly ordered: boolean
  readonly providers: ReadonlyMap<string, ProviderConfig>
  readonly facts: FactsLookup
  readonly prices: PriceLookup
}

const splitTarget = (text: string): { readonly provider: string; readonly model: string | undefined } => {
  const slash = text.indexOf('/')
  return slash < 0
    ? { provider: text, model: undefined }
    : { provider: text.slice(0, slash), model: text.slice(slash + 1) }
}

/** The operator's price: the target's own, else one of `usage.prices`. */
const priceOf = (own: PriceInput | undefined, provider: string, model: string | null, context: TargetContext) => {
  if (own !== undefined) return toPrice(own)
  return model === null ? null : context.prices(provider, model)
}

const toTarget = (input: TargetInput, index: number, context: TargetContext): TargetConfig => {
  const raw = typeof input === 'string' ? { weight: 1, ...splitTarget(input) } : input
  const long: Partial<Exclude<TargetInput, string>> = typeof input === 'string' ? {} : input
  // A pattern's model is known per request only; an ordinary model without one has its public name upstream.
  const model = raw.model ?? (context.modelName.includes('*') ? null : context.modelName)
  const provider = context.providers.get(raw.provider)
  const concrete = model === null || model.includes('*') ? null : model
  const known = provider === undefined || concrete === null ? undefined : context.facts(provider.type, concrete)
  return {
    provider: raw.provider,
    model,
    weight: raw.weight,
    priority: long.priority ?? (context.ordered ? index : 0),
    when: long.when ?? null,
    capabilities: { ...known?.capabilities, ...provider?.capabilities, ...toCapabilities(long.capabilities) },
    price: priceOf(long.price, raw.provider, concrete, context) ?? known?.price ?? null,
    canary: long.canary ?? null,
    shadow: long.shadow ?? null,
  }
}

const toFallbacks = (raw: FallbacksInput | undefined, path: Path) => {
  const list = (names: readonly string[] | undefined, at: Path) =>
    (names ?? []).map((name, i) => ({ name, path: [...at, i] as Path }))
  const long = Array.isArray(raw) || raw === undefined ? { any: undefined } : raw
  const any = Array.isArray(raw) ? list(raw, [...path, 'fallbacks']) : list(long.any, [...path, 'fallbacks', 'any'])
  const contextWindow = list('context_window' in long ? long.context_window : undefined, [
    ...path,
    'fallbacks',
    'context_window',
  ])
  const contentPolicy = list('content_policy' in long ? long.content_policy : undefined, [
    ...path,
    'fallbacks',
    'content_policy',
  ])
  const names = (entries: readonly { name: string }[]) => entries.map((entry) => entry.name)
  return {
    paths: [...any, ...contextWindow, ...contentPolicy],
    config: { any: names(any), contextWindow: names(contextWindow), contentPolicy: names(contentPolicy) },
  }
}

/** A scheme-wide lower-case for header names, so that the request path compares bytes. */
const toSticky = (by: string | undefined): ModelConfig['sticky'] => {
  if (by === undefined) return null
  return { by: by.startsWith('header:') ? by.toLowerCase() : by }
}

export interface ModelContext {
  readonly defaults: Defaults
  readonly hedgeDefaults: NonNullable<Defaults['hedge']>
  readonly providers: ReadonlyMap<string, ProviderConfig>
  readonly facts: FactsLookup
  readonly prices: PriceLookup
  /** What a model says of the cache, or what holds for all. */
  cacheOf(own: ModelObject['cache'], path: Path): RouteDefaults['cache']
}

/** The long form that every short form stands for. */
const expand = (entry: ModelEntry): { readonly model: ModelObject; readonly at: (index: number) => Path } => {
  if (typeof entry === 'string') return { model: { targets: [entry], strategy: 'priority' }, at: () => [] }
  if (Array.isArray(entry)) return { model: { targets: entry, strategy: 'priority' }, at: (index) => [index] }
  return { model: entry, at: (index) => ['targets', index] }
}

export const toModel = (name: string, entry: ModelEntry, context: ModelContext): PlacedModel => {
  const path: Path = ['models', name]
  const { model, at } = expand(entry)
  const targetContext = {
    modelName: name,
    ordered: model.strategy === 'priority',
    providers: context.providers,
    facts: context.facts,
    prices: context.prices,
  }
  const fallbacks = toFallbacks(model.fallbacks, path)
  return {
    config: {
      name,
      aliases: [...new Set(model.aliases ?? [])],
      strategy: model.strategy,
      sticky: toSticky(model.sticky),
      targets: model.targets.map((target, index) => toTarget(target, index, targetContext)),
      fallbacks: fallbacks.config,
      ...toDefaults(
        effectiveDefaults(context.defaults, model, context.hedgeDefaults),
        context.cacheOf(model.cache, [...path, 'cache']),
      ),
    },
    path,
    targetPaths: model.targets.map((_, index) => [...path, ...at(index)]),
    fallbackPaths: fallbacks.paths,
  }
}
