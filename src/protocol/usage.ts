import type { Usage } from '../contracts/usage.ts'
import { isUsage, readShape } from './usage-shapes.ts'

/** Nothing used, nothing said. */
export const NO_USAGE: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  cachedInputTokens: 0,
  cacheWrite5mTokens: 0,
  cacheWrite1hTokens: 0,
  reasoningTokens: 0,
  audioInputTokens: 0,
  audioOutputTokens: 0,
  imageInputTokens: 0,
  imageOutputTokens: 0,
  searches: 0,
  rerankUnits: 0,
  images: 0,
  audioSeconds: 0,
  characters: 0,
  tier: '',
  reportedUsd: -1,
}

const reported = (a: number, b: number): number => (a < 0 ? b : b < 0 ? a : a + b)

/** The sum of two calls' usage: of a request that was continued elsewhere both parts count. */
export function addUsages(a: Usage | null, b: Usage | null): Usage | null {
  if (a === null || b === null) return a ?? b
  return {
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
    cachedInputTokens: a.cachedInputTokens + b.cachedInputTokens,
    cacheWrite5mTokens: a.cacheWrite5mTokens + b.cacheWrite5mTokens,
    cacheWrite1hTokens: a.cacheWrite1hTokens + b.cacheWrite1hTokens,
    reasoningTokens: a.reasoningTokens + b.reasoningTokens,
    audioInputTokens: a.audioInputTokens + b.audioInputTokens,
    audioOutputTokens: a.audioOutputTokens + b.audioOutputTokens,
    imageInputTokens: a.imageInputTokens + b.imageInputTokens,
    imageOutputTokens: a.imageOutputTokens + b.imageOutputTokens,
    searches: a.searches + b.searches,
    rerankUnits: a.rerankUnits + b.rerankUnits,
    images: a.images + b.images,
    audioSeconds: a.audioSeconds + b.audioSeconds,
    characters: a.characters + b.characters,
    tier: a.tier === b.tier ? a.tier : '',
    reportedUsd: reported(a.reportedUsd, b.reportedUsd),
  }
}

/** What the shape alone cannot say, by type of provider. */
export interface UsageHints {
  /** Reasoning is counted beside the output, also where no total shows it. */
  readonly reasoningApart?: boolean
  /** The cost in the answer is what the provider bills, in US dollars: better than a price table. */
  readonly billsReported?: boolean
}

const NO_HINTS: UsageHints = {}

/**
 * Rows only where a provider uses a field otherwise than OpenAI does. xAI: docs.x.ai, consumption and rate limits;
 * Perplexity: `reasoning_tokens` beside `completion_tokens`, `cost.total_cost`; OpenRouter: usage accounting.
 */
const HINTS: ReadonlyMap<string, UsageHints> = new Map([
  ['xai', { reasoningApart: true, billsReported: true }],
  ['perplexity', { reasoningApart: true, billsReported: true }],
  ['openrouter', { billsReported: true }],
])

/** Hints for a provider type (`ProviderConfig.type`). */
export const usageHints = (providerType: string): UsageHints => HINTS.get(providerType) ?? NO_HINTS

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}

/** OpenAI's `default` and `auto`, Anthropic's and Groq's `standard` and `on_demand` are the list price. */
const LIST_PRICE = new Set(['default', 'auto', 'standard', 'on_demand', 'standard_only', 'scale'])
const tierOf = (value: unknown): string =>
  typeof value === 'string' && value.length <= 32 && !LIST_PRICE.has(value) ? value : ''

/**
 * Reads a usage object of any backend; its shape is recognised by its fields. Null when it holds no counts. Never
 * throws: what is no count (negative, NaN, text) is 0, `total_tokens` repairs a part that is missing.
 * tier: `service_tier` of the answer, when it stands outside the usage.
 */
export function readUsage(value: unknown, hints: UsageHints = NO_HINTS, tier: unknown = ''): Usage | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null
  const u = value as Record<string, unknown>
  const usage = { ...NO_USAGE, ...readShape(u, hints.reasoningApart === true) }
  usage.tier = tierOf(u['service_tier']) || tierOf(tier)
  return isUsage(usage) ? usage : null
}

/** Where the usage object stands in a whole answer, or in one event of a stream; undefined = it has none. */
export function findUsage(answer: unknown): unknown {
  const root = record(answer)
  const candidates = [
    root['usage'],
    record(root['x_groq'])['usage'],
    record(root['response'])['usage'],
    record(root['message'])['usage'],
    record(root['delta'])['usage'],
    record(root['metadata'])['usage'],
    root['usageMetadata'],
    root['meta'],
    record(root['response'])['meta'],
  ]
  const found = candidates.find((part) => typeof part === 'object' && part !== null && Object.keys(part).length > 0)
  if (found !== undefined) return found
  if (typeof root['timings'] === 'object') return root['timings']
  if (typeof root['details'] === 'object') return root['details']
  return 'prompt_eval_count' in root || 'eval_count' in root ? root : undefined
}

/** Images made: an answer of `/images` lists them under `data`, each as `b64_json` or `url`. */
function imagesIn(root: Record<string, unknown>): number {
  const data = root['data']
  if (!Array.isArray(data)) return 0
  return data.filter((item) => 'b64_json' in record(item) || 'url' in record(item)).length
}

/** A verbose transcript says only how long the recording is (openai-openapi `CreateTranscriptionResponseVerboseJson`). */
const heard = (root: Record<string, unknown>): unknown =>
  typeof root['duration'] === 'number' && typeof root['text'] === 'string' ? { seconds: root['duration'] } : undefined

/** Usage of a whole JSON answer of any backend, native dialects included. */
export function readAnswer(answer: unknown, hints: UsageHints = NO_HINTS): Usage | null {
  const root = record(answer)
  const usage = readUsage(findUsage(root) ?? heard(root), hints, root['service_tier'])
  return withImages(usage, imagesIn(root))
}

/** The answer of an image model is images: older versions of the API do not break its tokens down. */
export function withImages(usage: Usage | null, images: number): Usage | null {
  if (images === 0) return usage
  const { imageOutputTokens, outputTokens } = usage ?? NO_USAGE
  return { ...(usage ?? NO_USAGE), images, imageOutputTokens: imageOutputTokens || outputTokens }
}

/** Events of `/images` that hold a finished image, not a preview. */
const IMAGE_DONE = new Set<unknown>(['image_generation.completed', 'image_edit.completed'])

/**
 * Usage of a stream, event by event. Counts are cumulative wherever several events carry some, so the last one wins;
 * Anthropic's two halves (`message_start`, `message_delta`) complete each other.
 */
export class StreamUsage {
  readonly #hints: UsageHints
  #raw: Record<string, unknown> | null = null
  #tier: unknown = ''
  #images = 0

  constructor(hints: UsageHints = NO_HINTS) {
    this.#hints = hints
  }

  /** event: the data of one event, parsed. */
  feed(event: unknown): void {
    const root = record(event)
    this.#tier = root['service_tier'] ?? record(root['response'])['service_tier'] ?? this.#tier
    if (IMAGE_DONE.has(root['type'])) this.#images++
    const found = findUsage(root)
    if (found === undefined) return
    const next = record(found)
    const type = root['type']
    this.#raw = type === 'message_delta' && this.#raw !== null ? merge(this.#raw, next) : next
  }

  get usage(): Usage | null {
    return withImages(readUsage(this.#raw, this.#hints, this.#tier), this.#images)
  }
}

/** Null in the later half says nothing. */
function merge(before: Record<string, unknown>, now: Record<string, unknown>): Record<string, unknown> {
  const said = Object.fromEntries(Object.entries(now).filter(([, value]) => value !== null))
  return { ...before, ...said }
}
