import { resolve } from 'node:path'
import type { CacheConfig, EmbedderConfig, RouteCache } from '../contracts/config-cache.ts'
import type { Build } from './build.ts'
import { toKeys } from './encryption-keys.ts'
import type { Path } from './problem.ts'
import type { ParsedConfig } from './schema.ts'
import type { ModelObject } from './schema-model.ts'

type Raw = NonNullable<ParsedConfig['cache']>

const MIN_BYTES = 1024 * 1024
const DEFAULT_BOUND = 0.01

function boundOf(
  { max_wrong_per_request: request, max_wrong_per_hit: hit, confidence }: Partial<Raw>,
  path: Path,
  { map, problems }: Build,
): RouteCache['bound'] {
  const report = (field: string, message: string): void => {
    problems.push(map.problem([...path, field], message))
  }
  if (request !== undefined && hit !== undefined)
    report('max_wrong_per_hit', 'stands beside `max_wrong_per_request`: one of them is kept, not both')
  for (const [field, value] of Object.entries({ max_wrong_per_request: request, max_wrong_per_hit: hit, confidence }))
    if (value !== undefined && (value <= 0 || value >= 1)) report(field, 'must be more than 0% and less than 100%')
  return hit === undefined
    ? { measure: 'wrong_per_request', bound: request ?? DEFAULT_BOUND, confidence: confidence! }
    : { measure: 'wrong_per_hit', bound: hit, confidence: confidence! }
}

/** What a model says goes before what holds for all; of the two error rates a model names, the other one falls away. */
function merged(base: Raw, own: Exclude<ModelObject['cache'], string | undefined>): Raw {
  const { max_wrong_per_request: request, max_wrong_per_hit: hit, ...rest } = base
  const says = own.max_wrong_per_request !== undefined || own.max_wrong_per_hit !== undefined
  const bounds = {
    ...(request === undefined ? {} : { max_wrong_per_request: request }),
    ...(hit === undefined ? {} : { max_wrong_per_hit: hit }),
  }
  const given = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined))
  return { ...rest, ...(says ? {} : bounds), ...given }
}

/** own: what the model says; undefined = nothing. null = its answers are not kept. */
export function routeCache(own: ModelObject['cache'], path: Path, build: Build): RouteCache | null {
  const { parsed, map, problems } = build
  const base = parsed.cache
  if (base === undefined) {
    if (own !== undefined && own !== 'off') problems.push(map.problem(path, 'needs a `cache` section', 'key'))
    return null
  }
  const raw = own === undefined ? base : typeof own === 'string' ? { ...base, mode: own } : merged(base, own)
  const bound = boundOf(raw, path, build)
  if (raw.ttl < 1000) problems.push(map.problem([...path, 'ttl'], 'must be at least 1s'))
  if (raw.mode === 'off') return null
  return {
    mode: raw.mode,
    scope: raw.scope,
    ttlMs: raw.ttl,
    maxTemperature: raw.max_temperature,
    tokensPerSecond: raw.replay_tokens_per_second,
    bound,
    timeWordsTtlMs: raw.time_words_ttl,
  }
}

function embedderOf({ semantic: { embedder } }: Raw, { parsed, map, problems }: Build): EmbedderConfig {
  if (embedder === 'table') return { kind: 'table' }
  if ('minilm' in embedder) return { kind: 'minilm', path: resolve(embedder.minilm) }
  const { provider, model, dimensions } = embedder
  const path: Path = ['cache', 'semantic', 'embedder', 'provider']
  const entry = parsed.providers?.[provider]
  if (entry === undefined) problems.push(map.problem(path, `there is no provider ${map.show(path, provider)}`))
  else if (entry?.credentials !== undefined)
    problems.push(map.problem(path, 'must have an `api_key`, or none: other credentials are not for embeddings here'))
  return { kind: 'remote', provider, model, dimensions }
}

/** routes: all that may keep answers. */
export function toCache(build: Build, routes: readonly { readonly cache: RouteCache | null }[]): CacheConfig | null {
  const { parsed, map, problems } = build
  const raw = parsed.cache
  if (raw === undefined) return null
  const report = (path: Path, message: string): void => {
    problems.push(map.problem(['cache', ...path], message))
  }
  const embedder = embedderOf(raw, build)
  const keys = toKeys(raw.redis?.encryption_key, ['cache', 'redis', 'encryption_key'], build)
  if (raw.max_bytes < MIN_BYTES) report(['max_bytes'], 'must be at least 1MiB')
  if (raw.semantic.max_bytes < MIN_BYTES) report(['semantic', 'max_bytes'], 'must be at least 1MiB')
  if (raw.max_entry > raw.max_bytes) report(['max_entry'], 'is more than `max_bytes`')
  if (raw.redis !== undefined && parsed.ledger?.redis === undefined)
    report(['redis'], 'needs `ledger.redis`, which says where Redis is')
  const used = routes.flatMap(({ cache }) => cache ?? [])
  if (used.length === 0) return null
  return {
    maxBytes: raw.max_bytes,
    maxEntryBytes: raw.max_entry,
    singleFlight: raw.single_flight,
    clientControl: raw.client_control,
    semantic: used.every(({ mode }) => mode === 'exact')
      ? null
      : {
          embedder,
          maxQuestionBytes: raw.semantic.max_question,
          maxBytes: raw.semantic.max_bytes,
          maxEntries: raw.semantic.max_entries,
          insertsPerMinute: raw.semantic.inserts_per_minute,
        },
    redis: raw.redis === undefined ? null : { budgetMs: raw.redis.budget, keys },
    snapshot: raw.snapshot === undefined ? null : resolve(raw.snapshot),
  }
}
