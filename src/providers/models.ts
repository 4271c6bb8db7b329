import { readFileSync } from 'node:fs'
import { toPrice } from '../config/price.ts'
import type { PriceInput } from '../config/price.ts'
import type { Capabilities, ModelFacts, Price } from '../contracts/config.ts'

interface Row {
  readonly provider: string
  readonly model: string
  /** Absent for models that have none, such as those of images and speech. */
  readonly context_window?: number
  readonly max_output_tokens?: number
  readonly tools?: boolean
  readonly vision?: boolean
  readonly audio?: boolean
  readonly json_schema?: boolean
  readonly price?: PriceInput
}

/** Azure deploys OpenAI's models under names that operators choose, mostly the models' own. */
const SAME_MODELS: Readonly<Record<string, string>> = { azure: 'openai' }

const toFacts = (row: Row): ModelFacts => {
  const all: Capabilities = {
    tools: row.tools,
    vision: row.vision,
    audio: row.audio,
    jsonSchema: row.json_schema,
    contextWindow: row.context_window,
    maxOutputTokens: row.max_output_tokens,
  }
  const capabilities: Capabilities = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return { capabilities, price: row.price === undefined ? null : toPrice(row.price) }
}

let table: ReadonlyMap<string, ModelFacts> | undefined

/** Read on first use and not imported: the file lies outside the sources, beside `src` and `dist` alike. */
const facts = (): ReadonlyMap<string, ModelFacts> => {
  if (table !== undefined) return table
  const text = readFileSync(new URL('../../config/models.json', import.meta.url), 'utf8')
  // The file is ours and a test holds it to its schema.
  const { models } = JSON.parse(text) as { readonly models: readonly Row[] }
  table = new Map(models.map((row) => [`${row.provider}/${row.model}`, toFacts(row)]))
  return table
}

/** `-2025-08-07` or `-20250929`: a dated snapshot, which shares the facts of the model it was taken from. */
const SNAPSHOT = /-(?:\d{4}-\d{2}-\d{2}|\d{8})$/

/** Facts about a model by provider type and upstream name; undefined when config/models.json does not know it. */
export const modelFacts = (providerType: string, model: string): ModelFacts | undefined => {
  const provider = SAME_MODELS[providerType] ?? providerType
  return facts().get(`${provider}/${model}`) ?? facts().get(`${provider}/${model.replace(SNAPSHOT, '')}`)
}

/** Prices of all known models of a provider type, for UsageConfig.known. */
export const modelPrices = (providerType: string): Readonly<Record<string, Price>> => {
  const prefix = `${SAME_MODELS[providerType] ?? providerType}/`
  const rows: [string, Price][] = []
  for (const [name, { price }] of facts())
    if (price !== null && name.startsWith(prefix)) rows.push([name.slice(prefix.length), price])
  return Object.fromEntries(rows)
}
