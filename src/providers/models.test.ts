import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { PRESETS } from './index.ts'

const price = z.strictObject({
  input: z.number().positive().max(500),
  output: z.number().min(0).max(2000),
  cached_input: z.number().positive().optional(),
})

const row = z.strictObject({
  provider: z.enum(PRESETS.map(({ name }) => name) as [string, ...string[]]),
  model: z.string().min(1),
  context_window: z.number().int().min(512).max(20_000_000),
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
      (output ?? 0) > window || (cost?.cached_input ?? 0) > (cost?.input ?? 0),
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
