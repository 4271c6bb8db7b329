import type { PriceOverride } from '../contracts/config-usage.ts'
import type { CallRates, Price, TokenRates } from '../contracts/config.ts'

/** A price as it stands in YAML and in config/models.json. */
export interface PriceInput extends RatesInput {
  readonly long_context?: readonly LongInput[] | undefined
  readonly tiers?: Readonly<Record<string, number | CallInput>> | undefined
  readonly per_request?: number | undefined
  readonly per_search?: number | undefined
  readonly per_rerank_unit?: number | undefined
  readonly per_image?: number | undefined
  readonly per_minute?: number | undefined
  readonly per_million_characters?: number | undefined
}

interface RatesInput {
  readonly input: number
  readonly output: number
  readonly cached_input?: number | undefined
  readonly cache_write?: number | undefined
  readonly cache_write_hour?: number | undefined
  readonly audio_input?: number | undefined
  readonly audio_output?: number | undefined
  readonly image_input?: number | undefined
  readonly image_output?: number | undefined
  readonly reasoning?: number | undefined
}

interface LongInput extends RatesInput {
  readonly above: number
}

interface CallInput extends RatesInput {
  readonly long_context?: readonly LongInput[] | undefined
}

/** Without the fields that are not said: prices are compared and printed. */
const said = <T extends object>(value: T): T =>
  Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as T

const toRates = (raw: RatesInput): TokenRates =>
  said({
    input: raw.input,
    output: raw.output,
    cachedInput: raw.cached_input,
    cacheWrite5m: raw.cache_write,
    cacheWrite1h: raw.cache_write_hour,
    audioInput: raw.audio_input,
    audioOutput: raw.audio_output,
    imageInput: raw.image_input,
    imageOutput: raw.image_output,
    reasoning: raw.reasoning,
  })

const toCallRates = (raw: CallInput): CallRates =>
  said({
    ...toRates(raw),
    longContext: raw.long_context?.map((step) => ({ above: step.above, ...toRates(step) })),
  })

export const toPrice = (raw: PriceInput): Price =>
  said({
    ...toCallRates(raw),
    tiers:
      raw.tiers === undefined
        ? undefined
        : Object.fromEntries(
            Object.entries(raw.tiers).map(([name, tier]) => [
              name,
              typeof tier === 'number' ? tier : toCallRates(tier),
            ]),
          ),
    perRequest: raw.per_request,
    perSearch: raw.per_search,
    perRerankUnit: raw.per_rerank_unit,
    perImage: raw.per_image,
    perMinute: raw.per_minute,
    perMillionCharacters: raw.per_million_characters,
  })

/** `*` stands for any text, also for none; everything else for itself. */
export function fitsPattern(pattern: string, text: string): boolean {
  const parts = pattern.split('*')
  const start = parts[0]!
  const end = parts[parts.length - 1]!
  if (parts.length === 1) return pattern === text
  if (text.length < start.length + end.length || !text.startsWith(start) || !text.endsWith(end)) return false
  let at = start.length
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return at <= text.length - end.length
}

/** Price of `provider/model` among overrides; null = none fits. */
export const overrideFor = (overrides: readonly PriceOverride[], name: string): Price | null =>
  overrides.find(({ pattern }) => fitsPattern(pattern, name))?.price ?? null
