import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { priceSchema } from '../config/schema-provider.ts'
import { modelPrices, PRESETS } from './index.ts'

const dollars = z.number().positive().max(2000).optional()
const rates = {
  input: z.number().min(0).max(500),
  output: z.number().min(0).max(2000),
  cached_input: dollars,
  cache_write: dollars,
  cache_write_hour: dollars,
  audio_input: dollars,
  audio_output: dollars,
  image_input: dollars,
  image_output: dollars,
  reasoning: dollars,
}
const long = z.array(z.strictObject({ above: z.number().int().min(1000), ...rates })).optional()
const price = z
  .strictObject({
    ...rates,
    long_context: long,
    tiers: z
      .partialRecord(
        z.enum(['flex', 'priority', 'batch']),
        z.union([z.number().min(0.1).max(5), z.strictObject({ ...rates, long_context: long })]),
      )
      .optional(),
    per_search: dollars,
    per_rerank_unit: dollars,
    per_minute: dollars,
  })
  // A row without any price would charge nothing, silently.
  .refine((p) => p.input > 0 || p.per_minute !== undefined || p.per_rerank_unit !== undefined)

const row = z.strictObject({
  provider: z.enum(PRESETS.map(({ name }) => name) as [string, ...string[]]),
  model: z.string().min(1),
  context_window: z.number().int().min(512).max(20_000_000).optional(),
  max_output_tokens: z.number().int().min(512).optional(),
  tools: z.boolean().optional(),
  vision: z.boolean().optional(),
  audio: z.boolean().optional(),
  json_schema: z.literal(true).optional(),
  price: price.optional(),
})

const table = z.strictObject({
  as_of: z.iso.date(),
  source: z.string().min(20),
  unit: z.string().min(10),
  models: z.array(row).min(60),
})

const text = readFileSync(new URL('../../config/models.json', import.meta.url), 'utf8')
const data = table.parse(JSON.parse(text))

test('rows are unique', () => {
  const names = data.models.map(({ provider, model }) => `${provider}/${model}`)
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([])
})

test('numbers hang together', () => {
  const odd = data.models.filter(
    ({ context_window: window, max_output_tokens: output, price: cost }) =>
      (output ?? 0) > (window ?? Infinity) || (cost?.cached_input ?? 0) > (cost?.input ?? 0),
  )
  expect(odd).toEqual([])
})

test('the main providers are there, and almost every model has a price', () => {
  const providers = new Set(data.models.map(({ provider }) => provider))
  for (const name of ['openai', 'anthropic', 'gemini', 'mistral', 'groq', 'deepseek', 'xai', 'cohere']) {
    expect(providers).toContain(name)
  }
  const priced = data.models.filter((model) => model.price !== undefined).length
  expect(priced / data.models.length).toBeGreaterThan(0.9)
})

test('every price could stand in a configuration', () => {
  const odd = data.models.filter(({ price: cost }) => cost !== undefined && !priceSchema.safeParse(cost).success)
  expect(odd).toEqual([])
})

test('a provider type gets its own rows, in the configuration’s form', () => {
  const anthropic = modelPrices('anthropic')
  const rows = data.models.filter((model) => model.provider === 'anthropic' && model.price !== undefined)
  expect(Object.keys(anthropic)).toEqual(rows.map(({ model }) => model))
  const haiku = data.models.find(({ model }) => model === 'claude-haiku-4-5')!.price!
  expect(anthropic['claude-haiku-4-5']).toMatchObject({ input: haiku.input, cacheWrite1h: haiku.cache_write_hour })
  expect(modelPrices('azure')).toEqual(modelPrices('openai'))
  expect(modelPrices('vllm')).toEqual({})
})
