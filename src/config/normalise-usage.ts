import { resolve } from 'node:path'
import type { Price, ProviderConfig } from '../contracts/config.ts'
import type { UsageConfig } from '../contracts/config-usage.ts'
import type { Build } from './build.ts'
import { toPrice } from './price.ts'
import { usageSchema } from './schema-usage.ts'

/** What is known of a provider type's models: model to price. */
export type PriceTable = (providerType: string) => Readonly<Record<string, Price>>

/** The rows of the provider types in use: what the serving process needs of config/models.json, and no more. */
export const knownPrices = (
  providers: readonly ProviderConfig[],
  table: PriceTable | undefined,
): Readonly<Record<string, Readonly<Record<string, Price>>>> => {
  if (table === undefined) return {}
  const types = [...new Set(providers.map((provider) => provider.type))]
  const rows = types.map((type) => [type, table(type)] as const)
  return Object.fromEntries(rows.filter(([, prices]) => Object.keys(prices).length > 0))
}

const DEFAULTS = usageSchema.unwrap().parse({})

export const toUsage = (build: Build, known: UsageConfig['known'] = {}): UsageConfig => {
  const { parsed, map, problems } = build
  const raw = parsed.usage ?? DEFAULTS
  const { file, otlp, redis } = raw.records ?? {}
  if (redis !== undefined && parsed.ledger?.redis === undefined)
    problems.push(map.problem(['usage', 'records', 'redis'], 'needs `ledger.redis`, which holds the stream', 'key'))
  return {
    overrides: Object.entries(raw.prices ?? {}).map(([pattern, price]) => ({ pattern, price: toPrice(price) })),
    known,
    unknownPrice: raw.unknown_price,
    assumedPrice: raw.assumed_price,
    costHeader: raw.cost_header,
    records: {
      file: file === undefined ? null : { path: resolve(file.path), rotateBytes: file.rotate },
      otlp: otlp === undefined ? null : { url: otlp.url, headers: otlp.headers ?? {} },
      redis: redis === undefined ? null : { stream: redis.stream, maxLength: redis.max_length },
    },
  }
}
